import CKernel

/// An answer that goes out later.
struct DelayedAnswer {
    var due: Int64
    var connection: Int
    var bytes: [UInt8]
}

// The REST host: a listener of its own, HTTP/1.1 with kept connections.
extension Server where Source: ~Copyable {
    /// A request is longer than this only by mistake.
    private static var restRequestMax: Int { 16_384 }

    /// Whether a connection came to the REST host.
    func isRest(_ connection: Connection) -> Bool { connection.listener == options.listen.count }

    /// Answers whole requests of a connection to the REST host.
    mutating func readRestRequests(_ connection: Connection) {
        if doors[connection.listener].hangs(.upgrade) { return }
        while connection.phase == .request, let end = Self.endOfHeader(connection.request) {
            let line = connection.request[..<end].prefix { $0 != 13 }
            connection.request.removeFirst(end + 4)
            let words = String(decoding: line, as: UTF8.self).split(separator: " ")
            guard words.count == 3, words[0] == "GET", words[2].hasPrefix("HTTP/1.") else {
                return refuseRest(connection)
            }
            answerRest(connection, target: String(words[1]))
        }
        if connection.request.count > Self.restRequestMax { refuseRest(connection) }
    }

    private func refuseRest(_ connection: Connection) {
        connection.outbox.pointee.append(
            bytes: HTTPUpgrade.refusal(status: 400, body: "expected GET … HTTP/1.1"))
        connection.phase = .closing(deadline: ck_monotonic_nanos() + Self.closePatience)
        connection.hasPeerClosed = true
    }

    private mutating func answerRest(_ connection: Connection, target: String) {
        let now = ck_monotonic_nanos()
        let wall = ck_realtime_nanos()
        let bytes = restAnswer(target, now: now, wall: wall, connection: connection)
        let delay = rest.delay(now: now)
        guard delay > 0 else {
            connection.outbox.pointee.append(bytes: bytes)
            return markDirty(connection)
        }
        delayedAnswers.append(DelayedAnswer(due: now + delay, connection: connection.number, bytes: bytes))
        nextAnswer = min(nextAnswer, now + delay)
    }

    /// Sends answers whose time has come.
    mutating func releaseAnswers(_ now: Int64) {
        guard now >= nextAnswer else { return }
        for answer in delayedAnswers where answer.due <= now {
            guard let connection = connections[answer.connection] else { continue }
            connection.outbox.pointee.append(bytes: answer.bytes)
            markDirty(connection)
        }
        delayedAnswers.removeAll { $0.due <= now }
        nextAnswer = delayedAnswers.map(\.due).min() ?? .max
    }

    private mutating func restAnswer(
        _ target: String, now: Int64, wall: Int64, connection: Connection
    ) -> [UInt8] {
        let query: RestQuery
        do throws(RestQuery.Refusal) {
            query = try RestQuery(target: target, market: options.market)
        } catch {
            _ = rest.admit(weight: 1, now: now, wall: wall)
            return rest.answer(status: error.status, body: RestDesk.error(code: error.code, error.message))
        }
        let door = doors[connection.listener].refusal
        if let refused = rest.admit(weight: query.weight(in: options.market), now: now, wall: wall)
            ?? door.map({ ($0.status, $0.retryAfter) })
        {
            tell(connection.number, "rest refused \(refused.status) \(target)")
            return rest.answer(
                status: refused.status, body: RestDesk.error(code: -1_003, "Too many requests"),
                retryAfter: refused.retryAfter)
        }
        if rest.isWrong(now: now) {
            tell(connection.number, "rest wrong \(target)")
            return rest.answer(
                status: 200, body: Array(wrongBodies[rest.totals.requests % wrongBodies.count].utf8))
        }
        tell(connection.number, "rest \(target)")
        switch query.endpoint {
        case .ping: return rest.answer(status: 200, body: Array("{}".utf8))
        case .time:
            return rest.answer(status: 200, body: Array("{\"serverTime\":\(wall / 1_000_000)}".utf8))
        default: break
        }
        guard let body = source.history(query, lag: rest.lag(now: now) / 1_000_000) else {
            return rest.answer(status: 400, body: RestDesk.error(code: -1_121, "Invalid symbol."))
        }
        return rest.answer(status: 200, body: body)
    }

    /// Content that a client must not take for trades.
    private var wrongBodies: [String] {
        [
            "<html><body>Service unavailable</body></html>",
            #"[{"id":1,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}]"#,
            #"[{"id":28457,"price":4e1,"qty":"12"}]"#, #"[{"id":284"#, "",
        ]
    }

    private static func endOfHeader(_ bytes: [UInt8]) -> Int? {
        guard bytes.count >= 4 else { return nil }
        for index in 0...(bytes.count - 4) where bytes[index] == 13 {
            if bytes[index + 1] == 10, bytes[index + 2] == 13, bytes[index + 3] == 10 { return index }
        }
        return nil
    }

    /// For the summary; empty without a REST host.
    var restSummary: String {
        guard options.restListen != nil else { return "" }
        return ",\"rest\":{\"requests\":\(rest.totals.requests),\"refused\":\(rest.totals.refused),"
            + "\"overweight\":\(rest.totals.overweight),\"weightMax\":\(rest.totals.weightMax)}"
    }
}
