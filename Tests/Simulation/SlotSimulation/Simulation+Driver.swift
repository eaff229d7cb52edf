import Wire

/// The part of the I/O thread: what happens is told to the machines, what they decide is done.
extension Simulation {
    // MARK: Time

    func timer(_ slot: Int) {
        slots[slot].timerAt = .max
        if slots[slot].machine.deadline <= now {
            trace.add(TraceEntry(time: now, slot: slot, what: .note("timer")))
            slots[slot].ticks += 1
            for side in 0..<LinkIndex.sides {
                slots[slot].machine.heard(side, at: links[LinkIndex.link(slot: slot, side: side)].lastBytes)
            }
            slots[slot].machine.wallOffset = wallOffset
            slots[slot].machine.tick(now)
        }
        perform(slot)
    }

    /// Performs what the machine decided, and sees to it that it is woken in time.
    func perform(_ slot: Int) {
        while !slots[slot].machine.actions.isEmpty, result.failure == nil {
            let actions = slots[slot].machine.actions
            slots[slot].machine.actions.removeAll(keepingCapacity: true)
            for action in actions {
                result.actions += 1
                slots[slot].actions += 1
                trace.add(TraceEntry(time: now, slot: slot, what: .action(action)))
                perform(action, slot)
            }
        }
        checkSockets(slot)
        if !slots[slot].machine.isHandingOver { slots[slot].handover = nil }
        let deadline = slots[slot].machine.deadline
        if deadline < slots[slot].timerAt {
            slots[slot].timerAt = max(deadline, now)
            queue.add(slots[slot].timerAt, .timer, slot)
        }
    }

    private func perform(_ action: SlotAction, _ slot: Int) {
        func link(_ side: Int) -> Int { LinkIndex.link(slot: slot, side: side) }
        switch action {
        case .open(let side, let generation, let endpoint):
            dial(link(side), generation, endpoint)
            if canary == .opensTwice { dial(link(1 - side), generation, endpoint) }
        case .send(let side, let request): send(link(side), request)
        case .pong(let side): sendPong(link(side))
        case .close(let side): close(link(side))
        case .drop(let side, _): drop(link(side))
        case .report(let report): hear(report, slot)
        }
    }

    // MARK: Opening

    private func dial(_ link: Int, _ generation: UInt32, _ endpoint: Int) {
        guard links[link].phase == .none else {
            return fail(.sockets, "link \(link) was to be opened while it is \(links[link].phase)")
        }
        let slot = slots[link / LinkIndex.sides]
        guard slot.plan.endpoints.indices.contains(endpoint) else {
            return fail(.badAction, "there is no endpoint \(endpoint)")
        }
        links[link] = VirtualLink(phase: .opening, generation: generation)
        // Hosts are numbered as in the market's list; a leg may have them in another order.
        let host =
            Int(slot.plan.endpoints[endpoint].host.dropFirst().prefix { $0 != "." }) ?? 0
        let index = attempts.count
        attempts.append(
            Attempt(link: link, generation: generation, host: host, target: slot.plan.target))
        let state = markets[slot.market].hosts[host]
        if now < state.unknownUntil {
            attempts[index].cause = .resolve
            queue.add(now + random.pick(0...5 * Time.second), .dialFailed, index)
        } else if now < state.hangsUntil {
            attempts[index].cause = .openTimeout
            queue.add(now + slot.plan.limits.openNanos, .dialFailed, index)
        } else if now < state.closedUntil {
            queue.add(now + 2 * state.latency, .dialFailed, index)
        } else {
            // Mostly a few round trips; now and then the name or the handshake takes its time.
            let delay =
                random.chance(perMille: 50)
                ? random.pick(0...slot.plan.limits.openNanos / 2) : 3 * state.latency
            queue.add(now + delay, .arrival, index)
        }
    }

    func dialFailed(_ index: Int) {
        let attempt = attempts[index]
        guard links[attempt.link].generation == attempt.generation, links[attempt.link].phase == .opening
        else { return }
        links[attempt.link].phase = .none
        if canary == .forgetsFailedDial { return }
        slots[attempt.link / LinkIndex.sides].machine.ended(
            attempt.link % LinkIndex.sides, generation: attempt.generation, attempt.cause,
            status: attempt.status, retryAfterNanos: attempt.retryAfterNanos, now)
        perform(attempt.link / LinkIndex.sides)
    }

