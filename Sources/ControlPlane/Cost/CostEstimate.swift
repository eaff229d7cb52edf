import Batching
import ExchangeAdapter
import MarketData
import Publishing

/// What a configuration would cost on Pub/Sub, for its layout of topics and for others, by how long batches wait.
///
/// A model, with its assumptions: events of a topic and ordering key come at random (Poisson) at the given rates; a batch
/// opens with an event and closes after `maxDelay`, so that of a rate r it holds 1 + r · maxDelay events on average
/// (`closeWhenIdle` makes batches smaller while the publisher has nothing to do); each topic and key has one request in
/// flight, which takes 20 ms, and the next takes along what has waited behind it. Sizes are those of made-up events, compressed as configured. Prices:
/// ``PublishPrice``.
public struct CostEstimate: Sendable, Equatable, Encodable {
    /// Where events go.
    public enum Layout: String, Sendable, CaseIterable, Encodable {
        /// `sink.topic` and `sink.orderingKey` as they are.
        case configured
        /// A topic and a key for each type and symbol.
        case symbol
        /// A topic and a key for each type of an exchange.
        case type
        /// A topic and a key for each exchange; batches never mix types.
        case exchange
    }

    /// One layout with one delay.
    public struct Row: Sendable, Equatable, Encodable {
        /// Where events go.
        public var layout: Layout
        /// How long a batch waits, ns.
        public var delayNanos: Int64
        /// Topics.
        public var topics: Int
        /// Events in a batch, on average over events.
        public var eventsPerBatch: Double
        /// Requests a second.
        public var requestsPerSecond: Double
        /// Billed for publishing, bytes a second; delivery is as much again for each subscription.
        public var billedBytesPerSecond: Double
        /// US dollars a day for publishing.
        public var dollarsPerDay: Double
        /// Bytes a second of the ordering key with the most: Pub/Sub takes 1 MB/s of each.
        public var busiestKeyBytesPerSecond: Double
    }

    /// Events a second, all streams together.
    public let eventsPerSecond: Double
    /// Rates of one symbol's streams, events a second, by type.
    public let rates: [String: Double]
    /// All-market streams, whose symbols are not known, and so are left out.
    public let streamsLeftOut: Int
    /// All layouts and delays, those configured first.
    public let rows: [Row]

    /// Events a second of one symbol's stream where nothing better is known. Clockwork: what the exchange documents (klines
    /// every 2 s, tickers and average prices every second, mark prices every 3 s). Trades and best prices: assumed, as of a
    /// busy instrument.
    public static let assumedRates: [EventKind: Double] = [
        .trade: 5, .aggTrade: 3, .kline: 0.5, .ticker: 1, .miniTicker: 1, .bookTicker: 20, .averagePrice: 1,
        .markPrice: 0.34,
    ]

    /// How long a request takes, s: Pub/Sub stores in several zones before it answers.
    static let requestSeconds = 0.02

    private struct Group {
        var kind: EventKind
        var rate = 0.0
        var topic: String
        var key: String
        /// Of a message, with the ordering key, bytes.
        var attributes: Int
    }

    private struct GroupID: Hashable {
        var topic: String
        var key: String
        var kind: EventKind
    }

    /// The estimate for a configuration. `rates` replace ``assumedRates``.
    public init(_ configuration: Configuration, rates: [EventKind: Double] = [:]) {
        let rates = CostEstimate.assumedRates.merging(rates) { $1 }
        var used: [String: Double] = [:]
        var total = 0.0
        var left = 0
        for exchange in configuration.exchanges {
            for stream in exchange.streams {
                guard stream.symbol != nil else {
                    left += 1
                    continue
                }
                let rate = rates[stream.kind] ?? 0
                used[stream.kind.name] = rate
                total += rate
            }
        }
        eventsPerSecond = total
        self.rates = used
        streamsLeftOut = left
        var sizes = BatchSizes(configuration.batching)
        defer { sizes.free() }
        let configured = configuration.batching.maxDelayNanos
        let delays = [configured] + [1_000_000, 10_000_000, 100_000_000].filter { $0 != configured }
        var rows: [Row] = []
        for layout in Layout.allCases {
            let groups = CostEstimate.groups(configuration, layout, rates)
            for delay in delays {
                rows.append(
                    CostEstimate.row(groups, layout, delay, configuration.batching, &sizes, total: total))
            }
        }
        self.rows = rows
    }

