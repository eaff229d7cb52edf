import CKernel
import Foundation

/// From a socket to a stream that takes messages.
extension NATSSink {
    /// How long each step to a working connection may take, ns.
    private static let stepTimeout: Int64 = 10_000_000_000

    /// Moves the connection on and takes what the server has said.
    func advance(now: Int64) throws(NATSFailure) -> Int {
        switch phase {
        case .resting:
            guard now >= deadline else { return 0 }
            enter(.dialling, now: now)
            return 1
        case .dialling:
            guard try link.dial() else { return try expire(now: now) }
            enter(.greeting, now: now)
            return 1
        case .securing:
            guard try link.secure() else { return try expire(now: now) }
            signIn(now: now)
            return 1
        case .greeting, .signingIn, .preparing:
            _ = try flush()
            let work = try read(now: now)
            return work > 0 ? work : try expire(now: now)
        case .ready:
            if !isStreamKnown, settings.createStream { askForStream(now: now) }
            return try read(now: now)
        }
    }

    private func enter(_ next: Phase, now: Int64) {
        phase = next
        deadline = now + NATSSink.stepTimeout
    }

    private func expire(now: Int64) throws(NATSFailure) -> Int {
        guard now >= deadline else { return 0 }
        throw NATSFailure(
            code: .deadlineExceeded,
            text:
                "nats sink: \(settings.endpoint) does not answer (\(phase)); is it a NATS server? it is connected"
                + " to again")
    }

    private func read(now: Int64) throws(NATSFailure) -> Int {
        var work = 0
        // Not for ever: the thread has batches to send, too.
        for _ in 0..<16 {
            let count = try link.receive(parser.room())
            if count == 0 { break }
            parser.advance(count)
            lastHeard = now
            pingSent = false
            work += 1
            while let operation = try nextOperation() {
                try handle(operation, now: now)
                if phase == .securing { return work }
            }
        }
        return work
    }

    private func nextOperation() throws(NATSFailure) -> NATSOperation? {
        do throws(NATSMalformed) {
            return try parser.next()
        } catch {
            throw NATSFailure(
                code: .internal,
                text: "nats sink: \(settings.endpoint) sent \(error.text); is it a NATS server?")
        }
    }

    private func handle(_ operation: NATSOperation, now: Int64) throws(NATSFailure) {
        switch operation {
        case .info(let json): try greet(json, now: now)
        case .ping: output.append("PONG\r\n")
        case .pong: if phase == .signingIn { prepare(now: now) }
        case .ok: break
        case .error(let text): try refused(text)
        case .message(let subject, let header, let payload):
            answer(subject, NATSReply(header: header, payload: payload), now: now)
        }
    }

    private func greet(_ json: [UInt8], now: Int64) throws(NATSFailure) {
        guard let info = NATSServerInfo(json) else {
            throw NATSFailure(
                code: .internal,
                text: "nats sink: \(settings.endpoint) described itself in no JSON; is it a NATS server?")
        }
        server = info
        guard phase == .greeting else { return }
        guard info.hasHeaders else {
            throw NATSFailure(
                code: .unimplemented,
                text: "nats sink: the server (\(info.version)) takes no headers; use nats-server 2.2 or later"
            )
        }
        if settings.endpoint.isTLS {
            guard info.wantsTLS || info.offersTLS else {
                throw NATSFailure(
                    code: .failedPrecondition,
                    text: "nats sink: \(settings.endpoint) offers no TLS; set it up there, or write nats://")
            }
            enter(.securing, now: now)
        } else if info.wantsTLS {
            throw NATSFailure(
                code: .failedPrecondition,
                text: "nats sink: \(settings.endpoint) wants TLS; write tls:// in sink.endpoint")
        } else {
            signIn(now: now)
        }
    }

