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
        for (index, lane) in lanes.enumerated() {
            streamClock.look(lane: index, slots: lane.wireMonitor.slotCount, now: now) {
                lane.wireMonitor.state(ofSlot: $0) == .live
            }
        }
        logNotices()
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
        var last: Int64 = 0
        var deadline: Int64?
        for slot in slots {
            let sides = (0..<LinkIndex.sides).map {
                lanes[lane].activity.read(
                    stream: stream.id, member: LinkIndex.member(leg: slot.leg, link: $0))
            }
            // The side that delivers is the one that did last.
            guard let newest = sides.max(by: { $0.last < $1.last }) else { continue }
            let state = lanes[lane].wireMonitor.state(ofSlot: slot.slot)
            legs.append(
                StreamStatus.Leg(
                    slot: slot.slot, connection: state == .live ? "open" : state.name,
                    messages: Int(newest.count),
                    lastSecondsAgo: newest.last > 0 ? Double(max(0, now - newest.last)) / 1e9 : nil))
            last = max(last, newest.last)
            let due = clock.deadline(
                lane: lane, slot: slot.slot,
                stream: SlotStream(id: stream.id, name: stream.name, period: stream.period),
                limits: slot.limits)
            if let due { deadline = min(deadline ?? due, due) }
        }
        let state: StreamStatus.State =
            switch deadline {
            case nil: .connecting
            case .some where last > 0: .delivering
            case .some(let due): now >= due ? .silent : .waiting
            }
        return StreamLook(
            lane: lane, stream: stream, state: state, lastNanosAgo: last > 0 ? max(0, now - last) : nil,
            legs: legs)
    }
}
