import ExchangeAdapter
import MarketData
import Wire

/// Binance: spot, USD-M futures and COIN-M futures.
public struct BinanceAdapter: ExchangeAdapter {
    /// `binance`.
    public static let name = "binance"
    /// `spot`, `usdm`, `coinm`.
    public static let markets = BinanceMarket.allCases.map(\.rawValue)

    /// The unit of the times that the exchange is asked for.
    public enum TimeUnit: Sendable {
        /// The exchange's default.
        case milliseconds
        /// Asked for by a query in the connection's target (`timeUnit=MICROSECOND`, since 2024-12-17).
        case microseconds
    }

    /// What the connections that are planned ask for and the decoders that are made read. Futures know milliseconds
    /// only, whatever stands here.
    public var timeUnit: TimeUnit {
        get { unit }
        set { unit = market == .spot ? newValue : .milliseconds }
    }

    let market: BinanceMarket
    private var unit = TimeUnit.milliseconds
    /// The default first, then where else the same streams are served: spot's second port, and its host for market
    /// data only. No other hosts of the futures are documented.
    public let endpoints: [Endpoint]
    /// `wss://stream.binance.com:9443`, `wss://fstream.binance.com:443`, `wss://dstream.binance.com:443`.
    public let defaultEndpoint: Endpoint

    /// The adapter of a market; nil where it is not one of ``markets``.
    public init?(market name: String) {
        guard let market = BinanceMarket(rawValue: name) else { return nil }
        self.market = market
        endpoints = market.endpoints.compactMap { try? Endpoint($0) }
        guard let first = endpoints.first else { return nil }
        defaultEndpoint = first
    }

    /// Spot has them, futures do not.
    public func inMicroseconds() -> (any ExchangeAdapter)? {
        guard market == .spot else { return nil }
        var adapter = self
        adapter.timeUnit = .microseconds
        return adapter
    }

    /// `binance`, `binance-usdm`, `binance-coinm`.
    public var exchange: String { market.exchange }
    /// SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS.
    public var language: any ControlLanguage { BinanceRequests() }

    /// Always in combined mode, without streams, which are asked for when the connection is open: `/stream`. USD-M
    /// serves each stream on one of two routes only, and answers with silence on the other: `/public/stream`,
    /// `/market/stream`.
    public func target(of stream: StreamPlan) -> String {
        let route = StreamCatalog.of(market).find(stream.name)?.route ?? .none
        return route.rawValue + (timeUnit == .microseconds ? "/stream?timeUnit=MICROSECOND" : "/stream")
    }

    /// See ``BinanceLimits``.
    public var limits: ConnectionLimits { BinanceLimits.limits(isFutures: market != .spot) }

    /// See ``BinanceBackfill``.
    public var backfill: (any Backfill)? { BinanceBackfill(market: market) }

    /// A decoder for one lane.
    public func makeDecoder(
        market index: Int, instruments: InstrumentTable, streams: [StreamPlan]
    ) -> any FrameDecoder {
        BinanceDecoder(
            FrameReader(
                streams: streams, of: market, market: index, instruments: instruments,
                nanosPerUnit: timeUnit == .microseconds ? 1_000 : 1_000_000))
    }
}
