import CKernel
import Glibc
import MarketData

/// What a command did.
struct FaultOutcome {
    /// Connections that were struck, by number.
    var struck: [Int] = []
    var listing: String?
    var refusal: String?
}

// Faults: commands are carried out here, wherever they come from.
extension Server where Source: ~Copyable {
    /// Whether the ground truth tells of connections and faults, too.
    var tellsFaults: Bool {
        truth.isOn && (options.control != nil || !options.rules.isEmpty || !options.chances.isNone)
    }

    /// Notes something about a connection (0: about none) between the frames.
    mutating func tell(_ connection: Int, _ text: String) {
        guard tellsFaults else { return }
        var line = "! " + text
        line.withUTF8 { truth.note(connection: connection, UnsafeRawBufferPointer($0)) }
    }

    /// Carries out a line of the control channel; returns the answer.
    mutating func command(_ line: String, _ now: Int64) -> String {
        let wall = ck_realtime_nanos()
        do throws(FaultSyntaxError) {
            if FaultRule.begins(line) {
                let rule = try FaultRule.read(line)
                schedule.add(rule, now: now, &random)
                tell(0, line)
                return "{\"ok\":true,\"time\":\(wall),\"connections\":[]}"
            }
            let command = try FaultGrammar.read(line, needsTarget: true)
            let outcome = perform(command, trigger: nil, now)
            if let refusal = outcome.refusal { return Self.refused(refusal) }
            if let listing = outcome.listing { return listing }
            let numbers = outcome.struck.map(String.init).joined(separator: ",")
            return "{\"ok\":true,\"time\":\(wall),\"connections\":[\(numbers)]}"
        } catch {
            return Self.refused(error.description)
        }
    }

    private static func refused(_ text: String) -> String {
        "{\"ok\":false,\"error\":\(JSONEscaping.quoted(text))}"
    }

    /// Carries out what the script wants now, and what chance brings.
    mutating func performDueFaults(_ now: Int64) {
        for command in schedule.due(now: now, &random) { _ = perform(command, trigger: nil, now) }
    }

    /// Lets chance strike for the time since the last call.
    mutating func performChances(_ now: Int64, elapsed: Int64) {
        for (command, perSecond) in options.chances.strikes {
            let chance = perSecond * Double(elapsed) / 1e9
            for connection in openConnections where random.happens(chance) {
                _ = perform(command, trigger: connection, now)
            }
        }
    }

    private var openConnections: [Connection] {
        connections.values.filter { $0.phase == .open }.sorted { $0.number < $1.number }
    }

    /// `trigger`: the connection that a command without a target is about.
    mutating func perform(_ command: FaultCommand, trigger: Connection?, _ now: Int64) -> FaultOutcome {
        guard command.action.strikesConnections else { return receiveClients(command, now) }
        let open = openConnections
        let struck: [Connection]
        switch command.target {
        case nil: struck = trigger.map { [$0] } ?? []
        case .number(let number)?:
            struck = open.filter { $0.number == number }
            if struck.isEmpty {
                let list = open.map { String($0.number) }.joined(separator: ", ")
                return FaultOutcome(refusal: "connection \(number) is not open; open are: \(list)")
            }
        case .all?: struck = open
        case .any?: struck = open.isEmpty ? [] : [open[random.below(open.count)]]
        case .newest?: struck = Array(open.suffix(1))
        case .oldest?: struck = Array(open.prefix(1))
        case .listener(let name)?:
            let found = listeners(named: name)
            if found.isEmpty { return FaultOutcome(refusal: "nothing listens on \(name)") }
            struck = open.filter { found.contains($0.listener) }
        }
        let until = command.duration.map { now + $0 } ?? .max
        if command.action == .alert, options.certificate == nil {
            return FaultOutcome(refusal: "alert needs TLS")
        }
        for connection in struck {
            tell(connection.number, command.text)
            strike(connection, command.action, until: until, now)
        }
        return FaultOutcome(struck: struck.map(\.number))
    }

