import MarketData

/// Part of a request's target that decides which streams a connection can carry.
enum StreamRoute: String, Sendable {
    case none = ""
    case `public` = "/public"
    case market = "/market"
}

/// The streams that a market serves, by what follows the symbol in their names (`@trade`), or by the whole name
/// (`!ticker@arr`). What is not in here must not be asked for: the exchange acknowledges any name that is well-formed,
/// and then says nothing.
///
/// Sources: the documentation named in ``BinanceLimits``; for USD-M's routes Binance's announcement of 2026-03-06.
struct StreamCatalog: Sendable {
    /// What is known of a stream.
    struct Entry: Sendable {
        var route: StreamRoute
        /// The exchange sends it at least so often, ns; nil where the market decides.
        var period: Int64?
    }

    private let entries: [String: Entry]

    /// The catalogue of a market.
    static func of(_ market: BinanceMarket) -> StreamCatalog {
        switch market {
        case .spot: spot
        case .usdm: usdm
        case .coinm: coinm
        }
    }

    /// The stream of that name, whose symbol is not looked at.
    func find(_ name: String) -> Entry? {
        guard !name.hasPrefix("!"), let at = name.firstIndex(of: "@") else { return entries[name] }
        return entries[String(name[at...])]
    }

    // MARK: - Data

    private typealias Row = (route: StreamRoute, names: [String], milliseconds: Int64?)

    private init(_ rows: [Row]) {
        var entries: [String: Entry] = [:]
        for row in rows {
            for name in row.names {
                entries[name] = Entry(route: row.route, period: row.milliseconds.map { $0 * 1_000_000 })
            }
        }
        self.entries = entries
    }

    /// Klines pause while nothing is traded, so that their documented 250 ms to 2 s are no promise. Only bars of a
    /// second are known to come empty.
    private static func klines(of market: BinanceMarket) -> [String] {
        market.intervals.filter { $0 != .second1 }.map { "@kline_\($0.name)" }
    }

    private static let spot = StreamCatalog([
        (.none, ["@trade", "@aggTrade", "@bookTicker"] + klines(of: .spot), nil),
        (.none, ["@kline_1s", "@avgPrice", "@ticker", "@miniTicker", "!miniTicker@arr"], 1_000),
        (.none, ["@ticker_1h", "@ticker_4h", "@ticker_1d"], 1_000),
        (.none, ["!ticker_1h@arr", "!ticker_4h@arr", "!ticker_1d@arr"], 1_000),
        // Retired on 2026-03-26.
        (.none, ["!ticker@arr"], nil),
    ])

    private static let usdm = StreamCatalog([
        // @trade is not documented; three independent sources found it on this route.
        (.public, ["@trade", "@bookTicker"], nil),
        (.public, ["!bookTicker"], 5_000),
        (.market, ["@aggTrade"] + klines(of: .usdm), nil),
        (.market, ["@markPrice", "!markPrice@arr"], 3_000),
        (.market, ["@markPrice@1s", "!markPrice@arr@1s"], 1_000),
        (.market, ["@ticker", "@miniTicker"], 2_000),
        (.market, ["!ticker@arr", "!miniTicker@arr"], 1_000),
    ])

    private static let coinm = StreamCatalog([
        (.none, ["@trade", "@aggTrade", "@bookTicker", "!bookTicker"] + klines(of: .coinm), nil),
        (.none, ["@markPrice", "!markPrice@arr"], 3_000),
        (.none, ["@markPrice@1s", "!markPrice@arr@1s"], 1_000),
        (.none, ["@ticker", "@miniTicker"], 500),
        (.none, ["!ticker@arr", "!miniTicker@arr"], 1_000),
    ])
}
