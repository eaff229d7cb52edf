/// RFC 6455, section 5, over a stream that is there as a whole, for comparing: what an unframer has to tell of it.
struct ReferenceUnframer {
    private let stream: [UInt8]
    private let limit: Int
    private let inflates: Bool
    private var position = 0
    private var told: [Told] = []
    private var message: (first: UInt8, payload: [UInt8])?

    static func told(of stream: [UInt8], limit: Int, inflates: Bool) -> [Told] {
        var reference = ReferenceUnframer(stream: stream, limit: limit, inflates: inflates)
        while reference.frame() {}
        return reference.told
    }

    private init(stream: [UInt8], limit: Int, inflates: Bool) {
        self.stream = stream
        self.limit = limit
        self.inflates = inflates
    }

    private mutating func fail(_ code: UInt16) -> Bool {
        told.append(.failure(code))
        return false
    }

    /// False at the end.
    private mutating func frame() -> Bool {
        let rest = Array(stream[position...])
        guard rest.count >= 2 else { return false }
        let extra = rest[1] & 0x7F == 127 ? 8 : rest[1] & 0x7F == 126 ? 2 : 0
        guard rest.count >= 2 + extra else { return false }
        var length = Double(rest[1] & 0x7F)
        if extra > 0 { length = rest[2..<(2 + extra)].reduce(0) { $0 * 256 + Double($1) } }
        if length >= 0x1p63 { return fail(1002) }

        let (isFinal, rsv, opcode) = (rest[0] >> 7 == 1, rest[0] >> 4 & 7, rest[0] & 15)
        let isControl = opcode >= 8
        if ![0, 1, 2, 8, 9, 10].contains(opcode) || rest[1] >> 7 == 1 { return fail(1002) }
        if rsv != 0, !(rsv == 4 && inflates && (opcode == 1 || opcode == 2)) { return fail(1002) }
        if isControl, !isFinal || length > 125 { return fail(1002) }
        if !isControl, (opcode == 0) != (message != nil) { return fail(1002) }

        let first = message?.first ?? rest[0]
        let isCompressed = first & 0x40 != 0
        let before = message?.payload ?? []
        let most = isCompressed ? limit + limit / 1024 + 64 : limit
        if !isControl, Double(before.count) + length > Double(most) { return fail(1009) }
        let payload = Array(rest[(2 + extra)...].prefix(Int(length)))
        let isWhole = payload.count == Int(length)
        let isText = !isControl && !isCompressed && first & 15 == 1
        if isText, !ReferenceUnframer.canBecomeUTF8(before + payload) { return fail(1007) }
        guard isWhole else { return false }
        position += 2 + extra + payload.count

        if isControl { return control(opcode, payload) }
        guard isFinal else {
            message = (first, before + payload)
            return true
        }
        if isText, String(validating: before + payload, as: UTF8.self) == nil { return fail(1007) }
        message = nil
        let isBinary = first & 15 == 2
        told.append(
            isCompressed
                ? .compressed(before + payload, isBinary: isBinary)
                : .message(before + payload, isBinary: isBinary))
        return true
    }

    private mutating func control(_ opcode: UInt8, _ payload: [UInt8]) -> Bool {
        if opcode == 9 { told.append(.ping(payload)) }
        if opcode == 10 { told.append(.pong) }
        guard opcode == 8 else { return true }
        if payload.count == 1 { return fail(1002) }
        if payload.count >= 2 {
            let code = Int(payload[0]) * 256 + Int(payload[1])
            let known = (1000...1014).contains(code) && ![1004, 1005, 1006].contains(code)
            if !known, !(3000...4999).contains(code) { return fail(1002) }
            if String(validating: payload.dropFirst(2), as: UTF8.self) == nil { return fail(1007) }
        }
        told.append(.close(payload))
        return false
    }

    /// Whether some bytes behind these make them UTF-8, by trying.
    static func canBecomeUTF8(_ bytes: [UInt8]) -> Bool {
        let tails: [[UInt8]] = [
            [], [0x80], [0x90], [0xA0], [0x80, 0x80], [0x90, 0x80], [0xA0, 0x80], [0x80, 0x80, 0x80],
            [0x90, 0x80, 0x80],
        ]
        return tails.contains { String(validating: bytes + $0, as: UTF8.self) != nil }
    }
}
