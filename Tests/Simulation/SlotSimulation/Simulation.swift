import ControlPlane
import ExchangeAdapter
import MarketData
import Parsing
import Wire

/// A mistake that is made on purpose, which the simulation must find.
public enum Canary: String, Sendable, CaseIterable {
    /// The driver forgets to tell that a dial has failed.
    case forgetsFailedDial
    /// The driver closes the old connection as soon as the new one is open.
    case closesEarly
    /// The driver takes its own word for the exchange's acknowledgement.
    case acknowledgesByItself
    /// The driver forgets an answer now and then, and the machine is told that all is answered.
    case ignoresPace
    /// Each slot has a budget of attempts of its own.
    case budgetForEachSlot
    /// Each slot has handover permits of its own.
    case permitsForEachSlot
    /// More streams are put on a connection than the exchange takes.
    case overfillsConnections
    /// Requests are packed without regard to their size.
    case packsWithoutLimit
    /// What comes twice is published twice.
    case publishesTwice
    /// What is missing is not reported.
    case hidesGaps
    /// The driver opens a second connection beside each.
    case opensTwice
    /// The driver unsubscribes a stream before it is asked for again.
    case unsubscribesFirst
    /// The driver forgets that a slot has lost its last stream.
    case keepsEmptyConnections
    /// The driver forgets that a slot serves another target now.
    case forgetsTarget

    /// What must be found.
    public var invariants: [Invariant] {
        switch self {
        case .forgetsFailedDial: [.unowned, .notRestored]
        case .closesEarly: [.gaveUpWorking]
        case .acknowledgesByItself: [.unowned, .notRestored]
        case .ignoresPace: [.messageRate]
        case .budgetForEachSlot: [.attemptRate]
        case .permitsForEachSlot: [.legsTogether]
        case .overfillsConnections: [.streamsPerConnection]
        case .packsWithoutLimit: [.requestSize]
        case .publishesTwice: [.twice]
        case .hidesGaps: [.lost]
        case .opensTwice: [.sockets]
        case .unsubscribesFirst: [.gaveUpWorking]
        case .keepsEmptyConnections: [.emptyConnection]
        case .forgetsTarget: [.dead, .notRestored]
        }
    }
}

/// One simulated week of slots, planner, budgets and watchdogs against a virtual exchange: a seed gives the same run.
///
/// The machines are the ones of production, driven as the I/O thread drives them; time is an ordered queue of events,
/// and nothing happens between two of them.
public final class Simulation {
    /// When it begins, monotonic ns: 0 has a meaning of its own.
    static let start = Time.hour
    /// The exchange's clock when it begins, ns since the epoch.
    static let epoch = 1_795_305_600 * Time.second

    let seed: UInt64
    let canary: Canary?
    let scenario: Scenario
    var random: SimulationRandom
    var queue = EventQueue()
    var now = Simulation.start
    var wallOffset: Int64
    var trace: Trace
    var result: SimulationResult

    var plan: FleetPlan
    var lanes: [VirtualLane]
    var budgets: [AttemptBudget]
    var slots: [VirtualSlot] = []
    /// By lane and slot.
    var slotIndices: [[Int]]
    /// By slot and side.
    var links: [VirtualLink] = []

    var markets: [VirtualMarket] = []
    var streams: [VirtualStream] = []
    var streamIndex: [String: Int] = [:]
    var ledgers: [Ledger] = []
    var connections: [VirtualConnection] = []
    var attempts: [Attempt] = []
    var isEnding = false
    /// Payloads that parsers took.
    var payloads = 0

