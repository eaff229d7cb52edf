import ExchangeAdapter
import Synchronization
import Wire

/// Something that a stage is to be told.
public enum FleetStep: Sendable {
    /// A parser reads these streams of a market from now on.
    case streams(lane: Int, market: Int, [StreamPlan])
    /// A parser is about to see the connections of these slots, all that its lane has; before any of them is made.
    case links(lane: Int, [ConnectionPlan])
    /// An I/O thread makes another connection.
    case addSlot(lane: Int, ConnectionPlan)
    /// A slot asks for other streams.
    case change(PlanDifference.SlotChange)
}

/// The plan that is in force, and how it comes to be another one while everything runs.
///
/// Parsers learn of new streams before a slot asks for them, and forget old ones only some time after the slots were told
/// to give them up: until then their last payloads arrive. A stream that is wanted again in that time is asked for only
/// after it was forgotten; its pause would be taken for a gap else.
public final class Fleet: Sendable {
    /// Payloads of a stream may arrive for so long after its slot was told to give it up, ns.
    public static let settleNanos: Int64 = 5_000_000_000

    /// A parser's list of streams.
    private struct Parser: Hashable {
        var lane: Int
        var market: Int
    }
    /// A stream that was given up and is still known to its parser.
    private struct Settling {
        var due: Int64
        var parser: Parser
        var stream: StreamPlan
    }
    /// A stream of the plan that is not asked for yet.
    private struct Deferred {
        var due: Int64
        var parser: Parser
        var slot: Int
        var stream: SlotStream
    }
    private struct State {
        var plan: FleetPlan
        /// Counts plans.
        var version = 0
        var settling: [Settling] = []
        var deferred: [Deferred] = []
        var isClosed = false

        /// What a parser is to know now.
        func streams(of parser: Parser) -> [StreamPlan] {
            let later = Set(deferred.filter { $0.parser == parser }.map(\.stream.id))
            return plan.lanes[parser.lane].streams[parser.market].filter { !later.contains($0.id) }
                + settling.filter { $0.parser == parser }.map(\.stream)
        }
    }
    private let state: Mutex<State>
    /// Slots that each lane has room for.
    private let slotCapacity: [Int]
    private let perform: @Sendable (FleetStep) -> Void

    /// - Parameters:
    ///   - slotCapacity: by lane, the slots of `plan` included.
    ///   - perform: tells a stage; called in order, never by two threads at once.
    public init(plan: FleetPlan, slotCapacity: [Int], perform: @escaping @Sendable (FleetStep) -> Void) {
        state = Mutex(State(plan: plan))
        self.slotCapacity = slotCapacity
        self.perform = perform
    }

    /// The plan in force.
    public var plan: FleetPlan { state.withLock { $0.plan } }

    /// The plan in force and its number; nil where that is `version`.
    func plan(unless version: Int?) -> (plan: FleetPlan, version: Int)? {
        state.withLock { $0.version == version ? nil : ($0.plan, $0.version) }
    }

    /// Nothing changes any more: the collector ends.
    public func close() { state.withLock { $0.isClosed = true } }

