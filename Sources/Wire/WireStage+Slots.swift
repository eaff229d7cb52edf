import CKernel
import Rings

/// Deadlines, requests and endings of the connections.
extension WireStage {
    /// A deadline has passed.
    mutating func expire(_ slot: Int, now: Int64) {
        let connection = connections + slot
        switch connection.pointee.phase {
        case .waiting: begin(slot, now: now)
        case .resolving, .connecting, .tunnelling, .handshaking, .upgrading: expireOpening(slot, now: now)
        case .closing: end(slot, .stopped, "closed without the peer's answer", level: .info)
        case .open: openTimers(slot, now: now)
        case .stopped: break
        }
    }

    private mutating func openTimers(_ slot: Int, now: Int64) {
        let connection = connections + slot
        if now - connection.pointee.lastBytesTime >= connection.pointee.plan.limits.silenceNanos {
            end(
                slot, .silence,
                "no bytes for \(connection.pointee.plan.limits.silenceNanos / 1_000_000_000) s, pings included",
                level: .warning)
            return
        }
        if let late = connection.pointee.unanswered.first(where: { $0.value <= now }) {
            end(
                slot, .request,
                "request \(late.key) was not answered; likely cause: a frame over the exchange's size limit",
                level: .error)
            return
        }
        guard now >= connection.pointee.nextFrameTime else { return }
        if let pong = connection.pointee.pong {
            connection.pointee.pong = nil
            send(slot, .pong, pong, now: now)
            monitor.countPong(slot: slot)
        } else if connection.pointee.nextControlFrame < connection.pointee.plan.controlFrames.count {
            let frame = connection.pointee.plan.controlFrames[connection.pointee.nextControlFrame]
            connection.pointee.nextControlFrame += 1
            connection.pointee.unanswered[frame.id] =
                now + connection.pointee.plan.limits.acknowledgementNanos
            send(slot, .text, frame.payload, now: now)
        }
    }

    /// A record without frames: the parser must know where generations begin and end.
    mutating func signal(_ slot: Int, _ kind: FrameRunKind) {
        guard let room = frames.reserve(FrameRunHeader.size) else {
            monitor.notice(
                .warning, slot: slot, "the frame ring was too full to note that a connection \(kind)")
            return
        }
        room.storeBytes(
            of: FrameRunHeader(
                connection: UInt32(slot), generation: connections[slot].generation,
                receivedTime: ck_realtime_nanos(), kind: kind), as: FrameRunHeader.self)
        frames.commit(FrameRunHeader.size)
    }

    mutating func acknowledge(_ slot: Int, id: Int64) {
        let connection = connections + slot
        guard connection.pointee.unanswered.removeValue(forKey: id) != nil else { return }
        guard connection.pointee.unanswered.isEmpty,
            connection.pointee.nextControlFrame == connection.pointee.plan.controlFrames.count
        else { return }
        connection.pointee.attempts = 0
        monitor.set(.live, slot: slot)
        monitor.notice(.info, slot: slot, "all \(connection.pointee.plan.streamCount) streams acknowledged")
    }

    /// The connection is over; the slot waits for its next attempt, or has stopped.
    mutating func end(_ slot: Int, _ cause: ConnectionEnd, _ text: String, level: WireNotice.Level) {
        let connection = connections + slot
        let wasOpen = connection.pointee.phase == .open || connection.pointee.phase == .closing
        if let fd = connection.pointee.transport?.fd {
            connection.pointee.transport?.shutdown()
            reactor.remove(fd)
        }
        cancelRace(slot)
        connection.pointee.reset()
        if wasOpen { signal(slot, .closed) }
        monitor.countEnd(cause, slot: slot)
        wakeTimers()
        guard reopens, !connection.pointee.plan.opensOnce else {
            connection.pointee.phase = .stopped
            monitor.set(.stopped, slot: slot)
            return
        }
        connection.pointee.phase = .waiting
        monitor.set(.waiting, slot: slot)
        let wait = connection.pointee.backoff { random.next(below: $0) }
        connection.pointee.attempts += 1
        connection.pointee.deadline = ck_monotonic_nanos() + wait
        monitor.notice(level, slot: slot, "\(text); next attempt in \(wait / 1_000_000) ms")
    }
}
