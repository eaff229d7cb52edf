import CKernel
import Rings

/// Dialing: from a name to an accepted upgrade. Resolver, race of the addresses, tunnel through a proxy, TLS, upgrade.
extension WireStage {
    mutating func begin(_ slot: Int, now: Int64) {
        let connection = connections + slot
        connection.pointee.phase = .resolving
        connection.pointee.deadline = now + connection.pointee.plan.limits.openNanos
        let endpoint = connection.pointee.plan.endpoint
        let network = connection.pointee.plan.network
        let proxy = network.proxy.proxy(for: endpoint)
        connection.pointee.dialing.begin(families: network.families, proxy: proxy)
        resolver.requests.send(
            ResolverStage.Request(
                slot: slot, generation: connection.pointee.generation, host: proxy?.host ?? endpoint.host,
                port: proxy?.port ?? endpoint.port, families: network.families, reply: commands))
    }

    /// Where the other connections of the slot's shard stand: a pair should not depend on one machine of the exchange.
    private func hostsInUse(besides slot: Int) -> [HostAddress] {
        let (market, shard) = (connections[slot].plan.market, connections[slot].plan.shard)
        var hosts: [HostAddress] = []
        for other in 0..<machines.count * LinkIndex.sides where other != slot {
            let plan = connections[other].plan
            guard plan.shard == shard, plan.market == market else { continue }
            switch connections[other].phase {
            case .none: continue
            default: hosts += connections[other].dialing.hostsInUse
            }
        }
        return hosts
    }

    // MARK: Connecting

    /// The resolver's answer for one family.
    mutating func resolved(_ slot: Int, _ answer: ResolverAnswer, now: Int64) {
        let phase = connections[slot].phase
        guard phase == .resolving || phase == .connecting else { return }
        if let problem = answer.problem {
            connections[slot].dialing.race.unresolved(answer.family, reason: problem, now: now)
        } else {
            connections[slot].dialing.race.avoid(hostsInUse(besides: slot))
            connections[slot].dialing.race.resolved(answer.family, answer.addresses, now: now)
        }
        goOnRacing(slot, now: now)
    }

    /// A deadline of a connection that is being opened has passed.
    mutating func expireOpening(_ slot: Int, now: Int64) {
        let connection = connections + slot
        guard now >= connection.pointee.deadline else { return goOnRacing(slot, now: now) }
        let endpoint = connection.pointee.plan.endpoint
        let place = connection.pointee.dialing.proxy.map { "the proxy \($0)" } ?? "\(endpoint)"
        let what =
            switch connection.pointee.phase {
            case .resolving:
                "the name of \(place) was not resolved in time;"
                    + " likely cause: the name server does not answer (/etc/resolv.conf, network policy)"
            case .connecting:
                "connecting to \(place) (\(connection.pointee.dialing.triedText)) took too long;"
                    + " likely cause: a firewall that drops, or the host is down"
            case .tunnelling:
                "\(place)\(peerText(slot)) did not answer the request for a tunnel to \(endpoint) in time;"
                    + " likely cause: it cannot reach the host, or no proxy listens there"
            case .handshaking:
                "TLS with \(endpoint)\(peerText(slot)) took too long;"
                    + " likely cause: an overloaded host, or a firewall that lets only small packets pass"
            default:
                "\(endpoint)\(peerText(slot)) did not answer the upgrade in time; likely cause: an overloaded host"
            }
        end(
            slot, .openTimeout,
            "\(what); gave up after \(connection.pointee.plan.limits.openNanos / 1_000_000) ms",
            level: .warning)
    }

    /// ` at 203.0.113.1:443`, for messages.
    private func peerText(_ slot: Int) -> String {
        guard let peer = connections[slot].dialing.peer else { return "" }
        guard let proxy = connections[slot].dialing.proxy else { return " at \(peer)" }
        return connections[slot].phase == .tunnelling ? " at \(peer)" : " through \(proxy)"
    }

    /// Does what the race asks for.
    private mutating func goOnRacing(_ slot: Int, now: Int64) {
        let connection = connections + slot
        while let action = connection.pointee.dialing.race.next(now: now) {
            switch action {
            case .connect(let candidate): connect(slot, candidate, now: now)
            case .cancel(let candidate): closeCandidate(slot, candidate)
            case .exhausted:
                raceLost(slot)
                return
            }
        }
        wakeTimers()
    }

