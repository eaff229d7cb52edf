import CKernel
import CTLS
import Glibc
import MarketData

/// The stream host: accepts connections, answers their requests, and sends them what they subscribed to. One thread.
struct Server<Source: FeedSource & ~Copyable>: ~Copyable {
    let options: ServerOptions
    var source: Source
    var registry: StreamRegistry
    var connections: [Int: Connection] = [:]
    var pacer: Pacer
    var truth: GroundTruth
    var totals = ServerTotals()

    let listeners: Listeners
    /// How clients are received, for each address of the options.
    var doors: [Door]
    var schedule: FaultSchedule
    var lifetime: ClosedRange<Int64>?
    var random: SplitMix64
    var rest: RestDesk
    var delayedAnswers: [DelayedAnswer] = []
    /// When the next of them is due, monotonic ns.
    var nextAnswer = Int64.max
    private var control: ControlChannel
    private var lastChances: Int64 = 0
    private let tls: TLSContext
    let epoll: OwnedDescriptor
    private let signals: OwnedDescriptor
    private var accepted = 0

    /// Streams subscribed on all connections, those that the source does not know included.
    var subscribedStreams = 0
    /// Those that the source knows.
    var servedStreams = 0
    var blockedConnections = 0
    /// Outboxes with something new in them.
    var dirty = ContiguousArray<Int>()
    var isBatchFull = false

    /// When the feed began and ended, monotonic ns.
    var began: Int64?
    var ended: Int64?
    /// When the next frame is due, monotonic ns.
    var nextDue: Int64 = 0
    /// When the next frame of a listener that lags is due, monotonic ns.
    var nextHeld = Int64.max
    /// Connections with such frames.
    var lagging: Set<Int> = []
    /// When the frame that is delivered was made, monotonic ns.
    var madeAt: Int64 = 0
    private var nextTick: Int64 = 0
    private var isStopping = false
    private var stopDeadline: Int64 = .max
    private var hasAnnouncedShutdown = false
    private var progress = ProgressReport()

