import MarketData

/// One connection slot as a pure state machine: what happens and the time go in, ``actions`` and a ``deadline`` come
/// out. It opens no socket and reads no clock, so the I/O thread and a simulation drive the same code.
///
/// A slot keeps one connection delivering its streams. It owns at most two: the *primary*, and while it hands over a
/// *successor*, which delivers before the primary is closed. Each connection has a generation of its own; whoever
/// reports an event names side and generation, and what belongs to a generation that is gone is ignored.
///
/// After every call the driver performs ``actions`` in order, empties them, and calls ``tick(_:)`` at ``deadline``.
public struct SlotMachine {
    let limits: ConnectionLimits
    let shard: Int
    let leg: Int
    let hasOtherLeg: Bool
    let endpointCount: Int
    let language: (any ControlLanguage)?
    let canList: Bool
    let isOneShot: Bool
    let activity: StreamActivity
    let budget: AttemptBudget
    let permits: HandoverPermits
    var random: SplitMix64

    /// What is to be done, in order.
    public var actions: [SlotAction] = []
    /// When ``tick(_:)`` is to be called, monotonic ns.
    public internal(set) var deadline: Int64 = 0
    /// What the monotonic clock lacks to the time since the epoch, ns; kept by the driver.
    public var wallOffset: Int64 = 0

    var links: [SlotLink] = [SlotLink(), SlotLink()]
    /// What was not answered when a side's latest connection ended.
    var ended: [(generation: UInt32, requests: [SlotRequest])] = [(0, []), (0, [])]
    /// A request was refused, and it could not be told which: one at a time, until all are accepted.
    var isCautious = false
    /// The exchange lets itself be asked again for what it holds; it has not refused so far.
    var takesRepeats = true
    /// The side that delivers, or is to.
    var primary: Int?
    var generation: UInt32 = 0
    var streams: [SlotStreamState] = []
    var indexOfStream: [UInt32: Int] = [:]

    /// Attempts that failed since a connection held.
    var attempts = 0
    var nextAttempt: Int64 = 0
    var nextEndpoint = 0
    var endpointBlockedUntil: [Int64]

    var handover: Handover?
    var handoverRetryAt: Int64 = 0
    var failedHandovers = 0
    /// The primary's end.
    var isShutdownAnnounced: Bool { primary.map { links[$0].isShutdownAnnounced } ?? false }
    var isMoveWanted = false
    /// A slot is not moved for its streams' sake before, monotonic ns.
    var moveNotBefore = Int64.min
    var nextWatch = Int64.max
    /// Until then the frames that came were not read on our own side: silence and answers that are late tell nothing.
    var heldUpUntil = Int64.min / 4
    /// A refused request ended its connection: no refused name is asked for again.
    var refusalsEnd = false
    private(set) var isStopping = false

    struct Handover {
        var reason: HandoverReason
        var beganAt: Int64
        var deadline: Int64
        var hasPermit: Bool
        /// When streams are looked at next.
        var nextCheck: Int64
    }

    /// A leg that fell back on another host tries its own again after this to twice this, ns: not within the window of
    /// the budget of attempts that the fall has used.
    static let returnNanos: Int64 = 300_000_000_000
    /// A connection that lasted so long ends a series of failures, ns.
    static let stableNanos: Int64 = 5_000_000_000

    /// A slot of `plan`; it begins with the first tick.
    public init(
        plan: ConnectionPlan, activity: StreamActivity, budget: AttemptBudget, permits: HandoverPermits,
        random: SplitMix64
    ) {
        limits = plan.limits
        shard = plan.shard
        leg = plan.leg
        hasOtherLeg = plan.legs > 1
        endpointCount = max(1, plan.endpoints.count)
        language = plan.language
        canList = plan.language?.list(id: 1) != nil
        isOneShot = plan.opensOnce
        self.activity = activity
        self.budget = budget
        self.permits = permits
        self.random = random
        endpointBlockedUntil = Array(repeating: Int64.min, count: endpointCount)
        for stream in plan.streams { add(stream) }
    }

    // MARK: What happens

    /// The deadline has come, or something may have changed.
    public mutating func tick(_ now: Int64) {
        if !isStopping, !isIdle {
            for side in 0..<2 where links[side].phase == .open { watchLink(side, now) }
            advanceHandover(now)
            if now >= nextWatch { watchStreams(now) }
            openIfDue(now)
        }
        for side in 0..<2 where links[side].phase == .open { sendDue(side, now) }
        deadline = nextDeadline(now)
    }

