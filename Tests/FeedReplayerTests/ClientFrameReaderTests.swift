import Testing

@testable import feed_replayer

/// A client's frame, masked unless the test wants it otherwise.
func clientFrame(
    _ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true, isMasked: Bool = true, reserved: UInt8 = 0
) -> [UInt8] {
    var bytes: [UInt8] = [(isFinal ? 0x80 : 0) | reserved | opcode]
    let mask: UInt8 = isMasked ? 0x80 : 0
    switch payload.count {
    case ..<126: bytes.append(mask | UInt8(payload.count))
    case ..<65_536: bytes += [mask | 126, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)]
    default:
        bytes.append(mask | 127)
        bytes += (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
    }
    guard isMasked else { return bytes + payload }
    let key: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]
    return bytes + key + payload.enumerated().map { $1 ^ key[$0 & 3] }
}

@Suite struct ClientFrameReaderTests {
    private func messages(_ chunks: [[UInt8]]) -> [ClientMessage] {
        var reader = ClientFrameReader()
        var out: [ClientMessage] = []
        for chunk in chunks {
            reader.feed(chunk)
            while let message = reader.next() { out.append(message) }
        }
        return out
    }

    @Test func readsFramesHoweverTheyAreCut() {
        let text = Array(#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#.utf8)
        let bytes =
            clientFrame(1, text) + clientFrame(9, [1, 2]) + clientFrame(10, []) + clientFrame(8, [3, 0xE8])
        let expected: [ClientMessage] = [.text(text), .ping([1, 2]), .pong([]), .close(code: 1000)]
        #expect(messages([bytes]) == expected)
        for size in 1...9 {
            let chunks = stride(from: 0, to: bytes.count, by: size).map {
                Array(bytes[$0..<min($0 + size, bytes.count)])
            }
            #expect(messages(chunks) == expected, "chunks of \(size)")
        }
    }

    @Test func joinsFragmentsAroundControlFrames() {
        let bytes =
            clientFrame(1, [65], isFinal: false) + clientFrame(9, []) + clientFrame(0, [66], isFinal: false)
            + clientFrame(0, [67])
        #expect(messages([bytes]) == [.ping([]), .text([65, 66, 67])])
    }

    @Test func swallowsWhatIsOverTheLimitOnTheWire() {
        // 4096 bytes on the wire: 8 of header and mask, 4088 of payload.
        let fits = [UInt8](repeating: 65, count: 4088)
        #expect(messages([clientFrame(1, fits)]) == [.text(fits)])
        let over = clientFrame(1, fits + [65])
        #expect(messages([over + clientFrame(9, [])]) == [.oversized, .ping([])])
        #expect(
            messages([Array(over[..<100]), Array(over[100...]), clientFrame(9, [])]) == [
                .oversized, .ping([]),
            ])
        let huge = clientFrame(1, [UInt8](repeating: 65, count: 100_000), isFinal: false)
        #expect(messages([huge, clientFrame(0, [65]), clientFrame(9, [])]) == [.oversized, .ping([])])
    }

    @Test func holdsFragmentsToTheSameLimit() {
        let part = [UInt8](repeating: 65, count: 3000)
        let bytes =
            clientFrame(1, part, isFinal: false) + clientFrame(0, part, isFinal: false) + clientFrame(0, [])
        #expect(messages([bytes, clientFrame(9, [])]) == [.oversized, .ping([])])
    }

    @Test(arguments: [
        ("frame is not masked", clientFrame(1, [65], isMasked: false)),
        ("unknown opcode", clientFrame(3, [])), ("unknown opcode", clientFrame(11, [])),
        ("reserved bits are set", clientFrame(1, [65], reserved: 0x40)),
        ("control frame is fragmented or too long", clientFrame(9, [], isFinal: false)),
        ("control frame is fragmented or too long", clientFrame(9, [UInt8](repeating: 0, count: 126))),
        ("fragments are out of order", clientFrame(0, [65])),
        ("fragments are out of order", clientFrame(1, [65], isFinal: false) + clientFrame(1, [66])),
        ("close frame of one byte", clientFrame(8, [3])),
        ("length has its highest bit set", [0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
    ])
    func refusesWhatTheProtocolForbids(_ reason: String, _ bytes: [UInt8]) {
        #expect(messages([bytes + clientFrame(9, [])]) == [.violation(code: 1002, reason: reason)])
    }
}