    private mutating func strike(
        _ connection: Connection, _ action: FaultAction, until: Int64, _ now: Int64
    ) {
        switch action {
        case .cut: cut(connection, now)
        case .reset:
            connection.transport.breakOnClose()
            drop(connection)
        case .alert:
            _ = connection.transport.alert()
            cut(connection, now)
        case .close(let code, let reason): close(connection, code: code, reason: reason, now)
        case .garbage(let kind): sendGarbage(connection, kind)
        case .shutdown(let lead): announceShutdown(connection, now, lead: lead ?? options.shutdownLead)
        case .stall: connection.faults.stalledUntil = until
        case .deaf: connection.faults.deafUntil = until
        case .unanswered: connection.faults.unansweredUntil = until
        case .freeze:
            connection.faults.frozenUntil = until
            ck_epoll_modify(epoll.raw, connection.transport.descriptor, 0, UInt64(connection.number))
            unblock(connection)
        case .slow(let bytesPerSecond):
            connection.faults.trickle = ConnectionFaults.Trickle(
                bytesPerSecond: bytesPerSecond, until: until, since: now)
            unblock(connection)
        case .silent(let pattern, let heals):
            connection.faults.silences.append(
                ConnectionFaults.Silence(pattern: pattern, healsOnSubscribe: heals, until: until))
        case .skip(let count, let pattern):
            connection.faults.skips.append(ConnectionFaults.Counted(pattern: pattern, left: count))
        case .repeatFrames(let count, let pattern):
            connection.faults.repeats.append(ConnectionFaults.Counted(pattern: pattern, left: count))
        case .resume:
            let wasFrozen = connection.faults.isFrozen
            connection.faults = ConnectionFaults()
            if wasFrozen { thaw(connection) }
        case .refuse, .flood, .hang, .handshakeAlert, .welcome, .lifetime, .list, .forget, .rest: break
        }
        noteFaults(connection)
        markDirty(connection)
    }

    /// What was queued goes out where the socket takes it; then the stream ends.
    private mutating func cut(_ connection: Connection, _ now: Int64) {
        unsubscribeAll(connection)
        unblock(connection)
        _ = connection.transport.flush(connection.outbox)
        connection.outbox.pointee.drop(connection.outbox.pointee.count)
        connection.transport.cut()
        connection.hasEndedSending = true
        connection.phase = .closing(deadline: now + Self.closePatience)
    }

    private func sendGarbage(_ connection: Connection, _ kind: GarbageKind) {
        switch kind {
        case .text: connection.send(text: "\u{1}{\"stream\":garbage]")
        case .utf8: connection.send(.text, [0x7B, 0xFF, 0xFE, 0xC0])
        case .opcode: connection.outbox.pointee.append(bytes: [0x83, 2, 0x7B, 0x7D])
        }
    }

    /// A connection that does not send must not hold the feed.
    private mutating func unblock(_ connection: Connection) {
        guard connection.isBlocked else { return }
        connection.isBlocked = false
        blockedConnections -= 1
    }

    /// Has market frames looked at from now on, or no more.
    func noteFaults(_ connection: Connection) {
        connection.outbox.pointee.isFaulty =
            connection.faults.concernsFrames || options.chances.concernsFrames
    }

    private mutating func thaw(_ connection: Connection) {
        connection.waitsToWrite = false
        ck_epoll_modify(
            epoll.raw, connection.transport.descriptor, UInt32(CK_READ), UInt64(connection.number))
        markDirty(connection)
    }

    /// Ends what is over.
    mutating func expireFaults(_ now: Int64) {
        for index in doors.indices { doors[index].expire(now) }
        setAccepting()
        for connection in connections.values where connection.phase == .open {
            if connection.faults.expire(now) { thaw(connection) }
            if connection.faults.trickle != nil { markDirty(connection) }
            noteFaults(connection)
        }
    }

