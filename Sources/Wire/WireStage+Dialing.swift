import CKernel
import Rings

/// Dialing: from a name to an accepted upgrade.
extension WireStage {
    mutating func begin(_ slot: Int, now: Int64) {
        let connection = connections + slot
        connection.pointee.generation &+= 1
        connection.pointee.phase = .resolving
        connection.pointee.deadline = now + connection.pointee.plan.limits.openNanos
        monitor.set(.opening, slot: slot)
        let endpoint = connection.pointee.plan.endpoint
        resolver.requests.send(
            ResolverStage.Request(
                slot: slot, generation: connection.pointee.generation, host: endpoint.host,
                port: endpoint.port,
                reply: commands))
    }

    /// Tries the addresses one after the other.
    mutating func connect(_ slot: Int) {
        let connection = connections + slot
        while connection.pointee.addressIndex < connection.pointee.addresses.count {
            var address = connection.pointee.addresses[connection.pointee.addressIndex]
            connection.pointee.addressIndex += 1
            let fd = ck_connect(&address, 0)
            guard fd >= 0 else {
                connection.pointee.lastError = systemErrorText(-fd)
                continue
            }
            reactor.add(fd, CK_WRITE, token: token(slot))
            connection.pointee.watched = UInt32(CK_WRITE)
            connection.pointee.transport = Transport(
                source: reactor.source(of: fd), context: connection.pointee.context,
                host: connection.pointee.plan.endpoint.host)
            guard connection.pointee.transport != nil else {
                reactor.remove(fd)
                ck_close(fd)
                connection.pointee.lastError = "TLS could not be set up for this host's name"
                continue
            }
            connection.pointee.phase = .connecting
            return
        }
        end(
            slot, .connect,
            "no connection to \(connection.pointee.plan.endpoint): \(connection.pointee.lastError);"
                + " likely cause: nothing listens there, or a firewall", level: .warning)
    }

    private func token(_ slot: Int) -> UInt64 {
        UInt64(connections[slot].generation) << 32 | UInt64(slot)
    }

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
        let connection = connections + slot
        if connection.pointee.phase == .connecting {
            guard let fd = connection.pointee.transport?.fd else { return }
            let result = ck_connect_result(fd)
            guard result == 0 else {
                connection.pointee.lastError = systemErrorText(-result)
                reactor.remove(fd)
                connection.pointee.transport = nil
                connect(slot)
                return
            }
            connection.pointee.phase = .handshaking
        }
        if connection.pointee.phase == .handshaking {
            switch connection.pointee.transport?.handshake() {
            case .bytes: startUpgrade(slot)
            case .wantRead:
                watch(slot, CK_READ)
                return
            case .wantWrite:
                watch(slot, CK_READ | CK_WRITE)
                return
            default:
                let why = connection.pointee.transport?.errorText ?? ""
                // OpenSSL's words for a first record that is no TLS.
                let remedy =
                    why.contains("wrong version number") || why.contains("packet length too long")
                    ? "likely cause: no TLS is spoken on that port; write ws:// for a plain server"
                    : "check host name, clock and tls.certificateAuthority"
                end(
                    slot, .tls, "TLS with \(connection.pointee.plan.endpoint) failed: \(why); \(remedy)",
                    level: .error)
                return
            }
        }
        if connection.pointee.phase == .upgrading { readUpgrade(slot) }
    }

    private mutating func startUpgrade(_ slot: Int) {
        let connection = connections + slot
        let upgrade = Upgrade(
            endpoint: connection.pointee.plan.endpoint, target: connection.pointee.plan.target,
            nonce: (random.next(), random.next()))
        connection.pointee.upgrade = upgrade
        connection.pointee.phase = .upgrading
        connection.pointee.unsent += upgrade.request
        flush(slot)
    }

    private mutating func readUpgrade(_ slot: Int) {
        let connection = connections + slot
        if !connection.pointee.unsent.isEmpty { flush(slot) }
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while connection.pointee.phase == .upgrading {
            let outcome = chunk.withUnsafeMutableBytes { room -> Transport.Outcome in
                guard let base = room.baseAddress else { return .failed }
                return connection.pointee.transport?.read(into: base, count: room.count) ?? .failed
            }
            switch outcome {
            case .bytes(let count):
                connection.pointee.upgradeAnswer += chunk[..<count]
                judgeUpgrade(slot)
            case .wantRead: return
            case .wantWrite:
                watch(slot, CK_READ | CK_WRITE)
                return
            case .ended:
                end(slot, .upgrade, "the server closed instead of answering the upgrade", level: .warning)
            case .failed:
                let why = connection.pointee.transport?.errorText ?? ""
                end(slot, .upgrade, "the connection broke during the upgrade: \(why)", level: .warning)
            }
        }
    }

    private mutating func judgeUpgrade(_ slot: Int) {
        let connection = connections + slot
        guard let upgrade = connection.pointee.upgrade else { return }
        switch upgrade.read(connection.pointee.upgradeAnswer) {
        case .incomplete: return
        case .refused(let status, let retryAfter, let reason):
            refuse(slot, status: status, retryAfter: retryAfter, reason: reason)
        case .accepted(let begin): opened(slot, firstFrames: begin)
        }
    }

    private mutating func refuse(_ slot: Int, status: Int, retryAfter: Int?, reason: String) {
        let cause =
            switch status {
            case 401, 403: "; likely cause: this address is blocked"
            case 404: "; likely cause: a wrong path in the endpoint"
            case 418, 429: "; too many requests from this address"
            case 451: "; the exchange does not serve this location"
            case 500...: "; the exchange has a fault of its own"
            default: ""
            }
        let endpoint = connections[slot].plan.endpoint
        end(
            slot, .upgrade,
            "\(endpoint)\(connections[slot].plan.target) refused the upgrade: \(reason)\(cause)",
            level: .error)
        let limits = connections[slot].plan.limits
        var wait = Int64(min(retryAfter ?? 0, 86_400)) * 1_000_000_000
        if [401, 403, 404, 418, 451].contains(status) { wait = max(wait, limits.refusedNanos) }
        guard wait > 0, connections[slot].phase == .waiting else { return }
        connections[slot].deadline = max(connections[slot].deadline, ck_monotonic_nanos() + wait)
        monitor.notice(.info, slot: slot, "next attempt in \(wait / 1_000_000_000) s")
    }

    private mutating func opened(_ slot: Int, firstFrames begin: Int) {
        let connection = connections + slot
        let now = ck_monotonic_nanos()
        connection.pointee.phase = .open
        connection.pointee.lastBytesTime = now
        connection.pointee.upgrade = nil
        let rest = connection.pointee.upgradeAnswer[begin...]
        connection.pointee.ensureCarry(rest.count)
        rest.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            connection.pointee.carry.copyMemory(from: base, byteCount: bytes.count)
        }
        connection.pointee.carryCount = rest.count
        connection.pointee.hasWholeFrames = !rest.isEmpty
        connection.pointee.upgradeAnswer = []
        monitor.countOpened(slot: slot)
        monitor.set(connection.pointee.plan.controlFrames.isEmpty ? .live : .subscribing, slot: slot)
        if connection.pointee.plan.controlFrames.isEmpty { connection.pointee.attempts = 0 }
        monitor.notice(
            .info, slot: slot,
            "connected to \(connection.pointee.plan.endpoint)\(connection.pointee.plan.target)"
                + " (\(connection.pointee.transport?.summary ?? "")), \(connection.pointee.plan.streamCount) streams"
        )
        signal(slot, .opened)
        watch(slot, CK_READ)
        wakeTimers()
        _ = readSlot(slot)
    }
}
