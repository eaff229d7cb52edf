import Foundation
import Wire

/// A plan for programs. Durations are ns.
public struct PlanDocument: Encodable {
    struct Slot: Encodable {
        var slot: Int
        var shard: Int
        var leg: Int
        var exchange: String
        var target: String
        var endpoints: [String]
        var requests: Int
        var attemptNanos: Int64
        var subscribedNanos: Int64
        var streamCount: Int
        var streams: [String]?
    }
    struct Lane: Encodable {
        var lane: Int
        var slots: [Slot]
    }
    struct Exchange: Encodable {
        var exchange: String
        var streams: Int
        var connections: Int
        var legs: Int
        var topics: [String]
        var streamsPerConnection: Int
        var renewedAfterNanos: Int64
        var renewedWithinNanos: Int64
        var lifetimeNanos: Int64
        var renewedAt: String?
    }
    struct Budget: Encodable {
        var attempts: Int
        var attemptsPerWindow: Int
        var attemptWindowNanos: Int64
        var requests: Int
        var subscribedNanos: Int64
        var connections: Int
        var connectionsAtRollover: Int
        var connectionsAtWorst: Int
    }

    var collector: String
    var exchanges: [Exchange]
    var lanes: [Lane]
    var budget: Budget
    var warnings: [String]
    /// On Pub/Sub; absent for other sinks.
    var estimate: CostEstimate?

    /// `streams`: with the names of all streams. `estimate`: what it would cost on Pub/Sub.
    public init(
        _ configuration: Configuration, plan: FleetPlan, streams: Bool = false, estimate: CostEstimate? = nil
    ) {
        self.estimate = estimate
        let cost = PlanCost(plan)
        collector = configuration.collector.name
        exchanges = plan.markets.enumerated().map { index, market in
            Exchange(
                exchange: market.exchange, streams: market.streams.count,
                connections: plan.sockets(ofMarket: index), legs: market.legs,
                topics: configuration.topics(ofExchange: index),
                streamsPerConnection: market.limits.streamsPerConnection,
                renewedAfterNanos: market.limits.rolloverAfterNanos,
                renewedWithinNanos: market.limits.rolloverJitterNanos,
                lifetimeNanos: market.limits.lifetimeNanos,
                renewedAt: market.limits.rolloverWindow.map {
                    "\(PlanText.clock($0.begin))-\(PlanText.clock($0.end))"
                })
        }
        lanes = plan.lanes.enumerated().map { lane, content in
            Lane(
                lane: lane,
                slots: content.slots.filter { !$0.streams.isEmpty }.map { slot in
                    let share = cost.slots[lane][slot.slot]
                    return Slot(
                        slot: slot.slot, shard: slot.shard, leg: slot.leg,
                        exchange: plan.markets[slot.market].exchange, target: slot.target,
                        endpoints: slot.endpoints.map(\.description), requests: share.requests,
                        attemptNanos: share.attemptNanos, subscribedNanos: share.liveNanos,
                        streamCount: slot.streams.count, streams: streams ? slot.streams.map(\.name) : nil)
                })
        }
        budget = Budget(
            attempts: cost.attempts, attemptsPerWindow: cost.attemptsPerWindow,
            attemptWindowNanos: cost.attemptWindowNanos, requests: cost.requests,
            subscribedNanos: cost.liveNanos, connections: cost.sockets,
            connectionsAtRollover: cost.socketsAtRollover, connectionsAtWorst: cost.socketsAtWorst)
        warnings = PlanCheck.warnings(plan) + configuration.topicWarnings()
    }

    /// Indented JSON with sorted keys.
    public func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}
