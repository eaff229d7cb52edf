import ControlPlane
import ExchangeAdapter
import Parsing
import Wire

/// What befalls the virtual exchange, and what its users change.
extension Simulation {
    func fault(_ market: Int) {
        schedule(.fault, market, every: scenario.markets[market].faultNanos)
        let kind = random.pick(scenario.markets[market].faults)
        let victims = openConnections(of: market)
        let connection = victims.isEmpty ? nil : random.pick(victims)
        let host = random.pick(0...scenario.markets[market].hosts - 1)
        trace.add(
            TraceEntry(
                time: now, slot: -1,
                what: .fault(kind, "market \(market), connection \(connection ?? -1), host \(host)")))
        result.faults += 1
        switch kind {
        case .cut: connection.map { cut($0) }
        case .halfOpen: connection.map(breakHalf)
        case .stall: connection.map(stall)
        case .silentStream: connection.map { silence($0, isListed: true) }
        case .lostSubscription: connection.map { silence($0, isListed: false) }
        case .swallowedRequest: markets[market].toSwallow += random.pick(1...3)
        case .lostAnswer: markets[market].toLoseAnswer += random.pick(1...3)
        case .silentAfterAcknowledgement: markets[market].toSilence += 1
        case .shutdown: connection.map { announce($0, lead: shutdownLead()) }
        case .hostCut: for victim in victims where connections[victim].host == host { cut(victim) }
        case .hostShutdown:
            let lead = shutdownLead()
            for victim in victims where connections[victim].host == host { announce(victim, lead: lead) }
        case .refused: refuseUpgrades(market, host)
        case .unknownName: block(market, host, \.unknownUntil, for: random.spread(Time.second...Time.hour))
        case .hangingDials: block(market, host, \.hangsUntil, for: random.spread(Time.second...Time.hour))
        case .connectRefused: block(market, host, \.closedUntil, for: random.spread(Time.second...Time.hour))
        case .outage:
            let length = random.spread(Time.minute...6 * Time.hour)
            let isHanging = random.chance(perMille: 500)
            for host in markets[market].hosts.indices {
                block(market, host, isHanging ? \.hangsUntil : \.closedUntil, for: length)
            }
            for victim in victims { isHanging ? breakHalf(victim) : cut(victim) }
        }
    }

    /// Of the slots that faults may befall.
    private func openConnections(of market: Int) -> [Int] {
        var found: [Int] = []
        for slot in slots.indices where slots[slot].market == market {
            if scenario.markets[market].sparesSecondLeg, slots[slot].leg == 1 { continue }
            for side in 0..<LinkIndex.sides {
                let link = links[LinkIndex.link(slot: slot, side: side)]
                if link.phase == .open, connections[link.connection].isOpen { found.append(link.connection) }
            }
        }
        return found
    }

    private func breakHalf(_ connection: Int) {
        blame(connection, "is half open")
        connections[connection].isHalfOpen = true
        exchangeLoses(connection)
    }

    private func stall(_ connection: Int) {
        blame(connection, "stalls")
        connections[connection].isStalled = true
        connections[connection].subscriptions.forEach(owned)
        if random.chance(perMille: 700) {
            queue.add(now + random.spread(Time.minute...6 * Time.hour), .heal, connection)
        }
    }

    func heal(_ connection: Int) {
        connections[connection].isStalled = false
        connections[connection].subscriptions.forEach(owned)
    }

    private func silence(_ connection: Int, isListed: Bool) {
        guard !connections[connection].subscriptions.isEmpty else { return }
        let stream = random.pick(connections[connection].subscriptions)
        blame(connection, "falls silent on \(streams[stream].name)")
        connections[connection].silent.append(stream)
        if !isListed { connections[connection].unlisted.append(stream) }
        owned(stream)
    }

    private func shutdownLead() -> Int64 {
        random.pick([0, Time.second, 10 * Time.second, 10 * Time.minute, 30 * Time.minute])
    }

    private func announce(_ connection: Int, lead: Int64) {
        connections[connection].announcedAt = now
        queue.add(now + connections[connection].latency, .shutdownNotice, connection)
        queue.add(now + lead, .exchangeCut, connection)
    }