    private mutating func connect(_ slot: Int, _ candidate: Int, now: Int64) {
        let connection = connections + slot
        connection.pointee.phase = .connecting
        var address = connection.pointee.dialing.race.candidates[candidate].address.raw
        var options = connection.pointee.plan.network.socketOptions
        let fd = ck_connect(&address, &options)
        connection.pointee.dialing.add(socket: fd)
        if fd < 0 {
            connection.pointee.dialing.race.failed(candidate, reason: -fd, now: now)
        } else {
            reactor.add(fd, CK_WRITE, token: token(slot, candidate: candidate))
        }
    }

    /// A candidate's socket is connected, or has failed.
    mutating func candidateReady(_ slot: Int, _ candidate: Int) {
        let connection = connections + slot
        guard connection.pointee.dialing.sockets.indices.contains(candidate) else { return }
        let fd = connection.pointee.dialing.sockets[candidate]
        guard fd >= 0 else { return }
        let now = ck_monotonic_nanos()
        let result = ck_connect_result(fd)
        guard result == 0 else {
            closeCandidate(slot, candidate)
            connection.pointee.dialing.race.failed(candidate, reason: -result, now: now)
            goOnRacing(slot, now: now)
            return
        }
        guard connection.pointee.dialing.race.connected(candidate) else { return }
        _ = connection.pointee.dialing.take(candidate)
        connection.pointee.dialing.won(candidate)
        goOnRacing(slot, now: now)
        connection.pointee.dialing.forgetSockets()
        connection.pointee.transport = Transport(source: reactor.source(of: fd))
        connection.pointee.watched = UInt32(CK_READ | CK_WRITE)
        reactor.modify(fd, CK_READ | CK_WRITE, token: token(slot))
        sayShortcomings(slot, fd)
        if connection.pointee.dialing.proxy == nil { startTLS(slot) } else { startTunnel(slot) }
    }

    private mutating func closeCandidate(_ slot: Int, _ candidate: Int) {
        guard let fd = connections[slot].dialing.take(candidate) else { return }
        reactor.remove(fd)
        ck_close(fd)
    }

    /// Closes whatever candidates are left; for the end of an attempt.
    mutating func cancelRace(_ slot: Int) {
        for candidate in connections[slot].dialing.sockets.indices { closeCandidate(slot, candidate) }
        connections[slot].dialing.forgetSockets()
    }

    private mutating func raceLost(_ slot: Int) {
        let connection = connections + slot
        let endpoint = connection.pointee.plan.endpoint
        let proxy = connection.pointee.dialing.proxy
        let race = connection.pointee.dialing.race
        var failures: [(address: HostAddress, code: Int32)] = []
        for candidate in race.candidates {
            guard case .failed(let reason) = candidate.state else { continue }
            failures.append((candidate.address, reason))
            connection.pointee.dialing.shun(candidate.address)
        }
        if failures.isEmpty {
            end(
                slot, .resolve,
                DialCauses.unresolved(
                    host: proxy?.host ?? endpoint.host, proxy: proxy, errors: race.lookupErrors),
                level: .warning)
        } else {
            end(
                slot, .connect, DialCauses.unconnected(to: endpoint, proxy: proxy, failures: failures),
                level: .warning)
        }
    }

    private mutating func sayShortcomings(_ slot: Int, _ fd: Int32) {
        let network = connections[slot].plan.network
        guard !connections[slot].dialing.hasSaidShortcomings,
            network.receiveBufferBytes > 0 || network.busyPollNanos > 0
        else { return }
        connections[slot].dialing.hasSaidShortcomings = true
        for text in network.shortcomings(of: fd) { monitor.notice(.warning, link: slot, text) }
    }

    /// What the reactor says of a connection's socket, or of one candidate's.
    private func token(_ slot: Int, candidate: Int? = nil) -> UInt64 {
        let low = UInt64(slot) | UInt64((candidate ?? -1) + 1) << WireStage.candidateShift
        return UInt64(connections[slot].generation) << 32 | low
    }

    /// Slots are numbered in the token's lowest bits, candidates (from 1; 0: the connection itself) above them, the
    /// generation in the upper half.
    static var candidateShift: UInt64 { 24 }