    /// A batch holds events of one topic, ordering key and type.
    private static func groups(
        _ configuration: Configuration, _ layout: Layout, _ rates: [EventKind: Double]
    ) -> [Group] {
        let topicText =
            switch layout {
            case .configured: configuration.sink.topic
            case .symbol: "market.{type}.{exchange}.{symbol}"
            case .type: "market.{type}.{exchange}"
            case .exchange: "market.{exchange}"
            }
        let keyText =
            switch layout {
            case .configured: configuration.sink.orderingKey
            case .symbol: "{exchange}:{symbol}"
            case .type: "{exchange}:{type}"
            case .exchange: "{exchange}"
            }
        // They were checked when the configuration was read.
        guard let topic = try? TopicTemplate(topicText), let key = try? TopicTemplate(keyText) else {
            return []
        }
        let isOfOneSymbol = topic.contains(.symbol) || key.contains(.symbol)
        let routes = RouteTable()
        var groups: [GroupID: Group] = [:]
        for exchange in configuration.exchanges {
            for stream in exchange.streams {
                guard let symbol = stream.symbol else { continue }
                let values = TopicTemplate.Values(
                    type: stream.kind.name, exchange: exchange.exchange, symbol: symbol,
                    interval: Configuration.intervalName(stream), market: exchange.market)
                let id = GroupID(
                    topic: topic.renderTopicID(values), key: key.render(values), kind: stream.kind)
                let rate = rates[stream.kind] ?? 0
                if groups[id] != nil {
                    groups[id]?.rate += rate
                    continue
                }
                let route = routes.append(
                    kind: stream.kind, market: 0, exchange: exchange.exchange,
                    symbol: isOfOneSymbol ? symbol : nil, topic: id.topic, orderingKey: id.key)
                guard let route else { continue }
                groups[id] = Group(
                    kind: stream.kind, rate: rate, topic: id.topic, key: id.key,
                    attributes: MessageContent.attributeBytes(
                        of: route, collector: configuration.collector.name,
                        form: form(configuration.batching), events: 1))
            }
        }
        return Array(groups.values)
    }

    private static func form(_ batching: Configuration.Batching) -> MessageContent.Form {
        if batching.payload == .event { return .event }
        guard batching.compression == .zstd else { return .lines }
        return .compressed(dictionary: batching.dictionary != .none)
    }

    private static func row(
        _ groups: [Group], _ layout: Layout, _ delay: Int64, _ batching: Configuration.Batching,
        _ sizes: inout BatchSizes, total: Double
    ) -> Row {
        var row = Row(
            layout: layout, delayNanos: delay, topics: Set(groups.map(\.topic)).count, eventsPerBatch: 0,
            requestsPerSecond: 0, billedBytesPerSecond: 0, dollarsPerDay: 0, busiestKeyBytesPerSecond: 0)
        var keys: [String: Double] = [:]
        for group in groups where group.rate > 0 {
            var events = min(1 + group.rate * Double(delay) / 1e9, Double(max(1, batching.maxEvents)))
            let line = sizes.bytes(group.kind, events: 1)
            if batching.payload == .event {
                events = 1
            } else if batching.compression == .none {
                events = min(events, max(1, Double(batching.maxBytes) / line))
            }
            let messages = group.rate / events
            let content = sizes.bytes(group.kind, events: events) + Double(group.attributes)
            let perRequest = min(
                1 + messages * max(requestSeconds, batching.payload == .event ? Double(delay) / 1e9 : 0),
                1_000)
            let requests = messages / perRequest
            let billed =
                requests
                * max(
                    Double(PublishPrice.leastRequestBytes),
                    perRequest * (content + Double(PublishPrice.messageBytes)))
            row.eventsPerBatch += events * group.rate / max(total, 1e-9)
            row.requestsPerSecond += requests
            row.billedBytesPerSecond += billed
            keys[group.topic + " " + group.key, default: 0] += messages * content
        }
        row.dollarsPerDay = PublishPrice.dollars(bytes: row.billedBytesPerSecond * 86_400)
        row.busiestKeyBytesPerSecond = keys.values.max() ?? 0
        return row
    }
}
