import Testing

@testable import ExchangeAdapter

@Suite struct StretchesTests {
    /// Against a set: what is remembered is right, whatever the order; what is forgotten is never called known.
    @Test(arguments: 0..<200) func nothingUnseenIsKnown(seed: Int) {
        var random = Seeded(seed)
        var stretches = Stretches()
        var seen: Set<Int64> = []
        var expected: Int64 = 1_000
        stretches.begin(at: expected - 1)
        seen.insert(expected - 1)
        var holes = 0
        for _ in 0..<400 {
            let step = Int64(random.next(below: 8))
            if step < 5 {
                seen.insert(expected)
                expected += 1
            } else if step == 5 {
                let id = expected + 1 + Int64(random.next(below: 4))
                stretches.jump(from: expected, to: id)
                seen.insert(id)
                expected = id + 1
                holes += 1
            } else {
                let id = max(0, expected - 1 - Int64(random.next(below: 60)))
                let isKnown = stretches.contains(id, expected: expected)
                if isKnown {
                    #expect(seen.contains(id), "\(id) was never seen")
                } else {
                    _ = stretches.insert(late: id...id, expected: expected)
                    if holes < 3 { #expect(stretches.contains(id, expected: expected)) }
                    seen.insert(id)
                }
            }
            #expect(stretches.count <= Stretches.capacity)
            #expect(stretches.contains(expected - 1, expected: expected))
        }
    }

    @Test func tellsWhatALateIDDid() {
        var stretches = Stretches()
        stretches.begin(at: 100)
        stretches.jump(from: 110, to: 113)
        // 110, 111 and 112 are missing.
        #expect(stretches.insert(late: 99...99, expected: 120) == .below)
        #expect(stretches.insert(late: 90...90, expected: 120) == .below)
        #expect(stretches.insert(late: 111...111, expected: 120) == .split)
        #expect(stretches.insert(late: 110...110, expected: 120) == .filled)
        #expect(stretches.insert(late: 112...112, expected: 120) == .filled)
        for id in Int64(99)..<120 { #expect(stretches.contains(id, expected: 120)) }
        #expect(stretches.contains(90, expected: 120))
        #expect(!stretches.contains(91, expected: 120))
        #expect(!stretches.contains(120, expected: 120))
        #expect(stretches.lastFirst == 99)
    }
}

/// Numbers that are the same for the same seed: splitmix64.
struct Seeded {
    private var state: UInt64
    init(_ seed: Int) { state = UInt64(bitPattern: Int64(seed)) &* 0x9E37_79B9_7F4A_7C15 }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
    mutating func next(below bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