    func opened(_ connection: Int) {
        let (link, generation) = (connections[connection].link, connections[connection].generation)
        guard links[link].generation == generation, links[link].phase == .opening else { return }
        links[link].phase = .open
        links[link].connection = connection
        links[link].lastBytes = now
        tellParser(link, isOpen: true)
        slots[link / LinkIndex.sides].machine.opened(link % LinkIndex.sides, generation: generation, now)
        if canary == .closesEarly, links[link ^ 1].phase == .open { close(link ^ 1) }
        perform(link / LinkIndex.sides)
    }

    // MARK: Sending

    private func send(_ link: Int, _ request: SlotRequest) {
        guard links[link].phase == .open else { return }
        let connection = links[link].connection
        let language = slots[link / LinkIndex.sides].plan.language
        if canary == .unsubscribesFirst, request.method == .repeated {
            var request = request
            request.method = .unsubscribe
            send(link, request)
        }
        let names = request.streams.map(\.name)
        let payload =
            switch request.method {
            case .subscribe, .repeated: language?.subscribe(names, id: request.id)
            case .unsubscribe: language?.unsubscribe(names, id: request.id)
            case .list: language?.list(id: request.id)
            }
        guard let payload else { return fail(.badAction, "a request that the exchange does not know") }
        connections[connection].requests.append(
            VirtualConnection.Request(request: request, bytes: payload.count + 8, sentAt: now))
        let place = connections[connection].requests.count - 1
        if !connections[connection].isHalfOpen {
            queue.add(now + connections[connection].latency, .request, connection, place)
        }
        if canary == .acknowledgesByItself, request.method != .list {
            queue.add(now + 2 * connections[connection].latency, .answerRead, connection, place)
        }
    }

    private func sendPong(_ link: Int) {
        guard links[link].phase == .open else { return }
        let connection = links[link].connection
        if !connections[connection].isHalfOpen {
            queue.add(now + connections[connection].latency, .pong, connection)
        }
    }

    // MARK: Ending

    private func close(_ link: Int) {
        guard links[link].phase == .open else { return }
        links[link].phase = .closing
        let connection = links[link].connection
        checkGivenUp(connection)
        if !connections[connection].isHalfOpen {
            queue.add(now + connections[connection].latency, .clientGone, connection)
        }
        queue.add(now + Time.second, .closeExpired, link, Int(links[link].generation))
    }

    func closeExpired(_ link: Int, _ generation: Int) {
        guard links[link].phase == .closing, links[link].generation == UInt32(truncatingIfNeeded: generation)
        else { return }
        tellEnded(link, .stopped)
    }

    private func drop(_ link: Int) {
        if links[link].phase == .open || links[link].phase == .closing {
            let connection = links[link].connection
            checkGivenUp(connection)
            if !connections[connection].isHalfOpen {
                queue.add(now + connections[connection].latency, .clientGone, connection)
            }
        }
        forget(link)
    }

    /// The socket is closed.
    private func forget(_ link: Int) {
        let wasOpen = links[link].phase == .open || links[link].phase == .closing
        links[link].phase = .none
        links[link].connection = -1
        if wasOpen { tellParser(link, isOpen: false) }
    }

    /// Where a generation begins and ends.
    private func tellParser(_ link: Int, isOpen: Bool) {
        let slot = slots[link / LinkIndex.sides]
        let inLane = LinkIndex.link(slot: slot.plan.slot, side: link % LinkIndex.sides)
        let generation = links[link].generation
        if isOpen {
            lanes[slot.lane].parser.opened(link: inLane, generation: generation)
        } else {
            lanes[slot.lane].parser.closed(link: inLane, generation: generation)
            takeOutput(slot.lane)
        }
    }

    /// The socket has ended.
    func ended(_ connection: Int) {
        let link = connections[connection].link
        guard links[link].connection == connection, links[link].phase != .none else { return }
        tellEnded(link, .ended)
    }

    private func tellEnded(_ link: Int, _ cause: ConnectionEnd) {
        let generation = links[link].generation
        forget(link)
        slots[link / LinkIndex.sides].machine.ended(
            link % LinkIndex.sides, generation: generation, cause, now)
        perform(link / LinkIndex.sides)
    }

    // MARK: Receiving

    /// Whether bytes on this connection still reach anybody.
    private func isRead(_ connection: Int) -> Bool {
        links[connections[connection].link].connection == connection
    }

