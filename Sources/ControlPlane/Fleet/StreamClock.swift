import Synchronization
import Wire

/// Since when each connection is live and each stream asked for: from that a stream's deadline for its first data
/// follows. Looked after by the control plane, several times a second.
final class StreamClock: Sendable {
    /// How often a stream that comes at fixed times may be missed before it is overdue.
    static let periods: Int64 = 5
    /// Such a stream has at least so long, ns.
    static let leastNanos: Int64 = 10_000_000_000

    fileprivate struct State {
        /// By lane and slot: since when the slot is live, monotonic ns; 0: it is not.
        var liveSince: [[Int64]]
        /// By lane and id: streams that were added later, monotonic ns.
        var addedAt: [[UInt32: Int64]]
    }
    private let state: Mutex<State>

    init(plan: FleetPlan) {
        state = Mutex(
            State(
                liveSince: plan.lanes.map { Array(repeating: 0, count: $0.slots.count) },
                addedAt: plan.lanes.map { _ in [:] }))
    }

    /// Looks at the slots' states.
    func look(lane: Int, slots: Int, now: Int64, isLive: (Int) -> Bool) {
        state.withLock { state in
            while state.liveSince[lane].count < slots { state.liveSince[lane].append(0) }
            for slot in 0..<slots {
                if !isLive(slot) {
                    state.liveSince[lane][slot] = 0
                } else if state.liveSince[lane][slot] == 0 {
                    state.liveSince[lane][slot] = now
                }
            }
        }
    }

    /// Streams of a slot were asked for, others given up.
    func note(_ change: PlanDifference.SlotChange, now: Int64) {
        state.withLock { state in
            for stream in change.add { state.addedAt[change.lane][stream.id] = now }
            for id in change.remove { state.addedAt[change.lane][id] = nil }
        }
    }

    /// A copy to ask many questions of.
    func reading() -> Reading { Reading(state: state.withLock { $0 }) }

    struct Reading {
        private let state: State

        fileprivate init(state: State) { self.state = state }

        /// When the first data of a stream on a slot is overdue, monotonic ns; nil: the slot is not live.
        func deadline(lane: Int, slot: Int, stream: SlotStream, limits: ConnectionLimits) -> Int64? {
            guard slot < state.liveSince[lane].count else { return nil }
            let live = state.liveSince[lane][slot]
            guard live > 0 else { return nil }
            let allowed =
                stream.period.map { max(StreamClock.leastNanos, StreamClock.periods * $0) }
                ?? limits.streamSilenceNanos
            return max(live, state.addedAt[lane][stream.id] ?? 0) + allowed
        }
    }
}