    private let received = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)

    private static var signalToken: UInt64 { 0 }
    private static var lifelineToken: UInt64 { .max }
    /// Listeners have tokens from here on, connections their numbers.
    static var listenerToken: UInt64 { 1 << 32 }
    private static var controlToken: UInt64 { 1 << 33 }
    private static var tickInterval: Int64 { 50_000_000 }
    /// How long the peer's close is awaited.
    static var closePatience: Int64 { 2_000_000_000 }

    init(options: ServerOptions, source: consuming Source) throws(ReplayerError) {
        let tls = try TLSContext(options.certificate)
        let truth = try GroundTruth(path: options.groundTruth)
        let listeners = try Listeners(options.listen + (options.restListen.map { [$0] } ?? []))
        let signals = try OwnedDescriptor(ck_signal_fd(), "signalfd")
        let epoll = try OwnedDescriptor(ck_epoll_create(), "epoll")
        ck_epoll_add(epoll.raw, signals.raw, UInt32(CK_READ), Self.signalToken)
        for (index, descriptor) in listeners.descriptors.enumerated() {
            ck_epoll_add(epoll.raw, descriptor, UInt32(CK_READ), Self.listenerToken + UInt64(index))
        }
        if let lifeline = options.lifeline {
            let added = ck_epoll_add(epoll.raw, lifeline, UInt32(CK_READ), Self.lifelineToken)
            guard added == 0 else {
                throw .usage("--exit-with-stdin needs a pipe or a terminal as standard input")
            }
        }
        control = try ControlChannel(options.control, epoll: epoll.raw, token: Self.controlToken)
        doors = listeners.ports.map { _ in Door() }
        rest = RestDesk(
            market: options.market,
            weightLimit: options.restWeight ?? (options.market == .spot ? 6_000 : 2_400))
        schedule = FaultSchedule(options.rules)
        lifetime = options.lifetime
        // Apart from the market's own numbers, so that faults do not change the market.
        random = SplitMix64(seed: options.seed ^ 0xFA17)
        self.options = options
        registry = StreamRegistry(names: source.streamNames)
        self.source = source
        if options.restListen != nil {
            self.source.keepHistory(options.restHistory, lacking: options.restLack)
        }
        pacer = Pacer(options.pacing)
        self.tls = tls
        self.truth = truth
        self.listeners = listeners
        self.signals = signals
        self.epoll = epoll
    }

    deinit { received.deallocate() }

    /// The line that says where the server is.
    var announcement: String {
        let scheme = options.certificate == nil ? "ws" : "wss"
        let urls = zip(options.listen, listeners.ports).map { "\"\(scheme)://\($0.clientHost):\($1)\"" }
        let authority = options.certificate?.authority.map { JSONEscaping.quoted($0) } ?? "null"
        return "{\"listening\":\(urls[0]),\"listeners\":[\(urls.joined(separator: ","))],"
            + (options.restListen.map {
                "\"rest\":\"\(options.certificate == nil ? "http" : "https")://\($0.clientHost):"
                    + "\(listeners.ports[options.listen.count])\","
            } ?? "")
            + "\"certificateAuthority\":\(authority),"
            + "\"streams\":\(source.streamNames.count { !$0.isEmpty }),\"frames\":\(source.frameCount),"
            + "\"symbols\":[\(symbols.map(JSONEscaping.quoted).joined(separator: ","))]}"
    }

    /// The symbols of its streams, at most so many as a subscriber would name one by one.
    private var symbols: [String] {
        var names: [String] = []
        for stream in source.streamNames where !stream.isEmpty && names.count < 1_000 {
            let name = String(decoding: stream.prefix { $0 != UInt8(ascii: "@") }, as: UTF8.self).uppercased()
            if names.last != name { names.append(name) }
        }
        return names
    }

    /// Serves until a signal or, where the options say so, the end of the feed.
    mutating func run() throws(ReplayerError) {
        var events = [ck_event](repeating: ck_event(), count: 256)
        while true {
            let now = ck_monotonic_nanos()
            let count = ck_epoll_wait(epoll.raw, &events, Int32(events.count), patience(now))
            for index in 0..<max(0, Int(count)) { handle(events[index]) }
            let after = ck_monotonic_nanos()
            if after >= schedule.nextDue { performDueFaults(after) }
            if after >= nextTick { tick(after) }
            pump(after)
            releaseHeld(ck_monotonic_nanos())
            releaseAnswers(ck_monotonic_nanos())
            flushDirty(after)
            if let failure = truth.failure { throw failure }
            if isStopping, connections.isEmpty || after > stopDeadline { break }
        }
        truth.flush()
        if let failure = truth.failure { throw failure }
    }

    /// How long to wait for events, ns.
    private func patience(_ now: Int64) -> Int64 {
        if options.spins, began != nil, ended == nil { return 0 }
        let isIdle = connections.isEmpty && !isStopping && ended == nil && !canPump
        let tick = isIdle ? now + 1_000_000_000 : nextTick
        return max(0, min(tick, schedule.nextDue, nextHeld, nextAnswer, canPump ? nextDue : .max) - now)
    }

    private mutating func handle(_ event: ck_event) {
        switch event.token {
        case Self.signalToken: handleSignal()
        case Self.lifelineToken: readLifeline()
        case Self.listenerToken..<Self.controlToken:
            accept(Int(event.token - Self.listenerToken))
        case Self.controlToken..<Self.lifelineToken:
            for line in control.commands(event.token) {
                control.answer(event.token, command(line, ck_monotonic_nanos()))
            }
        default:
            guard let connection = connections[Int(event.token)] else { return }
            if waitsOnPurpose(connection) {
                // Only the end of the socket is told, and would be told without end.
                if event.events & UInt32(CK_HANGUP) != 0 { drop(connection) }
                return
            }
            if event.events & UInt32(CK_WRITE) != 0 { markDirty(connection) }
            if event.events & UInt32(CK_READ | CK_HANGUP) != 0 { receive(connection) }
            if connection.phase == .dead { drop(connection) }
        }
    }

    private mutating func handleSignal() {
        while true {
            let signal = ck_signal_next(signals.raw)
            if signal == 0 { return }
            if signal == SIGHUP { continue }
            if isStopping, stopDeadline < .max {
                stopDeadline = 0
                continue
            }
            stop(code: 1001, patience: 1_000_000_000)
        }
    }

    /// What comes there does not matter, its end does.
    private mutating func readLifeline() {
        guard let lifeline = options.lifeline, read(lifeline, received.baseAddress, received.count) <= 0
        else {
            return
        }
        ck_epoll_remove(epoll.raw, lifeline)
        stop(code: 1001, patience: 1_000_000_000)
    }

    /// Closes all connections and ends the loop when they are gone.
    private mutating func stop(code: UInt16, patience: Int64) {
        let now = ck_monotonic_nanos()
        if ended == nil { ended = now }
        isStopping = true
        stopDeadline = now + patience
        for connection in connections.values {
            if connection.phase == .open {
                close(connection, code: code, reason: "", now)
            } else {
                connection.phase = .closing(deadline: now)
            }
            markDirty(connection)
        }
    }

    /// A connection that is frozen, or whose handshake hangs.
    private func waitsOnPurpose(_ connection: Connection) -> Bool {
        connection.faults.isFrozen
            || connection.isHanging && (connection.phase == .handshake || connection.phase == .request)
    }

    private mutating func accept(_ index: Int) {
        let owner = listeners.owners[index]
        while true {
            let descriptor = ck_accept(listeners.descriptors[index])
            guard descriptor >= 0 else { return }
            let made = Transport(
                descriptor: descriptor, context: tls.raw, recordsAreSingle: options.recordsAreSingle)
            guard !isStopping, let transport = made else { continue }
            accepted += 1
            let connection = Connection(
                number: accepted, listener: owner, lag: owner < options.lags.count ? options.lags[owner] : 0,
                transport: transport,
                phase: tls.raw == nil ? .request : .handshake, framesLeft: options.closeAfterFrames)
            let stage = hangingStage(owner)
            connection.isHanging = stage != nil
            connection.refusesTLS = tls.raw != nil && happens(options.chances.handshakeAlert)
            let events = connection.isHanging ? 0 : UInt32(CK_READ)
            guard ck_epoll_add(epoll.raw, descriptor, events, UInt64(accepted)) == 0 else { continue }
            if let stage { tell(accepted, "hang \(stage.rawValue)") }
            connections[accepted] = connection
        }
    }

    /// Whether a client that has come to this listener waits from now on.
    private mutating func hangingStage(_ listener: Int) -> HandshakeStage? {
        if tls.raw != nil, doors[listener].hangs(.tls) || happens(options.chances.hangs[.tls]) { return .tls }
        // By chance it is a single client whom nobody looks after, and not all that wait in the kernel.
        return happens(options.chances.hangs[.accept]) ? .accept : nil
    }

    /// Whether chance strikes; none is drawn where there is no chance.
    mutating func happens(_ chance: Double?) -> Bool {
        guard let chance, chance > 0 else { return false }
        return random.happens(chance)
    }

    private mutating func receive(_ connection: Connection) {
        if connection.phase == .handshake {
            if doors[connection.listener].alertUntil > 0 || connection.refusesTLS {
                tell(connection.number, "alert handshake")
                connection.transport.refuseHandshake()
                connection.phase = .dead
                return
            }
            switch connection.transport.handshake() {
            case .done: connection.phase = .request
            case .waiting: return
            case .failed(let text):
                report("connection \(connection.number): TLS handshake failed: \(text)")
                connection.phase = .dead
                return
            }
        }
        while true {
            switch connection.transport.receive(received) {
            case .bytes(let count):
                take(connection, UnsafeRawBufferPointer(rebasing: received[..<count]))
                if connection.phase == .dead { return }
            case .nothing: return
            case .end, .failed:
                connection.phase = .dead
                return
            }
        }
    }

    /// Closes the socket and forgets the connection.
    mutating func drop(_ connection: Connection) {
        guard connections.removeValue(forKey: connection.number) != nil else { return }
        if connection.opened > 0 { tell(connection.number, "gone") }
        unsubscribeAll(connection)
        if connection.isBlocked { blockedConnections -= 1 }
        ck_epoll_remove(epoll.raw, connection.transport.descriptor)
    }

    private mutating func tick(_ now: Int64) {
        nextTick = now + Self.tickInterval
        truth.flush()
        expireFaults(now)
        if began != nil {
            performChances(now, elapsed: min(now - lastChances, 1_000_000_000))
            lastChances = now
        }
        for connection in connections.values {
            switch connection.phase {
            case .closing(let deadline) where now > deadline:
                connection.phase = .dead
                drop(connection)
            case .open where now >= connection.closesAt:
                tell(connection.number, "end of life")
                close(connection, code: connection.closesWith, reason: "", now)
                markDirty(connection)
            case .open where !connection.faults.isFrozen:
                ping(connection, now)
            default: break
            }
        }
        if let began {
            if let duration = options.duration, ended == nil, now - began >= duration { endFeed(now) }
            if let after = options.serverShutdownAfter, now - began >= after, !hasAnnouncedShutdown {
                hasAnnouncedShutdown = true
                for connection in connections.values where connection.phase == .open {
                    announceShutdown(connection, now, lead: options.shutdownLead)
                }
            }
        }
        if ended != nil, options.exitWhenDone, !isStopping, connections.values.allSatisfy(\.isFlushed),
            lagging.isEmpty
        {
            stop(code: 1000, patience: 5_000_000_000)
        }
        if !options.isQuiet {
            progress.tell(now, totals, connections: connections.count, streams: subscribedStreams)
        }
    }

    private mutating func ping(_ connection: Connection, _ now: Int64) {
        if connection.pings.isOverdue(now: now, patience: options.pongPatience) {
            close(connection, code: 1008, reason: "Pong timeout", now)
        } else if now >= connection.pings.due {
            let payload = Array(String(ck_realtime_nanos() / 1_000_000).utf8)
            connection.send(.ping, payload)
            connection.pings.sent(payload, now: now, interval: options.pingInterval)
        } else {
            return
        }
        markDirty(connection)
    }
}

/// What was done, for the summary.
struct ServerTotals {
    var framesSent = 0
    var bytesSent = 0
    var connections = 0
}

/// A line for people every few seconds.
struct ProgressReport {
    private var last: (time: Int64, frames: Int) = (0, 0)

    mutating func tell(_ now: Int64, _ totals: ServerTotals, connections: Int, streams: Int) {
        if last.time == 0 { last.time = now }
        let elapsed = now - last.time
        guard elapsed >= 5_000_000_000 else { return }
        let rate = Double(totals.framesSent - last.frames) * 1e9 / Double(elapsed)
        let changed = totals.framesSent != last.frames
        last = (now, totals.framesSent)
        guard changed else { return }
        report(
            "\(totals.framesSent) frames sent, \(Int(rate.rounded())) a second; \(connections) connections, \(streams) streams"
        )
    }
}

/// A C text that need not fill its buffer.
func readText(_ bytes: UnsafeBufferPointer<CChar>) -> String {
    String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
