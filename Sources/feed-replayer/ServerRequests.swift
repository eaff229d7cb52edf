import CKernel
import MarketData

// What clients say, and the answers.
extension Server where Source: ~Copyable {
    /// Takes bytes that a connection received.
    mutating func take(_ connection: Connection, _ bytes: UnsafeRawBufferPointer) {
        switch connection.phase {
        case .request:
            connection.request.append(contentsOf: bytes)
            if isRest(connection) {
                readRestRequests(connection)
                markDirty(connection)
            } else {
                readRequest(connection)
            }
        case .open, .closing:
            connection.frames.feed(bytes)
            readMessages(connection)
        case .handshake, .dead: break
        }
    }

    private mutating func readRequest(_ connection: Connection) {
        let door = doors[connection.listener]
        if options.holdsHandshake || door.hangs(.upgrade) { return }
        let now = ck_monotonic_nanos()
        var outcome = HTTPUpgrade.read(connection.request, market: options.market)
        var retryAfter: RetryTime?
        if outcome != .incomplete, let status = door.refusal?.status ?? options.upgradeStatus {
            outcome = .refused(status: status, body: "refused as asked")
            retryAfter = door.refusal?.retryAfter
            tell(connection.number, "refused \(status)")
        } else if case .accepted = outcome, let refusal = refusalByChance() {
            outcome = .refused(status: refusal.status, body: "refused by chance")
            retryAfter = refusal.retryAfter
            tell(connection.number, "refused \(refusal.status)")
        } else if case .accepted = outcome, happens(options.chances.hangs[.upgrade]) {
            tell(connection.number, "hang upgrade")
            connection.request = []
            return
        }
        switch outcome {
        case .incomplete: return
        case .refused(let status, let body):
            connection.outbox.pointee.append(
                bytes: HTTPUpgrade.refusal(status: status, body: body, retryAfter: retryAfter))
            connection.phase = .closing(deadline: now + Self.closePatience)
            connection.hasPeerClosed = true
        case .accepted(let request):
            let names = request.streams.map { String(decoding: $0, as: UTF8.self) }
            guard names.allSatisfy(ControlGrammar.isWellFormed) else {
                let body = "malformed stream name"
                connection.outbox.pointee.append(bytes: HTTPUpgrade.refusal(status: 400, body: body))
                connection.phase = .closing(deadline: now + Self.closePatience)
                connection.hasPeerClosed = true
                break
            }
            connection.outbox.pointee.append(bytes: HTTPUpgrade.acceptance(key: request.key))
            connection.outbox.pointee.isCombined = request.isCombined
            connection.phase = .open
            connection.route = request.route
            connection.pings.begin(now: now, interval: options.pingInterval)
            totals.connections += 1
            opened(connection, path: request.path, now)
            // A fault may have ended it already.
            guard connection.phase == .open else { break }
            subscribe(connection, names, id: "null", answers: false)
            let rest = connection.request.dropFirst(request.length)
            connection.frames.feed(rest)
            connection.request = []
            readMessages(connection)
        }
        markDirty(connection)
    }

    private mutating func refusalByChance() -> FaultChances.Refusal? {
        for refusal in options.chances.refusals where random.happens(refusal.chance) { return refusal }
        return nil
    }

    private mutating func readMessages(_ connection: Connection) {
        let now = ck_monotonic_nanos()
        while connection.phase != .dead, let message = connection.frames.next() {
            if case .closing = connection.phase {
                if case .close = message { connection.hasPeerClosed = true }
                continue
            }
            markDirty(connection)
            switch message {
            case .close(let code):
                connection.hasPeerClosed = true
                close(connection, code: code, reason: "", now)
            case .violation(let code, let reason):
                close(connection, code: code, reason: reason, now)
            case _ where !connection.messageTimes.allows(now: now, limit: options.market.messageLimit):
                close(connection, code: 1008, reason: "Too many requests", now)
            case .text(let bytes): answer(connection, bytes, now)
            case .binary: close(connection, code: 1003, reason: "text frames only", now)
            case .ping(let payload): connection.send(.pong, payload)
            case .pong(let payload): connection.pings.answered(payload)
            case .oversized: break
            }
        }
        if connection.hasPeerClosed { markDirty(connection) }
    }

