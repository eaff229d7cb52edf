/// The receiving half of WebSocket (RFC 6455), without I/O: walks frames that lie in memory and finds the messages in
/// them, in place. A message in several frames is joined by moving the later payloads up behind the first.
///
/// The buffer is the caller's: bytes from `cursor` on are not looked at yet; where a fragmented message is under way,
/// its first ``joined`` bytes lie at ``messageStart``. What is left at the end of a buffer (see ``leftover(end:)``)
/// goes to the beginning of the next.
struct Unframer {
    /// A finding.
    enum Outcome: Equatable {
        /// A whole message.
        case message(offset: Int, length: Int, isBinary: Bool)
        /// A ping with its payload.
        case ping(offset: Int, length: Int)
        /// A pong.
        case pong
        /// A close with its payload (code and reason, or nothing).
        case close(offset: Int, length: Int)
        /// The next frame is not here yet as a whole; it and the joined bytes need `total` bytes.
        case incomplete(total: Int)
        /// The peer broke the protocol; the connection must end with this code.
        case failure(code: UInt16, reason: String)
    }

    /// The largest message, bytes.
    let messageLimit: Int
    /// Next byte to look at.
    var cursor = 0
    private(set) var messageStart = 0
    private(set) var joined = 0
    private var isJoining = false
    private var isJoiningBinary = false

    init(messageLimit: Int) { self.messageLimit = messageLimit }

    /// hot: what the bytes at the cursor are; moves the cursor behind it. A fragment that ends no message is joined
    /// and the walk goes on.
    mutating func next(in bytes: UnsafeMutablePointer<UInt8>, end: Int) -> Outcome {
        while true {
            if let outcome = frame(in: bytes, end: end) { return outcome }
        }
    }

    @inline(__always)
    private mutating func frame(in bytes: UnsafeMutablePointer<UInt8>, end: Int) -> Outcome? {
        let available = end &- cursor
        guard available >= 2 else { return .incomplete(total: joined &+ 2) }
        let first = bytes[cursor]
        let second = bytes[cursor &+ 1]
        var headerSize = 2
        var length = Int(second & 0x7F)
        if length == 126 {
            headerSize = 4
            guard available >= 4 else { return .incomplete(total: joined &+ 4) }
            length = Int(bytes[cursor &+ 2]) << 8 | Int(bytes[cursor &+ 3])
        } else if length == 127 {
            headerSize = 10
            guard available >= 10 else { return .incomplete(total: joined &+ 10) }
            guard let long = longLength(bytes + (cursor &+ 2)) else {
                return .failure(code: 1002, reason: "a frame's length has its highest bit set")
            }
            length = long
        }
        // FIN and opcode text: nearly every frame there is.
        if first != 0x81 || second & 0x80 != 0 || isJoining {
            if let failure = violation(first: first, second: second, length: length) { return failure }
        }
        if first & 0x08 == 0, length > messageLimit &- joined {
            return .failure(code: 1009, reason: "a message is larger than the limit")
        }
        guard available &- headerSize >= length else {
            return .incomplete(total: joined &+ headerSize &+ length)
        }
        let payload = cursor &+ headerSize
        cursor = payload &+ length
        if first == 0x81 || first == 0x82 {
            return .message(offset: payload, length: length, isBinary: first == 0x82)
        }
        return uncommon(first: first, payload: payload, length: length, bytes: bytes)
    }

    private func longLength(_ bytes: UnsafeMutablePointer<UInt8>) -> Int? {
        var value: UInt64 = 0
        for index in 0..<8 { value = value << 8 | UInt64(bytes[index]) }
        return value >> 63 == 0 ? Int(value) : nil
    }

    private func violation(first: UInt8, second: UInt8, length: Int) -> Outcome? {
        if first & 0x70 != 0 { return .failure(code: 1002, reason: "a reserved bit is set") }
        if second & 0x80 != 0 { return .failure(code: 1002, reason: "a frame from the server is masked") }
        switch first & 0x0F {
        case 0:
            return isJoining ? nil : .failure(code: 1002, reason: "a continuation without a message")
        case 1, 2:
            return isJoining ? .failure(code: 1002, reason: "a message inside a message") : nil
        case 8, 9, 10:
            if first & 0x80 == 0 { return .failure(code: 1002, reason: "a fragmented control frame") }
            if length > 125 { return .failure(code: 1002, reason: "a control frame over 125 bytes") }
            return length == 1 && first & 0x0F == 8
                ? .failure(code: 1002, reason: "a close frame with half a code") : nil
        default:
            return .failure(code: 1002, reason: "an unknown opcode")
        }
    }

    private mutating func uncommon(
        first: UInt8, payload: Int, length: Int, bytes: UnsafeMutablePointer<UInt8>
    ) -> Outcome? {
        switch first & 0x0F {
        case 8: return .close(offset: payload, length: length)
        case 9: return .ping(offset: payload, length: length)
        case 10: return .pong
        case 0:
            // The places overlap where the earlier frames were short.
            UnsafeMutableRawPointer(bytes + messageStart + joined).copyMemory(
                from: bytes + payload, byteCount: length)
            joined += length
        default:
            isJoining = true
            isJoiningBinary = first & 0x0F == 2
            messageStart = payload
            joined = length
        }
        guard first & 0x80 != 0 else { return nil }
        let message = Outcome.message(offset: messageStart, length: joined, isBinary: isJoiningBinary)
        isJoining = false
        joined = 0
        return message
    }

    /// Bytes that must be carried over to the next buffer.
    func leftover(end: Int) -> Int { joined + end - cursor }

    /// Moves what is left to `target`, which becomes the beginning of the next buffer, and counts from there.
    mutating func carry(from bytes: UnsafeMutablePointer<UInt8>, end: Int, to target: UnsafeMutableRawPointer)
    {
        if joined > 0 { target.copyMemory(from: bytes + messageStart, byteCount: joined) }
        (target + joined).copyMemory(from: bytes + cursor, byteCount: end - cursor)
        messageStart = 0
        cursor = joined
    }
}
