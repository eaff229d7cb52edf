/// The receiving half of WebSocket (RFC 6455), without I/O: walks frames that lie in memory and finds the messages in
/// them, in place. A message in several frames is joined by moving the later payloads up behind the first. Text is
/// checked as it comes, also inside a frame whose end is not here yet; compressed text after it was inflated, elsewhere.
///
/// The buffer is the caller's: bytes from `cursor` on are not looked at yet; where a fragmented message is under way,
/// its first `joined` bytes lie at `messageStart`. What is left at the end of a buffer (see `leftover(end:)`) goes to
/// the beginning of the next.
public struct Unframer {
    /// A finding. Offsets and lengths are bytes of the buffer that was walked.
    public enum Outcome: Equatable {
        /// A whole message.
        case message(offset: Int, length: Int, isBinary: Bool)
        /// A whole message, still compressed (RFC 7692).
        case compressed(offset: Int, length: Int, isBinary: Bool)
        /// A ping with its payload.
        case ping(offset: Int, length: Int)
        /// A pong.
        case pong
        /// A close with its payload (a valid code and reason, or nothing).
        case close(offset: Int, length: Int)
        /// The next frame is not here yet as a whole; it and the joined bytes need `total` bytes.
        case incomplete(total: Int)
        /// The peer broke the protocol; the connection must end with this code.
        case failure(code: UInt16, reason: String)
    }

    /// The largest message, bytes.
    public let messageLimit: Int
    /// permessage-deflate was agreed on: the first frame of a message may have its first reserved bit set.
    public let inflates: Bool
    /// Next byte to look at.
    private(set) var cursor = 0
    private(set) var messageStart = 0
    private(set) var joined = 0
    private var isJoining = false
    /// The first byte of the message's first frame.
    private var joining: UInt8 = 0
    private var text = UTF8Check()
    /// Bytes of the payload at the cursor that ``text`` has seen: its end was not here then.
    private var checked = 0

    /// For the frames of one connection from its first on. `messageLimit`: see ``messageLimit``, `inflates`: see ``inflates``.
    public init(messageLimit: Int, inflates: Bool = false) {
        self.messageLimit = messageLimit
        self.inflates = inflates
    }