    /// A run of `days` days.
    public init(seed: UInt64, days: Int = 7, canary: Canary? = nil, isVerbose: Bool = false) throws {
        self.seed = seed
        self.canary = canary
        var random = SimulationRandom(seed: seed)
        scenario = Scenario(days: days, &random)
        wallOffset = Simulation.epoch + random.pick(0...Time.day)
        trace = Trace(isVerbose: isVerbose)
        result = SimulationResult(seed: seed)
        result.length = scenario.length
        budgets = scenario.markets.map { AttemptBudget(limits: $0.limits) }
        let marketCount = scenario.markets.count
        lanes = try (0..<scenario.laneCount).map { _ in
            let activity = StreamActivity(capacity: 512)
            return VirtualLane(
                activity: activity, permits: HandoverPermits(),
                parser: try LaneParser(marketCount: marketCount, activity: activity))
        }
        slotIndices = Array(repeating: [], count: scenario.laneCount)
        self.random = random
        plan = try Planner.plan([], lanes: scenario.laneCount)
        try begin()
    }

    private func begin() throws {
        for market in scenario.markets.indices { addMarket(market) }
        plan = try Planner.plan(
            scenario.markets.indices.map(plannerMarket), lanes: scenario.laneCount)
        for lane in plan.lanes.indices {
            adopt(lane)
            lanes[lane].parser.setLinks(ParserLink.table(of: plan.lanes[lane].slots, sides: LinkIndex.sides))
            for slot in plan.lanes[lane].slots { addSlot(slot, lane: lane) }
        }
        for market in scenario.markets.indices where scenario.markets[market].faultNanos > 0 {
            schedule(.fault, market, every: scenario.markets[market].faultNanos)
        }
        if scenario.changeNanos > 0 { schedule(.change, 0, every: scenario.changeNanos) }
        if scenario.clockStepNanos > 0 { schedule(.clockStep, 0, every: scenario.clockStepNanos) }
        queue.add(now + Time.hour, .check, 0)
    }

    /// Once more at a random time, so often on average.
    func schedule(_ kind: SimulationEvent.Kind, _ a: Int, every mean: Int64) {
        let time = now + random.pick(0...2 * mean)
        if time < Simulation.start + scenario.faultsUntil { queue.add(time, kind, a) }
    }

    /// To the end, or to the first failure.
    public func run() -> SimulationResult {
        let end = Simulation.start + scenario.length
        while result.failure == nil, let event = queue.take(), event.time <= end {
            now = event.time
            result.events += 1
            mark(UInt64(event.time))
            mark(UInt64(event.kind.rawValue) << 32 | UInt64(UInt32(truncatingIfNeeded: event.a)))
            if event.kind != .timer { trace.add(TraceEntry(time: now, slot: -1, what: .event(event))) }
            handle(event)
        }
        now = end
        if result.failure == nil { checkEnd() }
        if result.failure == nil { stopAll() }
        result.slots = slots.count
        result.duplicates = payloads - result.delivered
        result.connections = connections.count
        return result
    }

    private func handle(_ event: SimulationEvent) {
        switch event.kind {
        case .timer: timer(event.a)
        case .arrival: arrive(event.a)
        case .dialFailed: dialFailed(event.a)
        case .opened: opened(event.a)
        case .request: requestArrived(event.a, event.b)
        case .pong: messageArrived(event.a)
        case .clientGone: exchangeLoses(event.a)
        case .answer: answer(event.a, event.b)
        case .answerRead: answerRead(event.a, event.b)
        case .payload: payload(event.a, event.b)
        case .ping: ping(event.a)
        case .shutdownNotice: shutdownNotice(event.a)
        case .exchangeCut: cut(event.a, isForAge: event.b == 1)
        case .ended: ended(event.a)
        case .closeExpired: closeExpired(event.a, event.b)
        case .settle: settle(event.a)
        case .trade: trade(event.a)
        case .fault: fault(event.a)
        case .heal: heal(event.a)
        case .change: change()
        case .clockStep: clockStep()
        case .check:
            checkAll()
            queue.add(now + Time.hour, .check, 0)
        }
    }

    /// Into the fingerprint: FNV-1a of words.
    func mark(_ word: UInt64) { result.fingerprint = (result.fingerprint ^ word) &* 0x100_0000_01B3 }

    /// The first failure ends the run.
    func fail(_ invariant: Invariant, _ text: String) {
        guard result.failure == nil else { return }
        trace.add(TraceEntry(time: now, slot: -1, what: .note("FAILED: \(invariant.rawValue): \(text)")))
        result.failure = SimulationFailure(
            seed: seed, time: Trace.clock(now), invariant: invariant, text: text, trace: trace.latest)
    }

