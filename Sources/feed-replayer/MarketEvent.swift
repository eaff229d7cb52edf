/// Something that happened in the synthesised market and that somebody listens to.
struct MarketEvent {
    var symbol: Int
    var kind: StreamKind
    /// Which bar length, for ``StreamKind/kline``.
    var interval = 0
    /// Trade or aggregate id.
    var id: Int64 = 0
    var firstID: Int64 = 0
    var lastID: Int64 = 0
    var price: UInt64 = 0
    var quantity: UInt64 = 0
    var isBuyerMaker = false
    /// How a futures trade came about.
    var execution = TradeExecution.market
    var bar = TradeSums(price: 0)
    var open: Int64 = 0
    var isClosed = false

    /// The turn of a stream whose content is the symbol's state.
    init(_ symbol: Int, _ kind: StreamKind) {
        self.symbol = symbol
        self.kind = kind
    }

    /// A stretch's average.
    init(_ symbol: Int, averageOf sums: TradeSums) {
        self.init(symbol, .avgPrice)
        bar = sums
    }

    init(_ symbol: Int, trade id: Int64, _ price: UInt64, _ quantity: UInt64, _ isBuyerMaker: Bool) {
        self.init(symbol, .trade)
        self.id = id
        self.price = price
        self.quantity = quantity
        self.isBuyerMaker = isBuyerMaker
    }

    init(
        _ symbol: Int, aggregate id: Int64, _ fills: Int, last: Int64, _ price: UInt64, _ quantity: UInt64,
        _ isBuyerMaker: Bool
    ) {
        self.init(symbol, .aggTrade)
        self.id = id
        firstID = last - Int64(fills) + 1
        lastID = last
        self.price = price
        self.quantity = quantity
        self.isBuyerMaker = isBuyerMaker
    }

    init(_ symbol: Int, bar: TradeSums, _ interval: Int, open: Int64, isClosed: Bool) {
        self.init(symbol, .kline)
        self.interval = interval
        self.bar = bar
        self.open = open
        self.isClosed = isClosed
    }
}

/// `X` of a futures trade. Only `MARKET` and `RPI` are prints; the others use up a trade id all the same.
enum TradeExecution: UInt8 {
    case market, retail, notApplicable, insuranceFund
}