    private func refuseUpgrades(_ market: Int, _ host: Int) {
        let length = random.spread(Time.second...Time.hour)
        markets[market].hosts[host].refusesUntil = now + length
        markets[market].hosts[host].status = random.pick([429, 418, 403, 451, 503, 500, 404])
        markets[market].hosts[host].retryAfterNanos =
            random.chance(perMille: 500) ? random.spread(Time.second...2 * Time.hour) : nil
        trouble(market, until: now + length)
    }

    private func block(
        _ market: Int, _ host: Int, _ until: WritableKeyPath<VirtualHost, Int64>, for length: Int64
    ) {
        markets[market].hosts[host][keyPath: until] = now + length
        trouble(market, until: now + length)
    }

    // MARK: Excuses

    /// Something is wrong with a connection that is not the client's doing.
    func blame(_ connection: Int, _ why: @autoclosure () -> String) {
        note(connections[connection].link / LinkIndex.sides, "connection \(connection) \(why())")
        connections[connection].isFaulty = true
        trouble(connections[connection].market, until: now)
        excuse(connection)
    }

    func trouble(_ market: Int, until time: Int64) {
        markets[market].troubleUntil = max(markets[market].troubleUntil, time)
    }

    /// What no other connection carries may be missing.
    func excuse(_ connection: Int) {
        for stream in connections[connection].subscriptions {
            let isCarried = streams[stream].subscribers.contains {
                $0 != connection && carries($0, stream) && isHeard($0)
            }
            if !isCarried { streams[stream].excusedUntil = now + Time.minute }
        }
    }

    /// Whether the client reads the connection, or is about to.
    private func isHeard(_ connection: Int) -> Bool {
        let link = links[connections[connection].link]
        return link.connection == connection && link.phase == .open
    }

    // MARK: The user's doing

    func clockStep() {
        schedule(.clockStep, 0, every: scenario.clockStepNanos)
        let step = random.spread(Time.millisecond...Time.day)
        wallOffset += random.chance(perMille: 500) ? step : -step
    }

    /// Streams come and go.
    func change() {
        schedule(.change, 0, every: scenario.changeNanos)
        let market = random.pick(0...markets.count - 1)
        let known = streams.indices.filter { streams[$0].market == market }
        for _ in 0..<random.pick(1...4) {
            let stream = random.pick(known)
            streams[stream].isWanted ? want(stream, false) : want(stream, true)
        }
        if random.chance(perMille: 60) {
            addStream("m\(market)x\(streams.count)@wrong", market: market, route: "/r0", isWrong: true)
            streams[streams.count - 1].isWanted = true
        }
        replan()
    }

    private func want(_ stream: Int, _ isWanted: Bool) {
        streams[stream].isWanted = isWanted
        streams[stream].refusals = 0
        streams[stream].changedAt = now
        streams[stream].excusedUntil = max(streams[stream].excusedUntil, now + Time.minute)
        if !isWanted {
            lanes[streams[stream].lane].parser.forget(stream: stream)
            takeOutput(streams[stream].lane)
            checkLedger(stream, upTo: nil)
        }
        ledgers[stream] = Ledger()
        streams[stream].unownedSince = 0
        streams[stream].deadSince = 0
    }

    private func replan() {
        let new: FleetPlan
        do {
            new = try Planner.plan(
                scenario.markets.indices.map(plannerMarket), lanes: scenario.laneCount, previous: plan)
        } catch {
            return fail(.badAction, "no plan: \(error)")
        }
        let difference = PlanDifference(from: plan, to: new)
        plan = new
        for lane in plan.lanes.indices {
            adopt(lane)
            lanes[lane].parser.setLinks(ParserLink.table(of: plan.lanes[lane].slots, sides: LinkIndex.sides))
        }
        for slot in difference.newSlots { addSlot(slot.plan, lane: slot.lane) }
        for change in difference.slots {
            let slot = slotIndices[change.lane][change.slot]
            // Who changes a slot excuses that its streams are not there yet.
            trouble(slots[slot].market, until: now)
            let target = slots[slot].plan.target
            slots[slot].plan = plan.lanes[change.lane].slots[change.slot]
            if canary == .forgetsTarget { slots[slot].plan.target = target }
            let isEmptied = slots[slot].plan.streams.isEmpty && canary == .keepsEmptyConnections
            slots[slot].machine.change(
                add: change.add, remove: isEmptied ? Array(change.remove.dropLast()) : change.remove, now)
            perform(slot)
        }
    }
}
