import MarketData
import Testing

@testable import Wire

/// What an unframer told, with copies of the bytes.
enum Told: Equatable {
    case message([UInt8], isBinary: Bool)
    case compressed([UInt8], isBinary: Bool)
    case ping([UInt8])
    case pong
    case close([UInt8])
    case failure(UInt16)
}

/// Feeds a byte stream in pieces, carrying leftovers from buffer to buffer as the I/O thread does.
func unframe(_ stream: [UInt8], pieces: [Int], limit: Int = 1 << 20, inflates: Bool = false) -> [Told] {
    var unframer = Unframer(messageLimit: limit, inflates: inflates)
    var told: [Told] = []
    var carry: [UInt8] = []
    var position = 0
    for piece in pieces + [stream.count] {
        let end = min(stream.count, position + piece)
        var buffer = carry + stream[position..<end]
        position = end
        let filled = buffer.count
        buffer += [0]
        var isOver = false
        buffer.withUnsafeMutableBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            func copy(_ offset: Int, _ length: Int) -> [UInt8] {
                Array(UnsafeBufferPointer(start: base + offset, count: length))
            }
            loop: while true {
                switch unframer.next(in: base, end: filled) {
                case .message(let offset, let length, let isBinary):
                    told.append(.message(copy(offset, length), isBinary: isBinary))
                case .compressed(let offset, let length, let isBinary):
                    told.append(.compressed(copy(offset, length), isBinary: isBinary))
                case .ping(let offset, let length): told.append(.ping(copy(offset, length)))
                case .pong: told.append(.pong)
                case .close(let offset, let length):
                    told.append(.close(copy(offset, length)))
                    isOver = true
                    break loop
                case .failure(let code, _):
                    told.append(.failure(code))
                    isOver = true
                    break loop
                case .incomplete: break loop
                }
            }
            let left = unframer.leftover(end: filled)
            carry = [UInt8](repeating: 0, count: left)
            carry.withUnsafeMutableBytes { target in
                var spare: UInt8 = 0
                withUnsafeMutableBytes(of: &spare) { spare in
                    unframer.carry(
                        from: base, end: filled, to: target.baseAddress ?? spare.baseAddress ?? .init(base))
                }
            }
        }
        if isOver { return told }
        if position == stream.count { break }
    }
    return told
}

/// A server's frame.
func frame(_ opcode: UInt8, _ payload: [UInt8], fin: Bool = true, rsv: UInt8 = 0) -> [UInt8] {
    var bytes = [(fin ? 0x80 : 0) | rsv << 4 | opcode]
    switch payload.count {
    case ..<126: bytes.append(UInt8(payload.count))
    case ..<65_536: bytes += [126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
    default:
        bytes.append(127)
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(payload.count >> shift & 255))
        }
    }
    return bytes + payload
}

@Suite struct UnframerTests {
    private func bytes(_ count: Int, _ random: inout SplitMix64) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    /// So many bytes of UTF-8, every tenth character not ASCII.
    private func text(_ count: Int, _ random: inout SplitMix64) -> [UInt8] {
        var text: [UInt8] = []
        while text.count < count {
            var scalar = Unicode.Scalar(UInt8.random(in: 0...127, using: &random))
            if UInt8.random(in: 0..<10, using: &random) == 0 {
                scalar =
                    ["é", "ߐ", "Ͽ", "\u{800}", "\u{D7FF}", "\u{E000}", "𝄞", "\u{10FFFF}"]
                    .randomElement(using: &random) ?? scalar
            }
            let bytes = Array(String(scalar).utf8)
            text += bytes.count <= count - text.count ? bytes : [65]
        }
        return text
    }

    /// Random messages, fragmented at random, with control frames in between, cut at random places: what comes out is
    /// what went in. Fails for any byte that is misplaced when payloads are joined or carried over.
    @Test(arguments: 1...60) func tellsWhatWasSent(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var stream: [UInt8] = []
        var expected: [Told] = []
        for _ in 0..<40 {
            let isBinary = Bool.random(using: &random)
            let size =
                [0, 1, 5, 125, 126, 127, 300, 65_535, 65_536, 70_000].randomElement(using: &random) ?? 0
            let payload = isBinary ? bytes(size, &random) : text(size, &random)
            var rest = payload[...]
            var opcode: UInt8 = isBinary ? 2 : 1
            let fragments = Int.random(in: 1...4, using: &random)
            for index in 1...fragments {
                let part = index == fragments ? rest.count : Int.random(in: 0...rest.count, using: &random)
                stream += frame(opcode, Array(rest.prefix(part)), fin: index == fragments)
                rest = rest.dropFirst(part)
                opcode = 0
                if index < fragments, Bool.random(using: &random) {
                    let ping = bytes(Int.random(in: 0...125, using: &random), &random)
                    stream += frame(9, ping) + frame(10, [])
                    expected += [.ping(ping), .pong]
                }
            }
            expected.append(.message(payload, isBinary: isBinary))
        }
        stream += frame(8, [3, 232])
        expected.append(.close([3, 232]))
        var pieces: [Int] = []
        var sum = 0
        while sum < stream.count {
            let piece = Int.random(in: 1...(Bool.random(using: &random) ? 20 : 40_000), using: &random)
            pieces.append(piece)
            sum += piece
        }
        #expect(unframe(stream, pieces: pieces) == expected)
    }