    /// The candidate that a token names; nil: the connection itself.
    static func candidate(ofToken token: UInt64) -> Int? {
        let number = Int(token >> candidateShift & 0xFF)
        return number == 0 ? nil : number - 1
    }

    /// The slot that a token names.
    static func slot(ofToken token: UInt64) -> Int { Int(token & (1 << candidateShift - 1)) }

    mutating func watch(_ slot: Int, _ events: Int) {
        let connection = connections + slot
        guard connection.pointee.watched != UInt32(events), let fd = connection.pointee.transport?.fd else {
            return
        }
        connection.pointee.watched = UInt32(events)
        reactor.modify(fd, events, token: token(slot))
    }

    /// The socket of a connection that is being opened is ready for something.
    mutating func advance(_ slot: Int) {
        switch connections[slot].phase {
        case .tunnelling: readTunnel(slot)
        case .handshaking: shakeHands(slot)
        case .upgrading: readUpgrade(slot)
        default: break
        }
    }

    // MARK: Tunnel

    private mutating func startTunnel(_ slot: Int) {
        let connection = connections + slot
        guard let proxy = connection.pointee.dialing.proxy else { return }
        let tunnel = ProxyTunnel(proxy: proxy, endpoint: connection.pointee.plan.endpoint)
        connection.pointee.phase = .tunnelling
        connection.pointee.unsent += tunnel.request
        connection.pointee.dialing.tunnel = tunnel
        flush(slot)
    }

    private mutating func readTunnel(_ slot: Int) {
        let connection = connections + slot
        if !connection.pointee.unsent.isEmpty { flush(slot) }
        guard let proxy = connection.pointee.dialing.proxy else { return }
        let place = "the proxy \(proxy)"
        while connection.pointee.phase == .tunnelling {
            switch readChunk(slot) {
            case .bytes(let chunk):
                switch connection.pointee.dialing.tunnel?.read(chunk) ?? .incomplete {
                case .incomplete: continue
                case .open: startTLS(slot)
                case .refused(_, let retryAfter, let text):
                    end(slot, .proxy, "\(place) \(text)", level: .error, retryAfterSeconds: retryAfter)
                }
            case .nothing: return
            case .ended:
                end(
                    slot, .proxy,
                    "\(place) closed instead of answering the request for a tunnel to"
                        + " \(connection.pointee.plan.endpoint); likely cause: its rules, or no proxy listens there",
                    level: .warning)
            case .failed(let why):
                end(
                    slot, .proxy, "the connection to \(place) broke before the tunnel stood: \(why)",
                    level: .warning)
            }
        }
    }

    // MARK: TLS

    private mutating func startTLS(_ slot: Int) {
        let connection = connections + slot
        let endpoint = connection.pointee.plan.endpoint
        guard let context = connection.pointee.context else { return startUpgrade(slot) }
        connection.pointee.phase = .handshaking
        guard
            connection.pointee.transport?.startTLS(context, host: endpoint.host, port: endpoint.port) == true
        else {
            end(
                slot, .tls,
                "TLS could not be set up for \(endpoint): out of memory, or OpenSSL refuses the name",
                level: .error)
            return
        }
        shakeHands(slot)
    }

    private mutating func shakeHands(_ slot: Int) {
        let connection = connections + slot
        switch connection.pointee.transport?.handshake() ?? .failed {
        case .bytes: startUpgrade(slot)
        case .wantRead: watch(slot, CK_READ)
        case .wantWrite: watch(slot, CK_READ | CK_WRITE)
        case .ended, .failed:
            let why = connection.pointee.transport?.errorText ?? ""
            end(
                slot, .tls, DialCauses.tls(connection.pointee.plan.endpoint, at: peerText(slot), why),
                level: .error)
        }
    }

    // MARK: Upgrade

    private mutating func startUpgrade(_ slot: Int) {
        let connection = connections + slot
        let upgrade = Upgrade(
            endpoint: connection.pointee.plan.endpoint, target: connection.pointee.plan.target,
            nonce: (random.next(), random.next()), deflate: connection.pointee.plan.deflate)
        connection.pointee.upgrade = upgrade
        connection.pointee.phase = .upgrading
        connection.pointee.unsent += upgrade.request
        flush(slot)
    }

