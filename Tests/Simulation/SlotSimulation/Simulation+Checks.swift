import Wire

/// What must always hold.
extension Simulation {
    /// Wake-ups and actions of a slot in an hour that are no livelock: a dial a second at the most, and the looks at a
    /// successor, at last one a second, for as long as it may take.
    private static let actionsInAnHour = 3_000
    private static let ticksInAnHour = 30_000

    // MARK: Reports

    func hear(_ report: SlotReport, _ slot: Int) {
        switch report {
        case .handoverBegan(let reason):
            slots[slot].handover = reason
            if reason != .serverShutdown { checkLegs(slot) }
        case .handedOver: result.handovers += 1
        case .refusesStream(let name):
            if let stream = streamIndex[name], !streams[stream].isWrong {
                fail(.refusedInnocent, "slot \(slot) gave up \(name)")
            }
        default: break
        }
    }

    private func checkLegs(_ slot: Int) {
        for other in slots.indices
        where other != slot && slots[other].lane == slots[slot].lane
            && slots[other].shard == slots[slot].shard
            && slots[other].machine.isHandingOver
        {
            if let reason = slots[other].handover, reason != .serverShutdown {
                fail(.legsTogether, "slots \(slot) and \(other) hand over both")
            }
        }
    }

    // MARK: Sockets

    func checkSockets(_ slot: Int) {
        let one = links[LinkIndex.link(slot: slot, side: 0)].phase
        let other = links[LinkIndex.link(slot: slot, side: 1)].phase
        guard one != .none, other != .none, one != .closing, other != .closing else { return }
        if !slots[slot].machine.isHandingOver {
            fail(.sockets, "slot \(slot) has two sockets and hands nothing over")
        }
    }

    /// The client closes or drops a connection.
    func checkGivenUp(_ connection: Int) {
        guard !isEnding else { return }
        guard !connections[connection].isFaulty, connections[connection].isOpen else {
            return excuse(connection)
        }
        for stream in connections[connection].subscriptions where streams[stream].isWanted {
            if !streams[stream].subscribers.contains(where: { $0 != connection && connections[$0].isOpen }) {
                return fail(
                    .gaveUpWorking, "connection \(connection), the only one with \(streams[stream].name)")
            }
        }
    }

    /// The client gives a stream up.
    func checkUnsubscribed(_ stream: Int) {
        // Who wants a stream back in the same breath may be too late.
        guard streams[stream].isWanted, now - streams[stream].changedAt > Time.minute else { return }
        fail(.gaveUpWorking, "\(streams[stream].name) is unsubscribed though it is wanted")
    }

    /// The exchange ends a connection whose end was known long before: nothing may have been in the way of replacing
    /// it.
    func checkWarning(_ connection: Int, isForAge: Bool) {
        let known = isForAge ? now - Time.hour : connections[connection].announcedAt
        let link = connections[connection].link
        guard known > 0, now - known >= 10 * Time.minute,
            markets[connections[connection].market].troubleUntil < known,
            links[link].connection == connection, links[link].phase == .open
        else { return }
        fail(.notReplaced, "connection \(connection) ended as announced, and was not replaced before")
    }

    // MARK: Streams

    /// Connections of the stream's lane that carry it.
    func owners(_ stream: Int) -> Int {
        streams[stream].subscribers.count {
            slots[connections[$0].link / LinkIndex.sides].lane == streams[stream].lane
        }
    }

    /// Who carries the stream has changed.
    func owned(_ stream: Int) {
        guard streams[stream].isWanted, !streams[stream].isWrong else { return }
        guard owners(stream) > 0 else {
            if streams[stream].unownedSince == 0 { streams[stream].unownedSince = now }
            streams[stream].deadSince = 0
            return
        }
        if streams[stream].unownedSince > 0 {
            checkUnowned(stream)
            streams[stream].unownedSince = 0
            streams[stream].excusedUntil = max(streams[stream].excusedUntil, now + Time.second)
        }
        if streams[stream].subscribers.contains(where: { carries($0, stream) }) {
            if streams[stream].deadSince > 0 {
                streams[stream].excusedUntil = max(streams[stream].excusedUntil, now + Time.second)
            }
            streams[stream].deadSince = 0
        } else {
            // Whatever has changed was a fault, or a new connection: time counts anew.
            streams[stream].deadSince = now
        }
    }

    /// How long a stream may be on no connection once nothing is in the way: until the silence of a connection that is
    /// half open is noticed, and what was waited for is over.
    private func unownedBound(_ market: Int) -> Int64 {
        let limits = scenario.markets[market].limits
        return limits.silenceNanos + limits.refusedNanos + limits.backoffLastNanos
            + 3 * (limits.openNanos + limits.acknowledgementNanos) + limits.attemptWindowNanos
            + limits.openNanos + 2 * Time.minute
    }

    private func checkUnowned(_ stream: Int) {
        let market = streams[stream].market
        let since = max(streams[stream].unownedSince, markets[market].troubleUntil)
        guard now - since > unownedBound(market) else { return }
        fail(.unowned, "\(streams[stream].name) has been on no connection since \(Trace.clock(since))")
    }

