/// What a stretch of trades adds up to. Prices in ticks, quantities in lots, quote amounts in ticks times lots: all
/// exact.
struct TradeSums: Equatable {
    var open: UInt64
    var high: UInt64
    var low: UInt64
    var close: UInt64
    /// First and last trade id, -1 without trades.
    var firstID: Int64 = -1
    var lastID: Int64 = -1
    var count: Int64 = 0
    var quantity: UInt64 = 0
    var quote: UInt128 = 0
    var takerBuyQuantity: UInt64 = 0
    var takerBuyQuote: UInt128 = 0

    /// A stretch without trades after one that ended at `price`.
    init(price: UInt64) {
        open = price
        high = price
        low = price
        close = price
    }

    /// Adds a later trade. `isBuyerMaker`: the taker sold.
    mutating func add(id: Int64, price: UInt64, quantity amount: UInt64, isBuyerMaker: Bool) {
        if count == 0 {
            open = price
            high = price
            low = price
            firstID = id
        } else {
            high = max(high, price)
            low = min(low, price)
        }
        close = price
        lastID = id
        count &+= 1
        quantity &+= amount
        let product = price.multipliedFullWidth(by: amount)
        let paid = UInt128(product.high) << 64 | UInt128(product.low)
        quote &+= paid
        if !isBuyerMaker {
            takerBuyQuantity &+= amount
            takerBuyQuote &+= paid
        }
    }

    /// Adds a later stretch.
    mutating func add(_ later: TradeSums) {
        guard later.count > 0 else { return }
        guard count > 0 else {
            self = later
            return
        }
        high = max(high, later.high)
        low = min(low, later.low)
        close = later.close
        lastID = later.lastID
        count &+= later.count
        quantity &+= later.quantity
        quote &+= later.quote
        takerBuyQuantity &+= later.takerBuyQuantity
        takerBuyQuote &+= later.takerBuyQuote
    }
}
