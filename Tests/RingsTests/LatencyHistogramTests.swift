import MarketData
import Testing

@testable import Rings

@Suite struct LatencyHistogramTests {
    /// Every bucket's upper bound falls into it, and the next duration into the next.
    @Test func bucketsMeetWithoutHolesOrOverlap() {
        for index in 0..<LatencyHistogram.bucketCount - 1 {
            let upper = UInt64(LatencyHistogram.upperBound(ofBucket: index))
            #expect(LatencyHistogram.bucket(of: upper) == index)
            #expect(LatencyHistogram.bucket(of: upper + 1) == index + 1)
        }
        #expect(LatencyHistogram.bucket(of: .max) == LatencyHistogram.bucketCount - 1)
    }

    @Test func bucketsAreNarrow() {
        for index in 64..<LatencyHistogram.bucketCount - 1 {
            let lower = LatencyHistogram.upperBound(ofBucket: index - 1) + 1
            let upper = LatencyHistogram.upperBound(ofBucket: index)
            #expect(Double(upper - lower + 1) / Double(lower) <= 1.0 / 32 + 1e-9)
        }
    }

    @Test(arguments: 1...5) func quantilesAreThoseOfTheSortedDurations(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let histogram = LatencyHistogram()
        var durations: [Int] = []
        for _ in 0..<5_000 {
            let duration = Int.random(in: 0..<(1 << Int.random(in: 1...38, using: &random)), using: &random)
            histogram.record(Int64(duration))
            durations.append(duration)
        }
        durations.sort()
        let snapshot = histogram.snapshot()
        #expect(snapshot.count == 5_000)
        #expect(snapshot.maximum == durations.last)
        #expect(snapshot.sum == durations.reduce(0, +))
        for quantile in [0.0, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = durations[max(0, Int((5_000 * quantile).rounded(.up)) - 1)]
            let told = snapshot.quantile(quantile)
            #expect(told >= exact)
            #expect(Double(told) <= Double(exact) * (1 + 1.0 / 32) + 1)
        }
    }

    @Test func aClockThatWasSetBackCountsAsZero() {
        let histogram = LatencyHistogram()
        histogram.record(-5, count: 3)
        #expect(histogram.snapshot().count == 3)
        #expect(histogram.snapshot().quantile(1) <= 1)
    }

    @Test func snapshotsSubtractAndAdd() {
        let histogram = LatencyHistogram()
        histogram.record(100)
        let before = histogram.snapshot()
        histogram.record(200_000, count: 2)
        var change = histogram.snapshot().since(before)
        #expect(change.count == 2)
        #expect(change.quantile(0.5) >= 200_000)
        change.merge(before)
        #expect(change.count == 3)
    }
}
