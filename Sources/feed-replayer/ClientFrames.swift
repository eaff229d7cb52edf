/// The opcodes of RFC 6455 section 11.8.
enum Opcode: UInt8 {
    case continuation = 0
    case text = 1
    case binary = 2
    case close = 8
    case ping = 9
    case pong = 10
}

/// What a client sent.
enum ClientMessage: Equatable {
    case text([UInt8])
    case binary
    case ping([UInt8])
    case pong([UInt8])
    /// `code` is nil where the frame carried none.
    case close(code: UInt16?)
    /// A frame over the limit, now complete: the exchange swallows it without an answer.
    case oversized
    /// The client broke the protocol; close with `code`. Nothing is read after it.
    case violation(code: UInt16, reason: String)
}

/// Takes a client's bytes apart into messages. Holds no socket: bytes in, messages out.
struct ClientFrameReader {
    /// A frame larger than this on the wire is swallowed (observed limit of the exchange).
    static let wireLimit = 4096

    private var input: [UInt8] = []
    private var consumed = 0
    private var fragments: [UInt8] = []
    private var fragmentOpcode: Opcode?
    private var isFragmentOversized = false
    /// Bytes of an oversized frame that are still to come.
    private var skipping = 0
    private var skippedEndsMessage = false
    private var isBroken = false

    /// Adds bytes as they came.
    mutating func feed(_ bytes: some Collection<UInt8>) {
        if consumed == input.count {
            input.removeAll(keepingCapacity: true)
            consumed = 0
        }
        input.append(contentsOf: bytes)
    }

    /// The next message, nil until more bytes come.
    mutating func next() -> ClientMessage? {
        while !isBroken {
            if skipping > 0 || skippedEndsMessage {
                let part = min(skipping, input.count - consumed)
                consumed += part
                skipping -= part
                guard skipping == 0 else { return nil }
                if skippedEndsMessage {
                    skippedEndsMessage = false
                    return .oversized
                }
            }
            switch readFrame() {
            case .incomplete: return nil
            case .swallowed: continue
            case .message(let message):
                if case .violation = message { isBroken = true }
                return message
            }
        }
        return nil
    }

    private enum Step {
        case incomplete
        case swallowed
        case message(ClientMessage)
    }

    private func broken(_ reason: String) -> Step { .message(.violation(code: 1002, reason: reason)) }

    private mutating func readFrame() -> Step {
        let available = input.count - consumed
        guard available >= 2 else { return .incomplete }
        let first = input[consumed]
        let second = input[consumed + 1]
        let isFinal = first & 0x80 != 0
        guard first & 0x70 == 0 else { return broken("reserved bits are set") }
        guard let opcode = Opcode(rawValue: first & 0x0F) else { return broken("unknown opcode") }
        guard second & 0x80 != 0 else { return broken("frame is not masked") }
        var length = Int(second & 0x7F)
        let isControl = opcode.rawValue >= 8
        guard !isControl || (isFinal && length < 126) else {
            return broken("control frame is fragmented or too long")
        }
        var header = 2
        if length >= 126 {
            let extended = length == 126 ? 2 : 8
            header += extended
            guard available >= header else { return .incomplete }
            var wide: UInt64 = 0
            for index in 0..<extended { wide = wide << 8 | UInt64(input[consumed + 2 + index]) }
            guard wide < 1 << 62 else { return broken("length has its highest bit set") }
            length = Int(wide)
        }
        header += 4
        guard available >= header else { return .incomplete }
        if !isControl {
            guard (opcode == .continuation) == (fragmentOpcode != nil) else {
                return broken("fragments are out of order")
            }
        }
        if header + length > ClientFrameReader.wireLimit {
            return skip(header: header, length: length, opcode: opcode, isFinal: isFinal)
        }
        guard available >= header + length else { return .incomplete }
        let payload = unmask(header: header, length: length)
        consumed += header + length
        if isControl { return .message(control(opcode, payload)) }
        return collect(opcode, payload, isFinal: isFinal)
    }

    private mutating func skip(header: Int, length: Int, opcode: Opcode, isFinal: Bool) -> Step {
        consumed += header
        skipping = length
        skippedEndsMessage = isFinal
        fragments = []
        isFragmentOversized = !isFinal
        fragmentOpcode = isFinal ? nil : fragmentOpcode ?? opcode
        return .swallowed
    }

    private func unmask(header: Int, length: Int) -> [UInt8] {
        let mask = consumed + header - 4
        return (0..<length).map { input[mask + 4 + $0] ^ input[mask + ($0 & 3)] }
    }

    private func control(_ opcode: Opcode, _ payload: [UInt8]) -> ClientMessage {
        switch opcode {
        case .ping: return .ping(payload)
        case .pong: return .pong(payload)
        default:
            guard !payload.isEmpty else { return .close(code: nil) }
            guard payload.count >= 2 else { return .violation(code: 1002, reason: "close frame of one byte") }
            return .close(code: UInt16(payload[0]) << 8 | UInt16(payload[1]))
        }
    }

    private mutating func collect(_ opcode: Opcode, _ payload: [UInt8], isFinal: Bool) -> Step {
        let kind = fragmentOpcode ?? opcode
        if !isFragmentOversized { fragments += payload }
        // A message in many small frames is held to the same limit as a single frame.
        if fragments.count > ClientFrameReader.wireLimit {
            fragments = []
            isFragmentOversized = true
        }
        guard isFinal else {
            fragmentOpcode = kind
            return .swallowed
        }
        let message = fragments
        let isOversized = isFragmentOversized
        fragments = []
        fragmentOpcode = nil
        isFragmentOversized = false
        if isOversized { return .message(.oversized) }
        return .message(kind == .text ? .text(message) : .binary)
    }
}
