import CKernel
import Rings

/// Frames of ours.
extension WireStage {
    /// One frame of ours; the pace is counted from here.
    mutating func send(_ slot: Int, _ opcode: ClientFrame.Opcode, _ payload: [UInt8], now: Int64) {
        let connection = connections + slot
        let mask = UInt32(truncatingIfNeeded: random.next())
        connection.pointee.unsent += ClientFrame.encode(opcode, payload: payload, mask: mask)
        connection.pointee.nextFrameTime = now + connection.pointee.plan.limits.frameSpacingNanos
        flush(slot)
    }

    /// Sends what waits, as far as the socket takes it.
    mutating func flush(_ slot: Int) {
        let connection = connections + slot
        while !connection.pointee.unsent.isEmpty {
            let outcome = connection.pointee.unsent.withUnsafeBytes {
                connection.pointee.transport?.write($0) ?? .failed
            }
            switch outcome {
            case .bytes(let count): connection.pointee.unsent.removeFirst(count)
            case .wantRead, .wantWrite:
                watch(slot, CK_READ | CK_WRITE)
                return
            // The reading side sees the same and knows why.
            case .ended, .failed:
                connection.pointee.unsent = []
                return
            }
        }
        watch(slot, CK_READ)
    }

    /// Our close frame; the peer's is awaited for half a second.
    mutating func startClose(_ slot: Int, code: UInt16) {
        let connection = connections + slot
        let now = ck_monotonic_nanos()
        send(slot, .close, ClientFrame.closePayload(code: code), now: now)
        connection.pointee.phase = .closing
        connection.pointee.deadline = now + 500_000_000
        wakeTimers()
    }

    /// Answers a close frame or a violation with `code`, without waiting.
    mutating func sayClose(_ slot: Int, code: UInt16?) {
        guard connections[slot].phase == .open else { return }
        let payload = code.map { ClientFrame.closePayload(code: $0) } ?? []
        send(slot, .close, payload, now: ck_monotonic_nanos())
    }
}
