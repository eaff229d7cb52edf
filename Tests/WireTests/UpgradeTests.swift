import Testing

@testable import Wire

@Suite struct UpgradeTests {
    // RFC 6455, section 1.3: this key has this answer.
    private static let nonce: (UInt64, UInt64) = {
        let bytes = Array("the sample nonce".utf8)
        func word(_ range: Range<Int>) -> UInt64 {
            bytes[range].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        return (word(0..<8), word(8..<16))
    }()

    private func upgrade() throws -> Upgrade {
        Upgrade(
            endpoint: try Endpoint("wss://stream.example:9443"), target: "/stream", nonce: UpgradeTests.nonce)
    }

    private func answer(_ changes: [String: String?] = [:], status: String = "101 Switching Protocols")
        -> [UInt8]
    {
        var fields: [String: String?] = [
            "Upgrade": "websocket", "Connection": "Upgrade",
            "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        ]
        for (key, value) in changes { fields[key] = value }
        var text = "HTTP/1.1 \(status)\r\n"
        for (key, value) in fields { if let value { text += "\(key): \(value)\r\n" } }
        return Array((text + "\r\n").utf8)
    }

    @Test func asksAsTheRFCSays() throws {
        let text = String(decoding: try upgrade().request, as: UTF8.self)
        #expect(text.hasPrefix("GET /stream HTTP/1.1\r\nHost: stream.example:9443\r\n"))
        #expect(text.contains("\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"))
        #expect(text.contains("\r\nSec-WebSocket-Version: 13\r\n"))
        #expect(text.hasSuffix("\r\n\r\n"))
    }

    @Test func acceptsTheRightAnswer() throws {
        let bytes = answer()
        #expect(try upgrade().read(bytes + [0x81, 0]) == .accepted(frames: bytes.count, deflate: nil))
        for count in 0..<bytes.count { #expect(try upgrade().read(Array(bytes[..<count])) == .incomplete) }
        let lower = answer(["Upgrade": "WebSocket", "Connection": "keep-alive, upgrade"])
        #expect(try upgrade().read(lower) == .accepted(frames: lower.count, deflate: nil))
    }

    @Test func refusesWrongAnswers() throws {
        let wrong: [[UInt8]] = [
            answer(["Sec-WebSocket-Accept": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="]),
            answer(["Sec-WebSocket-Accept": nil]),
            answer(["Upgrade": nil]), answer(["Connection": "close"]),
            answer(["Sec-WebSocket-Extensions": "permessage-deflate"]),
            answer(["Sec-WebSocket-Protocol": "x"]),
            Array("SSH-2.0-OpenSSH\r\n\r\n".utf8), [UInt8](repeating: 65, count: Upgrade.headerLimit),
        ]
        for bytes in wrong {
            guard case .refused = try upgrade().read(bytes) else {
                Issue.record("accepted: \(String(decoding: bytes.prefix(200), as: UTF8.self))")
                continue
            }
        }
    }

    @Test func tellsStatusAndRetryAfter() throws {
        let bytes = answer(["Retry-After": "17"], status: "429 Too Many Requests")
        #expect(
            try upgrade().read(bytes)
                == .refused(status: 429, retryAfter: "17", reason: "HTTP 429 Too Many Requests"))
    }
}

@Suite struct EndpointTests {
    @Test func readsAddresses() throws {
        let endpoint = try Endpoint("wss://stream.binance.com:9443")
        #expect(endpoint.isTLS && endpoint.host == "stream.binance.com" && endpoint.port == 9443)
        #expect(try Endpoint("ws://localhost").port == 80)
        #expect(try Endpoint("wss://[::1]:7/x/").description == "wss://[::1]:7/x")
    }

    @Test(arguments: [
        "", "http://a", "wss://", "wss://a:0", "wss://a:99999", "wss://a b", "ws://u@h", "wss://a:x",
    ])
    func refusesOthers(text: String) {
        #expect(throws: Endpoint.Malformed.self) { try Endpoint(text) }
    }
}

@Suite struct ClientFrameTests {
    @Test(arguments: [0, 1, 125, 126, 65_535, 65_536]) func isMaskedAndWhole(size: Int) {
        let payload = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
        var bytes: [UInt8] = []
        ClientFrame.append(.text, payload: payload, mask: 0x0403_0201, to: &bytes)
        let header = size < 126 ? 2 : size < 65_536 ? 4 : 10
        #expect(bytes.count == header + 4 + size)
        #expect(bytes[0] == 0x81 && bytes[1] & 0x80 != 0)
        #expect(Array(bytes[header..<header + 4]) == [1, 2, 3, 4])
        let unmasked = bytes[(header + 4)...].enumerated().map { $0.element ^ UInt8($0.offset % 4 + 1) }
        #expect(unmasked == payload)
    }

    @Test func randomBytesDiffer() {
        var pool = RandomPool()
        let words = (0..<2_000).map { _ in pool.next() }
        #expect(Set(words).count == words.count)
    }
}
