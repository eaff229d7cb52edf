import CKernel
import MarketData
import Rings

/// The I/O thread of a lane: opens the connections of its slots and keeps them open, reads, decrypts and unframes
/// into the frame ring. See ``ConnectionPlan`` for what a slot is told.
public struct WireStage: ~Copyable, Stage {
    var frames: RingProducer
    let monitor: WireMonitor
    /// The monitor's.
    let readLatency: LatencyRecorder
    let commands: CommandQueue<WireCommand>
    let resolver: ResolverStage.Mailbox
    let waker: Waker
    var reactor: Reactor
    /// By link: the two sides of each slot.
    let connections: UnsafeMutablePointer<Connection>
    private let slotCapacity: Int
    /// By slot.
    var machines: [SlotMachine] = []
    private let activity: StreamActivity
    let budgets: [AttemptBudget]
    private let permits = HandoverPermits()
    private let contexts: [TLSContext]
    /// Slots whose machines want something done.
    var touched: [Int] = []
    /// Records for the parser that the full ring had no room for.
    var waitingSignals: [FrameRunHeader] = []
    /// Where the run's table is gathered before it is put behind the data.
    let slices: UnsafeMutablePointer<FrameSlice>
    var random = RandomPool()
    /// Links that have bytes in memory: the kernel will not announce them.
    private var pending: [Int] = []
    /// What was pending when the cycle came to it.
    private var readNow: [Int] = []
    var direct = DirectLinks()
    var nextTimer: Int64 = 0
    private var isStopping = false
    /// The frame ring was too full to read on.
    var isBlocked = false
    var lag = ConsumerLag(now: ck_monotonic_nanos())

    /// - Parameters:
    ///   - plans: the slots; `plan.slot` is its position.
    ///   - contexts: TLS settings by `plan.tls`.
    ///   - frames: of ``ringBytes(messageBytes:)`` at least.
    ///   - backend: what it waits with; called on the thread that the stage runs on.
    ///   - activity: of the lane's streams, written by its parser.
    ///   - budgets: connection attempts by market, shared by all lanes.
    public init(
        plans: [ConnectionPlan], contexts: [TLSContext], frames: consuming RingProducer, monitor: WireMonitor,
        activity: StreamActivity, budgets: [AttemptBudget], commands: CommandQueue<WireCommand>,
        resolver: ResolverStage.Mailbox, waker: Waker,
        backend: ReactorBackend = .epoll
    ) {
        self.frames = frames
        self.monitor = monitor
        readLatency = monitor.readLatency.recorder
        self.commands = commands
        self.resolver = resolver
        self.waker = waker
        reactor = Reactor(backend: backend, waker: waker)
        self.activity = activity
        self.budgets = budgets
        self.contexts = contexts
        slotCapacity = monitor.slotCapacity
        connections = .allocate(capacity: max(1, slotCapacity * LinkIndex.sides))
        slices = .allocate(capacity: WireStage.sliceLimit)
        if let problem = reactor.problem {
            monitor.notice(reactor.works ? .warning : .error, slot: 0, problem)
        }
        for plan in plans { addSlot(plan) }
    }

    private mutating func addSlot(_ plan: ConnectionPlan) {
        guard machines.count < slotCapacity, plan.slot == machines.count, plan.market < budgets.count else {
            monitor.notice(
                .error, slot: 0,
                "slot \(plan.slot) was not added: there is room for \(slotCapacity); restart with this configuration"
            )
            return
        }
        for side in 0..<LinkIndex.sides {
            (connections + LinkIndex.link(slot: plan.slot, side: side)).initialize(
                to: Connection(plan: plan, context: plan.tls < contexts.count ? contexts[plan.tls] : nil))
        }
        machines.append(
            SlotMachine(
                plan: plan, activity: activity, budget: budgets[plan.market], permits: permits,
                random: SplitMix64(seed: random.next())))
        monitor.setSlotCount(machines.count)
    }

    deinit {
        connections.deinitialize(count: machines.count * LinkIndex.sides)
        connections.deallocate()
        slices.deallocate()
    }

    /// One cycle; see the type.
    public mutating func doWork() -> Int {
        isBlocked = false
        var work = 0
        guard waitingSignals.isEmpty || putWaitingSignals() else {
            isBlocked = true
            return 0
        }
        // An array, even an empty one, would be counted in every cycle.
        if !commands.isEmpty {
            for command in commands.drain() {
                obey(command)
                work += 1
            }
        }
        if reactor.eventCount == 0, !readDirectly(&work) { reactor.wait(nanos: 0) }
        for index in 0..<reactor.eventCount { work += handle(reactor.event(index)) }
        reactor.clear()
        if !pending.isEmpty { work += readPending() }
        let now = ck_monotonic_nanos()
        work += performTouched()
        if now >= nextTimer { work += runTimers(now) }
        work += performTouched()
        frames.publish()
        return work
    }