    /// Makes each market carry what `wanted` makes of its streams now. `now`: monotonic, ns.
    ///
    /// - Returns: what changes; the stages have been told.
    /// - Throws: ``PlanError`` where it cannot work; nothing has changed then.
    public func change(
        now: Int64, _ wanted: (_ market: Int, _ streams: [StreamPlan]) -> [StreamPlan]
    ) throws(PlanError) -> PlanDifference {
        let result: Result<PlanDifference, PlanError> = state.withLock { state in
            do throws(PlanError) {
                return .success(try change(&state, now: now, wanted))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private func change(
        _ state: inout State, now: Int64, _ wanted: (_ market: Int, _ streams: [StreamPlan]) -> [StreamPlan]
    ) throws(PlanError) -> PlanDifference {
        guard !state.isClosed else {
            throw PlanError(problems: [.init(text: "the collector is ending")])
        }
        var markets = state.plan.markets
        for index in markets.indices { markets[index].streams = wanted(index, markets[index].streams) }
        let plan = try Planner.plan(markets, lanes: state.plan.lanes.count, previous: state.plan)
        for (lane, content) in plan.lanes.enumerated() where content.slots.count > slotCapacity[lane] {
            throw PlanError(problems: [
                .init(
                    text: "lane \(lane) would need \(content.slots.count) connections and has room for"
                        + " \(slotCapacity[lane]) until the collector is restarted")
            ])
        }
        let difference = PlanDifference(from: state.plan, to: plan)
        guard !difference.isEmpty else { return difference }
        settle(&state, now: now)
        state.plan = plan
        state.version += 1
        let unasked = giveUp(&state, difference, now: now)
        for slot in difference.newSlots {
            putOff(&state, slot.plan.streams, lane: slot.lane, market: slot.plan.market, slot: slot.plan.slot)
        }
        for slot in difference.slots {
            putOff(
                &state, slot.add, lane: slot.lane, market: plan.lanes[slot.lane].slots[slot.slot].market,
                slot: slot.slot)
        }
        for parser in difference.parsers {
            let parser = Parser(lane: parser.lane, market: parser.market)
            tell(state, parser)
        }
        apply(difference, state, unasked: unasked)
        return difference
    }

    /// Streams that go settle; those that were not even asked for are forgotten at once. Returns the latter's ids by
    /// lane.
    private func giveUp(
        _ state: inout State, _ difference: PlanDifference, now: Int64
    ) -> [Int: Set<UInt32>] {
        var unasked: [Int: Set<UInt32>] = [:]
        for change in difference.parsers {
            let parser = Parser(lane: change.lane, market: change.market)
            let gone = Set(change.gone.map(\.id))
            let waiting = Set(
                state.deferred.filter { $0.parser == parser && gone.contains($0.stream.id) }.map(\.stream.id))
            state.deferred.removeAll { $0.parser == parser && waiting.contains($0.stream.id) }
            unasked[change.lane, default: []].formUnion(waiting)
            for stream in change.gone where !waiting.contains(stream.id) {
                state.settling.append(
                    Settling(due: now + Fleet.settleNanos, parser: parser, stream: stream))
            }
        }
        return unasked
    }

    /// Streams that come back too soon wait.
    private func putOff(
        _ state: inout State, _ streams: [SlotStream], lane: Int, market: Int, slot: Int
    ) {
        for stream in streams {
            let due = state.settling.filter {
                $0.parser.market == market && $0.stream.name == stream.name
            }.map(\.due).max()
            guard let due else { continue }
            state.deferred.append(
                Deferred(due: due, parser: Parser(lane: lane, market: market), slot: slot, stream: stream))
        }
    }

    private func apply(_ difference: PlanDifference, _ state: State, unasked: [Int: Set<UInt32>]) {
        func asked(_ streams: [SlotStream], lane: Int) -> [SlotStream] {
            let later = Set(state.deferred.filter { $0.parser.lane == lane }.map(\.stream.id))
            return streams.filter { !later.contains($0.id) }
        }
        for lane in Set(difference.newSlots.map(\.lane)).sorted() {
            perform(.links(lane: lane, state.plan.lanes[lane].slots))
        }
        for slot in difference.newSlots {
            var plan = slot.plan
            plan.streams = asked(plan.streams, lane: slot.lane)
            perform(.addSlot(lane: slot.lane, plan))
        }
        for slot in difference.slots {
            var change = slot
            change.add = asked(slot.add, lane: slot.lane)
            change.remove.removeAll { unasked[slot.lane]?.contains($0) ?? false }
            if !change.isEmpty { perform(.change(change)) }
        }
    }

    /// Lets parsers forget streams that were given up long enough ago, and asks for those that waited for it. Called
    /// again and again.
    public func settle(now: Int64) { state.withLock { settle(&$0, now: now) } }

    private func settle(_ state: inout State, now: Int64) {
        let settled = state.settling.filter { $0.due <= now }
        guard !settled.isEmpty else { return }
        state.settling.removeAll { $0.due <= now }
        for parser in Fleet.distinct(settled.map(\.parser)) { tell(state, parser) }
        let ready = state.deferred.filter { $0.due <= now }
        guard !ready.isEmpty else { return }
        state.deferred.removeAll { $0.due <= now }
        for parser in Fleet.distinct(ready.map(\.parser)) { tell(state, parser) }
        for one in ready {
            perform(
                .change(
                    PlanDifference.SlotChange(
                        lane: one.parser.lane, slot: one.slot, add: [one.stream], remove: [])))
        }
    }

    private func tell(_ state: State, _ parser: Parser) {
        perform(.streams(lane: parser.lane, market: parser.market, state.streams(of: parser)))
    }

    private static func distinct(_ parsers: [Parser]) -> [Parser] {
        var seen: Set<Parser> = []
        return parsers.filter { seen.insert($0).inserted }
    }
}
