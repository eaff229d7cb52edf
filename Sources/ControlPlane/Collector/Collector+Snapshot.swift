import Batching
import CKernel
import MarketData
import Publishing
import Rings
import Telemetry
import Wire

extension Collector {
    /// All figures of this moment. Any thread may ask.
    public func snapshot() -> CollectorSnapshot {
        var snapshot = CollectorSnapshot()
        snapshot.name = configuration.collector.name
        snapshot.version = ProductVersion.text
        snapshot.startTime = startTime
        snapshot.time = ck_realtime_nanos()
        let plan = live.fleet.plan
        snapshot.attempts = attemptCounts()
        for (market, exchange) in configuration.exchanges.enumerated() {
            snapshot.events += (EventKind.allCases.map(Optional.some) + [nil]).compactMap {
                eventCounts(market: market, exchange: exchange.exchange, kind: $0)
            }
            snapshot.markets.append(marketCounts(market: market, exchange: exchange, plan: plan))
        }
        // Of markets that are no longer configured there may be batches in the spool.
        snapshot.events += EventKind.allCases.compactMap {
            eventCounts(
                market: configuration.exchanges.count, exchange: Collector.otherExchange, kind: $0)
        }
        snapshot.queues = lanes.flatMap { [depth($0.frameRing), depth($0.eventRing)] } + [depth(batchRing)]
        snapshot.threads = threads.controls.map { control in
            CollectorSnapshot.ThreadCounts(
                name: control.name, cycles: control.cycleCount, busyCycles: control.busyCycleCount,
                busyNanos: control.busyNanos, stalls: control.stallCount,
                longestCycleNanos: control.longestCycleNanos,
                cpu: threads.cpu(of: control))
        }
        snapshot.latencies = EventKind.allCases.compactMap { latencies($0) }
        snapshot.stages = stages(closed: snapshot.latencies.map(\.internal))
        snapshot.publishing = publishingCounts()
        snapshot.spool = spoolCounts()
        snapshot.checkpointSeconds = checkpointSeconds(now: snapshot.time)
        let spoolProblem = spooling.monitor?.hindrance(now: snapshot.time)
        snapshot.lastError = spoolProblem ?? ledger.problem?.text
        snapshot.undelivered = ledger.isHealthy ? spoolProblem : ledger.problem?.text
        return snapshot
    }

    private func eventCounts(
        market: Int, exchange: String, kind: EventKind?
    ) -> CollectorSnapshot.EventCounts? {
        var counts = CollectorSnapshot.EventCounts(exchange: exchange, kind: kind)
        // What is published is read first: an event on its way is then in flight, never more than received.
        if let kind {
            counts.published = ledger.eventsPublished(market: market, kind: kind)
            counts.deadLettered = ledger.eventsDeadLettered(market: market, kind: kind)
            for policy in SpoolDrop.allCases {
                let dropped = ledger.eventsDropped(market: market, kind: kind, policy: policy)
                if dropped > 0 { counts.dropped[policy.rawValue] = dropped }
            }
            // Dead letters are frames, and counted where they were received.
            if kind != .deadLetter { counts.recovered = ledger.eventsRecovered(market: market, kind: kind) }
            counts.received = counts.recovered
        }
        for lane in lanes where market < configuration.exchanges.count {
            let lane = lane.counters.counts(kind, market: market)
            counts.received += lane.received
            counts.duplicates += lane.duplicates
            counts.deadLettered += lane.deadLettered
            counts.gaps += lane.gaps
            counts.gapsOpen += lane.gapsOpen
            for (state, ids) in [
                (GapState.repaired, lane.idsRepaired), (.absent, lane.idsAbsent), (.lost, lane.idsLost),
            ] where ids > 0 { counts.gapIDs[state.name, default: 0] += ids }
        }
        guard counts.received > 0 else { return nil }
        counts.inFlight =
            counts.received - counts.published - counts.duplicates - counts.deadLettered - counts.droppedTotal
        return counts
    }

