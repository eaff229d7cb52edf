import CKernel
import Rings

/// Dialing: from a name to an accepted upgrade. Resolver, race of the addresses, tunnel through a proxy, TLS, upgrade.
extension WireStage {
    mutating func begin(_ link: Int, now: Int64) {
        let connection = connections + link
        connection.pointee.phase = .resolving
        connection.pointee.deadline = now + connection.pointee.plan.limits.openNanos
        let endpoint = connection.pointee.plan.endpoint
        let network = connection.pointee.plan.network
        let proxy = network.proxy.proxy(for: endpoint)
        let home = home(of: link)
        if let last = connection.pointee.dialing.peer {
            if connection.pointee.dialing.hasOpened {
                home.pointee.dialing.memory.shun(last)
            } else {
                home.pointee.dialing.memory.failed(last)
            }
        }
        let memory = home.pointee.dialing.memory
        connection.pointee.dialing.begin(
            families: memory.ordered(network.families), avoided: memory.shunned, proxy: proxy, now: now)
        resolver.requests.send(
            ResolverStage.Request(
                link: link, generation: connection.pointee.generation, host: proxy?.host ?? endpoint.host,
                port: proxy?.port ?? endpoint.port, families: network.families, reply: commands))
    }

    /// The side whose ``DialState/memory`` is the slot's.
    private func home(of link: Int) -> UnsafeMutablePointer<Connection> {
        connections + LinkIndex.link(slot: link / LinkIndex.sides, side: 0)
    }

