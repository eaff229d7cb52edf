import Batching
import ExchangeAdapter
import MarketData
import Wire

extension Configuration.Exchange {
    /// The market's adapter, for the times that are asked for; nil where there is none.
    func makeAdapter(_ adapters: [any ExchangeAdapter.Type]) -> (any ExchangeAdapter)? {
        let made = adapters.first { $0.name == adapter }?.init(market: market)
        return timeUnit == .microsecond ? made?.inMicroseconds() : made
    }
}

extension Configuration {
    /// What the planner needs; nil where an adapter is not there.
    func plannerMarkets(adapters: [any ExchangeAdapter.Type]) -> [PlannerMarket]? {
        var markets: [PlannerMarket] = []
        for exchange in exchanges {
            guard let adapter = exchange.makeAdapter(adapters) else { return nil }
            var market = PlannerMarket(
                adapter: adapter, streams: exchange.streams, limits: exchange.limits,
                endpoints: exchange.endpoints, legs: exchange.legs)
            market.network = exchange.network
            market.deflate = exchange.deflate ? DeflateOffer() : nil
            markets.append(market)
        }
        return markets
    }

    /// The plan of its subscriptions.
    ///
    /// - Throws: ``PlanError`` with what cannot work, or ``CollectorError`` where an adapter is not there.
    public func plan(adapters: [any ExchangeAdapter.Type] = Adapters.all) throws -> FleetPlan {
        guard let markets = plannerMarkets(adapters: adapters) else {
            throw CollectorError("an adapter of the configuration is not built in")
        }
        return try Planner.plan(markets, lanes: collector.lanes)
    }

    /// The topics of all streams that name their symbol, in the order of subscription. All-market streams tell theirs
    /// only as they come.
    public func topics(ofExchange index: Int? = nil) -> [String] {
        topics(of: exchanges.map(\.streams), exchange: index)
    }

    /// The variable `interval` of a stream's topic.
    static func intervalName(_ stream: StreamPlan) -> String {
        let name: String? =
            switch stream.kind {
            case .kline: Interval(rawValue: stream.variant)?.name
            case .ticker: TickerWindow(rawValue: stream.variant)?.name
            default: nil
            }
        return name ?? "none"
    }

    /// The topics of these streams, by market.
    func topics(of streams: [[StreamPlan]], exchange index: Int? = nil) -> [String] {
        // It was checked when the configuration was read.
        guard let template = try? TopicTemplate(sink.topic) else { return [] }
        var seen: Set<String> = []
        var topics: [String] = []
        for (position, exchange) in exchanges.enumerated() where index == nil || index == position {
            for stream in streams[position] {
                guard let symbol = stream.symbol else { continue }
                let topic = template.renderTopicID(
                    TopicTemplate.Values(
                        type: stream.kind.name, exchange: exchange.exchange, symbol: symbol,
                        interval: Configuration.intervalName(stream), market: exchange.market))
                if seen.insert(topic).inserted { topics.append(topic) }
            }
        }
        return topics
    }

    /// What its topics would run into; empty unless the sink is Pub/Sub.
    public func topicWarnings() -> [String] {
        // https://cloud.google.com/pubsub/quotas#resource_limits
        let limit = 10_000
        let count = topics().count
        guard sink.type == .pubsub else { return [] }
        var warnings: [String] = []
        if count > limit {
            warnings.append(
                "\(HumanText.count(count)) topics are more than the \(HumanText.count(limit)) that a project may have;"
                    + " take {symbol} out of sink.topic and leave it in sink.orderingKey")
        } else if count > limit * 8 / 10 {
            warnings.append(
                "\(HumanText.count(count)) topics come near the \(HumanText.count(limit)) that a project may have, others"
                    + " of the project included; a sink.topic without {symbol} needs far fewer")
        }
        if sink.createTopics, count > sink.createsPerMinute {
            let minutes = (count + sink.createsPerMinute - 1) / sink.createsPerMinute
            warnings.append(
                "to make \(HumanText.count(count)) topics takes \(minutes) minutes at sink.createsPerMinute:"
                    + " \(sink.createsPerMinute); what comes for a topic before it is there is kept")
        }
        return warnings
    }
}
