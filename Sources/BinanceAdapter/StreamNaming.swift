import ExchangeAdapter
import MarketData

extension BinanceAdapter {
    /// The streams that serve `subscriptions`, in their order, without repeats.
    public func streams(
        for subscriptions: [Subscription], warnings: inout [String]
    ) throws(SubscriptionError) -> [StreamPlan] {
        var plans: [StreamPlan] = []
        var names: Set<String> = []
        for subscription in subscriptions {
            let naming = try StreamNaming(subscription, on: market)
            switch subscription.symbols {
            case .all:
                let plan = try naming.allMarket()
                naming.warn(isAllMarket: true, &warnings)
                if names.insert(plan.name).inserted { plans.append(plan) }
            case .some(let symbols):
                guard !symbols.isEmpty else {
                    throw SubscriptionError(
                        "\(subscription.kind.name) names no symbols: write them as in symbols: [BTCUSDT]")
                }
                naming.warn(isAllMarket: false, &warnings)
                for symbol in symbols {
                    let plan = try naming.stream(of: symbol, &warnings)
                    if names.insert(plan.name).inserted { plans.append(plan) }
                }
            }
        }
        return plans
    }
}

/// How the streams of one subscription are named.
struct StreamNaming {
    private let market: BinanceMarket
    private let subscription: Subscription
    private let catalog: StreamCatalog
    /// What follows the `@`, or the `!`.
    private let suffix: String
    /// What follows that, with its `@`: the update speed; mostly empty.
    private let speed: String

    /// Throws where the market has nothing of the kind.
    init(_ subscription: Subscription, on market: BinanceMarket) throws(SubscriptionError) {
        self.market = market
        self.subscription = subscription
        catalog = StreamCatalog.of(market)
        try StreamNaming.checkOptions(subscription)
        suffix = try StreamNaming.suffix(of: subscription, on: market)
        speed = try StreamNaming.speed(of: subscription)
    }

    /// An option that the kind does not have.
    private static func checkOptions(_ subscription: Subscription) throws(SubscriptionError) {
        let kind = subscription.kind
        guard subscription.interval == nil || kind == .kline else {
            throw SubscriptionError("\(kind.name) takes no interval: leave it out")
        }
        guard subscription.window == .hours24 || kind == .ticker else {
            throw SubscriptionError("\(kind.name) takes no window: leave it out")
        }
        guard subscription.updateSpeed == nil || kind == .markPrice else {
            throw SubscriptionError("\(kind.name) takes no updateSpeed: leave it out")
        }
    }

    private static func suffix(
        of subscription: Subscription, on market: BinanceMarket
    ) throws(SubscriptionError) -> String {
        let kind = subscription.kind
        switch kind {
        case .trade, .aggTrade, .miniTicker, .bookTicker: return kind.name
        case .kline:
            guard let interval = subscription.interval, market.intervals.contains(interval) else {
                let known = market.intervals.map(\.name).joined(separator: ", ")
                guard let interval = subscription.interval else {
                    throw SubscriptionError("kline needs an interval: one of \(known)")
                }
                throw SubscriptionError(
                    "\(market.title) has no kline of \(interval.name): write one of \(known)")
            }
            return "kline_\(interval.name)"
        case .ticker:
            guard subscription.window != .hours24 else { return "ticker" }
            guard market == .spot else {
                throw SubscriptionError(
                    "\(market.title) has only the ticker of 24 hours: leave the window"
                        + " \(subscription.window.name) out")
            }
            return "ticker_\(subscription.window.name)"
        case .averagePrice:
            guard market == .spot else {
                throw SubscriptionError(
                    "averagePrice exists on Binance spot only: remove the subscription; markPrice has an average"
                        + " of its own")
            }
            return "avgPrice"
        case .markPrice:
            guard market != .spot else {
                throw SubscriptionError(
                    "markPrice does not exist on Binance spot, only on its derivatives: remove the subscription"
                )
            }
            return "markPrice"
        case .depth:
            throw SubscriptionError(
                "depth is not collected from \(market.title): remove the subscription; bookTicker gives the best"
                    + " bid and ask")
        case .gap, .deadLetter:
            throw SubscriptionError(
                "\(kind.name) is the collector's own and comes without being asked for: remove the subscription"
            )
        }
    }

