import Wire

/// What cannot work, as sentences with a remedy.
enum PlanCheck {
    /// Before planning: names and endpoints.
    static func names(_ markets: [PlannerMarket]) -> [PlanError.Problem] {
        var problems: [PlanError.Problem] = []
        for (index, market) in markets.enumerated() {
            if market.endpoints.isEmpty {
                problems.append(.init(market: index, text: "\(market.exchange) has no endpoint; name one"))
            }
            for stream in market.streams
            where RequestPacking.isTooLong(stream.name, language: market.language, limits: market.limits) {
                problems.append(
                    .init(
                        market: index,
                        text: "the request for \(stream.name.prefix(80)) alone has more than the"
                            + " \(market.limits.requestBytes) bytes that \(market.exchange) takes; leave the"
                            + " stream out"))
            }
        }
        return problems
    }

    /// Of a plan: what would never come to rest.
    static func costs(_ plan: FleetPlan) -> [PlanError.Problem] {
        var problems: [PlanError.Problem] = []
        // Attempts that renewing all connections takes, as a share of the budget.
        var share = 0.0
        for (index, market) in plan.markets.enumerated() {
            let sockets = plan.sockets(ofMarket: index)
            let limits = market.limits
            guard sockets > 0, limits.rolloverAfterNanos > 0 else { continue }
            let requests =
                plan.lanes.flatMap(\.slots).filter { $0.market == index }.map(PlanCost.requests).max()
                ?? 0
            let earliest = max(1, limits.rolloverAfterNanos - limits.rolloverJitterNanos)
            let paced = Int64(max(0, requests - 1)) * limits.frameSpacingNanos
            if paced >= earliest {
                problems.append(
                    .init(
                        market: index,
                        text: "\(market.exchange): a connection's \(requests) requests take"
                            + " \(HumanText.span(paced)), and it is replaced after"
                            + " \(HumanText.span(earliest)); lower streamsPerConnection or raise"
                            + " rollover.after"))
            }
            let period = limits.rolloverWindow == nil ? earliest : PlanCost.spread(limits)
            let windows = Double(period) / Double(max(1, limits.attemptWindowNanos))
            share += Double(sockets) / (windows * Double(max(1, limits.attemptsPerWindow)))
        }
        if share > 1 {
            let budget = plan.markets.first?.limits ?? ConnectionLimits()
            problems.append(
                .init(
                    text:
                        "renewing \(HumanText.plural(plan.sockets(), "connection")) takes \(HumanText.fixed(share)) times the budget of"
                        + " \(budget.attemptsPerWindow) attempts in"
                        + " \(HumanText.span(budget.attemptWindowNanos)); widen rollover.at, raise"
                        + " rollover.after, or run several collectors behind addresses of their own"))
        }
        return problems
    }

    /// What works and yet should be known.
    static func warnings(_ plan: FleetPlan) -> [String] {
        var warnings: [String] = []
        for market in plan.markets where market.sharesHost {
            warnings.append(
                "\(market.exchange): both legs connect to \(market.endpoints.first?.host ?? "one host"), so that its"
                    + " failure ends both; name endpoints of two hosts: endpoint: [wss://a, wss://b]")
        }
        let idle = plan.lanes.indices.filter { lane in plan.lanes[lane].slots.allSatisfy(\.streams.isEmpty) }
        if !idle.isEmpty, plan.lanes.count > 1 {
            warnings.append(
                "lane \(idle.map(String.init).joined(separator: ", ")) would have nothing to do: there are fewer"
                    + " instruments than lanes; lower collector.lanes")
        }
        let cost = PlanCost(plan)
        if cost.sockets > cost.attemptsPerWindow {
            warnings.append(
                "\(cost.sockets) connections are more than the \(cost.attemptsPerWindow) attempts of"
                    + " \(HumanText.span(cost.attemptWindowNanos)): the last ones open"
                    + " \(HumanText.span(cost.liveNanos)) after the start")
        }
        return warnings
    }
}