    /// Bytes of any kind came last at `time`. The driver tells before it ticks; no tick is needed for it.
    public mutating func heard(_ side: Int, at time: Int64) {
        if links[side].phase == .open { links[side].lastBytes = max(links[side].lastBytes, time) }
    }

    /// The parser has not come to read what was received, monotonic ns: what seems silent may stand in our own ring.
    public mutating func heldUp(_ now: Int64) { heldUpUntil = now }

    /// The upgrade was accepted.
    public mutating func opened(_ side: Int, generation: UInt32, _ now: Int64) {
        guard isCurrent(side, generation), links[side].phase == .opening else { return }
        links[side].phase = .open
        links[side].openedAt = now
        links[side].lastBytes = now
        links[side].toSubscribe = streamsToAskFor()
        links[side].retireAt = RolloverClock(limits: limits).retireTime(
            openedAt: now, wallOffset: wallOffset, random: &random)
        if hasOtherLeg, links[side].endpoint != 0 {
            // It fell back on the other leg's host, whose failure would now take both.
            let able = max(now, endpointBlockedUntil[0])
            let time = able + SlotMachine.returnNanos + random.next(below: SlotMachine.returnNanos)
            links[side].retireAt = min(links[side].retireAt, time)
        }
        for index in streams.indices { streams[index].acknowledged[side] = 0 }
        noteLive(side, now)
        tick(now)
    }

    /// The connection has ended, or could not be made. `status` and `retryAfterNanos`: of a refused upgrade.
    public mutating func ended(
        _ side: Int, generation: UInt32, _ cause: ConnectionEnd, status: Int = 0,
        retryAfterNanos: Int64? = nil,
        _ now: Int64
    ) {
        guard isCurrent(side, generation) else { return }
        let endpoint = links[side].endpoint
        if now - links[side].refusedAt < SlotMachine.stableNanos { refusalsEndConnections() }
        note(status: status, retryAfterNanos: retryAfterNanos, endpoint: endpoint, now)
        fail(side, now)
        // The address was refused, not the host: another host would say the same, and may be the other leg's.
        if status == 429 || status == 418 { nextEndpoint = endpoint }
        tick(now)
    }

    /// A ping came: it is answered as soon as the pace allows.
    public mutating func pinged(_ side: Int, generation: UInt32, _ now: Int64) {
        guard isCurrent(side, generation), links[side].phase == .open else { return }
        links[side].isPongDue = true
        tick(now)
    }

    /// The exchange accepted a request.
    public mutating func acknowledged(_ side: Int, generation: UInt32, id: Int64, _ now: Int64) {
        guard isCurrent(side, generation), let request = takeOutstanding(side, id) else { return }
        accept(request, side, now)
        tick(now)
    }

    /// The exchange refused a request, or one that it does not name. Its state on this connection is unknown now.
    /// An exchange may end the connection with the refusal, which then is told after the end.
    public mutating func refused(_ side: Int, generation: UInt32, id: Int64?, _ now: Int64) {
        guard isCurrent(side, generation) else {
            guard ended[side].generation == generation else { return }
            if !ended[side].requests.isEmpty { refusalsEndConnections() }
            noteRefusal(id, of: ended[side].requests, now)
            ended[side].requests = []
            return
        }
        guard links[side].phase == .open else { return }
        let outstanding = links[side].outstanding.map(\.request)
        noteRefusal(id, of: outstanding, now)
        links[side].refusedAt = now
        if side == primary, links[side].wasLive {
            // All else still comes: it is given up only when another connection brings it.
            goOnAfterRefusal(of: refused(id, of: outstanding), side)
        } else {
            lose(side, .request, now)
        }
        tick(now)
    }

    /// The exchange's list of what this connection has subscribed.
    public mutating func listed(
        _ side: Int, generation: UInt32, id: Int64, names: [String], _ now: Int64
    ) {
        guard isCurrent(side, generation), takeOutstanding(side, id) != nil else { return }
        compare(side, with: Set(names), now)
        tick(now)
    }

    /// The exchange will end this connection soon. A successor takes over all the same, and is replaced then: it may last
    /// longer than the primary.
    public mutating func serverShutdown(_ side: Int, generation: UInt32, _ now: Int64) {
        guard isCurrent(side, generation) else { return }
        links[side].isShutdownAnnounced = true
        // Whatever an earlier handover waits for: there is no time.
        if side == primary { handoverRetryAt = min(handoverRetryAt, now) }
        tick(now)
    }

    /// Other streams are wanted: each connection asks for what is new and gives up what is gone.
    public mutating func change(add added: [SlotStream], remove removed: [UInt32], _ now: Int64) {
        for id in removed { remove(id) }
        for stream in added where indexOfStream[stream.id] == nil {
            add(stream)
            for side in 0..<2 where links[side].phase == .open { links[side].toSubscribe.append(stream.id) }
        }
        if isIdle { rest(now) }
        tick(now)
    }

