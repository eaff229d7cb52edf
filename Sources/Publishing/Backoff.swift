import MarketData

/// Exponential back-off with full jitter: a wait is evenly spread between 0 and a bound that doubles with each failure.
/// Spreading keeps many collectors, or many routes, from coming back at the same instant
/// (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
struct Backoff {
    /// First and largest bound, ns.
    var initial: Int64 = 100_000_000
    var maximum: Int64 = 60_000_000_000

    /// The wait after the failure number `attempt` (from 1), ns.
    func wait(attempt: Int, random: inout SplitMix64) -> Int64 {
        let doublings = min(max(attempt, 1) - 1, 40)
        let bound = initial > maximum >> Int64(doublings) ? maximum : initial << Int64(doublings)
        return Int64(random.next() % UInt64(max(bound, 1)))
    }
}
