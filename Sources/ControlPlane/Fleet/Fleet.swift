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
/// Parsers learn of new streams before a slot asks for them, and forget old ones only after the slots have given them
/// up: until then their last payloads arrive.
public final class Fleet: Sendable {
    /// Payloads of a stream may arrive for so long after its slot was told to give it up, ns.
    public static let settleNanos: Int64 = 5_000_000_000

    private struct Settling {
        var due: Int64
        var lane: Int
        var market: Int
    }
    private struct State {
        var plan: FleetPlan
        var settling: [Settling] = []
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
        // What waits to be forgotten is forgotten first: its id may be in use again.
        settle(&state, now: .max)
        for parser in difference.parsers {
            perform(.streams(lane: parser.lane, market: parser.market, parser.during))
        }
        for lane in Set(difference.newSlots.map(\.lane)).sorted() {
            perform(.links(lane: lane, plan.lanes[lane].slots))
        }
        for slot in difference.newSlots { perform(.addSlot(lane: slot.lane, slot.plan)) }
        for slot in difference.slots { perform(.change(slot)) }
        state.plan = plan
        state.settling = difference.parsers.filter(\.drops).map {
            Settling(due: now + Fleet.settleNanos, lane: $0.lane, market: $0.market)
        }
        return difference
    }

    /// Lets parsers forget streams that were given up long enough ago. Called again and again.
    public func settle(now: Int64) { state.withLock { settle(&$0, now: now) } }

    private func settle(_ state: inout State, now: Int64) {
        guard !state.settling.isEmpty else { return }
        for one in state.settling where one.due <= now {
            perform(
                .streams(lane: one.lane, market: one.market, state.plan.lanes[one.lane].streams[one.market]))
        }
        state.settling.removeAll { $0.due <= now }
    }
}
