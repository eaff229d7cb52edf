import MarketData
import Rings

/// Counts of one parser thread, by market and kind.
public final class ParserCounters: Sendable {
    @usableFromInline static var rows: Int { EventKind.count + 1 }
    @usableFromInline static var columns: Int { 9 }
    @usableFromInline let block: CounterBlock
    private let waitingCell = CounterBlock(count: 1)
    /// From the kernel's receipt until a frame's events stand in the event ring, once for each frame.
    public let parsedLatency = LatencyHistogram()
    /// Number of markets.
    public let marketCount: Int

    /// All 0.
    public init(marketCount: Int) {
        self.marketCount = marketCount
        block = CounterBlock(count: max(1, marketCount) * ParserCounters.rows * ParserCounters.columns)
    }

    @inlinable static func index(_ row: Int, _ column: Int, market: Int) -> Int {
        (market &* rows &+ row) &* columns &+ column
    }

    /// An event stands in the event ring.
    @inlinable public func received(_ kind: EventKind, market: Int) {
        block.add(1, to: ParserCounters.index(Int(kind.rawValue), 0, market: market))
    }

    /// A frame could not be read: counts as received and dead-lettered under what it was taken for.
    @inlinable public func deadLettered(_ kind: EventKind?, market: Int) {
        let row = kind.map { Int($0.rawValue) } ?? EventKind.count
        block.add(1, to: ParserCounters.index(row, 0, market: market))
        block.add(1, to: ParserCounters.index(row, 1, market: market))
    }

    /// An event was dropped because it had come before: counts as received too.
    @inlinable public func duplicate(_ kind: EventKind, market: Int) {
        block.add(1, to: ParserCounters.index(Int(kind.rawValue), 0, market: market))
        block.add(1, to: ParserCounters.index(Int(kind.rawValue), 2, market: market))
    }

    /// An event that is counted as received had come before.
    func droppedLater(_ kind: EventKind, market: Int) {
        block.add(1, to: ParserCounters.index(Int(kind.rawValue), 2, market: market))
    }

    /// A frame of a stream that nobody asked for.
    @inlinable public func ignored(market: Int) {
        block.add(1, to: ParserCounters.index(EventKind.count, 3, market: market))
    }

    /// Ids of a stream jumped.
    @inlinable public func gap(_ kind: EventKind, market: Int) {
        block.add(1, to: ParserCounters.index(Int(kind.rawValue), 4, market: market))
    }

    /// A range of ids is missing from now on (1), or no longer (-1).
    func openGap(_ change: Int, _ kind: EventKind, market: Int) {
        block.add(change, to: ParserCounters.index(Int(kind.rawValue), 5, market: market))
    }

    /// It is known what became of ids that were missing.
    func settled(_ ids: Int, as state: GapState, _ kind: EventKind, market: Int) {
        let column =
            switch state {
            case .open, .repaired: 6
            case .absent: 7
            case .lost: 8
            }
        block.add(ids, to: ParserCounters.index(Int(kind.rawValue), column, market: market))
    }

    /// Events that are counted as received and wait for ids before them.
    public var waiting: Int { waitingCell.value(0) }
    func setWaiting(_ events: Int) { waitingCell.set(events, at: 0) }

    /// Counts of one kind; nil for frames that could not even be told apart.
    public func counts(_ kind: EventKind?, market: Int) -> Counts {
        let row = kind.map { Int($0.rawValue) } ?? EventKind.count
        func value(_ column: Int) -> Int { block.value(ParserCounters.index(row, column, market: market)) }
        return Counts(
            received: value(0), deadLettered: value(1), duplicates: value(2), ignored: value(3),
            gaps: value(4), gapsOpen: value(5), idsRepaired: value(6), idsAbsent: value(7), idsLost: value(8))
    }

    /// Counts at a moment.
    public struct Counts: Sendable, Equatable {
        /// Events read, dead letters and duplicates included.
        public var received: Int
        /// Of these, could not be read.
        public var deadLettered: Int
        /// Of these, had come before.
        public var duplicates: Int
        /// Frames that nobody asked for; not in `received`.
        public var ignored: Int
        /// Gaps seen.
        public var gaps: Int
        /// Ranges of ids that are missing still; one that is filled in its middle is two.
        public var gapsOpen: Int
        /// Ids that had been missing and have come.
        public var idsRepaired = 0
        /// Ids that the exchange does not have.
        public var idsAbsent = 0
        /// Ids that were given up.
        public var idsLost = 0
    }
}
