/// Exponential back-off with full jitter: a wait is evenly spread between 0 and a bound that doubles with each failure.
/// Spreading keeps many collectors, or many routes, from coming back at the same instant
/// (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
struct Backoff {
    /// First and largest bound, ns.
    var initial: Int64 = 100_000_000
    var maximum: Int64 = 60_000_000_000

    /// The wait after the failure number `attempt` (from 1), ns.
    func wait(attempt: Int, random: inout SplitMix) -> Int64 {
        let doublings = min(max(attempt, 1) - 1, 40)
        let bound = initial > maximum >> Int64(doublings) ? maximum : initial << Int64(doublings)
        return Int64(random.next() % UInt64(max(bound, 1)))
    }
}

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): for jitter, which needs no
/// secrecy and, in tests, the same numbers again.
struct SplitMix {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