    /// Announces a shutdown to one connection.
    mutating func announceShutdown(_ connection: Connection, _ now: Int64, lead: Int64) {
        let event = "{\"e\":\"serverShutdown\",\"E\":\(ck_realtime_nanos() / 1_000_000)}"
        let isCombined = connection.outbox.pointee.isCombined
        connection.send(text: isCombined ? "{\"stream\":\"!serverShutdown\",\"data\":\(event)}" : event)
        connection.closesAt = min(connection.closesAt, now + lead)
        connection.closesWith = 1001
        markDirty(connection)
    }
}

// How clients are received.
extension Server where Source: ~Copyable {
    /// Indices of the listeners with this port or address.
    func listeners(named name: String) -> [Int] {
        let addresses = options.listen + (options.restListen.map { [$0] } ?? [])
        return addresses.indices.filter { addresses[$0].isNamed(name, port: listeners.ports[$0]) }
    }

    private mutating func receiveClients(_ command: FaultCommand, _ now: Int64) -> FaultOutcome {
        var struck = Array(doors.indices)
        if case .listener(let name)? = command.target {
            struck = listeners(named: name)
            if struck.isEmpty { return FaultOutcome(refusal: "nothing listens on \(name)") }
        }
        let until = command.duration.map { now + $0 } ?? .max
        switch command.action {
        case .list: return FaultOutcome(listing: listing(now))
        case .lifetime(let range): lifetime = range
        case .forget: schedule.clear()
        case .rest(let fault):
            if options.restListen == nil { return FaultOutcome(refusal: "there is no --rest-listen") }
            rest.strike(fault, until: until)
            if case .lack(let count) = fault { source.lack(count) }
        default: for index in struck { setDoor(index, command.action, until: until) }
        }
        setAccepting()
        tell(0, command.text)
        return FaultOutcome()
    }

    private mutating func setDoor(_ index: Int, _ action: FaultAction, until: Int64) {
        switch action {
        case .refuse(let status, let retryAfter): doors[index].refusal = (status, retryAfter, until)
        case .flood: doors[index].floodUntil = until
        case .hang(let stage): doors[index].hangUntil[stage] = until
        case .handshakeAlert: doors[index].alertUntil = until
        case .welcome: doors[index] = Door()
        default: break
        }
    }

    /// Listens for clients, or leaves them to the kernel.
    private func setAccepting() {
        for (index, descriptor) in listeners.descriptors.enumerated() {
            let waits = doors[listeners.owners[index]].hangs(.accept)
            ck_epoll_modify(
                epoll.raw, descriptor, waits ? 0 : UInt32(CK_READ), Self.listenerToken + UInt64(index))
        }
    }

    private func listing(_ now: Int64) -> String {
        let list = openConnections.map { connection in
            let age = Double(now - connection.opened) / 1e9
            let port = listeners.ports[connection.listener]
            let first = JSONEscaping.quoted(connection.streams.first ?? "")
            return "{\"number\":\(connection.number),\"listener\":\(port),\"address\":\(connection.listener),"
                + "\"streams\":\(connection.streams.count),\"first\":\(first),\"seconds\":\(age)}"
        }
        return "{\"ok\":true,\"connections\":[\(list.joined(separator: ","))]}"
    }

    /// A connection is open: its life is measured out, and the script and chance may have something for it.
    mutating func opened(_ connection: Connection, path: String, _ now: Int64) {
        connection.opened = now
        if let lifetime { connection.closesAt = now + random.within(lifetime) }
        let port = listeners.ports[connection.listener]
        tell(connection.number, "open listener=\(port) \(path)")
        for command in schedule.opened(count: totals.connections) {
            _ = perform(command, trigger: connection, now)
        }
        if doors[connection.listener].floodUntil > now || random.happens(options.chances.flood) {
            tell(connection.number, "flood")
            close(connection, code: 1008, reason: "Too many requests", now)
        }
        noteFaults(connection)
    }
}
