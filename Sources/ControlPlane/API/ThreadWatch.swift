import Synchronization
import Telemetry

/// Tells threads that stand still from the counts of two looks.
public final class ThreadWatch: Sendable {
    /// A thread whose loop did not turn for so long stands still, ns. Parked threads turn at least once a second.
    public static let stillNanos: Int64 = 5_000_000_000

    private struct Seen {
        var cycles: UInt64
        var since: Int64
    }
    private let seen = Mutex<[String: Seen]>([:])

    /// A watch that has seen nothing.
    public init() {}

    /// Threads that stand still, with how long, ns, as far as looks tell. `time`: monotonic, ns.
    public func look(at threads: [CollectorSnapshot.ThreadCounts], time: Int64) -> [(
        name: String, nanos: Int64
    )] {
        seen.withLock { seen in
            var still: [(name: String, nanos: Int64)] = []
            for thread in threads {
                guard let earlier = seen[thread.name], earlier.cycles == thread.cycles else {
                    seen[thread.name] = Seen(cycles: thread.cycles, since: time)
                    continue
                }
                let nanos = time - earlier.since
                if nanos >= ThreadWatch.stillNanos { still.append((thread.name, nanos)) }
            }
            return still
        }
    }
}
