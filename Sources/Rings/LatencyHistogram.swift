import Synchronization

/// Counts durations in log-linear buckets: 32 for each power of two, so a bucket is at most 1/32 (3.2 %) wide.
///
/// One thread records (a few nanoseconds, no allocation), any thread reads. The layout is that of HdrHistogram with
/// five significant bits (http://hdrhistogram.org). Durations are ns from 0 to 2^40 (18 minutes); larger ones count
/// in the last bucket, negative ones (a clock that was set back) in the first.
public final class LatencyHistogram: @unchecked Sendable {
    @usableFromInline static var subBits: Int { 5 }
    @usableFromInline static var subCount: Int { 1 << subBits }
    @usableFromInline static var rangeBits: Int { 40 }
    /// Number of buckets.
    @inlinable public static var bucketCount: Int { (rangeBits - subBits + 1) * subCount }

    @usableFromInline let cells: CounterBlock
    // Behind the buckets: the sum of all durations and the largest.
    @usableFromInline static var sumIndex: Int { bucketCount }
    @usableFromInline static var maxIndex: Int { bucketCount + 1 }

    /// An empty histogram, 9.3 KB.
    public init() { cells = CounterBlock(count: LatencyHistogram.bucketCount + 2) }

    @inlinable static func bucket(of nanos: UInt64) -> Int {
        if nanos < UInt64(subCount) { return Int(truncatingIfNeeded: nanos) }
        let shift = 63 &- nanos.leadingZeroBitCount &- subBits
        if shift > rangeBits &- subBits &- 1 { return bucketCount &- 1 }
        return (shift &+ 1) &* subCount &+ Int(truncatingIfNeeded: nanos &>> UInt64(shift)) &- subCount
    }

    /// The largest duration that falls into a bucket.
    public static func upperBound(ofBucket index: Int) -> Int {
        if index < subCount { return index }
        let shift = index / subCount - 1
        return (index % subCount + subCount + 1) << shift - 1
    }

    /// For the recording thread. `count` events of the same duration.
    @inlinable public func record(_ nanos: Int64, count: Int = 1) { recorder.record(nanos, count: count) }

    /// For a hot thread, which holds it instead of the histogram and so retains nothing. Valid as long as the
    /// histogram lives.
    @inlinable public var recorder: LatencyRecorder { LatencyRecorder(cells: cells.cells) }

    /// The counts of this moment.
    public func snapshot() -> LatencySnapshot {
        LatencySnapshot(
            counts: (0..<LatencyHistogram.bucketCount).map { cells.value($0) },
            sum: cells.value(LatencyHistogram.sumIndex), maximum: cells.value(LatencyHistogram.maxIndex))
    }
}

/// The recording end of a ``LatencyHistogram``: a pointer, for one thread.
@frozen public struct LatencyRecorder: BitwiseCopyable {
    @usableFromInline let cells: UnsafeMutablePointer<Atomic<UInt64>>

    @usableFromInline init(cells: UnsafeMutablePointer<Atomic<UInt64>>) { self.cells = cells }

    /// hot: `count` events of the same duration.
    @inlinable public func record(_ nanos: Int64, count: Int = 1) {
        let duration = UInt64(max(nanos, 0))
        add(UInt64(truncatingIfNeeded: count), to: LatencyHistogram.bucket(of: duration))
        add(duration &* UInt64(truncatingIfNeeded: count), to: LatencyHistogram.sumIndex)
        let maximum = cells + LatencyHistogram.maxIndex
        if duration > maximum.pointee.load(ordering: .relaxed) {
            maximum.pointee.store(duration, ordering: .relaxed)
        }
    }

    @inlinable func add(_ amount: UInt64, to index: Int) {
        let cell = cells + index
        cell.pointee.store(cell.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }
}

/// Counts read from a ``LatencyHistogram``.
public struct LatencySnapshot: Sendable {
    /// By bucket.
    public private(set) var counts: [Int]
    /// Sum of all durations, ns.
    public private(set) var sum: Int
    /// The largest duration, ns.
    public private(set) var maximum: Int

    init(counts: [Int], sum: Int, maximum: Int) {
        self.counts = counts
        self.sum = sum
        self.maximum = maximum
    }

    /// No durations.
    public init() {
        self.init(counts: Array(repeating: 0, count: LatencyHistogram.bucketCount), sum: 0, maximum: 0)
    }

    /// How many durations there are.
    public var count: Int { counts.reduce(0, +) }

    /// Adds another histogram's counts.
    public mutating func merge(_ other: LatencySnapshot) {
        for index in counts.indices { counts[index] += other.counts[index] }
        sum += other.sum
        maximum = max(maximum, other.maximum)
    }

    /// What came since an earlier snapshot of the same histogram; the maximum is the larger interval's.
    public func since(_ earlier: LatencySnapshot) -> LatencySnapshot {
        LatencySnapshot(
            counts: zip(counts, earlier.counts).map { $0 - $1 }, sum: sum - earlier.sum, maximum: maximum)
    }

    /// The duration below or at which a part `quantile` (0…1) of all lie, ns, never below the true one and at most
    /// 3.2 % above it; 0 where there are none.
    public func quantile(_ quantile: Double) -> Int {
        let total = count
        guard total > 0 else { return 0 }
        let wanted = max(1, Int((Double(total) * quantile).rounded(.up)))
        var seen = 0
        for (index, count) in counts.enumerated() {
            seen += count
            if seen >= wanted { return min(LatencyHistogram.upperBound(ofBucket: index), max(maximum, 1)) }
        }
        return maximum
    }

    /// How many durations are at most `nanos` long (exact at bucket borders, else to the bucket).
    public func count(atMost nanos: Int) -> Int {
        var seen = 0
        for (index, count) in counts.enumerated() {
            guard LatencyHistogram.upperBound(ofBucket: index) <= nanos else { break }
            seen += count
        }
        return seen
    }
}
