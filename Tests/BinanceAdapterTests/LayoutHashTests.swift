import MarketData
import Testing

@testable import BinanceAdapter

struct LayoutHashTests {
    /// As frames of one stream have them: few bytes differ, and those in few bits.
    private func keysOfNames(_ count: Int) -> [UInt64] {
        (0..<count).map { number in
            let name = Array(("s" + String(10_000 + number).dropFirst() + "usdt@trade\",\"data\":{").utf8)
            return stride(from: 0, to: 24, by: 8).reduce(0) { key, offset in
                let word = name[offset..<offset + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                return (key << 23 | key >> 41) ^ word
            }
        }
    }

    /// Where a key is found: 0 in its own bucket, 1 in the next, …; nil: not at all.
    private func steps(_ key: UInt64, of index: Int, in hash: LayoutHash) -> Int? {
        var slot = hash.slot(key)
        for step in 0... {
            if hash.buckets[slot] == UInt32(index + 1) { return step }
            if hash.buckets[slot] == 0 { return nil }
            slot = hash.next(slot)
        }
        return nil
    }

    @Test(arguments: [0, 1, 2, 40, 41, 255, 1_000, 10_000])
    func everyKeyIsFound(count: Int) {
        let keys = keysOfNames(count)
        let hash = LayoutHash(keys)
        defer { hash.free() }
        let steps = keys.enumerated().map { self.steps($1, of: $0, in: hash) }
        #expect(!steps.contains(nil))
        // Two keys of a group may differ in no bit that tells buckets apart; one in a thousand has been seen.
        #expect(steps.count { $0 != 0 } <= count / 100)
    }

    /// The first 24 bytes do not tell all names apart.
    @Test func equalKeysAreFound() {
        let keys = keysOfNames(300) + Array(repeating: 7, count: 50) + [0, 0, .max]
        let hash = LayoutHash(keys)
        defer { hash.free() }
        for (index, key) in keys.enumerated() { #expect(steps(key, of: index, in: hash) != nil) }
        #expect(steps(8, of: 0, in: hash) == nil)
    }
}
