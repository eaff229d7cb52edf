import Wire

/// The part of the exchange: it enforces its limits, and answers as the real one does.
extension Simulation {
    // MARK: Upgrades

    func arrive(_ index: Int) {
        let attempt = attempts[index]
        let slot = slots[attempt.link / LinkIndex.sides]
        let market = slot.market
        let limits = scenario.markets[market].limits
        markets[market].attempts.removeAll { now - $0 >= limits.attemptWindowNanos }
        markets[market].attempts.append(now)
        guard markets[market].attempts.count <= limits.attemptsPerWindow else {
            return fail(
                .attemptRate,
                "\(markets[market].attempts.count) attempts at market \(market) within \(limits.attemptWindowNanos / Time.second) s"
            )
        }
        let host = markets[market].hosts[attempt.host]
        guard now >= host.refusesUntil else {
            attempts[index].cause = .upgrade
            attempts[index].status = host.status
            attempts[index].retryAfterNanos = host.retryAfterNanos
            // Whoever is told to wait is excused for as long.
            trouble(market, until: now + max(host.retryAfterNanos ?? 0, limits.refusedNanos))
            queue.add(now + host.latency, .dialFailed, index)
            return
        }
        guard links[attempt.link].generation == attempt.generation, links[attempt.link].phase == .opening
        else { return }
        let connection = connections.count
        connections.append(
            VirtualConnection(
                link: attempt.link, generation: attempt.generation, market: market, host: attempt.host,
                target: attempt.target, latency: host.latency, openedAt: now))
        queue.add(now + host.latency, .opened, connection)
        queue.add(now + limits.lifetimeNanos, .exchangeCut, connection, 1)
        queue.add(
            now + host.latency + random.pick(1...scenario.markets[market].pingNanos), .ping, connection)
    }

    // MARK: Requests

    /// Counts a message against the connection's limit. False where the connection is not there to hear it.
    @discardableResult func messageArrived(_ connection: Int) -> Bool {
        guard connections[connection].isOpen else { return false }
        connections[connection].messages.removeAll { now - $0 >= Time.second }
        connections[connection].messages.append(now)
        let most = scenario.markets[connections[connection].market].messagesPerSecond
        if connections[connection].messages.count > most {
            fail(.messageRate, "connection \(connection) sent more than \(most) messages in a second")
        }
        return true
    }

    func requestArrived(_ connection: Int, _ place: Int) {
        guard messageArrived(connection), !connections[connection].isBroken else { return }
        let market = connections[connection].market
        let request = connections[connection].requests[place]
        if now >= Simulation.start + scenario.faultsUntil { disarm(market) }
        let most = scenario.markets[market].requestBytesMax
        guard request.bytes <= most else {
            return fail(.requestSize, "a request of \(request.bytes) bytes; \(most) are the most")
        }
        let names = request.request.streams.map(\.name)
        if markets[market].toSwallow > 0, request.request.method != .list {
            markets[market].toSwallow -= 1
            return blame(connection, "does not hear request \(request.request.id)")
        }
        for name in names {
            if let stream = streamIndex[name], !streams[stream].isWrong { continue }
            return refuse(connection, place, name)
        }
        switch request.request.method {
        case .repeated: repeated(connection, place)
        case .subscribe:
            var isSilent = false
            if markets[market].toSilence > 0 {
                markets[market].toSilence -= 1
                isSilent = true
                blame(connection, "acknowledges request \(request.request.id) in vain")
            }
            for name in names {
                guard let stream = streamIndex[name] else { continue }
                subscribe(connection, stream, isSilent: isSilent)
            }
            let limit = scenario.markets[market].limits.streamsPerConnection
            if connections[connection].subscriptions.count > limit {
                return fail(
                    .streamsPerConnection,
                    "\(connections[connection].subscriptions.count) streams; \(limit) are the most")
            }
        case .unsubscribe:
            for name in names {
                guard let stream = streamIndex[name] else { continue }
                checkUnsubscribed(stream)
                unsubscribe(connection, stream)
            }
        case .list:
            let unlisted = connections[connection].unlisted
            connections[connection].requests[place].names = connections[connection].subscriptions
                .filter { !unlisted.contains($0) }.map { streams[$0].name }
        }
        guard !connections[connection].isBroken else { return }
        if markets[market].toLoseAnswer > 0, request.request.method != .list {
            markets[market].toLoseAnswer -= 1
            return blame(connection, "does not answer request \(request.request.id)")
        }
        if canary == .acknowledgesByItself, request.request.method != .list { return }
        queue.add(now + connections[connection].latency, .answer, connection, place)
    }

