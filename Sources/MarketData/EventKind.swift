/// What an event is about; the `type` of the message contract.
@frozen public enum EventKind: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// One execution.
    case trade = 0
    /// Executions of one taker order at one price.
    case aggTrade = 1
    /// A bar, as it grows and as it closes.
    case kline = 2
    /// Statistics of a rolling window with best prices.
    case ticker = 3
    /// Statistics of the last 24 hours, short form.
    case miniTicker = 4
    /// Best bid and ask.
    case bookTicker = 5
    /// Average price over some minutes.
    case averagePrice = 6
    /// Mark price of a derivative.
    case markPrice = 7
    /// Order book changes.
    case depth = 8
    /// A hole in a stream, or its repair.
    case gap = 9
    /// A frame that could not be read, with its bytes and the reason.
    case deadLetter = 10

    /// The name in topics, JSON, attributes and metric labels.
    public var name: String {
        switch self {
        case .trade: "trade"
        case .aggTrade: "aggTrade"
        case .kline: "kline"
        case .ticker: "ticker"
        case .miniTicker: "miniTicker"
        case .bookTicker: "bookTicker"
        case .averagePrice: "averagePrice"
        case .markPrice: "markPrice"
        case .depth: "depth"
        case .gap: "gap"
        case .deadLetter: "deadletter"
        }
    }

    /// The kind of that name.
    public init?(name: String) {
        guard let kind = EventKind.allCases.first(where: { $0.name == name }) else { return nil }
        self = kind
    }

    /// How many kinds there are; raw values are 0 ..< count.
    @inlinable public static var count: Int { 11 }
}

/// A bar's length, in the exchanges' common spelling (`1m` is a minute, `1M` a month).
@frozen public enum Interval: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// In ascending length.
    case second1, minute1, minute3, minute5, minute15, minute30, hour1, hour2, hour4, hour6, hour8, hour12,
        day1,
        day3, week1, month1

    /// `1s` … `1M`.
    public var name: String {
        Interval.names[Int(rawValue)]
    }

    /// The interval of that spelling; case matters.
    public init?(name: String) {
        guard let index = Interval.names.firstIndex(of: name) else { return nil }
        self.init(rawValue: UInt8(index))
    }

    /// All spellings, in the order of the raw values.
    public static let names = [
        "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M",
    ]
}

/// The window of a ticker.
@frozen public enum TickerWindow: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// 24 hours; the default.
    case hours24
    /// 1 hour.
    case hour1
    /// 4 hours.
    case hours4
    /// 1 day: a rolling-window stream of its own, not the 24-hour ticker.
    case day1

    /// `24h`, `1h`, `4h`, `1d`.
    public var name: String {
        TickerWindow.names[Int(rawValue)]
    }

    /// The window of that spelling.
    public init?(name: String) {
        guard let index = TickerWindow.names.firstIndex(of: name) else { return nil }
        self.init(rawValue: UInt8(index))
    }

    /// All spellings, in the order of the raw values.
    public static let names = ["24h", "1h", "4h", "1d"]
}

/// The taker's side.
@frozen public enum Side: UInt8, Sendable, BitwiseCopyable {
    /// The taker bought.
    case buy
    /// The taker sold.
    case sell

    /// `buy` or `sell`.
    public var name: String { self == .buy ? "buy" : "sell" }
}

/// How a gap stands.
@frozen public enum GapState: UInt8, Sendable, BitwiseCopyable {
    /// Seen, not repaired yet.
    case open
    /// These ids have come after all: late on another connection, or over REST.
    case repaired
    /// The exchange itself has no such ids.
    case absent
    /// Can no longer be filled.
    case lost

    /// The word in the message contract.
    public var name: String {
        switch self {
        case .open: "open"
        case .repaired: "repaired"
        case .absent: "absent"
        case .lost: "lost"
        }
    }
}

/// Why there is a gap.
@frozen public enum GapCause: UInt8, Sendable, BitwiseCopyable {
    /// Ids jumped on an unbroken connection.
    case sequence
    /// The connection was lost and made again in between.
    case reconnect
    /// The exchange has begun to count anew: the ids are of the new count, from 0.
    case restart
    /// The collector itself did not run, or not all of what it had received was safe when it ended.
    case outage

    /// The word in the message contract.
    public var name: String {
        switch self {
        case .sequence: "sequence"
        case .reconnect: "reconnect"
        case .restart: "restart"
        case .outage: "outage"
        }
    }
}
