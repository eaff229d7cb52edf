import CKernel
import Rings

/// Frames of ours.
extension WireStage {
    /// One frame of ours.
    mutating func send(_ slot: Int, _ opcode: ClientFrame.Opcode, _ payload: [UInt8]) {
        let connection = connections + slot
        let mask = UInt32(truncatingIfNeeded: random.next())
        ClientFrame.append(opcode, payload: payload, mask: mask, to: &connection.pointee.unsent)
        flush(slot)
    }

    /// Sends what waits, as far as the socket takes it.
    mutating func flush(_ slot: Int) {
        let connection = connections + slot
        var sent = 0
        // Taken off once: a large message leaves in many pieces.
        defer { connection.pointee.unsent.removeFirst(sent) }
        while sent < connection.pointee.unsent.count {
            let outcome = connection.pointee.unsent.withUnsafeBytes {
                connection.pointee.transport?.write(UnsafeRawBufferPointer(rebasing: $0[sent...])) ?? .failed
            }
            switch outcome {
            case .bytes(let count): sent += count
            case .wantRead, .wantWrite:
                watch(slot, CK_READ | CK_WRITE)
                return
            // The reading side sees the same and knows why.
            case .ended, .failed:
                sent = connection.pointee.unsent.count
                return
            }
        }
        watch(slot, CK_READ)
    }

    /// Our close frame; the peer's is awaited for half a second.
    mutating func startClose(_ slot: Int, code: UInt16) {
        let connection = connections + slot
        let now = ck_monotonic_nanos()
        send(slot, .close, ClientFrame.closePayload(code: code))
        connection.pointee.phase = .closing
        connection.pointee.deadline = now + 500_000_000
        wakeTimers()
    }
}
