import Foundation

struct TradeIdentity: Sendable, Equatable {
    var id: Int64
    /// ns since the epoch.
    var time: Int64?
}

/// One event as published. What every event has is read; the rest is read on demand, as one of the types in
/// `Contents.swift`.
public struct MarketEvent: Sendable, Equatable {
    /// Its JSON, as published.
    public let line: [UInt8]
    private let head: Head
    /// What tells a trade from all others of its symbol, and when it was; nil for other types.
    let identity: TradeIdentity?

    private struct Head: Decodable, Sendable, Equatable {
        var type: String
        var exchange: String
        var symbol: String?
        var sequence: UInt64
        var eventTime: Int64?
        var receivedTime: Int64
        var source: String?
    }

    /// An event's JSON, without a newline.
    public init(line: [UInt8]) throws(UnreadableMessage) {
        self.line = line
        head = try MarketEvent.decode(Head.self, line)
        switch head.type {
        case "trade":
            let trade = try MarketEvent.decode(TradeContents.self, line)
            identity = TradeIdentity(id: trade.tradeId, time: trade.tradeTime)
        case "aggTrade":
            let trade = try MarketEvent.decode(AggTradeContents.self, line)
            identity = TradeIdentity(id: trade.aggregateId, time: trade.tradeTime)
        case "gap":
            // A gap that cannot be read would be a loss that nobody sees.
            _ = try MarketEvent.decode(GapContents.self, line)
            identity = nil
        default: identity = nil
        }
    }

    /// `trade`, `kline`, `gap`, …
    public var type: String { head.type }
    /// The exchange's market: `binance`, `binance-usdm`, …
    public var exchange: String { head.exchange }
    /// The exchange's spelling; nil for dead letters.
    public var symbol: String? { head.symbol }
    /// Counts the topic's events from 1, in each run of the collector.
    public var sequence: UInt64 { head.sequence }
    /// The exchange's, ns since the epoch; nil where it sends none.
    public var eventTime: Int64? { head.eventTime }
    /// When the collector's kernel received it, ns since the epoch.
    public var receivedTime: Int64 { head.receivedTime }
    /// Whether it was not streamed, but fetched later.
    public var isRepaired: Bool { head.source == "rest" }

    /// What it says, as a type that fits its ``type``.
    public func decode<Contents: Decodable>(_ type: Contents.Type) throws(UnreadableMessage) -> Contents {
        try MarketEvent.decode(type, line)
    }

    private static func decode<Value: Decodable>(
        _ type: Value.Type, _ line: [UInt8]
    ) throws(UnreadableMessage) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(line))
        } catch {
            throw UnreadableMessage("an event that is no \(type): \(error)")
        }
    }
}
