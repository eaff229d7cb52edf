import Synchronization
import Wire

/// Since when each stream is asked for: from that, and from when its connection came to be live, its deadline for its
/// first data follows.
final class StreamClock: Sendable {
    /// How often a stream that comes at fixed times may be missed before it is overdue.
    static let periods: Int64 = 5
    /// Such a stream has at least so long, ns.
    static let leastNanos: Int64 = 10_000_000_000

    fileprivate struct State {
        /// By lane and id: streams that were added later, monotonic ns.
        var addedAt: [[UInt32: Int64]]
    }
    private let state: Mutex<State>

    init(plan: FleetPlan) {
        state = Mutex(State(addedAt: plan.lanes.map { _ in [:] }))
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

        /// When a stream was asked for, monotonic ns; 0: when the collector started.
        func asked(lane: Int, id: UInt32) -> Int64 { state.addedAt[lane][id] ?? 0 }

        /// When the first data of a stream on a connection that is live since `live` is overdue, monotonic ns.
        func deadline(lane: Int, liveSince live: Int64, stream: SlotStream, limits: ConnectionLimits) -> Int64
        {
            let allowed =
                stream.period.map { max(StreamClock.leastNanos, StreamClock.periods * $0) }
                ?? limits.streamSilenceNanos
            return max(live, asked(lane: lane, id: stream.id)) + allowed
        }
    }
}