    /// Close everything and open nothing more.
    public mutating func stop(_ now: Int64) {
        guard !isStopping else { return }
        isStopping = true
        endHandover()
        for side in 0..<2 {
            switch links[side].phase {
            case .open: close(side)
            case .opening: drop(side, .stopped)
            case .closing, .none: break
            }
        }
        tick(now)
    }

    // MARK: What it is

    /// Nothing is open and nothing will be.
    public var isStopped: Bool { isStopping && links.allSatisfy { $0.phase == .none } }

    /// For metrics.
    public var state: ConnectionState {
        if isStopped { return .stopped }
        if isIdle { return .idle }
        guard let primary, links[primary].phase != .none else { return .waiting }
        if links[primary].phase != .open { return .opening }
        return links[primary].wasLive ? .live : .subscribing
    }

    /// The generation of a side's connection; 0: it never had one.
    public func generation(of side: Int) -> UInt32 { links[side].generation }

    /// Connections that are being opened, are open, or are being closed.
    public var socketCount: Int { links.count { $0.phase != .none } }

    /// Whether a successor is being made or used.
    public var isHandingOver: Bool { handover != nil }

    /// Whether it has no stream to ask for, and so needs no connection. Where nothing is asked for at all, the connection
    /// is what is wanted.
    var isIdle: Bool { language != nil && streams.isEmpty }

    /// Streams that are asked for; refused ones are not.
    public var streamCount: Int { streams.count { !$0.isRefused } }

    // MARK: Parts that the others use

    func isCurrent(_ side: Int, _ generation: UInt32) -> Bool {
        links[side].phase != .none && links[side].generation == generation
    }

    mutating func report(_ report: SlotReport) { actions.append(.report(report)) }

    mutating func close(_ side: Int) {
        links[side].phase = .closing
        actions.append(.close(side: side))
    }

    mutating func drop(_ side: Int, _ cause: ConnectionEnd) {
        clear(side)
        actions.append(.drop(side: side, cause: cause))
    }

    mutating func clear(_ side: Int) {
        var empty = SlotLink()
        empty.generation = links[side].generation
        if links[side].phase == .open {
            ended[side] = (links[side].generation, links[side].outstanding.map(\.request))
        }
        links[side] = empty
        for index in streams.indices { streams[index].acknowledged[side] = 0 }
    }

    /// This side found out by itself that its connection is no good.
    mutating func lose(_ side: Int, _ cause: ConnectionEnd, _ now: Int64) {
        actions.append(.drop(side: side, cause: cause))
        fail(side, now)
    }

    /// The last stream is gone: what it came on is closed.
    private mutating func rest(_ now: Int64) {
        guard !isStopping else { return }
        endHandover()
        if primary != nil { report(.emptied) }
        for side in 0..<2 {
            switch links[side].phase {
            case .open: close(side)
            case .opening: drop(side, .stopped)
            case .closing, .none: break
            }
        }
        primary = nil
        isMoveWanted = false
        failedHandovers = 0
        nextAttempt = now
        nextWatch = Int64.max
    }

    /// The exchange ends a connection for a refused name: none is asked for again.
    private mutating func refusalsEndConnections() {
        refusalsEnd = true
        for index in streams.indices where streams[index].isRefused { streams[index].retryAt = .max }
    }

    /// What the primary holds is not known any more: another connection is made before it is given up.
    mutating func doubt(_ side: Int) {
        links[side].isUncertain = true
        isMoveWanted = true
        moveNotBefore = .min
    }

    private mutating func add(_ stream: SlotStream) {
        indexOfStream[stream.id] = streams.count
        streams.append(SlotStreamState(stream: stream))
    }

    private mutating func remove(_ id: UInt32) {
        guard let index = indexOfStream.removeValue(forKey: id) else { return }
        let stream = streams[index].stream
        for side in 0..<2 where links[side].phase == .open {
            let waits = links[side].toSubscribe[links[side].firstToSubscribe...]
            links[side].toRepeat.removeAll { $0 == id }
            if waits.contains(id) {
                links[side].toSubscribe = waits.filter { $0 != id }
                links[side].firstToSubscribe = 0
            } else {
                links[side].toUnsubscribe.append(stream)
            }
        }
        streams.swapAt(index, streams.count - 1)
        streams.removeLast()
        if index < streams.count { indexOfStream[streams[index].stream.id] = index }
    }
}
