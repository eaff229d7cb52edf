import ExchangeAdapter
import Wire

/// What the planner must know of one market.
public struct PlannerMarket: Sendable {
    /// The market's name: `binance`.
    public var exchange: String
    /// What is wanted of it; ids are the planner's to give.
    public var streams: [StreamPlan]
    /// How connections may behave.
    public var limits: ConnectionLimits
    /// Where to connect to, in order of preference, at least one.
    public var endpoints: [Endpoint]
    /// Connections that carry the same streams: 1 or 2.
    public var legs: Int
    /// How streams are asked for.
    public var language: any ControlLanguage
    /// What is offered for compressing messages; nil: nothing.
    public var deflate: DeflateOffer?
    /// How connections use the network.
    public var network = NetworkSettings()
    /// The request target of the connections that can carry a stream.
    public var target: @Sendable (StreamPlan) -> String

    /// A market.
    public init(
        exchange: String, streams: [StreamPlan], limits: ConnectionLimits, endpoints: [Endpoint], legs: Int,
        language: any ControlLanguage, target: @escaping @Sendable (StreamPlan) -> String
    ) {
        self.exchange = exchange
        self.streams = streams
        self.limits = limits
        self.endpoints = endpoints
        self.legs = legs
        self.language = language
        self.target = target
    }

    /// A market as its adapter has it.
    public init(
        adapter: any ExchangeAdapter, streams: [StreamPlan], limits: ConnectionLimits, endpoints: [Endpoint],
        legs: Int
    ) {
        self.init(
            exchange: adapter.exchange, streams: streams, limits: limits, endpoints: endpoints, legs: legs,
            language: adapter.language, target: { adapter.target(of: $0) })
    }

    /// Where a leg connects to, in order of preference. The second leg prefers another host than the first, then
    /// another port: two legs at one host end together. What the other leg prefers comes last.
    public func endpoints(ofLeg leg: Int) -> [Endpoint] {
        guard legs > 1, let first = endpoints.first else { return endpoints }
        let others = endpoints.filter { $0.host != first.host }
        let second = others + endpoints.filter { $0.host == first.host }.reversed()
        guard leg == 0 else { return second }
        return [first] + (second.dropFirst() + second.prefix(1)).filter { $0 != first }
    }

    /// Whether both legs of a pair connect to one host.
    public var sharesHost: Bool { legs > 1 && Set(endpoints.map(\.host)).count < 2 }
}

/// Which connection carries which stream, in which lane. Made by ``Planner``.
public struct FleetPlan: Sendable {
    /// One lane.
    public struct Lane: Sendable {
        /// By slot. A slot without streams is free: its streams have been unsubscribed.
        public var slots: [ConnectionPlan] = []
        /// By market, in the order of subscription, with their ids.
        public var streams: [[StreamPlan]]
        /// Shards so far, those without streams included.
        public var shardCount = 0
        /// The next stream id that was never given.
        var nextStream: UInt32 = 0
    }

    /// By index.
    public var lanes: [Lane]
    /// What was planned, by market.
    public var markets: [PlannerMarket]

    /// Slots that carry streams, of one market or of all.
    public func sockets(ofMarket market: Int? = nil) -> Int {
        lanes.reduce(0) { sum, lane in
            sum + lane.slots.count { !$0.streams.isEmpty && (market == nil || $0.market == market) }
        }
    }
}

/// Why a plan cannot be made.
public struct PlanError: Error, CustomStringConvertible, Sendable {
    /// One thing that cannot work.
    public struct Problem: Sendable, Equatable {
        /// Index of the market; nil: it is about the process.
        public var market: Int?
        /// What cannot work, why, and what to change.
        public var text: String
    }
    /// At least one.
    public var problems: [Problem]

    /// One line each.
    public var description: String { problems.map(\.text).joined(separator: "\n") }
}
