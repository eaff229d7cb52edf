import CKernel
import ExchangeAdapter
import Logging
import Parsing
import Telemetry
import Wire

/// The streams of a running collector: how they fare, and how they come to be others.
extension Collector: StreamControl {
    /// A fleet whose changes reach the lanes' threads.
    static func fleet(
        plan: FleetPlan, lanes: [Lane], clock: StreamClock, topics: TopicWatch, logger: Logger
    ) -> Fleet {
        Fleet(plan: plan, slotCapacity: lanes.map(\.wireMonitor.slotCapacity)) { step in
            let isTaken =
                switch step {
                case .streams(let lane, let market, let streams):
                    lanes[lane].parserCommands.send(.streams(market: market, streams))
                case .links(let lane, let plans):
                    lanes[lane].parserCommands.send(
                        .links(ParserLink.table(of: plans, sides: LinkIndex.sides)))
                case .addSlot(let lane, let plan): lanes[lane].commands.send(.addSlot(plan))
                case .change(let change):
                    lanes[change.lane].commands.send(
                        .change(
                            slot: change.slot, add: change.add, remove: change.remove, target: change.target))
                }
            topics.noteChange()
            if case .change(let change) = step { clock.note(change, now: ck_monotonic_nanos()) }
            if !isTaken {
                logger.error("a lane's thread takes no commands: subscriptions are not as planned; restart")
            }
        }
    }

    /// See ``LiveSubscriptions/subscribe(_:)``.
    public func subscribe(_ body: [UInt8]) throws -> SubscriptionChange { logged(try live.subscribe(body)) }

    /// See ``LiveSubscriptions/unsubscribe(_:)``.
    public func unsubscribe(_ body: [UInt8]) throws -> SubscriptionChange {
        logged(try live.unsubscribe(body))
    }

    private func logged(_ change: SubscriptionChange) -> SubscriptionChange {
        for line in change.lines() { logger.info("API: \(line)") }
        return change
    }

    /// What the control plane does several times a second.
    public func look() {
        let now = ck_monotonic_nanos()
        live.fleet.settle(now: now)
        ensureTopics()
        logNotices()
        lookAtContinuity(now: now)
    }

    /// Every stream, by market and in the order of subscription.
    public func streams() -> [StreamStatus] {
        let plan = live.fleet.plan
        var statuses: [StreamStatus] = []
        for market in plan.markets.indices {
            eachStream(of: plan, market: market) { look in
                statuses.append(
                    StreamStatus(
                        exchange: plan.markets[market].exchange, stream: look.stream.name,
                        type: look.stream.kind.name, symbol: look.stream.symbol, lane: look.lane,
                        id: Int(look.stream.id), state: look.state,
                        lastSecondsAgo: look.lastNanosAgo.map { Double($0) / 1e9 }, legs: look.legs))
            }
        }
        return statuses
    }

    /// A stream at a moment.
    struct StreamLook {
        var lane: Int
        var stream: StreamPlan
        var state: StreamStatus.State
        /// Since its last message, ns; nil: none yet.
        var lastNanosAgo: Int64?
        var legs: [StreamStatus.Leg]
    }

    /// Looks at all streams of a market.
    func eachStream(of plan: FleetPlan, market: Int, _ body: (StreamLook) -> Void) {
        let now = ck_monotonic_nanos()
        let clock = streamClock.reading()
        for (index, content) in plan.lanes.enumerated() {
            var slots: [UInt32: [ConnectionPlan]] = [:]
            for slot in content.slots where slot.market == market {
                for stream in slot.streams { slots[stream.id, default: []].append(slot) }
            }
            for stream in content.streams[market] {
                body(look(stream, lane: index, slots: slots[stream.id] ?? [], clock: clock, now: now))
            }
        }
    }

    private func look(
        _ stream: StreamPlan, lane: Int, slots: [ConnectionPlan], clock: StreamClock.Reading, now: Int64
    ) -> StreamLook {
        var legs: [StreamStatus.Leg] = []
        var views: [LegView] = []
        for slot in slots {
            let monitor = lanes[lane].wireMonitor
            let state = monitor.state(ofSlot: slot.slot)
            let view = LegView(
                sides: (0..<LinkIndex.sides).map { side in
                    LegView.Side(
                        open: monitor.openGeneration(ofSlot: slot.slot, side: side),
                        cell: lanes[lane].activity.read(
                            stream: stream.id, member: LinkIndex.member(leg: slot.leg, link: side)))
                },
                deadline: monitor.liveSince(ofSlot: slot.slot).map { since in
                    clock.deadline(
                        lane: lane, liveSince: since,
                        stream: SlotStream(id: stream.id, name: stream.name, period: stream.period),
                        limits: slot.limits)
                }, asked: clock.asked(lane: lane, id: stream.id))
            views.append(view)
            legs.append(
                StreamStatus.Leg(
                    slot: slot.slot, connection: state == .live ? "open" : state.name,
                    messages: view.messages,
                    lastSecondsAgo: view.last > 0 ? Double(max(0, now - view.last)) / 1e9 : nil))
        }
        let last = views.map(\.last).max() ?? 0
        return StreamLook(
            lane: lane, stream: stream, state: LegView.state(of: views, now: now),
            lastNanosAgo: last > 0 ? max(0, now - last) : nil, legs: legs)
    }
}

/// What one leg brings of a stream.
struct LegView {
    /// One of the slot's two connections.
    struct Side {
        /// The generation of the connection that is open; nil: none is.
        var open: UInt32?
        /// What came last on this side, on whichever connection.
        var cell: StreamActivity.Cell

        /// Whether the connection that is open has brought the stream since it was asked for.
        func delivers(since asked: Int64) -> Bool {
            open == cell.generation && cell.count > 0 && cell.last >= asked
        }
    }
    var sides: [Side]
    /// When the first data of the connection at hand is overdue, monotonic ns; nil: it is not live.
    var deadline: Int64?
    /// When the stream was asked for, monotonic ns.
    var asked: Int64 = 0

    /// The cells of the connections that are open and have brought the stream since it was asked for.
    private var delivering: [StreamActivity.Cell] {
        sides.filter { $0.delivers(since: asked) }.map(\.cell)
    }

    /// Whether it brings the stream.
    var delivers: Bool { !delivering.isEmpty }

    /// Of the connection at hand; while one hands over to the other, of the one that brought the latest.
    var messages: Int {
        Int(delivering.max { $0.last < $1.last }?.count ?? 0)
    }

    /// The latest message of any connection, monotonic ns; 0: there was none.
    var last: Int64 { sides.map(\.cell.last).max() ?? 0 }

    /// How a stream fares on its legs. What a connection brought that is gone says nothing of those that are open.
    static func state(of legs: [LegView], now: Int64) -> StreamStatus.State {
        guard let due = legs.compactMap(\.deadline).min() else { return .connecting }
        if legs.contains(where: \.delivers) { return .delivering }
        return now >= due ? .silent : .waiting
    }
}
