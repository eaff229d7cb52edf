import CKernel
import Testing

@testable import ControlPlane

@Suite struct TickerTests {
    @Test func ticksAtItsPaceUntilItIsStopped() async {
        let ticker = Ticker(microseconds: 5_000)
        let began = ck_monotonic_nanos()
        for _ in 0..<10 { await ticker.next() }
        // No upper bound: a busy machine may take its time.
        #expect(ck_monotonic_nanos() - began >= 40_000_000)
        ticker.stop()
        for _ in 0..<10 { await ticker.next() }
    }

    @Test func aTimeThatNobodyWaitedForIsNotForgotten() async throws {
        let ticker = Ticker(microseconds: 20_000)
        defer { ticker.stop() }
        try await Task.sleep(nanoseconds: 100_000_000)
        let began = ck_monotonic_nanos()
        await ticker.next()
        let first = ck_monotonic_nanos()
        for _ in 0..<5 { await ticker.next() }
        // One is owed, however many have passed: five more are waited for.
        #expect(ck_monotonic_nanos() - first >= 60_000_000)
        #expect(first - began < 10_000_000_000)
    }

    @Test func whoWaitsIsResumedWhenItIsStopped() async {
        let ticker = Ticker(microseconds: 999_999)
        async let waiting: Void = ticker.next()
        ticker.stop()
        await waiting
        await ticker.next()
    }
}
