import Synchronization

/// From a count that only grows, how fast it has grown over about the last minute.
public final class BilledRate: Sendable {
    private struct Sample {
        var time: Int64
        var count: Int
    }

    private let samples = Mutex<[Sample]>([])
    /// Samples are at least so far apart, and are kept for a minute, ns.
    private static let spacing: Int64 = 5_000_000_000
    private static let window: Int64 = 60_000_000_000

    /// Knows nothing yet.
    public init() {}

    /// Notes the count, and returns its growth a second; 0 while less than a second is known. `now`: monotonic ns.
    public func note(_ count: Int, now: Int64) -> Double {
        samples.withLock { samples in
            if samples.last.map({ now - $0.time >= BilledRate.spacing }) ?? true {
                samples.append(Sample(time: now, count: count))
            }
            while samples.count > 1, now - samples[1].time >= BilledRate.window { samples.removeFirst() }
            guard let first = samples.first, now - first.time >= 1_000_000_000 else { return 0 }
            return Double(count - first.count) / (Double(now - first.time) / 1e9)
        }
    }
}