    /// A stream that is silent and cannot be told from a quiet one is found at the latest when its connection is
    /// replaced for its age.
    private func checkDead(_ stream: Int) {
        let market = streams[stream].market
        let bound = scenario.markets[market].limits.lifetimeNanos + Time.hour + unownedBound(market)
        guard now - streams[stream].deadSince > bound else { return }
        fail(
            .dead,
            "\(streams[stream].name) is carried and has not come since \(Trace.clock(streams[stream].deadSince))"
        )
    }

    /// Ids are reported missing.
    func checkGap(_ stream: Int, _ first: Int64, _ last: Int64) {
        guard streams[stream].excusedUntil < Simulation.start + streams[stream].time(of: first) else {
            return
        }
        fail(
            .needlessGap,
            "\(streams[stream].name) \(first) … \(last) did not come, and nothing was in the way")
    }

    /// Nothing has disappeared. `last`: up to this id something must be known; nil: up to the last that came.
    func checkLedger(_ stream: Int, upTo last: Int64?) {
        guard let id = ledgers[stream].firstUnknown(upTo: last ?? 0) else { return }
        if last == nil, !ledgers[stream].hasBegun { return }
        fail(.lost, "\(streams[stream].name) \(id) was neither delivered nor reported")
    }

    // MARK: Every hour

    func checkAll() {
        for stream in streams.indices where streams[stream].isWanted && !streams[stream].isWrong {
            if streams[stream].unownedSince > 0 { checkUnowned(stream) }
            if streams[stream].deadSince > 0 { checkDead(stream) }
        }
        for slot in slots.indices {
            if slots[slot].actions > Simulation.actionsInAnHour
                || slots[slot].ticks > Simulation.ticksInAnHour
            {
                fail(
                    .livelock,
                    "slot \(slot): \(slots[slot].actions) actions and \(slots[slot].ticks) wake-ups in an hour"
                )
            }
            if slots[slot].plan.streams.isEmpty, slots[slot].machine.state != .idle {
                fail(.emptyConnection, "slot \(slot) has no stream and is \(slots[slot].machine.state)")
            }
            slots[slot].actions = 0
            slots[slot].ticks = 0
            for side in 0..<LinkIndex.sides { checkAnswers(LinkIndex.link(slot: slot, side: side)) }
        }
    }

    private func checkAnswers(_ link: Int) {
        guard links[link].phase == .open else { return }
        let connection = links[link].connection
        let limits = slots[link / LinkIndex.sides].plan.limits
        // A connection that brings data is replaced before it is given up, and of one that lists nothing no more is asked.
        let isLive = slots[link / LinkIndex.sides].machine.state == .live
        let market = connections[connection].market
        let bound =
            isLive
            ? unownedBound(market) : max(limits.acknowledgementNanos, limits.probeAnswerNanos) + Time.second
        while connections[connection].firstUnanswered < connections[connection].requests.count {
            let request = connections[connection].requests[connections[connection].firstUnanswered]
            let changesNothing = request.request.method == .list || request.request.method == .repeated
            guard request.isAnswered || (isLive && changesNothing) else {
                if now - max(request.sentAt, isLive ? markets[market].troubleUntil : 0) > bound {
                    fail(.unanswered, "request \(request.request.id) on connection \(connection)")
                }
                return
            }
            connections[connection].firstUnanswered += 1
        }
    }

    // MARK: At the end

    /// All faults are long past: everything is as it was asked for.
    func checkEnd() {
        checkAll()
        for stream in streams.indices where streams[stream].isWanted && !streams[stream].isWrong {
            if streams[stream].unownedSince > 0 || streams[stream].deadSince > 0 {
                return fail(.notRestored, "\(streams[stream].name) is not carried")
            }
            // The newest trade that must have come.
            let last = streams[stream].nextID - 1
            let time = Simulation.start + streams[stream].time(of: last)
            if time < now - Time.minute, time > now - 9 * Time.hour { checkLedger(stream, upTo: last) }
        }
        for slot in slots.indices where !slots[slot].plan.streams.isEmpty {
            let machine = slots[slot].machine
            guard machine.state == .live else {
                return fail(.notRestored, "slot \(slot) is \(machine.state)")
            }
            if !machine.isHandingOver { checkSubscriptions(slot) }
        }
    }

    private func checkSubscriptions(_ slot: Int) {
        let wanted = Set(
            slots[slot].plan.streams.map(\.name).filter { name in
                streamIndex[name].map { !streams[$0].isWrong } ?? false
            })
        for side in 0..<LinkIndex.sides {
            let link = links[LinkIndex.link(slot: slot, side: side)]
            guard link.phase == .open, connections[link.connection].requests.last?.isAnswered ?? true else {
                continue
            }
            let held = Set(connections[link.connection].subscriptions.map { streams[$0].name })
            if held != wanted {
                fail(.notRestored, "slot \(slot) holds \(held.sorted()) and should hold \(wanted.sorted())")
            }
        }
    }
}