    private func marketCounts(
        market: Int, exchange: Configuration.Exchange, plan: FleetPlan
    ) -> CollectorSnapshot.MarketCounts {
        var counts = CollectorSnapshot.MarketCounts(exchange: exchange.exchange)
        counts.streams = plan.markets[market].streams.count
        counts.slots = slotCounts(market: market, plan: plan)
        for (index, lane) in lanes.enumerated() {
            counts.ignoredFrames += lane.counters.counts(nil, market: market).ignored
            for plan in plan.lanes[index].slots where plan.market == market {
                let slot = plan.slot
                counts.frames += lane.wireMonitor.frameCount(ofSlot: slot)
                counts.bytes += lane.wireMonitor.byteCount(ofSlot: slot)
                if !plan.streams.isEmpty {
                    let state = lane.wireMonitor.state(ofSlot: slot)
                    counts.connections[state == .live ? "open" : state.name, default: 0] += 1
                }
                for end in ConnectionEnd.allCases where end != .stopped {
                    let ends = lane.wireMonitor.reconnectCount(end, ofSlot: slot)
                    if ends > 0 { counts.reconnects[end.name, default: 0] += ends }
                    let attempts = lane.wireMonitor.failedAttemptCount(end, ofSlot: slot)
                    if attempts > 0 { counts.failedAttempts[end.name, default: 0] += attempts }
                }
            }
        }
        return counts
    }

    private func depth(_ ring: RingStorage) -> CollectorSnapshot.QueueDepth {
        CollectorSnapshot.QueueDepth(
            name: ring.name, records: ring.recordCount, bytes: ring.bytesUsed, capacity: ring.capacity)
    }

    private func latencies(_ kind: EventKind) -> CollectorSnapshot.LatencyCounts? {
        let inside = batchMonitor.internalLatency[Int(kind.rawValue)].snapshot()
        guard inside.count > 0 else { return nil }
        return CollectorSnapshot.LatencyCounts(
            exchange: configuration.exchanges.count == 1 ? configuration.exchanges[0].exchange : nil,
            kind: kind,
            internal: inside, publish: ledger.latency(kind: kind),
            feed: batchMonitor.feedLatency[Int(kind.rawValue)].snapshot(),
            endToEnd: batchMonitor.endToEndLatency[Int(kind.rawValue)].snapshot())
    }

    private func stages(closed: [LatencySnapshot]) -> [CollectorSnapshot.StageLatency] {
        func merged(_ parts: [LatencySnapshot]) -> LatencySnapshot {
            parts.reduce(into: LatencySnapshot()) { $0.merge($1) }
        }
        return [
            .init(stage: "read", latency: merged(lanes.map { $0.wireMonitor.readLatency.snapshot() })),
            .init(stage: "parsed", latency: merged(lanes.map { $0.counters.parsedLatency.snapshot() })),
            .init(stage: "batched", latency: batchMonitor.batchedLatency.snapshot()),
            .init(stage: "closed", latency: merged(closed)),
        ]
    }

    private func publishingCounts() -> CollectorSnapshot.PublishingCounts {
        var counts = CollectorSnapshot.PublishingCounts()
        counts.sink = configuration.sink.type.rawValue
        counts.batches = ledger.total(.batchesPublished)
        counts.rawBytes = ledger.total(.rawBytesPublished)
        counts.compressedBytes = ledger.total(.bytesPublished)
        for code in PublishCode.allCases where ledger.requests(code) > 0 {
            counts.requests[code.name] = ledger.requests(code)
        }
        counts.retries = ledger.total(.retries)
        counts.billedBytes = ledger.total(.billedBytes)
        counts.dollarsPerDay = PublishPrice.dollars(
            bytes: billedRate.note(counts.billedBytes, now: ck_monotonic_nanos()) * 86_400)
        counts.connections = ledger.total(.connectionsOpen)
        counts.reconnects = ledger.total(.reconnects)
        counts.topicsPending = ledger.total(.topicsPending)
        counts.keysPaused = ledger.total(.keysPaused)
        counts.paused = ledger.paused.map {
            CollectorSnapshot.PausedKey(
                topic: $0.topic, orderingKey: $0.orderingKey, since: $0.since, reason: $0.reason,
                batches: $0.batches, bytes: $0.bytes)
        }
        return counts
    }
}