    private mutating func answer(_ connection: Connection, _ bytes: [UInt8], _ now: Int64) {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            return close(connection, code: 1007, reason: "text is not UTF-8", now)
        }
        if connection.faults.deafUntil > now || random.happens(options.chances.deaf) {
            return tell(connection.number, "swallowed " + String(decoding: bytes, as: UTF8.self))
        }
        let isAnswered =
            connection.faults.unansweredUntil <= now && !random.happens(options.chances.unanswered)
        do throws(RequestRefusal) {
            let (request, id) = try ControlGrammar.read(bytes)
            perform(connection, request, id: id, isAnswered: isAnswered)
        } catch {
            refuse(connection, error, now)
        }
    }

    private mutating func refuse(_ connection: Connection, _ refusal: RequestRefusal, _ now: Int64) {
        connection.send(text: ControlGrammar.answer(refusal, shape: options.errorShape))
        if refusal.closes { close(connection, code: 1008, reason: "Invalid request", now) }
    }

    private mutating func perform(
        _ connection: Connection, _ request: ControlRequest, id: String, isAnswered: Bool
    ) {
        var result = "null"
        switch request {
        case .subscribe(let names): return subscribe(connection, names, id: id, answers: isAnswered)
        case .unsubscribe(let names): for name in names { unsubscribe(connection, name) }
        case .listSubscriptions:
            result = "[\(connection.streams.map(JSONEscaping.quoted).joined(separator: ","))]"
        case .setCombined(let isCombined): connection.outbox.pointee.isCombined = isCombined
        case .getCombined: result = connection.outbox.pointee.isCombined ? "true" : "false"
        }
        if isAnswered {
            connection.send(text: ControlGrammar.answer(result, id: id))
        } else {
            tell(connection.number, "unanswered \(id)")
        }
    }

    private mutating func subscribe(_ connection: Connection, _ names: [String], id: String, answers: Bool) {
        let new = names.reduce(into: [String]()) { list, name in
            if !connection.streamSet.contains(name), !list.contains(name) { list.append(name) }
        }
        guard connection.streams.count + new.count <= ControlGrammar.streamLimit else {
            let refusal = RequestRefusal(code: 4, message: "Too many subscriptions", id: id, closes: true)
            return refuse(connection, refusal, ck_monotonic_nanos())
        }
        // The answer goes first: a client may take data before it for an error.
        if answers { connection.send(text: ControlGrammar.answer("null", id: id)) }
        for name in names { connection.faults.subscribed(name) }
        for name in new {
            if random.happens(options.chances.silent) {
                tell(connection.number, "silent \(name)")
                connection.faults.silences.append(
                    ConnectionFaults.Silence(
                        pattern: StreamPattern(text: name), healsOnSubscribe: true, until: .max))
                noteFaults(connection)
            }
            connection.streams.append(name)
            connection.streamSet.insert(name)
            subscribedStreams += 1
            guard let stream = served(name, connection.route) else { continue }
            servedStreams += 1
            if registry.add(connection.outbox, to: stream) { source.setSubscribed(stream: stream, true) }
        }
        if began != nil { inject(connection) }
    }

    /// The source's index of a stream that a connection of this route gets.
    private func served(_ name: String, _ route: Market.Route) -> Int? {
        options.market.delivers(name, on: route) ? registry.index(of: Array(name.utf8)) : nil
    }

    private mutating func unsubscribe(_ connection: Connection, _ name: String) {
        guard connection.streamSet.remove(name) != nil else { return }
        connection.streams.removeAll { $0 == name }
        leave(connection, name)
    }

    private mutating func leave(_ connection: Connection, _ name: String) {
        subscribedStreams -= 1
        guard let stream = served(name, connection.route) else { return }
        servedStreams -= 1
        if registry.remove(connection.outbox, from: stream) { source.setSubscribed(stream: stream, false) }
    }

    /// The connection hears of nothing any more.
    mutating func unsubscribeAll(_ connection: Connection) {
        for name in connection.streams { leave(connection, name) }
        connection.streams = []
        connection.streamSet = []
    }

    /// Begins or completes the closing handshake.
    mutating func close(_ connection: Connection, code: UInt16?, reason: String, _ now: Int64) {
        unsubscribeAll(connection)
        connection.sendClose(code: code, reason: reason, deadline: now + Self.closePatience)
    }
}
