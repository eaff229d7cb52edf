import MarketData
import Rings

/// What the two legs of redundant pairs are worth, by market; 0 is the first leg. Written by the parser thread, read by
/// any. The source of `collector_leg_lead_seconds{leg}` (``lead(leg:market:)``), `collector_leg_won_total{leg}`
/// (``won(leg:market:)``) and `collector_leg_lost_total{leg}` (``lost(leg:market:)``); markets whose shards have one
/// leg stay at 0.
public final class LegCounters: Sendable {
    private let block: CounterBlock
    private let leads: [LatencyHistogram]
    /// Number of markets.
    public let marketCount: Int

    /// All 0.
    public init(marketCount: Int) {
        self.marketCount = max(1, marketCount)
        block = CounterBlock(count: self.marketCount * 4)
        leads = (0..<self.marketCount * 2).map { _ in LatencyHistogram() }
    }

    /// Events that this leg brought first.
    public func won(leg: Int, market: Int) -> Int { block.value((market * 2 + leg) * 2) }
    /// Ids of trades and aggregate trades that this leg did not bring although it was open before and after, its own
    /// reconnects included. What the other leg brought instead is lost to the leg, not to the user.
    public func lost(leg: Int, market: Int) -> Int { block.value((market * 2 + leg) * 2 + 1) }
    /// By how much this leg came first, where it did and the other one brought the same event too: ns between the two
    /// receive times. Of each instrument and type one event at a time is measured.
    public func lead(leg: Int, market: Int) -> LatencySnapshot { leads[market * 2 + leg].snapshot() }

    func countWon(leg: Int, market: Int) { block.add(1, to: (market &* 2 &+ leg) &* 2) }
    func countLost(_ ids: Int64, leg: Int, market: Int) {
        block.add(Int(truncatingIfNeeded: ids), to: (market &* 2 &+ leg) &* 2 &+ 1)
    }
    func recordLead(_ nanos: Int64, leg: Int, market: Int) { leads[market &* 2 &+ leg].record(nanos) }
}
