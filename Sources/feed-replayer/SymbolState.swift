/// The market of one symbol as it stands. Prices in ticks, quantities in lots.
struct SymbolState {
    let priceDigits: Int
    let quantityDigits: Int
    let typicalQuantity: UInt64
    /// Best bid; the best ask is one tick above.
    var bid: UInt64
    var bidQuantity: UInt64
    var askQuantity: UInt64
    var bookID: Int64
    var tradeID: Int64
    var aggregateID: Int64
    var lastQuantity: UInt64 = 0
    var lastTradeTime: Int64 = 0
    /// Price of the trade before the 24-hour window.
    var priceBeforeWindow: UInt64
    /// Slots (see ``StreamKind``) that somebody subscribed to, a bit each.
    var subscribed: UInt32 = 0
    /// Trades of the current second, and that second's opening time in ms.
    var second: TradeSums
    var secondOpen: Int64
    /// Trades of the 24-hour window before the current second.
    var window: TradeSums
    /// Opening time of the window where trades have left it, ms; 0 before.
    var windowOpen: Int64 = 0

    init(_ symbol: MarketSymbol, number: Int, now: Int64) {
        priceDigits = symbol.priceDigits
        quantityDigits = symbol.quantityDigits
        typicalQuantity = symbol.typicalQuantity
        bid = symbol.firstPrice
        bidQuantity = symbol.typicalQuantity * 7
        askQuantity = symbol.typicalQuantity * 5
        bookID = 40_000_000_000 + Int64(number) * 1_000_003
        tradeID = 1_000_000 * Int64(number + 1)
        aggregateID = 700_000 * Int64(number + 1)
        priceBeforeWindow = symbol.firstPrice
        second = TradeSums(price: symbol.firstPrice)
        secondOpen = KlineInterval.all[0].open(now)
        window = TradeSums(price: symbol.firstPrice)
    }

    /// The 24-hour window up to the last trade.
    var day: TradeSums {
        var sums = window
        sums.add(second)
        return sums
    }

    /// When the window begins, ms: a day ago, or with the minute after the last one that left it.
    func windowStart(_ now: Int64) -> Int64 {
        windowOpen == 0 ? now &- MinuteHistory.day : max(windowOpen, secondOpen &- MinuteHistory.day)
    }

    /// Moves the book by a random number and returns where the next trade happens.
    mutating func moveBook(_ random: UInt64) {
        // One in four moves the price, by one to three ticks; it stays above the lowest that ticks can follow.
        if random & 3 == 0 {
            let ticks = 1 + (random &>> 2) % 3
            if random & 64 == 0 || bid < 100 { bid &+= ticks } else { bid &-= ticks }
        }
        bidQuantity = typicalQuantity &+ (((random &>> 8) & 0xFF) &* typicalQuantity) &>> 5
        askQuantity = typicalQuantity &+ (((random &>> 16) & 0xFF) &* typicalQuantity) &>> 5
        bookID &+= 1 &+ Int64(random &>> 24 & 15)
    }
}
