import MarketData
import Testing

@testable import Batching

struct TimeTextTests {
    private func text(_ times: inout TimeText, _ value: Int64) -> String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 48) { room in
            room.initialize(repeating: 0xEE)
            guard let base = room.baseAddress else { return "" }
            return String(decoding: room[..<times.write(value, to: base)], as: UTF8.self)
        }
    }

    /// Whatever was written before.
    @Test func everyTimeIsWrittenAsAnInteger() {
        let second: Int64 = 1_000_000_000
        var values: [Int64] = [0, 1, -1, 999, .max, .max - 1, .min + 1, 1_000_000_000 * second - 1]
        for base in [1_000_000_000, 1_672_515_782, 1_999_999_999, 9_000_000_000] as [Int64] {
            for offset in [0, 1, 9, 10, 136_000_000, 999_999_999, second, second + 1, 100 * second] as [Int64]
            {
                values.append(base * second + offset)
            }
        }
        var random = SplitMix64(seed: 1)
        for _ in 0..<2_000 {
            values.append(
                Int64.random(in: 1_600_000_000...1_600_000_003, using: &random) * second
                    + Int64.random(in: 0..<second, using: &random))
        }
        var times = TimeText()
        for value in values + values.reversed() { #expect(text(&times, value) == String(value)) }
    }
}
