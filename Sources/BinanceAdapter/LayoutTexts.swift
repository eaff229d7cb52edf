import ExchangeAdapter
import MarketData

/// The texts of a stream's ``StreamLayout``.
struct LayoutTexts {
    /// Up to the first value that changes.
    var prefix: String
    /// With the symbol.
    var middle: String
    /// With the symbol of a kline's bar, or a future's pair; may be empty.
    var second: String

    /// As the exchange writes them; nil for a kind that comes too seldom to be worth it, and for names that hold what
    /// would have to be escaped.
    static func of(_ stream: StreamPlan, symbol: String, on market: BinanceMarket) -> LayoutTexts? {
        let isPlain = (stream.name + symbol).utf8.allSatisfy { $0 >= 0x20 && $0 != 0x22 && $0 != 0x5C }
        guard isPlain else { return nil }
        let head = "{\"stream\":\"\(stream.name)\",\"data\":{"
        let symbolPart = ",\"s\":\"\(symbol)\","
        if stream.kind == .kline {
            guard let interval = Interval(rawValue: stream.variant)?.name else { return nil }
            return LayoutTexts(
                prefix: "\(head)\"e\":\"kline\",\"E\":", middle: "\(symbolPart)\"k\":{\"t\":",
                second: "\(symbolPart)\"i\":\"\(interval)\",\"f\":")
        }
        return market == .spot
            ? ofSpot(stream, head, symbolPart)
            : ofFutures(stream, head, symbolPart, pair: symbol.prefix { $0 != "_" })
    }

    /// As documented, which is how they come.
    private static func ofSpot(_ stream: StreamPlan, _ head: String, _ symbol: String) -> LayoutTexts? {
        func texts(_ event: String, _ next: String) -> LayoutTexts {
            LayoutTexts(prefix: "\(head)\"e\":\"\(event)\",\"E\":", middle: symbol + next, second: "")
        }
        switch stream.kind {
        case .trade: return texts("trade", "\"t\":")
        case .aggTrade: return texts("aggTrade", "\"a\":")
        case .ticker:
            guard stream.variant == TickerWindow.hours24.rawValue else { return nil }
            return texts("24hrTicker", "\"p\":\"")
        case .miniTicker: return texts("24hrMiniTicker", "\"c\":\"")
        case .bookTicker:
            return LayoutTexts(prefix: "\(head)\"u\":", middle: symbol + "\"b\":\"", second: "")
        case .kline, .averagePrice, .markPrice, .depth, .gap, .deadLetter: return nil
        }
    }

    /// As they were seen on the wire in 2026, which is not as they are documented.
    private static func ofFutures(
        _ stream: StreamPlan, _ head: String, _ symbol: String, pair: Substring
    ) -> LayoutTexts? {
        func texts(_ event: String, _ first: String, _ middle: String, _ second: String) -> LayoutTexts {
            LayoutTexts(prefix: "\(head)\"e\":\"\(event)\",\"\(first)\":", middle: middle, second: second)
        }
        let pairPart = "\"ps\":\"\(pair)\","
        switch stream.kind {
        case .trade: return texts("trade", "E", symbol + "\"t\":", "")
        case .aggTrade: return texts("aggTrade", "E", symbol + "\"p\":\"", "")
        case .ticker: return texts("24hrTicker", "E", symbol, pairPart)
        case .miniTicker: return texts("24hrMiniTicker", "E", symbol, pairPart)
        case .bookTicker: return texts("bookTicker", "u", symbol, pairPart)
        case .markPrice: return texts("markPriceUpdate", "E", symbol + "\"p\":\"", "")
        case .kline, .averagePrice, .depth, .gap, .deadLetter: return nil
        }
    }
}
