import ExchangeAdapter
import MarketData

extension BinanceAdapter {
    /// The spot streams that serve `subscriptions`, in their order, without repeats.
    public func streams(
        for subscriptions: [Subscription], warnings: inout [String]
    ) throws(SubscriptionError) -> [StreamPlan] {
        var plans: [StreamPlan] = []
        var names: Set<String> = []
        for subscription in subscriptions {
            let suffix = try SpotStreams.suffix(of: subscription)
            let variant = subscription.variant
            switch subscription.symbols {
            case .all:
                let name = try SpotStreams.allMarketName(
                    of: subscription, suffix: suffix, warnings: &warnings)
                guard names.insert(name).inserted else { continue }
                plans.append(StreamPlan(name: name, kind: subscription.kind, variant: variant, symbol: nil))
            case .some(let symbols):
                guard !symbols.isEmpty else {
                    throw SubscriptionError(
                        "\(subscription.kind.name) names no symbols: write them as in symbols: [BTCUSDT]")
                }
                for symbol in symbols {
                    try SpotStreams.check(symbol, kind: subscription.kind)
                    let name = "\(symbol.asciiLowercased)@\(suffix)"
                    guard names.insert(name).inserted else { continue }
                    plans.append(
                        StreamPlan(
                            name: name, kind: subscription.kind, variant: variant,
                            symbol: symbol.asciiUppercased))
                }
            }
        }
        return plans
    }
}

/// How Binance spot names its streams.
enum SpotStreams {
    /// What follows the `@` (or stands between `!` and `@arr`).
    static func suffix(of subscription: Subscription) throws(SubscriptionError) -> String {
        let kind = subscription.kind
        guard subscription.interval == nil || kind == .kline else {
            throw SubscriptionError("\(kind.name) takes no interval: leave it out")
        }
        guard subscription.window == .hours24 || kind == .ticker else {
            throw SubscriptionError("\(kind.name) takes no window: leave it out")
        }
        switch kind {
        case .trade: return "trade"
        case .aggTrade: return "aggTrade"
        case .kline:
            guard let interval = subscription.interval else {
                throw SubscriptionError(
                    "kline needs an interval: one of \(Interval.names.joined(separator: ", "))")
            }
            return "kline_\(interval.name)"
        case .ticker:
            return subscription.window == .hours24 ? "ticker" : "ticker_\(subscription.window.name)"
        case .miniTicker: return "miniTicker"
        case .bookTicker: return "bookTicker"
        case .averagePrice: return "avgPrice"
        case .markPrice:
            throw SubscriptionError(
                "markPrice does not exist on Binance spot, only on its derivatives: remove the subscription")
        case .depth:
            throw SubscriptionError(
                "depth is not collected from Binance spot: remove the subscription; bookTicker gives the best"
                    + " bid and ask")
        case .gap, .deadLetter:
            throw SubscriptionError(
                "\(kind.name) is the collector's own and comes without being asked for: remove the subscription"
            )
        }
    }

    static func allMarketName(
        of subscription: Subscription, suffix: String, warnings: inout [String]
    ) throws(SubscriptionError) -> String {
        let name = "!\(suffix)@arr"
        switch subscription.kind {
        case .miniTicker: return name
        case .ticker:
            if subscription.window == .hours24 {
                warnings.append(
                    "Binance retired \(name) on 2026-03-26: it is subscribed to, and will deliver nothing;"
                        + " list symbols, or take miniTicker or a ticker of window 1h, 4h or 1d")
            }
            return name
        default:
            throw SubscriptionError(
                "Binance spot has no all-market stream of \(subscription.kind.name): list the symbols;"
                    + " only ticker and miniTicker take [\"*\"]")
        }
    }

    static func check(_ symbol: String, kind: EventKind) throws(SubscriptionError) {
        let remedy = "write it as the exchange does, as in BTCUSDT"
        guard !symbol.isEmpty else { throw SubscriptionError("\(kind.name) has an empty symbol: \(remedy)") }
        guard symbol.utf8.count <= BinanceLimits.symbolBytes else {
            throw SubscriptionError(
                "\(kind.name): the symbol \"\(symbol.prefix(20))…\" has \(symbol.utf8.count) bytes, and"
                    + " \(BinanceLimits.symbolBytes) are the most: \(remedy)")
        }
        for scalar in symbol.unicodeScalars {
            let isRefused =
                switch scalar {
                case "\"", "\\", "/", "@", ",": true
                default: scalar.properties.isWhitespace || scalar.properties.generalCategory == .control
                }
            guard !isRefused else {
                throw SubscriptionError(
                    "\(kind.name): the symbol \"\(symbol.debugText)\" has a character that no symbol has"
                        + " (U+\(String(scalar.value, radix: 16, uppercase: true))): \(remedy)")
            }
        }
    }
}

extension Subscription {
    /// The variant in events' headers.
    fileprivate var variant: UInt8 {
        switch kind {
        case .kline: interval?.rawValue ?? 0
        case .ticker: window.rawValue
        default: 0
        }
    }
}

extension String {
    /// Only A–Z are changed: what case means elsewhere is the exchange's business.
    fileprivate var asciiLowercased: String {
        String(decoding: utf8.map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 }, as: UTF8.self)
    }

    /// Only a–z are changed.
    fileprivate var asciiUppercased: String {
        String(decoding: utf8.map { $0 &- 0x61 < 26 ? $0 & 0xDF : $0 }, as: UTF8.self)
    }

    /// The text with what would spoil a line of a log shown as an escape.
    fileprivate var debugText: String {
        unicodeScalars.map { $0.isASCII ? $0.escaped(asASCII: true) : String($0) }.joined()
    }
}