    func note(_ slot: Int, _ text: @autoclosure () -> String) {
        trace.add(TraceEntry(time: now, slot: slot, what: .note(text())))
    }

    // MARK: Making

    private func addMarket(_ index: Int) {
        let market = scenario.markets[index]
        markets.append(
            VirtualMarket(
                hosts: (0..<market.hosts).map { _ in
                    VirtualHost(latency: random.pick(2...150) * Time.millisecond)
                }))
        // A burst of dials at the start is the worst that the budget sees.
        markets[index].troubleUntil = now
        for number in 0..<market.streamCount {
            addStream(
                "m\(index)s\(number)@trade", market: index, route: "/r\(number % market.routes)",
                isWrong: false)
            streams[streams.count - 1].isWanted = number < market.subscribedCount
        }
    }

    func addStream(_ name: String, market: Int, route: String, isWrong: Bool) {
        let interval = random.spread(8 * Time.minute...3 * Time.hour)
        var stream = VirtualStream(
            market: market, name: name, route: route, isWrong: isWrong, interval: interval,
            activeHours: random.pick([24, 24, 24, 16, 8]), salt: random.next())
        while Simulation.start + stream.time(of: stream.nextID) <= now { stream.nextID += 1 }
        streamIndex[name] = streams.count
        if !isWrong { queue.add(Simulation.start + stream.time(of: stream.nextID), .trade, streams.count) }
        streams.append(stream)
        ledgers.append(Ledger())
    }

    func plannerMarket(_ index: Int) -> PlannerMarket {
        let market = scenario.markets[index]
        var limits = market.limits
        if canary == .overfillsConnections { limits.streamsPerConnection *= 2 }
        if canary == .packsWithoutLimit { limits.requestBytes = 10_000 }
        if canary == .ignoresPace { limits.frameSpacingNanos = Time.millisecond }
        let wanted = streams.filter { $0.market == index && $0.isWanted }
        let routes = Dictionary(
            streams.filter { $0.market == index }.map { ($0.name, $0.route) },
            uniquingKeysWith: { first, _ in first })
        return PlannerMarket(
            exchange: market.name,
            streams: wanted.map { StreamPlan(name: $0.name, kind: .trade, symbol: $0.name) },
            limits: limits, endpoints: endpoints(of: index), legs: market.legs,
            language: SimulationLanguage(canList: market.canList), target: { routes[$0.name] ?? "/" })
    }

    private func endpoints(of market: Int) -> [Endpoint] {
        // A text that is well-formed by construction.
        (0..<scenario.markets[market].hosts).compactMap { try? Endpoint("ws://h\($0).m\(market).test") }
    }

    /// Notes where the plan puts each stream.
    func adopt(_ lane: Int) {
        for list in plan.lanes[lane].streams {
            for planned in list {
                guard let index = streamIndex[planned.name] else { continue }
                streams[index].lane = lane
                streams[index].id = planned.id
                if streams[index].unownedSince == 0, owners(index) == 0 { streams[index].unownedSince = now }
            }
        }
    }

    func addSlot(_ plan: ConnectionPlan, lane: Int) {
        let budget =
            canary == .budgetForEachSlot
            ? AttemptBudget(perWindow: 300, windowNanos: 300 * Time.second) : budgets[plan.market]
        let permits = canary == .permitsForEachSlot ? HandoverPermits() : lanes[lane].permits
        let machine = SlotMachine(
            plan: plan, activity: lanes[lane].activity, budget: budget, permits: permits,
            random: SplitMix64(seed: random.next()))
        slotIndices[lane].append(slots.count)
        slots.append(
            VirtualSlot(
                lane: lane, market: plan.market, shard: plan.shard, leg: plan.leg, plan: plan,
                machine: machine))
        links.append(VirtualLink())
        links.append(VirtualLink())
        slots[slots.count - 1].timerAt = now
        queue.add(now, .timer, slots.count - 1)
    }
}