    private func signIn(now: Int64) {
        var options: [String: Any] = [
            "verbose": false, "pedantic": false, "tls_required": settings.endpoint.isTLS, "lang": "swift",
            "version": "1", "protocol": 1, "headers": true, "no_responders": true, "echo": false,
            "name": settings.collector,
        ]
        switch settings.credentials {
        case .none: break
        case .user(let user, let password): (options["user"], options["pass"]) = (user, password)
        case .token(let token): options["auth_token"] = token
        }
        let json = (try? JSONSerialization.data(withJSONObject: options)) ?? Data("{}".utf8)
        output.append("CONNECT ")
        output.append(Array(json))
        output.append("\r\nSUB ")
        output.append(Array(inbox.utf8))
        output.append(".> 1\r\nPING\r\n")
        enter(.signingIn, now: now)
    }

    private func prepare(now: Int64) {
        ledger.add(to: .connections)
        lastHeard = now
        guard settings.createStream, !isStreamKnown else {
            enter(.ready, now: now)
            return
        }
        enter(.preparing, now: now)
        askForStream(now: now)
    }

    /// Asks for the stream. One that is there, or another that takes its subjects, is as good.
    private func askForStream(now: Int64) {
        guard phase == .preparing || now >= deadline else { return }
        deadline = now + NATSSink.stepTimeout
        let wanted: [String: Any] = [
            "name": settings.stream, "subjects": [settings.streamSubject], "retention": "limits",
            "storage": "file", "discard": "old", "max_consumers": -1, "max_msgs": -1, "max_bytes": -1,
            "max_age": 0, "max_msg_size": -1, "num_replicas": 1,
            "duplicate_window": NATSSettings.duplicateWindow,
        ]
        let json = Array((try? JSONSerialization.data(withJSONObject: wanted)) ?? Data())
        output.append("PUB $JS.API.STREAM.CREATE.")
        output.append(Array(settings.stream.utf8))
        output.append(" ")
        output.append(Array(inbox.utf8))
        output.append(".stream ")
        output.append(UInt64(json.count))
        output.append("\r\n")
        output.append(json)
        output.append("\r\n")
    }

    private func answer(_ subject: UnsafeRawBufferPointer, _ reply: NATSReply, now: Int64) {
        let rest = subject.dropFirst(inbox.utf8.count + 1)
        if rest.starts(with: "stream".utf8) {
            takeStream(reply, now: now)
            return
        }
        var numbers: (UInt64, UInt64, UInt64) = (0, 0, 0)
        for byte in rest {
            if byte == UInt8(ascii: ".") {
                numbers = (numbers.1, numbers.2, 0)
            } else if (0x30...0x39).contains(byte) {
                numbers.2 = numbers.2 &* 10 &+ UInt64(byte - 0x30)
            } else {
                return
            }
        }
        settle(
            slot: Int(truncatingIfNeeded: numbers.0), generation: numbers.1,
            index: Int(truncatingIfNeeded: numbers.2), reply, now: now)
    }

    private func takeStream(_ reply: NATSReply, now: Int64) {
        let isThere =
            reply.code == .ok || reply.number == NATSReply.streamExists
            || reply.number == NATSReply.subjectsOverlap
        if isThere {
            isStreamKnown = true
        } else {
            report(
                reply.code,
                "stream \(settings.stream) cannot be made: \(reply.text); enable JetStream at the server (-js), let"
                    + " this user make streams, or make it yourself and set sink.createTopics: false")
        }
        if phase == .preparing { enter(.ready, now: now) }
    }

    /// `-ERR`: most of them end the connection.
    private func refused(_ text: String) throws(NATSFailure) {
        let folded = text.lowercased()
        if folded.hasPrefix("permissions violation") {
            report(.permissionDenied, "\(text); let this user do that")
            return
        }
        let isSignIn = folded.contains("authorization") || folded.contains("authentication")
        throw NATSFailure(
            code: isSignIn ? .unauthenticated : .unavailable,
            text: "nats sink: \(settings.endpoint): \(text); "
                + (isSignIn
                    ? "correct sink.user and sink.password, or sink.token" : "it is connected to again"))
    }
}
