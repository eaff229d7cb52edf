import CKernel

/// Messages of ours on an open connection.
extension WireStage {
    /// Sends a message at once, compressed where that was agreed on; nothing where the connection has ended.
    mutating func sendMessage(_ slot: Int, isBinary: Bool, _ payload: [UInt8]) {
        let connection = connections + slot
        guard connection.pointee.phase == .open else { return }
        let opcode: ClientFrame.Opcode = isBinary ? .binary : .text
        let compressed = connection.pointee.deflate?.deflate(payload) ?? nil
        ClientFrame.append(
            opcode, payload: compressed ?? payload, mask: UInt32(truncatingIfNeeded: random.next()),
            isCompressed: compressed != nil, to: &connection.pointee.unsent)
        flush(slot)
    }
}
