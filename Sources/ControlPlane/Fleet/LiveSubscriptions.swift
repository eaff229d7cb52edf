import ExchangeAdapter
import MarketData
import Wire

/// What a change of subscriptions did.
public struct SubscriptionChange: Sendable {
    /// A stream by its market's and its own name.
    public struct Stream: Sendable, Equatable, Encodable {
        /// `binance`.
        public var exchange: String
        /// `btcusdt@trade`.
        public var stream: String
    }
    /// Asked for now.
    public var added: [Stream] = []
    /// Given up now.
    public var removed: [Stream] = []
    /// Named, and as they were already.
    public var unchanged: [Stream] = []
    /// Connections that will be made for it.
    public var newConnections = 0
    /// Connections that ask for other streams.
    public var changedConnections = 0
    /// What its author should know.
    public var warnings: [String] = []
}

/// Subscribes and unsubscribes while the collector runs.
public struct LiveSubscriptions: Sendable {
    /// The plan in force.
    public let fleet: Fleet
    private let adapters: [any ExchangeAdapter]
    private let clock: @Sendable () -> Int64

    /// - Parameters:
    ///   - adapters: by market.
    ///   - clock: monotonic, ns.
    public init(fleet: Fleet, adapters: [any ExchangeAdapter], clock: @escaping @Sendable () -> Int64) {
        self.fleet = fleet
        self.adapters = adapters
        self.clock = clock
    }

    /// Subscribes to what `body` names (see `POST /v1/subscriptions`).
    ///
    /// - Throws: ``ConfigurationErrors`` where the body is wrong, ``PlanError`` where it cannot work.
    public func subscribe(_ body: [UInt8]) throws -> SubscriptionChange {
        let request = try SubscriptionRequest(body, adapters: adapters)
        return try change(request) { streams, named in
            let known = Set(streams.map(\.name))
            return streams + LiveSubscriptions.distinct(named).filter { !known.contains($0.name) }
        }
    }

    /// Gives up what `body` names (see `DELETE /v1/subscriptions`).
    ///
    /// - Throws: ``ConfigurationErrors`` where the body is wrong, ``PlanError`` where it cannot work.
    public func unsubscribe(_ body: [UInt8]) throws -> SubscriptionChange {
        let request = try SubscriptionRequest(body, adapters: adapters)
        return try change(request) { streams, named in
            let gone = Set(named.map(\.name))
            return streams.filter { !gone.contains($0.name) }
        }
    }

    /// Makes each market carry exactly these streams.
    ///
    /// - Throws: ``PlanError`` where it cannot work.
    public func replace(with wanted: [[StreamPlan]]) throws(PlanError) -> SubscriptionChange {
        report(try fleet.change(now: clock()) { market, _ in wanted[market] })
    }

    private func change(
        _ request: SubscriptionRequest, _ make: ([StreamPlan], [StreamPlan]) -> [StreamPlan]
    ) throws(PlanError) -> SubscriptionChange {
        var change = report(
            try fleet.change(now: clock()) { market, streams in
                let named = request.entries.filter { $0.market == market }.flatMap(\.streams)
                return named.isEmpty ? streams : make(streams, named)
            })
        change.warnings = request.warnings
        let changed = Set((change.added + change.removed).map { "\($0.exchange) \($0.stream)" })
        for market in adapters.indices {
            let named = request.entries.filter { $0.market == market }.flatMap(\.streams)
            change.unchanged += LiveSubscriptions.distinct(named).map {
                SubscriptionChange.Stream(exchange: adapters[market].exchange, stream: $0.name)
            }.filter { !changed.contains("\($0.exchange) \($0.stream)") }
        }
        return change
    }

    private func report(_ difference: PlanDifference) -> SubscriptionChange {
        func named(_ streams: [PlanDifference.Stream]) -> [SubscriptionChange.Stream] {
            streams.map { .init(exchange: adapters[$0.market].exchange, stream: $0.name) }
        }
        var change = SubscriptionChange()
        change.added = named(difference.added)
        change.removed = named(difference.removed)
        change.newConnections = difference.newSlots.count
        change.changedConnections = difference.slots.count
        return change
    }

    private static func distinct(_ streams: [StreamPlan]) -> [StreamPlan] {
        var seen: Set<String> = []
        return streams.filter { seen.insert($0.name).inserted }
    }
}

extension SubscriptionChange {
    /// The change as lines of a log: `+ binance btcusdt@trade`. At most so many, the rest in one line.
    public func lines(limit: Int = 50) -> [String] {
        let all =
            removed.map { "- \($0.exchange) \($0.stream)" } + added.map { "+ \($0.exchange) \($0.stream)" }
        guard all.count > limit else { return all }
        return Array(all.prefix(limit)) + ["… and \(all.count - limit) more"]
    }
}
