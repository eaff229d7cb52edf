import ExchangeAdapter
import MarketData
import Synchronization

/// What is known of the continuity of each instrument's events, type by type: since when nothing is missing, and what is.
///
/// *Proven*: ids without a hole, or with holes whose every id has come or does not exist at the exchange. *Assumed*: events
/// without ids that can be followed (best prices, tickers, bars as they grow) from a connection that stood all the time; a
/// connection that takes over from another overlaps it. *Gap*: ids that are missing or lost; or no connection.
public final class ContinuityLedger: Sendable {
    /// How a stretch of time is.
    public enum State: String, Codable, Sendable {
        /// See the type.
        case proven, assumed, gap
    }

    /// A stretch of time.
    public struct Interval: Codable, Sendable, Equatable {
        /// How it is.
        public var state: State
        /// Since when, ns since the epoch.
        public var from: Int64
        /// Until when; nil: it goes on.
        public var to: Int64?
        /// Ids that were missing at first, inclusive; of bars their opening times, ns.
        public var firstMissing: Int64?
        /// See ``firstMissing``.
        public var lastMissing: Int64?
        /// How many of them are missing still.
        public var missing: Int64?
        /// Why there is a gap.
        public var cause: String?
    }

    /// One type of one instrument.
    public struct Series: Codable, Sendable, Equatable {
        /// The market.
        public var exchange: String
        /// The instrument; empty for an all-market stream.
        public var symbol: String
        /// The type; of a kline and its interval, `kline_1m`.
        public var type: String
        /// Oldest first.
        public var intervals: [Interval] = []
        /// Older intervals that are not told any more.
        public var forgotten = 0
        /// Ids that had been missing and came.
        public var repaired: Int64 = 0
        /// Ids that the exchange does not have.
        public var absent: Int64 = 0
        /// Ids that were given up.
        public var lost: Int64 = 0
    }

    /// Everything, as the API and the file tell it.
    public struct Document: Codable, Sendable, Equatable {
        /// As of when, ns since the epoch.
        public var time: Int64
        /// By exchange, type and symbol.
        public var series: [Series]
    }

    /// How a stream is at a look.
    struct Look {
        var exchange: String
        var symbol: String
        var type: String
        /// Whether ids tell what was missed while there was no connection.
        var hasIDs: Bool
        /// nil: nothing has come yet.
        var isConnected: Bool?
    }

    struct Key: Hashable {
        var exchange: String
        var type: String
        var symbol: String
    }

    /// A series, and when it was last interrupted.
    struct Book {
        var series: Series
        /// For a gap that is told only once it could not be filled in time, ns since the epoch.
        var interruption: (since: Int64, until: Int64)?
    }

    private struct Books {
        var books: [Key: Book] = [:]
        var changes = 0
    }

    /// Intervals that are kept of a series; older ones are counted.
    static let intervalsMax = 64
    /// A gap of an interruption is told so long after it at the latest, ns: longer than events may wait for a repair.
    static let interruptionMemory: Int64 = 90_000_000_000

    private let state = Mutex(Books())

    /// Nothing is known.
    public init() {}

    /// How often something was noted.
    var changeCount: Int { state.withLock { $0.changes } }

    /// `trade`, `kline_1m`, `ticker_1h`.
    static func type(_ kind: EventKind, variant: UInt8) -> String {
        switch kind {
        case .kline: "kline_\(MarketData.Interval(rawValue: variant)?.name ?? "")"
        case .ticker: "ticker_\(TickerWindow(rawValue: variant)?.name ?? "")"
        default: kind.name
        }
    }

    // MARK: What happens

    /// A gap was seen, or something became of one.
    func note(_ gap: GapNotice, of instrument: Instrument) {
        guard gap.firstMissing <= gap.lastMissing else { return }
        var count = gap.lastMissing - gap.firstMissing + 1
        if gap.kind == .kline, let length = MarketData.Interval(rawValue: gap.variant)?.nanos {
            count = (gap.lastMissing - gap.firstMissing) / length + 1
        }
        let ids = gap.firstMissing...gap.lastMissing
        let type = ContinuityLedger.type(gap.kind, variant: gap.variant)
        change(Key(exchange: instrument.exchange, type: type, symbol: instrument.symbol)) { book in
            switch gap.state {
            case .open: book.open(ids, count, gap.cause, gap.time)
            case .repaired:
                book.series.repaired += count
                book.series.settle(ids.lowerBound, count)
            case .absent:
                book.series.absent += count
                book.series.settle(ids.lowerBound, count)
            case .lost:
                book.series.lost += count
                if !book.series.holds(ids.lowerBound) { book.open(ids, count, gap.cause, gap.time) }
            }
        }
    }

    /// How streams are at a time, ns since the epoch.
    ///
    /// - Parameter isSweep: these are all that are asked for; others have ended.
    func look(_ looks: [Look], isSweep: Bool = true, time: Int64) {
        state.withLock { state in
            var seen: Set<Key> = []
            for look in looks {
                let key = Key(exchange: look.exchange, type: look.type, symbol: look.symbol)
                if isSweep { seen.insert(key) }
                guard let isConnected = look.isConnected else { continue }
                var book =
                    state.books[key]
                    ?? Book(
                        series: Series(exchange: look.exchange, symbol: look.symbol, type: look.type))
                guard book.look(isConnected: isConnected, hasIDs: look.hasIDs, time: time) else { continue }
                state.books[key] = book
                state.changes += 1
            }
            guard isSweep else { return }
            // What is not asked for any longer has ended.
            for (key, book) in state.books where !seen.contains(key) && book.series.goesOn {
                state.books[key]?.series.end(at: time)
                state.changes += 1
            }
        }
    }

    private func change(_ key: Key, _ body: (inout Book) -> Void) {
        state.withLock { state in
            body(
                &state.books[
                    key,
                    default: Book(
                        series: Series(exchange: key.exchange, symbol: key.symbol, type: key.type))])
            state.changes += 1
        }
    }

    // MARK: Documents

    /// Everything.
    public func document(time: Int64) -> Document {
        let all = state.withLock { state in state.books.values.map(\.series) }
        return Document(
            time: time,
            series: all.sorted { ($0.exchange, $0.type, $0.symbol) < ($1.exchange, $1.type, $1.symbol) })
    }

    /// Goes on from what an earlier run knew: what went on then has ended, and until now nothing was collected.
    ///
    /// - Parameters:
    ///   - alive: when the earlier run is known to have lived, ns since the epoch.
    ///   - goesOn: whether a checkpoint tells how far a series is, so that its next id tells what is missing.
    func resume(_ document: Document, alive: Int64, now: Int64, goesOn: (Key) -> Bool) {
        let end = min(now, max(document.time, alive))
        state.withLock { state in
            for series in document.series {
                let key = Key(exchange: series.exchange, type: series.type, symbol: series.symbol)
                var book = Book(series: series)
                let wentOn = series.goesOn
                book.series.end(at: end)
                if wentOn {
                    if goesOn(key) {
                        book.interruption = (end, now)
                    } else {
                        book.series.add(Interval(state: .gap, from: end, cause: GapCause.outage.name))
                    }
                }
                state.books[key] = book
            }
        }
    }
}
