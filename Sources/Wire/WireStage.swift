import CKernel
import Rings

/// The I/O thread of a lane: opens the connections of its slots and keeps them open, reads, decrypts and unframes
/// into the frame ring. See ``ConnectionPlan`` for what a slot is told.
public struct WireStage: ~Copyable, Stage {
    var frames: RingProducer
    let monitor: WireMonitor
    let commands: CommandQueue<WireCommand>
    let resolver: ResolverStage.Mailbox
    let waker: Waker
    var reactor: Reactor
    let connections: UnsafeMutablePointer<Connection>
    let connectionCount: Int
    /// Where the run's table is gathered before it is put behind the data.
    let slices: UnsafeMutablePointer<FrameSlice>
    var random = RandomPool()
    /// Slots that have bytes in memory: the kernel will not announce them.
    private var pending: [Int] = []
    private var nextTimer: Int64 = 0
    private var isStopping = false
    /// The frame ring was too full to read on.
    var isBlocked = false

    /// - Parameters:
    ///   - plans: the slots; `plan.slot` is its position.
    ///   - contexts: TLS settings by `plan.tls`.
    ///   - frames: must hold at least four messages of the largest size.
    ///   - backend: what it waits with; called on the thread that the stage runs on.
    public init(
        plans: [ConnectionPlan], contexts: [TLSContext], frames: consuming RingProducer, monitor: WireMonitor,
        commands: CommandQueue<WireCommand>, resolver: ResolverStage.Mailbox, waker: Waker,
        backend: ReactorBackend = .epoll
    ) {
        self.frames = frames
        self.monitor = monitor
        self.commands = commands
        self.resolver = resolver
        self.waker = waker
        reactor = Reactor(backend: backend, waker: waker)
        connections = .allocate(capacity: max(1, plans.count))
        connectionCount = plans.count
        for (index, plan) in plans.enumerated() {
            (connections + index).initialize(
                to: Connection(plan: plan, context: plan.endpoint.isTLS ? contexts[plan.tls] : nil))
        }
        slices = .allocate(capacity: WireStage.sliceLimit)
        if let problem = reactor.problem { monitor.notice(.warning, slot: 0, problem) }
    }

    deinit {
        connections.deinitialize(count: connectionCount)
        connections.deallocate()
        slices.deallocate()
    }

    /// One cycle; see the type.
    public mutating func doWork() -> Int {
        isBlocked = false
        var work = 0
        for command in commands.drain() {
            obey(command)
            work += 1
        }
        if reactor.eventCount == 0 { reactor.wait(nanos: 0) }
        for index in 0..<reactor.eventCount { work += handle(reactor.event(index)) }
        reactor.clear()
        if !pending.isEmpty { work += readPending() }
        let now = ck_monotonic_nanos()
        if now >= nextTimer { work += runTimers(now) }
        frames.publish()
        return work
    }

    private mutating func handle(_ event: ck_event) -> Int {
        let slot = WireStage.slot(ofToken: event.token)
        let connection = connections + slot
        // An event of a socket that this cycle has already closed.
        guard connection.pointee.generation == UInt32(truncatingIfNeeded: event.token >> 32) else { return 0 }
        if let candidate = WireStage.candidate(ofToken: event.token) {
            candidateReady(slot, candidate)
            return 1
        }
        switch connection.pointee.phase {
        case .tunnelling, .handshaking, .upgrading: advance(slot)
        case .open, .closing:
            if event.events & UInt32(CK_WRITE) != 0 { flush(slot) }
            if event.events & UInt32(CK_READ | CK_HANGUP) != 0 { return readSlot(slot) }
        case .waiting, .resolving, .connecting, .stopped: break
        }
        return 1
    }

    /// Reads and notes whether bytes stay behind in memory.
    mutating func readSlot(_ slot: Int) -> Int {
        let work = read(slot)
        if hasBytesInMemory(slot), !pending.contains(slot) { pending.append(slot) }
        return work
    }

    private func hasBytesInMemory(_ slot: Int) -> Bool {
        let connection = connections + slot
        guard connection.pointee.phase == .open || connection.pointee.phase == .closing else { return false }
        return connection.pointee.hasWholeFrames || connection.pointee.transport?.hasPending ?? false
    }

    private mutating func readPending() -> Int {
        var work = 0
        let slots = pending
        pending.removeAll(keepingCapacity: true)
        for slot in slots { work += readSlot(slot) }
        // A partial record stays pending until its rest arrives; that is no work.
        return work
    }

    private mutating func obey(_ command: WireCommand) {
        switch command {
        case .acknowledged(let slot, let generation, let id):
            guard isCurrent(slot, generation) else { return }
            acknowledge(slot, id: id)
        case .refused(let slot, let generation, let text):
            guard isCurrent(slot, generation) else { return }
            end(slot, .request, "the exchange refused a request: \(text)", level: .error)
        case .serverShutdown(let slot, let generation):
            guard isCurrent(slot, generation) else { return }
            end(slot, .serverShutdown, "the exchange announced its shutdown", level: .warning)
        case .resolved(let slot, let generation, let answer):
            guard isCurrent(slot, generation) else { return }
            resolved(slot, answer, now: ck_monotonic_nanos())
        case .message(let slot, let generation, let isBinary, let payload):
            guard isCurrent(slot, generation) else { return }
            sendMessage(slot, isBinary: isBinary, payload)
        case .stop: stopAll()
        }
        nextTimer = 0
    }

    private func isCurrent(_ slot: Int, _ generation: UInt32) -> Bool {
        slot < connectionCount && connections[slot].generation == generation
    }

    private mutating func runTimers(_ now: Int64) -> Int {
        var work = 0
        var next = now + 1_000_000_000
        for slot in 0..<connectionCount {
            let connection = connections + slot
            if connection.pointee.nextDeadline <= now {
                expire(slot, now: now)
                work += 1
            }
            next = min(next, connection.pointee.nextDeadline)
        }
        nextTimer = next
        return work
    }

    /// Something changed that the timers depend on.
    mutating func wakeTimers() { nextTimer = 0 }

    private mutating func stopAll() {
        isStopping = true
        for slot in 0..<connectionCount {
            switch connections[slot].phase {
            case .open: startClose(slot, code: 1000)
            case .closing, .stopped: break
            default: end(slot, .stopped, "stopped", level: .info)
            }
        }
    }

    /// Whether a slot that ends should be opened again.
    var reopens: Bool { !isStopping }

    /// Whether all connections have ended after a stop.
    public var isStopped: Bool {
        guard isStopping else { return false }
        for slot in 0..<connectionCount where connections[slot].phase != .stopped { return false }
        return true
    }

    // MARK: Stage

    /// Whether the next cycle would find something to do.
    public mutating func hasInput() -> Bool { !commands.isEmpty || reactor.eventCount > 0 }

    /// Until the next deadline, ns.
    public mutating func parkLimit() -> Int64 {
        // A full ring is looked at again soon: its consumer does not wake its producer.
        if isBlocked { return 200_000 }
        for slot in pending where connections[slot].hasWholeFrames { return 0 }
        return min(max(0, nextTimer - ck_monotonic_nanos()), 1_000_000_000)
    }

    /// Waits for the waker or for descriptors.
    public mutating func park(nanos: Int64) {
        reactor.wait(nanos: nanos)
    }
}
