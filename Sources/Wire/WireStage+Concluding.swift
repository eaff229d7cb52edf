import CKernel

/// Why and how a connection ends that the peer has closed, or that broke the protocol.
struct Conclusion {
    /// Of our close frame.
    var payload: [UInt8]
    var cause: ConnectionEnd
    var text: String
    var level: WireNotice.Level
}

/// The last frames of a connection.
extension WireStage {
    /// Bytes of ours that may wait for the socket before pings go unanswered.
    static var unsentLimit: Int { 1 << 20 }
    /// How long the peer may take to end a connection that both have closed, ns.
    static var settlingNanos: Int64 { 2_000_000_000 }

    /// Ends a connection for this reason: at once, or as soon as all that was read has been dealt with.
    mutating func settle(_ slot: Int, _ conclusion: Conclusion) {
        let connection = connections + slot
        guard connection.pointee.plan.ending == .settled, connection.pointee.phase == .open else {
            sayClose(slot, conclusion.payload)
            end(slot, conclusion.cause, conclusion.text, level: conclusion.level)
            return
        }
        connection.pointee.conclusion = conclusion
        connection.pointee.hasWholeFrames = true
    }

    /// Says goodbye once the ring's consumer has answered what came before, then waits for the peer to end the
    /// connection: what it still sends is of no interest, but a socket that is closed with bytes unread is reset, and
    /// our last frames may be lost with it.
    mutating func conclude(_ slot: Int) {
        let connection = connections + slot
        guard let conclusion = connection.pointee.conclusion else { return }
        if connection.pointee.phase == .open {
            // In this order: answers are sent before the records are given back.
            guard frames.isDrained(), commands.isEmpty else { return }
            connection.pointee.hasWholeFrames = false
            sayClose(slot, conclusion.payload)
            connection.pointee.phase = .closing
            connection.pointee.deadline = ck_monotonic_nanos() + WireStage.settlingNanos
            wakeTimers()
        }
        while connection.pointee.conclusion != nil,
            case .bytes = receive(
                slot, into: connection.pointee.carry, count: connection.pointee.carryCapacity)
        {}
    }

    /// Our close frame, once.
    private mutating func sayClose(_ slot: Int, _ payload: [UInt8]) {
        guard connections[slot].phase == .open else { return }
        send(slot, .close, payload)
    }
}
