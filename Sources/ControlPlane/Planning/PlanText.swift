import Wire

/// A plan for people.
public struct PlanText {
    private var lines: [String] = []
    private let configuration: Configuration
    private let plan: FleetPlan
    private let cost: PlanCost

    /// Some lines without a newline at the end. `streams`: with the names of all streams.
    /// `cost`: what it would cost on Pub/Sub; nil: nothing is said of it.
    public static func render(
        _ configuration: Configuration, plan: FleetPlan, streams: Bool = false, cost: CostEstimate? = nil
    ) -> String {
        var text = PlanText(configuration: configuration, plan: plan)
        text.head()
        for market in plan.markets.indices { text.market(market, streams: streams) }
        text.budget()
        if let cost { text.lines += CostText.render(cost) }
        return text.lines.joined(separator: "\n")
    }

    private init(configuration: Configuration, plan: FleetPlan) {
        self.configuration = configuration
        self.plan = plan
        cost = PlanCost(plan)
    }

    private mutating func entry(_ key: String, _ value: String) {
        lines.append("  " + key + String(repeating: " ", count: max(1, 12 - key.count)) + value)
    }

    private mutating func head() {
        let streams = plan.markets.reduce(0) { $0 + $1.streams.count }
        lines.append(
            "collector \(configuration.collector.name): \(HumanText.plural(streams, "stream")) over"
                + " \(HumanText.plural(cost.sockets, "connection")) in \(HumanText.plural(plan.lanes.count, "lane"))"
        )
    }

    private mutating func market(_ index: Int, streams: Bool) {
        let market = plan.markets[index]
        let shards = plan.lanes.reduce(0) { sum, lane in
            sum + Set(lane.slots.filter { $0.market == index }.map(\.shard)).count
        }
        lines += [
            "",
            "exchange \(market.exchange): \(HumanText.plural(market.streams.count, "stream")) in"
                + " \(HumanText.plural(shards, "shard"))"
                + (market.legs > 1 ? ", each over \(market.legs) connections (legs)" : ""),
        ]
        for leg in 0..<market.legs {
            let hosts = market.endpoints(ofLeg: leg).map(\.description)
            entry(
                market.legs > 1 ? "leg \(leg)" : "host",
                (hosts.first ?? "none")
                    + (hosts.count > 1 ? ", else \(hosts.dropFirst().joined(separator: ", "))" : ""))
        }
        entry("limits", limits(market.limits))
        entry("renewed", renewal(market.limits))
        let topics = configuration.topics(ofExchange: index)
        if !topics.isEmpty {
            let some = topics.prefix(3).joined(separator: ", ")
            entry("topics", "\(HumanText.count(topics.count)): \(some)\(topics.count > 3 ? ", …" : "")")
        }
        lines.append("")
        var rows = [
            ["lane", "slot", "shard", "leg", "target", "host", "streams", "requests", "subscribed after"]
        ]
        for (lane, content) in plan.lanes.enumerated() {
            for slot in content.slots where slot.market == index && !slot.streams.isEmpty {
                let cost = cost.slots[lane][slot.slot]
                rows.append([
                    "\(lane)", "\(slot.slot)", "\(slot.shard)", "\(slot.leg)", slot.target,
                    "\(slot.endpoint.host):\(slot.endpoint.port)", HumanText.count(slot.streams.count),
                    HumanText.count(cost.requests), HumanText.span(cost.liveNanos),
                ])
            }
        }
        lines += HumanText.table(rows, names: 6).map { "  " + $0 }
        if streams { names(ofMarket: index) }
    }

    private mutating func names(ofMarket index: Int) {
        for (lane, content) in plan.lanes.enumerated() {
            // Both legs carry the same.
            for slot in content.slots where slot.market == index && slot.leg == 0 && !slot.streams.isEmpty {
                lines += ["", "  lane \(lane), shard \(slot.shard):"]
                lines += slot.streams.map { "    \($0.id)  \($0.name)" }
            }
        }
    }

    private func limits(_ limits: ConnectionLimits) -> String {
        "\(HumanText.count(limits.streamsPerConnection)) streams a connection; a request every"
            + " \(HumanText.span(limits.frameSpacingNanos)) with at most \(limits.namesPerRequest) names and"
            + " \(HumanText.count(limits.requestBytes)) bytes"
    }

    private func renewal(_ limits: ConnectionLimits) -> String {
        guard limits.rolloverAfterNanos > 0 else {
            return "never: the exchange ends each connection at \(HumanText.span(limits.lifetimeNanos))"
        }
        let earliest = limits.rolloverAfterNanos - limits.rolloverJitterNanos
        var text =
            "at an age of \(HumanText.span(earliest)) to \(HumanText.span(limits.rolloverAfterNanos)), the"
            + " exchange's end being at \(HumanText.span(limits.lifetimeNanos))"
        if let window = limits.rolloverWindow {
            text +=
                "; between \(PlanText.clock(window.begin)) and \(PlanText.clock(window.end)) UTC where age allows"
        }
        return text
    }

    /// `03:00`.
    static func clock(_ second: Int) -> String {
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(two(second / 3_600)):\(two(second / 60 % 60))"
    }

    private mutating func budget() {
        lines += ["", "all together"]
        entry(
            "start",
            "\(HumanText.plural(cost.requests, "subscribe request")), all sent"
                + " \(HumanText.span(cost.liveNanos)) after the connections open")
        entry(
            "attempts",
            "\(HumanText.count(cost.attempts)) of \(HumanText.count(cost.attemptsPerWindow)) in"
                + " \(HumanText.span(cost.attemptWindowNanos)) at the start; as many to renew all connections"
        )
        entry(
            "sockets",
            "\(HumanText.count(cost.sockets)); about \(HumanText.count(cost.socketsAtRollover)) while connections are"
                + " renewed in their turn, \(HumanText.count(cost.socketsAtWorst)) when all must be at once")
    }
}