    /// A short stream with every kind of frame, cut at every byte and fed byte by byte.
    @Test func everySplit() {
        let stream =
            frame(1, Array("{\"a\":1}".utf8)) + frame(9, [1, 2]) + frame(1, [65], fin: false)
            + frame(0, [66], fin: false) + frame(10, []) + frame(0, [67])
            + frame(2, Array(repeating: 7, count: 130))
            + frame(8, [])
        let whole = unframe(stream, pieces: [])
        #expect(whole.count == 6)
        #expect(whole[2] == .pong)
        #expect(whole[3] == .message([65, 66, 67], isBinary: false))
        for cut in 1..<stream.count { #expect(unframe(stream, pieces: [cut]) == whole) }
        #expect(unframe(stream, pieces: Array(repeating: 1, count: stream.count)) == whole)
    }

    /// Random frames with bytes changed, in random pieces, with and without compression: what is told, and when the
    /// connection fails, is what a plain reading of the RFC says.
    @Test(arguments: 1...8) func damagedStreamsAreJudgedAsTheRFCSays(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var failures: [UInt16: Int] = [:]
        for _ in 0..<150 {
            let inflates = Bool.random(using: &random)
            var stream: [UInt8] = []
            var isOpen = false
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let payload = text(Int.random(in: 0...200, using: &random), &random)
                switch Int.random(in: 0...5, using: &random) {
                case 0: stream += frame(9, Array(payload.prefix(125)))
                case 1: stream += frame(10, Array(payload.prefix(125)))
                default:
                    let isFinal = Bool.random(using: &random)
                    let rsv: UInt8 = inflates && !isOpen && Bool.random(using: &random) ? 4 : 0
                    let opcode: UInt8 = isOpen ? 0 : Bool.random(using: &random) ? 1 : 2
                    // A cut character goes on in the next fragment.
                    let cut = isFinal ? payload.count : Int.random(in: 0...payload.count, using: &random)
                    stream += frame(opcode, Array(payload[..<cut]), fin: isFinal, rsv: rsv)
                    if !isFinal { stream += frame(0, Array(payload[cut...]), fin: false) }
                    isOpen = !isFinal
                }
            }
            stream += frame(
                8, [UInt8.random(in: 3...19, using: &random), UInt8.random(in: 0...255, using: &random)])
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                let place = Int.random(in: 0..<stream.count, using: &random)
                switch Int.random(in: 0...3, using: &random) {
                case 0: stream.insert(UInt8.random(in: 0...255, using: &random), at: place)
                case 1: stream.removeLast(stream.count - place - 1)
                default: stream[place] = UInt8.random(in: 0...255, using: &random)
                }
            }
            let pieces = (0..<stream.count).map { _ in Int.random(in: 1...60, using: &random) }
            let expected = ReferenceUnframer.told(of: stream, limit: 300, inflates: inflates)
            #expect(unframe(stream, pieces: pieces, limit: 300, inflates: inflates) == expected, "\(stream)")
            if case .failure(let code) = expected.last { failures[code, default: 0] += 1 }
        }
        #expect(failures.keys.sorted() == [1002, 1007, 1009])
    }

    /// Text is refused before its frame or message has come as a whole.
    @Test func wrongTextFailsFast() {
        #expect(unframe([0x81, 100, 65, 0xC3, 0x28], pieces: []) == [.failure(1007)])
        #expect(unframe([0x01, 100, 65, 0xF4, 0x90], pieces: [3, 1]) == [.failure(1007)])
        #expect(
            unframe(frame(1, [0xE2, 0x82], fin: false) + [0x80, 50, 0x28], pieces: []) == [.failure(1007)])
        #expect(unframe([0x81, 100, 65, 0xF4, 0x8F], pieces: []) == [])
        // Compressed bytes are no text yet.
        #expect(unframe([0xC1, 100, 65, 0xC3, 0x28], pieces: [], inflates: true) == [])
    }

    @Test func violationsEndTheConnection() {
        let cases: [([UInt8], UInt16)] = [
            (frame(1, [1], rsv: 4), 1002), (frame(1, [1], rsv: 1), 1002), (frame(3, []), 1002),
            (frame(11, []), 1002), (frame(0, [1]), 1002), (frame(1, [1], fin: false) + frame(1, [1]), 1002),
            (frame(9, [1], fin: false), 1002), (frame(9, Array(repeating: 0, count: 126)), 1002),
            (frame(8, [3]), 1002), (frame(8, [3, 237]), 1002), (frame(8, [3, 231]), 1002),
            (frame(8, [3, 232, 0xC0]), 1007), (frame(1, [0xED, 0xA0, 0x80]), 1007),
            (frame(1, [65, 0xC3]), 1007), (frame(1, [0xC3], fin: false) + frame(0, [65]), 1007),
            ([0x81, 0x81, 1, 2, 3, 4, 5], 1002),
            ([0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002),
        ]
        for (stream, code) in cases { #expect(unframe(stream, pieces: []).last == .failure(code)) }
    }

    /// Refused by its header, before any of its payload has come; parts of a message count together.
    @Test func theLimitHoldsForMessages() {
        #expect(unframe([0x81, 127, 0, 0, 0, 0, 1, 0, 0, 0], pieces: [], limit: 1 << 20) == [.failure(1009)])
        let half = [UInt8](repeating: 1, count: 60)
        #expect(unframe(frame(1, half), pieces: [], limit: 60).first == .message(half, isBinary: false))
        #expect(
            unframe(frame(1, half, fin: false) + frame(0, half), pieces: [], limit: 119) == [.failure(1009)])
    }
}