    private static func speed(of subscription: Subscription) throws(SubscriptionError) -> String {
        guard subscription.kind == .markPrice else { return "" }
        switch subscription.updateSpeed {
        case nil, 1_000_000_000: return "@1s"
        case 3_000_000_000: return ""
        default:
            throw SubscriptionError(
                "markPrice comes every second or every three: write updateSpeed: 1s or 3s")
        }
    }

    // MARK: - Plans

    /// The stream of one symbol.
    func stream(of symbol: String, _ warnings: inout [String]) throws(SubscriptionError) -> StreamPlan {
        try check(symbol)
        let upper = symbol.asciiUppercased
        // COIN-M's names end in `_PERP` or a date of six digits; USD-M's have no `_`, or a date.
        if market == .coinm, !upper.contains("_") {
            warnings.append(
                "\(upper) is not how COIN-M's symbols are written (BTCUSD_PERP, BTCUSD_261225): it is subscribed to,"
                    + " and will probably deliver nothing")
        } else if market == .usdm, upper.hasSuffix("_PERP") {
            warnings.append(
                "\(upper) is how COIN-M's symbols are written, not USD-M's (BTCUSDT): it is subscribed to, and will"
                    + " probably deliver nothing; the market of COIN-M is coinm")
        }
        return try plan("\(symbol.asciiLowercased)@\(suffix)\(speed)", symbol: upper)
    }

    /// The stream of all symbols.
    func allMarket() throws(SubscriptionError) -> StreamPlan {
        let hasArray = subscription.kind != .bookTicker
        let name = "!\(suffix)\(hasArray ? "@arr" : "")\(speed)"
        guard catalog.find(name) != nil else {
            let which =
                market == .spot ? "ticker and miniTicker" : "ticker, miniTicker, bookTicker and markPrice"
            throw SubscriptionError(
                "\(market.title) has no all-market stream of \(subscription.kind.name): list the symbols;"
                    + " only \(which) take [\"*\"]")
        }
        return try plan(name, symbol: nil)
    }

    private func plan(_ name: String, symbol: String?) throws(SubscriptionError) -> StreamPlan {
        guard let entry = catalog.find(name) else {
            throw SubscriptionError(
                "\(market.title) has no stream \(name): it would be acknowledged and stay silent; remove the"
                    + " subscription")
        }
        let variant: UInt8 =
            switch subscription.kind {
            case .kline: subscription.interval?.rawValue ?? 0
            case .ticker: subscription.window.rawValue
            default: 0
            }
        return StreamPlan(
            name: name, kind: subscription.kind, variant: variant, symbol: symbol, period: entry.period)
    }

    /// What is accepted and yet may not deliver.
    func warn(isAllMarket: Bool, _ warnings: inout [String]) {
        if market == .spot, isAllMarket, suffix == "ticker" {
            warnings.append(
                "Binance retired !ticker@arr on 2026-03-26: it is subscribed to, and will deliver nothing;"
                    + " list symbols, or take miniTicker or a ticker of window 1h, 4h or 1d")
        }
        if market != .spot, subscription.kind == .trade {
            warnings.append(
                "\(market.title) serves trade without documenting it, and may cease to: aggTrade is the stream to"
                    + " rely on")
        }
    }

    private func check(_ symbol: String) throws(SubscriptionError) {
        let kind = subscription.kind.name
        let remedy = "write it as the exchange does, as in \(market == .coinm ? "BTCUSD_PERP" : "BTCUSDT")"
        guard !symbol.isEmpty else { throw SubscriptionError("\(kind) has an empty symbol: \(remedy)") }
        guard symbol.utf8.count <= BinanceLimits.symbolBytes else {
            throw SubscriptionError(
                "\(kind): the symbol \"\(symbol.prefix(20))…\" has \(symbol.utf8.count) bytes, and"
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
                    "\(kind): the symbol \"\(symbol.debugText)\" has a character that no symbol has"
                        + " (U+\(String(scalar.value, radix: 16, uppercase: true))): \(remedy)")
            }
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
