import MarketData
import Wire

/// The markets of Binance that the adapter knows.
enum BinanceMarket: String, CaseIterable, Sendable {
    case spot
    /// Futures that are settled in stablecoins.
    case usdm
    /// Futures that are settled in the coin itself.
    case coinm

    /// The name in topics, events and metrics.
    var exchange: String { self == .spot ? "binance" : "binance-\(rawValue)" }

    /// The name in sentences for the user.
    var title: String {
        switch self {
        case .spot: "Binance spot"
        case .usdm: "Binance USD-M"
        case .coinm: "Binance COIN-M"
        }
    }

    /// What its events say in `st`, since June 2026, when the streams of both kinds of futures began to hold the rows
    /// of both; 0: they say nothing.
    var systemTag: Int64 {
        switch self {
        case .spot: 0
        case .usdm: 1
        case .coinm: 2
        }
    }

    /// Where its streams are served, the usual place first. No alternatives are documented for futures.
    var endpoints: [String] {
        switch self {
        case .spot:
            [
                "wss://stream.binance.com:9443", "wss://stream.binance.com:443",
                "wss://data-stream.binance.vision:443",
            ]
        case .usdm: ["wss://fstream.binance.com:443"]
        case .coinm: ["wss://dstream.binance.com:443"]
        }
    }

    /// The lengths of bars that can be had.
    var intervals: [Interval] { Interval.allCases.filter { self == .spot || $0 != .second1 } }
}
