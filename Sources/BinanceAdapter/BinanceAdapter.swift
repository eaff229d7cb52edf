import ExchangeAdapter
import MarketData
import Wire

/// Binance: the spot market.
public struct BinanceAdapter: ExchangeAdapter {
    /// `binance`.
    public static let name = "binance"
    /// `spot`.
    public static let markets = ["spot"]

    /// The unit of the times that the exchange is asked for.
    public enum TimeUnit: Sendable {
        /// The exchange's default.
        case milliseconds
        /// Asked for by a query in the connection's target (`timeUnit=MICROSECOND`, since 2024-12-17).
        case microseconds
    }

    /// What the connections that are planned ask for and the decoders that are made read.
    public var timeUnit = TimeUnit.milliseconds

    private let endpoint: Endpoint

    /// The adapter of a market; nil where it is not one of ``markets``.
    public init?(market: String) {
        guard market == "spot", let endpoint = try? Endpoint("wss://stream.binance.com:9443") else {
            return nil
        }
        self.endpoint = endpoint
    }

    /// `binance`.
    public var exchange: String { "binance" }
    /// `wss://stream.binance.com:9443`.
    public var defaultEndpoint: Endpoint { endpoint }

    /// The default first, then the same host's other port, then the host for market data only.
    public var endpoints: [Endpoint] {
        [endpoint]
            + ["wss://stream.binance.com:443", "wss://data-stream.binance.vision:443"].compactMap {
                try? Endpoint($0)
            }
    }
    /// SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS.
    public var language: any ControlLanguage { BinanceRequests() }
    /// Always in combined mode; streams are asked for when the connection is open.
    public func target(of stream: StreamPlan) -> String {
        timeUnit == .microseconds ? "/stream?timeUnit=MICROSECOND" : "/stream"
    }

    /// See ``BinanceLimits``.
    public var limits: ConnectionLimits {
        var limits = ConnectionLimits()
        limits.frameSpacingNanos = BinanceLimits.frameSpacingNanos
        limits.silenceNanos = BinanceLimits.silenceNanos
        limits.messageBytes = BinanceLimits.messageBytes
        limits.streamsPerConnection = BinanceLimits.streamsPerConnection
        limits.namesPerRequest = BinanceLimits.namesPerRequest
        limits.requestBytes = BinanceLimits.requestBytes
        return limits
    }

    /// A decoder for one lane.
    public func makeDecoder(
        market: Int, instruments: InstrumentTable, streams: [StreamPlan]
    ) -> any FrameDecoder {
        BinanceSpotDecoder(market: market, instruments: instruments, streams: streams, timeUnit: timeUnit)
    }
}