    /// Asked for once more, as far as the client knows.
    private func repeated(_ connection: Int, _ place: Int) {
        let market = scenario.markets[connections[connection].market]
        let request = connections[connection].requests[place].request
        let asked = request.streams.compactMap { streamIndex[$0.name] }
        let held = asked.filter { connections[connection].subscriptions.contains($0) }
        if market.refusesRepeats, let first = held.first {
            let slot = connections[connection].link / LinkIndex.sides
            slots[slot].refusedRepeats += 1
            // The first of several that are not answered may not be told from the others.
            guard slots[slot].refusedRepeats <= 10 else {
                return fail(.livelock, "slot \(slot) repeats what was refused: \(streams[first].name)")
            }
            return refuse(connection, place, streams[first].name)
        }
        if market.countsRepeats {
            connections[connection].repeats += held.count
            let most = market.limits.streamsHeld
            let count = connections[connection].subscriptions.count + connections[connection].repeats
            guard count <= most else {
                return fail(.streamsPerConnection, "\(count) streams with repeats; \(most) are the most")
            }
        }
        for stream in asked where market.repeatRevives || !held.contains(stream) {
            subscribe(connection, stream, isSilent: false)
        }
    }

    /// A name that it does not understand breaks the whole connection: some time later, or at once.
    private func refuse(_ connection: Int, _ place: Int, _ name: String) {
        if let stream = streamIndex[name], streams[stream].isWrong {
            streams[stream].refusals += 1
            guard streams[stream].refusals <= 40 else {
                return fail(.livelock, "\(name) was refused 40 times, and is asked for again")
            }
        }
        connections[connection].isBroken = true
        connections[connection].requests[place].isRefused = true
        connections[connection].requests[place].tellsID = random.chance(perMille: 700)
        // Not the exchange's fault: but what is on the connection may be given up for it.
        blame(connection, "refuses request \(connections[connection].requests[place].request.id)")
        queue.add(now + connections[connection].latency, .answer, connection, place)
        let patience = scenario.markets[connections[connection].market].refusalNanos
        queue.add(now + patience, .exchangeCut, connection)
    }

    /// What was to befall the next requests does not any more.
    private func disarm(_ market: Int) {
        markets[market].toSwallow = 0
        markets[market].toLoseAnswer = 0
        markets[market].toSilence = 0
    }

    private func subscribe(_ connection: Int, _ stream: Int, isSilent: Bool) {
        connections[connection].silent.removeAll { $0 == stream }
        connections[connection].unlisted.removeAll { $0 == stream }
        // Asked for at the wrong place it is acknowledged, and never comes.
        if isSilent || streams[stream].route != connections[connection].target {
            connections[connection].silent.append(stream)
        }
        if !connections[connection].subscriptions.contains(stream) {
            connections[connection].subscriptions.append(stream)
            streams[stream].subscribers.append(connection)
        }
        owned(stream)
    }

    func unsubscribe(_ connection: Int, _ stream: Int) {
        connections[connection].silent.removeAll { $0 == stream }
        connections[connection].unlisted.removeAll { $0 == stream }
        guard let place = connections[connection].subscriptions.firstIndex(of: stream) else { return }
        connections[connection].subscriptions.remove(at: place)
        streams[stream].subscribers.removeAll { $0 == connection }
        owned(stream)
    }

    // MARK: Ends

    /// The exchange ends a connection.
    func cut(_ connection: Int, isForAge: Bool = false) {
        guard connections[connection].isOpen else { return }
        checkWarning(connection, isForAge: isForAge)
        blame(connection, "is ended by the exchange")
        exchangeLoses(connection)
        if !connections[connection].isHalfOpen {
            queue.add(now + connections[connection].latency, .ended, connection)
        }
    }

    /// The exchange has no such connection any more.
    func exchangeLoses(_ connection: Int) {
        guard connections[connection].isOpen else { return }
        connections[connection].isOpen = false
        let subscriptions = connections[connection].subscriptions
        connections[connection].subscriptions = []
        connections[connection].silent = []
        for stream in subscriptions {
            streams[stream].subscribers.removeAll { $0 == connection }
            owned(stream)
        }
        // The answer to a close.
        let link = connections[connection].link
        if links[link].connection == connection, links[link].phase == .closing,
            !connections[connection].isHalfOpen
        {
            queue.add(now + connections[connection].latency, .ended, connection)
        }
    }

    // MARK: Trades

    func trade(_ stream: Int) {
        let id = streams[stream].nextID
        streams[stream].nextID += 1
        queue.add(Simulation.start + streams[stream].time(of: id + 1), .trade, stream)
        guard streams[stream].isWanted else { return }
        result.trades += 1
        for connection in streams[stream].subscribers where carries(connection, stream) {
            queue.add(
                now + connections[connection].latency, .payload, connection,
                stream << 32 | Int(id & 0xFFFF_FFFF))
        }
    }

    /// Whether payloads of a stream that the connection has subscribed come through.
    func carries(_ connection: Int, _ stream: Int) -> Bool {
        let state = connections[connection]
        return state.isOpen && !state.isHalfOpen && !state.isStalled && !state.silent.contains(stream)
    }
}
