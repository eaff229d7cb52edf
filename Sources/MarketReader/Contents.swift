/// What a `trade` says. Decimals are texts with every digit that the exchange sent, times ns since the epoch.
public struct TradeContents: Decodable, Sendable, Equatable {
    /// Contiguous for each symbol.
    public var tradeId: Int64
    /// In quote units.
    public var price: String
    /// In base units, or in contracts where the exchange counts those.
    public var quantity: String
    /// When it was executed.
    public var tradeTime: Int64?
    /// The taker's side: `buy`, `sell`.
    public var aggressor: String
    /// How it came about where it was no ordinary execution.
    public var execution: String?
}

/// What an `aggTrade` says.
public struct AggTradeContents: Decodable, Sendable, Equatable {
    /// Contiguous for each symbol.
    public var aggregateId: Int64
    /// In quote units.
    public var price: String
    /// In base units.
    public var quantity: String
    /// First trade inside, inclusive.
    public var firstTradeId: Int64?
    /// Last trade inside, inclusive.
    public var lastTradeId: Int64?
    /// When they were executed.
    public var tradeTime: Int64?
    /// The taker's side: `buy`, `sell`.
    public var aggressor: String
}

/// What a `kline` says.
public struct KlineContents: Decodable, Sendable, Equatable {
    /// `1m`, `1h`, …
    public var interval: String
    /// Begin, inclusive.
    public var openTime: Int64
    /// End: the next bar's begin less one unit of the exchange's clock.
    public var closeTime: Int64
    /// Prices of the first and last trade, highest and lowest.
    public var open, high, low, close: String
    /// Base units traded.
    public var volume: String
    /// Quote units traded.
    public var quoteVolume: String?
    /// Number of trades.
    public var tradeCount: Int64?
    /// Whether the bar is final.
    public var closed: Bool
}

/// What a `bookTicker` says.
public struct BookTickerContents: Decodable, Sendable, Equatable {
    /// Order book update; rises, gaps are normal.
    public var updateId: Int64?
    /// Best prices and their quantities.
    public var bid, bidQuantity, ask, askQuantity: String
}

/// What a `gap` says: ids that the exchange counted and the collector did not receive.
public struct GapContents: Decodable, Sendable, Equatable {
    /// The type whose ids they are; `kline`: they are the opening times of closed bars, ns since the epoch.
    public var of: String
    /// Of bars: `1m`, `1h`, …
    public var interval: String?
    /// First missing id, inclusive.
    public var firstMissing: Int64
    /// Last missing id, inclusive.
    public var lastMissing: Int64
    /// `open`, `repaired`, `absent` (the exchange does not have them), `lost`.
    public var state: String
    /// `sequence`, `reconnect`, …
    public var cause: String
}
