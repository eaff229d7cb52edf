import CKernel
import Telemetry
import Wire

/// What the connection slots have done, in numbers.
extension Collector {
    /// Silent streams that are named; the others are counted.
    private static let namedStreams = 20

    /// Of one market.
    func slotCounts(market: Int, plan: FleetPlan) -> CollectorSnapshot.SlotCounts {
        var counts = CollectorSnapshot.SlotCounts()
        for (index, lane) in lanes.enumerated() {
            let all = plan.lanes[index].slots.filter { $0.market == market }
            // A slot without streams has no connection, but for the moment of its closing.
            let slots = all.filter { !$0.streams.isEmpty }
            counts.planned += slots.count
            let open = Set(slots.filter { lane.wireMonitor.state(ofSlot: $0.slot) == .live }.map(\.shard))
            counts.shards += Set(slots.map(\.shard)).count
            counts.shardsOpen += open.count
            for slot in all {
                counts.sockets += lane.wireMonitor.socketCount(ofSlot: slot.slot)
                counts.add(lane.wireMonitor.activity(ofSlot: slot.slot))
            }
        }
        if plan.markets[market].legs > 1 { counts.legs = legCounts(market: market) }
        addStreams(to: &counts, market: market, plan: plan)
        return counts
    }

    private func legCounts(market: Int) -> [CollectorSnapshot.LegCounts] {
        (0..<plan.markets[market].legs).map { leg in
            var counts = CollectorSnapshot.LegCounts(leg: leg, won: 0, lost: 0, lead: .init())
            for lane in lanes {
                counts.won += lane.legs.won(leg: leg, market: market)
                counts.lost += lane.legs.lost(leg: leg, market: market)
                counts.lead.merge(lane.legs.lead(leg: leg, market: market))
            }
            return counts
        }
    }

    private func addStreams(to counts: inout CollectorSnapshot.SlotCounts, market: Int, plan: FleetPlan) {
        eachStream(of: plan, market: market) { look in
            counts.streams[look.state.rawValue, default: 0] += 1
            if look.state == .silent, counts.silentStreams.count < Collector.namedStreams {
                counts.silentStreams.append(look.stream.name)
            }
            if look.state == .delivering, let nanos = look.lastNanosAgo, nanos > counts.quietestNanos {
                counts.quietestNanos = nanos
                counts.quietestStream = look.stream.name
            }
        }
    }

    /// All budgets together.
    func attemptCounts() -> CollectorSnapshot.AttemptCounts? {
        var distinct: [AttemptBudget] = []
        for budget in budgets where !distinct.contains(where: { $0 === budget }) { distinct.append(budget) }
        guard let first = distinct.first else { return nil }
        let now = ck_monotonic_nanos()
        return CollectorSnapshot.AttemptCounts(
            used: distinct.reduce(0) { $0 + $1.used(now) }, limit: distinct.reduce(0) { $0 + $1.perWindow },
            windowNanos: first.windowNanos)
    }
}

extension CollectorSnapshot.SlotCounts {
    fileprivate mutating func add(_ activity: SlotActivity) {
        for (reason, count) in [
            (HandoverReason.rollover, activity.rollovers),
            (.serverShutdown, activity.shutdownHandovers), (.move, activity.moves),
        ] where count > 0 { handovers[reason.name, default: 0] += count }
        handoversFailed += activity.handoversFailed
        promotions += activity.promotions
        probes += activity.probes
        suspects += activity.suspects
        resubscriptions += activity.resubscriptions
        revivals += activity.revivals
        refusedStreams += activity.refusedStreams
    }
}
