/// Random numbers of a run: xoshiro256** (Blackman, Vigna 2018), seeded by splitmix64. The same seed gives the same
/// numbers on every machine.
struct SimulationRandom {
    private var a: UInt64
    private var b: UInt64
    private var c: UInt64
    private var d: UInt64

    init(seed: UInt64) {
        var state = seed
        func word() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            return SimulationRandom.mix(state)
        }
        a = word()
        b = word()
        c = word()
        d = word()
    }

    /// Spreads the bits of a number; a hash.
    static func mix(_ value: UInt64) -> UInt64 {
        var word = value
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }

    mutating func next() -> UInt64 {
        let product = b &* 5
        let result = (product << 7 | product >> 57) &* 9
        let shifted = b << 17
        c ^= a
        d ^= b
        b ^= c
        a ^= d
        c ^= shifted
        d = d << 45 | d >> 19
        return result
    }

    /// Both ends included.
    mutating func pick(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(next() % UInt64(range.upperBound - range.lowerBound + 1))
    }

    /// Both ends included.
    mutating func pick(_ range: ClosedRange<Int64>) -> Int64 {
        range.lowerBound + Int64(next() % UInt64(range.upperBound - range.lowerBound + 1))
    }

    /// One of several; the first where there is only one.
    mutating func pick<Element>(_ elements: [Element]) -> Element { elements[pick(0...elements.count - 1)] }

    /// True so often of a thousand times.
    mutating func chance(perMille: Int) -> Bool { next() % 1_000 < UInt64(perMille) }

    /// Between both ends, small values as likely as large ones: uniform in the number of binary digits.
    mutating func spread(_ range: ClosedRange<Int64>) -> Int64 {
        var high = range.lowerBound
        var doublings = 0
        while high < range.upperBound, high <= Int64.max / 2 {
            high = max(1, high) * 2
            doublings += 1
        }
        var low = range.lowerBound
        for _ in 0..<pick(0...max(0, doublings - 1)) { low = max(1, low) * 2 }
        return pick(min(low, range.upperBound)...min(max(1, low) * 2, range.upperBound))
    }
}