    private mutating func handle(_ event: ck_event) -> Int {
        let slot = WireStage.link(ofToken: event.token)
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
        case .none, .resolving, .connecting: break
        }
        return 1
    }

    /// Reads and notes whether bytes stay behind in memory.
    mutating func readSlot(_ slot: Int) -> Int {
        let work = read(slot)
        if hasBytesInMemory(slot), !pending.contains(slot) { pending.append(slot) }
        return work
    }

    /// Whether the link is read in this cycle for what it has in memory.
    func isPending(_ link: Int) -> Bool { !pending.isEmpty && pending.contains(link) }

    private func hasBytesInMemory(_ slot: Int) -> Bool {
        let connection = connections + slot
        guard connection.pointee.phase == .open || connection.pointee.phase == .closing else { return false }
        return connection.pointee.hasWholeFrames || connection.pointee.transport?.hasPending ?? false
    }

    private mutating func readPending() -> Int {
        var work = 0
        // Two arrays that take turns: to empty one that is still read would allocate a new one.
        swap(&pending, &readNow)
        for index in readNow.indices { work += readSlot(readNow[index]) }
        readNow.removeAll(keepingCapacity: true)
        // A partial record stays pending until its rest arrives; that is no work.
        return work
    }

    private mutating func obey(_ command: WireCommand) {
        switch command {
        case .acknowledged(let link, let generation, let id):
            tell(link) { machine, side, now in machine.acknowledged(side, generation: generation, id: id, now)
            }
        case .refused(let link, let generation, let id, let text):
            // Also of a connection that has ended since: the refusal may have been the reason.
            guard link < machines.count * LinkIndex.sides else { return }
            monitor.notice(.error, link: link, "the exchange refused a request: \(text)")
            tell(link) { machine, side, now in machine.refused(side, generation: generation, id: id, now) }
        case .listed(let link, let generation, let id, let names):
            tell(link) { machine, side, now in
                machine.listed(side, generation: generation, id: id, names: names, now)
            }
        case .serverShutdown(let link, let generation):
            guard isCurrent(link, generation) else { return }
            monitor.notice(.warning, link: link, "the exchange announced its shutdown")
            tell(link) { machine, side, now in machine.serverShutdown(side, generation: generation, now) }
        case .change(let slot, let added, let removed, let target):
            guard slot < machines.count else { return }
            for side in 0..<LinkIndex.sides {
                let connection = connections + LinkIndex.link(slot: slot, side: side)
                connection.pointee.plan.streams.removeAll { removed.contains($0.id) }
                connection.pointee.plan.streams += added
                if let target { connection.pointee.plan.target = target }
            }
            tell(slot * LinkIndex.sides) { machine, _, now in machine.change(add: added, remove: removed, now)
            }
        case .addSlot(let plan): addSlot(plan)
        case .resolved(let link, let generation, let answer):
            guard isCurrent(link, generation) else { return }
            resolved(link, answer, now: ck_monotonic_nanos())
        case .message(let link, let generation, let isBinary, let payload):
            guard isCurrent(link, generation) else { return }
            sendMessage(link, isBinary: isBinary, payload)
        case .stop: stopAll()
        }
        nextTimer = 0
    }

    private func isCurrent(_ link: Int, _ generation: UInt32) -> Bool {
        link < machines.count * LinkIndex.sides && connections[link].generation == generation
    }

    private mutating func tell(_ link: Int, _ what: (inout SlotMachine, Int, Int64) -> Void) {
        let slot = link / LinkIndex.sides
        guard slot < machines.count else { return }
        what(&machines[slot], link % LinkIndex.sides, ck_monotonic_nanos())
        touch(link)
    }

    /// Something changed that the timers depend on.
    mutating func wakeTimers() { nextTimer = 0 }

    private mutating func stopAll() {
        isStopping = true
        for slot in machines.indices {
            tell(slot * LinkIndex.sides) { machine, _, now in machine.stop(now) }
        }
    }

    /// Whether all connections have ended after a stop.
    public var isStopped: Bool { isStopping && machines.allSatisfy(\.isStopped) }

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
        // What a full ring has no room for stays in the sockets and would end every wait at once: the thread would take the
        // CPU from the one that makes room.
        if isBlocked { waker.wait(nanos: nanos) } else { reactor.wait(nanos: nanos) }
    }
}