    func ping(_ connection: Int) {
        guard connections[connection].isOpen, !connections[connection].isHalfOpen else { return }
        queue.add(
            now + scenario.markets[connections[connection].market].pingNanos, .ping, connection)
        guard isRead(connection) else { return }
        let link = connections[connection].link
        links[link].lastBytes = now
        slots[link / LinkIndex.sides].machine.pinged(
            link % LinkIndex.sides, generation: links[link].generation, now)
        perform(link / LinkIndex.sides)
    }

    func answer(_ connection: Int, _ place: Int) {
        guard isRead(connection) else { return }
        links[connections[connection].link].lastBytes = now
        // By way of the parser thread.
        queue.add(now + Time.millisecond, .answerRead, connection, place)
    }

    func answerRead(_ connection: Int, _ place: Int) {
        let link = connections[connection].link
        let (slot, side) = (link / LinkIndex.sides, link % LinkIndex.sides)
        let generation = connections[connection].generation
        let request = connections[connection].requests[place]
        let id = request.request.id
        connections[connection].requests[place].isAnswered = true
        if request.isRefused {
            slots[slot].machine.refused(side, generation: generation, id: request.tellsID ? id : nil, now)
        } else if request.request.method == .list {
            slots[slot].machine.listed(side, generation: generation, id: id, names: request.names, now)
        } else {
            slots[slot].machine.acknowledged(side, generation: generation, id: id, now)
        }
        perform(slot)
    }

    func shutdownNotice(_ connection: Int) {
        guard isRead(connection) else { return }
        let link = connections[connection].link
        links[link].lastBytes = now
        slots[link / LinkIndex.sides].machine.serverShutdown(
            link % LinkIndex.sides, generation: connections[connection].generation, now)
        perform(link / LinkIndex.sides)
    }

    /// `content`: stream and id.
    func payload(_ connection: Int, _ content: Int) {
        guard isRead(connection) else { return }
        let link = connections[connection].link
        links[link].lastBytes = now
        let slot = slots[link / LinkIndex.sides]
        let (stream, id) = (content >> 32, Int64(content & 0xFFFF_FFFF))
        // A lane's parser knows the streams of its lane.
        guard streams[stream].isWanted, streams[stream].lane == slot.lane else { return }
        payloads += 1
        lanes[slot.lane].parser.trade(
            stream: stream, laneID: streams[stream].id, trade: id,
            tradeTime: Simulation.epoch + streams[stream].time(of: id),
            link: LinkIndex.link(slot: slot.plan.slot, side: link % LinkIndex.sides),
            generation: connections[connection].generation, wall: now + wallOffset, now: now)
        if canary == .publishesTwice { deliver(stream, id) }
        takeOutput(slot.lane)
    }

    /// Events that wait for others go on.
    func settle(_ lane: Int) {
        lanes[lane].settleAt = .max
        lanes[lane].parser.settle(now: now)
        takeOutput(lane)
    }

    /// What came out of a lane's parser.
    func takeOutput(_ lane: Int) {
        lanes[lane].parser.take { output in
            switch output {
            case .trade(let stream, let id): deliver(stream, id)
            case .gap(let stream, let first, let last):
                result.reported += Int(last - first + 1)
                if canary != .hidesGaps { ledgers[stream].report(first, last) }
                checkGap(stream, first, last)
            }
        }
        if let deadline = lanes[lane].parser.deadline, deadline < lanes[lane].settleAt {
            lanes[lane].settleAt = max(deadline, now)
            queue.add(lanes[lane].settleAt, .settle, lane)
        }
    }

    private func deliver(_ stream: Int, _ id: Int64) {
        result.delivered += 1
        guard ledgers[stream].deliver(id) else { return fail(.twice, "\(streams[stream].name) \(id)") }
    }

    // MARK: Ending all

    func stopAll() {
        isEnding = true
        for slot in slots.indices {
            slots[slot].machine.stop(now)
            perform(slot)
        }
        let end = now + 10 * Time.second
        while result.failure == nil, let event = queue.take(), event.time <= end {
            now = event.time
            switch event.kind {
            case .timer: timer(event.a)
            case .closeExpired: closeExpired(event.a, event.b)
            case .dialFailed: dialFailed(event.a)
            case .opened: opened(event.a)
            default: break
            }
        }
        for slot in slots.indices where !slots[slot].machine.isStopped {
            fail(
                .notStopped, "slot \(slot) has \(slots[slot].machine.socketCount) sockets 10 s after its stop"
            )
        }
        for link in links where link.phase != .none { fail(.notStopped, "a socket is left over") }
    }
}