    private mutating func readUpgrade(_ slot: Int) {
        let connection = connections + slot
        if !connection.pointee.unsent.isEmpty { flush(slot) }
        let place = "\(connection.pointee.plan.endpoint)\(peerText(slot))"
        while connection.pointee.phase == .upgrading {
            switch readChunk(slot) {
            case .bytes(let chunk):
                connection.pointee.upgradeAnswer += chunk
                judgeUpgrade(slot)
            case .nothing: return
            case .ended:
                end(
                    slot, .upgrade,
                    "\(place): the server closed instead of answering the upgrade; likely cause: it is overloaded,"
                        + " or no WebSocket server", level: .warning)
            case .failed(let why):
                end(
                    slot, .upgrade, "\(place): the connection broke during the upgrade: \(why)",
                    level: .warning)
            }
        }
    }

    private enum Chunk {
        case bytes(ArraySlice<UInt8>)
        case nothing
        case ended
        case failed(String)
    }

    /// Some bytes of an answer that is read before the connection is open.
    private mutating func readChunk(_ slot: Int) -> Chunk {
        let connection = connections + slot
        var chunk = [UInt8](repeating: 0, count: 4_096)
        let outcome = chunk.withUnsafeMutableBytes { room -> Transport.Outcome in
            guard let base = room.baseAddress else { return .failed }
            return connection.pointee.transport?.read(into: base, count: room.count) ?? .failed
        }
        switch outcome {
        case .bytes(let count): return .bytes(chunk[..<count])
        case .wantRead: return .nothing
        case .wantWrite:
            watch(slot, CK_READ | CK_WRITE)
            return .nothing
        case .ended: return .ended
        case .failed: return .failed(connection.pointee.transport?.errorText ?? "")
        }
    }

    private mutating func judgeUpgrade(_ slot: Int) {
        let connection = connections + slot
        guard let upgrade = connection.pointee.upgrade else { return }
        switch upgrade.read(connection.pointee.upgradeAnswer) {
        case .incomplete: return
        case .refused(let status, let retryAfter, let reason):
            refuse(slot, status: status, retryAfter: retryAfter, reason: reason)
        case .accepted(let begin, let agreement): opened(slot, firstFrames: begin, agreement)
        }
    }

    private mutating func refuse(_ slot: Int, status: Int, retryAfter: Int?, reason: String) {
        let endpoint = connections[slot].plan.endpoint
        end(
            slot, .upgrade,
            "\(endpoint)\(connections[slot].plan.target)\(peerText(slot)) refused the upgrade:"
                + " \(reason)\(DialCauses.upgradeHint(status))", level: .error, status: status,
            retryAfterSeconds: retryAfter)
    }

    private mutating func opened(_ slot: Int, firstFrames begin: Int, _ agreement: DeflateAgreement?) {
        let connection = connections + slot
        let now = ck_monotonic_nanos()
        connection.pointee.phase = .open
        connection.pointee.lastBytesTime = now
        connection.pointee.upgrade = nil
        if let agreement {
            connection.pointee.deflate = MessageDeflate(agreement)
            connection.pointee.unframer = Unframer(
                messageLimit: connection.pointee.plan.limits.messageBytes, inflates: true)
        }
        let rest = connection.pointee.upgradeAnswer[begin...]
        connection.pointee.ensureCarry(rest.count)
        rest.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            connection.pointee.carry.copyMemory(from: base, byteCount: bytes.count)
        }
        connection.pointee.carryCount = rest.count
        connection.pointee.hasWholeFrames = !rest.isEmpty
        connection.pointee.upgradeAnswer = []
        connection.pointee.dialing.succeeded()
        monitor.countOpened(link: slot)
        monitor.notice(
            .info, link: slot,
            "connected to \(connection.pointee.plan.endpoint)\(connection.pointee.plan.target)"
                + "\(peerText(slot)) (\(connection.pointee.transport?.summary ?? "")), \(connection.pointee.plan.streams.count) streams"
        )
        signal(slot, .opened)
        watch(slot, CK_READ)
        machines[slot / LinkIndex.sides].opened(
            slot % LinkIndex.sides, generation: connection.pointee.generation, now)
        touch(slot)
        _ = readSlot(slot)
    }
}