    /// Where the other connections of the link's shard stand: a pair should not depend on one machine of the exchange.
    private func hostsInUse(besides link: Int) -> [HostAddress] {
        let (market, shard) = (connections[link].plan.market, connections[link].plan.shard)
        var hosts: [HostAddress] = []
        for other in 0..<machines.count * LinkIndex.sides where other != link {
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
    mutating func resolved(_ link: Int, _ answer: ResolverAnswer, now: Int64) {
        let connection = connections + link
        guard connection.pointee.phase == .resolving || connection.pointee.phase == .connecting else {
            return
        }
        if let problem = answer.problem {
            connection.pointee.dialing.race.unresolved(answer.family, reason: problem, now: now)
        } else {
            connection.pointee.dialing.race.avoid(hostsInUse(besides: link))
            connection.pointee.dialing.race.resolved(answer.family, answer.addresses, now: now)
        }
        goOnRacing(link, now: now)
    }

    /// A deadline of a connection that is being opened has passed.
    mutating func expireOpening(_ link: Int, now: Int64) {
        let connection = connections + link
        guard now >= connection.pointee.deadline else { return goOnRacing(link, now: now) }
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
                "\(place)\(peerText(link)) did not answer the request for a tunnel to \(endpoint) in time;"
                    + " likely cause: it cannot reach the host, or no proxy listens there"
            case .handshaking:
                "TLS with \(endpoint)\(peerText(link)) took too long;"
                    + " likely cause: an overloaded host, or a firewall that lets only small packets pass"
            default:
                "\(endpoint)\(peerText(link)) did not answer the upgrade in time; likely cause: an overloaded host"
            }
        end(
            link, .openTimeout,
            "\(what); gave up after \(connection.pointee.plan.limits.openNanos / 1_000_000) ms",
            level: .warning)
    }

    /// ` at 203.0.113.1:443`, for messages.
    private func peerText(_ link: Int) -> String {
        guard let peer = connections[link].dialing.peer else { return "" }
        guard let proxy = connections[link].dialing.proxy else { return " at \(peer)" }
        return connections[link].phase == .tunnelling ? " at \(peer)" : " through \(proxy)"
    }

    /// Does what the race asks for.
    private mutating func goOnRacing(_ link: Int, now: Int64) {
        let connection = connections + link
        while let action = connection.pointee.dialing.race.next(now: now) {
            switch action {
            case .connect(let candidate): connect(link, candidate, now: now)
            case .cancel(let candidate): closeCandidate(link, candidate)
            case .exhausted:
                raceLost(link)
                return
            }
        }
        wakeTimers()
    }

    private mutating func connect(_ link: Int, _ candidate: Int, now: Int64) {
        let connection = connections + link
        connection.pointee.phase = .connecting
        var address = connection.pointee.dialing.race.candidates[candidate].address.raw
        var options = connection.pointee.plan.network.socketOptions
        let fd = ck_connect(&address, &options)
        connection.pointee.dialing.add(socket: fd)
        // A refusal that is known at once has come from there.
        if connection.pointee.dialing.proxy == nil, fd >= 0 || DialCauses.isOfTheHost(-fd) {
            connection.pointee.dialing.hasKnocked = true
        }
        if fd < 0 {
            connection.pointee.dialing.race.failed(candidate, reason: -fd, now: now)
        } else {
            reactor.add(fd, CK_WRITE, token: token(link, candidate: candidate))
        }
    }

    /// A candidate's socket is connected, or has failed.
    mutating func candidateReady(_ link: Int, _ candidate: Int) {
        let connection = connections + link
        guard connection.pointee.dialing.sockets.indices.contains(candidate) else { return }
        let fd = connection.pointee.dialing.sockets[candidate]
        guard fd >= 0 else { return }
        let now = ck_monotonic_nanos()
        let result = ck_connect_result(fd)
        guard result == 0 else {
            closeCandidate(link, candidate)
            connection.pointee.dialing.race.failed(candidate, reason: -result, now: now)
            goOnRacing(link, now: now)
            return
        }
        guard connection.pointee.dialing.race.connected(candidate) else { return }
        _ = connection.pointee.dialing.take(candidate)
        let peer = connection.pointee.dialing.race.candidates[candidate].address
        connection.pointee.dialing.peer = peer
        goOnRacing(link, now: now)
        connection.pointee.dialing.forgetSockets()
        connection.pointee.transport = Transport(source: reactor.source(of: fd))
        connection.pointee.watched = UInt32(CK_READ | CK_WRITE)
        reactor.modify(fd, CK_READ | CK_WRITE, token: token(link))
        sayShortcomings(link, fd)
        if connection.pointee.dialing.proxy == nil { startTLS(link) } else { startTunnel(link) }
    }

    private mutating func closeCandidate(_ link: Int, _ candidate: Int) {
        let connection = connections + link
        guard let fd = connection.pointee.dialing.take(candidate) else { return }
        reactor.remove(fd)
        ck_close(fd)
    }

    /// Closes whatever candidates are left; for the end of an attempt.
    mutating func cancelRace(_ link: Int) {
        let connection = connections + link
        for candidate in connection.pointee.dialing.sockets.indices { closeCandidate(link, candidate) }
        connection.pointee.dialing.forgetSockets()
    }

    private mutating func raceLost(_ link: Int) {
        let connection = connections + link
        let endpoint = connection.pointee.plan.endpoint
        let proxy = connection.pointee.dialing.proxy
        let race = connection.pointee.dialing.race
        var failures: [(address: HostAddress, code: Int32)] = []
        for candidate in race.candidates {
            guard case .failed(let reason) = candidate.state else { continue }
            failures.append((candidate.address, reason))
            home(of: link).pointee.dialing.memory.shun(candidate.address)
        }
        if failures.isEmpty {
            end(
                link, .resolve,
                DialCauses.unresolved(
                    host: proxy?.host ?? endpoint.host, proxy: proxy, errors: race.lookupErrors),
                level: .warning)
        } else {
            end(
                link, .connect, DialCauses.unconnected(to: endpoint, proxy: proxy, failures: failures),
                level: .warning)
        }
    }

    private mutating func sayShortcomings(_ link: Int, _ fd: Int32) {
        let network = connections[link].plan.network
        guard !home(of: link).pointee.dialing.memory.hasSaidShortcomings,
            network.receiveBufferBytes > 0 || network.busyPollNanos > 0
        else { return }
        home(of: link).pointee.dialing.memory.hasSaidShortcomings = true
        for text in network.shortcomings(of: fd) { monitor.notice(.warning, link: link, text) }
    }

    /// What the reactor says of a connection's socket, or of one candidate's.
    private func token(_ link: Int, candidate: Int? = nil) -> UInt64 {
        let low = UInt64(link) | UInt64((candidate ?? -1) + 1) << WireStage.candidateShift
        return UInt64(connections[link].generation) << 32 | low
    }

    /// Links are numbered in the token's lowest bits, candidates (from 1; 0: the connection itself) above them, the
    /// generation in the upper half.
    static var candidateShift: UInt64 { 24 }

    /// The candidate that a token names; nil: the connection itself.
    static func candidate(ofToken token: UInt64) -> Int? {
        let number = Int(token >> candidateShift & 0xFF)
        return number == 0 ? nil : number - 1
    }

    /// The link that a token names.
    static func link(ofToken token: UInt64) -> Int { Int(token & (1 << candidateShift - 1)) }

    mutating func watch(_ link: Int, _ events: Int) {
        let connection = connections + link
        guard connection.pointee.watched != UInt32(events), let fd = connection.pointee.transport?.fd else {
            return
        }
        connection.pointee.watched = UInt32(events)
        reactor.modify(fd, events, token: token(link))
    }

    /// The socket of a connection that is being opened is ready for something.
    mutating func advance(_ link: Int) {
        switch connections[link].phase {
        case .tunnelling: readTunnel(link)
        case .handshaking: shakeHands(link)
        case .upgrading: readUpgrade(link)
        default: break
        }
    }

    // MARK: Tunnel

    private mutating func startTunnel(_ link: Int) {
        let connection = connections + link
        guard let proxy = connection.pointee.dialing.proxy else { return }
        let tunnel = ProxyTunnel(proxy: proxy, endpoint: connection.pointee.plan.endpoint)
        connection.pointee.phase = .tunnelling
        connection.pointee.dialing.hasKnocked = true
        connection.pointee.unsent += tunnel.request
        connection.pointee.dialing.tunnel = tunnel
        flush(link)
    }

    private mutating func readTunnel(_ link: Int) {
        let connection = connections + link
        if !connection.pointee.unsent.isEmpty { flush(link) }
        guard let proxy = connection.pointee.dialing.proxy else { return }
        let place = "the proxy \(proxy)"
        while connection.pointee.phase == .tunnelling {
            switch readChunk(link) {
            case .bytes(let chunk):
                switch connection.pointee.dialing.tunnel?.read(chunk) ?? .incomplete {
                case .incomplete: continue
                case .open: startTLS(link)
                case .refused(_, let retryAfter, let text):
                    end(link, .proxy, "\(place) \(text)", level: .error, retryAfter: retryAfter)
                }
            case .nothing: return
            case .ended:
                end(
                    link, .proxy,
                    "\(place) closed instead of answering the request for a tunnel to"
                        + " \(connection.pointee.plan.endpoint); likely cause: its rules, or no proxy listens there",
                    level: .warning)
            case .failed(let why):
                end(
                    link, .proxy, "the connection to \(place) broke before the tunnel stood: \(why)",
                    level: .warning)
            }
        }
    }

    // MARK: TLS

    private mutating func startTLS(_ link: Int) {
        let connection = connections + link
        let endpoint = connection.pointee.plan.endpoint
        guard let context = connection.pointee.context else { return startUpgrade(link) }
        connection.pointee.phase = .handshaking
        guard
            connection.pointee.transport?.startTLS(context, host: endpoint.host, port: endpoint.port) == true
        else {
            end(
                link, .tls,
                "TLS could not be set up for \(endpoint): out of memory, or OpenSSL refuses the name",
                level: .error)
            return
        }
        shakeHands(link)
    }

    private mutating func shakeHands(_ link: Int) {
        let connection = connections + link
        switch connection.pointee.transport?.handshake() ?? .failed {
        case .bytes: startUpgrade(link)
        case .wantRead: watch(link, CK_READ)
        case .wantWrite: watch(link, CK_READ | CK_WRITE)
        case .ended, .failed:
            let why = connection.pointee.transport?.errorText ?? ""
            end(
                link, .tls, DialCauses.tls(connection.pointee.plan.endpoint, at: peerText(link), why),
                level: .error)
        }
    }

    // MARK: Upgrade

    private mutating func startUpgrade(_ link: Int) {
        let connection = connections + link
        let upgrade = Upgrade(
            endpoint: connection.pointee.plan.endpoint, target: connection.pointee.plan.target,
            nonce: (random.next(), random.next()), deflate: connection.pointee.plan.deflate)
        connection.pointee.upgrade = upgrade
        connection.pointee.phase = .upgrading
        connection.pointee.unsent += upgrade.request
        flush(link)
    }

    private mutating func readUpgrade(_ link: Int) {
        let connection = connections + link
        if !connection.pointee.unsent.isEmpty { flush(link) }
        let place = "\(connection.pointee.plan.endpoint)\(peerText(link))"
        while connection.pointee.phase == .upgrading {
            switch readChunk(link) {
            case .bytes(let chunk):
                connection.pointee.upgradeAnswer += chunk
                judgeUpgrade(link)
            case .nothing: return
            case .ended:
                end(
                    link, .upgrade,
                    "\(place): the server closed instead of answering the upgrade; likely cause: it is overloaded,"
                        + " or no WebSocket server", level: .warning)
            case .failed(let why):
                end(
                    link, .upgrade, "\(place): the connection broke during the upgrade: \(why)",
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
    private mutating func readChunk(_ link: Int) -> Chunk {
        let connection = connections + link
        var chunk = [UInt8](repeating: 0, count: 4_096)
        let outcome = chunk.withUnsafeMutableBytes { room -> Transport.Outcome in
            guard let base = room.baseAddress else { return .failed }
            return connection.pointee.transport?.read(into: base, count: room.count) ?? .failed
        }
        switch outcome {
        case .bytes(let count): return .bytes(chunk[..<count])
        case .wantRead: return .nothing
        case .wantWrite:
            watch(link, CK_READ | CK_WRITE)
            return .nothing
        case .ended: return .ended
        case .failed: return .failed(connection.pointee.transport?.errorText ?? "")
        }
    }

    private mutating func judgeUpgrade(_ link: Int) {
        let connection = connections + link
        guard let upgrade = connection.pointee.upgrade else { return }
        switch upgrade.read(connection.pointee.upgradeAnswer) {
        case .incomplete: return
        case .refused(let status, let retryAfter, let reason):
            refuse(link, status: status, retryAfter: retryAfter, reason: reason)
        case .accepted(let begin, let agreement): opened(link, firstFrames: begin, agreement)
        }
    }

    private mutating func refuse(_ link: Int, status: Int, retryAfter: String?, reason: String) {
        let endpoint = connections[link].plan.endpoint
        end(
            link, .upgrade,
            "\(endpoint)\(connections[link].plan.target)\(peerText(link)) refused the upgrade:"
                + " \(reason)\(DialCauses.upgradeHint(status))", level: .error, status: status,
            retryAfter: retryAfter)
    }

    private mutating func opened(_ link: Int, firstFrames begin: Int, _ agreement: DeflateAgreement?) {
        let connection = connections + link
        let now = ck_monotonic_nanos()
        let took = now - (connection.pointee.deadline - connection.pointee.plan.limits.openNanos)
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
        connection.pointee.dialing.opened()
        if let peer = connection.pointee.dialing.peer {
            home(of: link).pointee.dialing.memory.succeeded(peer)
        }
        monitor.countOpened(link: link)
        monitor.notice(
            .info, link: link,
            "connected to \(connection.pointee.plan.endpoint)\(connection.pointee.plan.target)"
                + "\(peerText(link)) (\(connection.pointee.transport?.summary ?? "")), \(connection.pointee.plan.streams.count) streams,"
                + " after \(took / 1_000_000) ms"
        )
        signal(link, .opened)
        watch(link, CK_READ)
        machines[link / LinkIndex.sides].opened(
            link % LinkIndex.sides, generation: connection.pointee.generation, now)
        touch(link)
        _ = readSlot(link)
    }
}