    /// hot: what the bytes at the cursor are; moves the cursor behind it. A fragment that ends no message is joined
    /// and the walk goes on.
    public mutating func next(in bytes: UnsafeMutablePointer<UInt8>, end: Int) -> Outcome {
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
                return .failure(
                    code: CloseCode.protocolError, reason: "a frame's length has its highest bit set")
            }
            length = long
        }
        let payload = cursor &+ headerSize
        // FIN and opcode text: nearly every frame there is.
        if first == 0x81 && second & 0x80 == 0 && !isJoining {
            if length <= messageLimit, available &- headerSize >= length, checked == 0,
                UTF8Check.isASCII(bytes + payload, length)
            {
                cursor = payload &+ length
                return .message(offset: payload, length: length, isBinary: false)
            }
        } else if let failure = violation(first: first, second: second, length: length) {
            return failure
        }
        if first & 0x08 == 0, length > limit(first) &- joined {
            return .failure(code: CloseCode.tooLarge, reason: "a message is larger than the limit")
        }
        let isWhole = available &- headerSize >= length
        if isText(first) {
            let here = min(length, available &- headerSize)
            guard text.take(bytes + (payload &+ checked), here &- checked),
                !isWhole || first & 0x80 == 0 || text.isComplete
            else { return .failure(code: CloseCode.invalidPayload, reason: "a text message is not UTF-8") }
            checked = here
        }
        guard isWhole else { return .incomplete(total: joined &+ headerSize &+ length) }
        cursor = payload &+ length
        checked = 0
        return whole(first: first, payload: payload, length: length, bytes: bytes)
    }

    private func longLength(_ bytes: UnsafeMutablePointer<UInt8>) -> Int? {
        var value: UInt64 = 0
        for index in 0..<8 { value = value << 8 | UInt64(bytes[index]) }
        return value >> 63 == 0 ? Int(value) : nil
    }

    /// The first byte of the first frame of the message that a frame belongs to.
    private func beginning(_ first: UInt8) -> UInt8 { isJoining ? joining : first }

    /// Compressing what cannot be compressed makes it larger: by five bytes for each block, 16 KiB and more.
    private func limit(_ first: UInt8) -> Int {
        beginning(first) & 0x40 == 0 ? messageLimit : messageLimit &+ messageLimit >> 10 &+ 64
    }

    /// A data frame of a message that is text and not compressed.
    private func isText(_ first: UInt8) -> Bool {
        first & 0x08 == 0 && beginning(first) & 0x4F == 0x01
    }

    private func violation(first: UInt8, second: UInt8, length: Int) -> Outcome? {
        func failure(_ reason: String) -> Outcome { .failure(code: CloseCode.protocolError, reason: reason) }
        let opcode = first & 0x0F
        let allowed: UInt8 = inflates && (opcode == 1 || opcode == 2) ? 0x40 : 0
        if first & 0x70 & ~allowed != 0 { return failure("a reserved bit is set") }
        if second & 0x80 != 0 { return failure("a frame from the server is masked") }
        switch opcode {
        case 0: return isJoining ? nil : failure("a continuation without a message")
        case 1, 2: return isJoining ? failure("a message inside a message") : nil
        case 8, 9, 10:
            if first & 0x80 == 0 { return failure("a fragmented control frame") }
            return length > 125 ? failure("a control frame over 125 bytes") : nil
        default: return failure("an unknown opcode")
        }
    }

    /// A frame whose end is here, the hot one excepted.
    private mutating func whole(
        first: UInt8, payload: Int, length: Int, bytes: UnsafeMutablePointer<UInt8>
    ) -> Outcome? {
        switch first & 0x0F {
        case 8: return close(payload: payload, length: length, bytes: bytes)
        case 9: return .ping(offset: payload, length: length)
        case 10: return .pong
        case 0:
            // The places overlap where the earlier frames were short.
            UnsafeMutableRawPointer(bytes + messageStart + joined).copyMemory(
                from: bytes + payload, byteCount: length)
            joined += length
        default:
            isJoining = true
            joining = first
            messageStart = payload
            joined = length
        }
        guard first & 0x80 != 0 else { return nil }
        let isBinary = joining & 0x0F == 2
        let outcome: Outcome =
            joining & 0x40 == 0
            ? .message(offset: messageStart, length: joined, isBinary: isBinary)
            : .compressed(offset: messageStart, length: joined, isBinary: isBinary)
        isJoining = false
        joined = 0
        text = UTF8Check()
        return outcome
    }

    private func close(payload: Int, length: Int, bytes: UnsafeMutablePointer<UInt8>) -> Outcome {
        guard length > 0 else { return .close(offset: payload, length: 0) }
        guard length > 1 else {
            return .failure(code: CloseCode.protocolError, reason: "a close frame with half a code")
        }
        let code = UInt16(bytes[payload]) << 8 | UInt16(bytes[payload + 1])
        guard CloseCode.isSendable(code) else {
            return .failure(code: CloseCode.protocolError, reason: "a close frame with the code \(code)")
        }
        guard UTF8Check.isValid(bytes + payload + 2, length - 2) else {
            return .failure(
                code: CloseCode.invalidPayload, reason: "a close frame whose reason is not UTF-8")
        }
        return .close(offset: payload, length: length)
    }

    /// Bytes that must be carried over to the next buffer.
    func leftover(end: Int) -> Int { joined + end - cursor }

    /// Moves what is left to `target`, which becomes the beginning of the next buffer, and counts from there. The
    /// target may be the buffer itself.
    mutating func carry(from bytes: UnsafeMutablePointer<UInt8>, end: Int, to target: UnsafeMutableRawPointer)
    {
        if joined > 0 { target.copyMemory(from: bytes + messageStart, byteCount: joined) }
        (target + joined).copyMemory(from: bytes + cursor, byteCount: end - cursor)
        messageStart = 0
        cursor = joined
    }
}
