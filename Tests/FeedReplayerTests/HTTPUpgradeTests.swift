import Testing

@testable import feed_replayer

@Suite struct HTTPUpgradeTests {
    private func request(
        _ target: String, method: String = "GET", version: String = "HTTP/1.1",
        key: String? = "dGhlIHNhbXBsZSBub25jZQ==", upgrade: String = "websocket",
        protocolVersion: String = "13"
    ) -> [UInt8] {
        var text = "\(method) \(target) \(version)\r\nHost: localhost\r\nUpgrade: \(upgrade)\r\n"
        text += "connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: \(protocolVersion)\r\n"
        if let key { text += "Sec-WebSocket-Key:  \(key) \r\n" }
        return Array((text + "\r\n").utf8)
    }

    private func accepted(_ target: String) -> UpgradeRequest? {
        guard case .accepted(let request) = HTTPUpgrade.read(request(target)) else { return nil }
        return request
    }

    private func names(_ target: String) -> [String]? {
        accepted(target)?.streams.map { String(decoding: $0, as: UTF8.self) }
    }

    @Test func knowsTheHostsPaths() {
        #expect(names("/ws") == [])
        #expect(names("/stream") == [])
        #expect(names("/stream?timeUnit=MICROSECOND") == [])
        #expect(names("/ws/btcusdt@trade") == ["btcusdt@trade"])
        #expect(
            names("/ws/btcusdt@trade/ethusdt@trade?timeUnit=microsecond") == [
                "btcusdt@trade", "ethusdt@trade",
            ])
        #expect(
            names("/stream?streams=btcusdt@trade/ethusdt@kline_1m&timeUnit=MICROSECOND")
                == ["btcusdt@trade", "ethusdt@kline_1m"])
        #expect(
            names("/stream?streams=btcusdt%40trade%2Fbtcusdt@kline_1m@%2B08:00/%E5%B8%81usdt@trade")
                == ["btcusdt@trade", "btcusdt@kline_1m@+08:00", "币usdt@trade"])
        #expect(accepted("/stream")?.isCombined == true)
        #expect(accepted("/ws/a@trade")?.isCombined == false)
    }

    @Test(arguments: ["/", "/wss", "/market/ws", "/streams", "/stream/a@trade", "/api/v3/ping"])
    func answers404ForOtherPaths(_ path: String) {
        #expect(HTTPUpgrade.read(request(path)) == .refused(status: 404, body: "no such path"))
    }

    @Test func answers400ForABadUpgrade() {
        let bad = [
            request("/ws", method: "POST"), request("/ws", version: "HTTP/1.0"), request("/ws", key: nil),
            request("/ws", key: "short=="), request("/ws", upgrade: "h2c"),
            request("/ws", protocolVersion: "8"),
            Array("GET /ws HTTP/1.1\r\nno colon\r\n\r\n".utf8), Array("\r\n\r\n".utf8),
        ]
        for bytes in bad {
            guard case .refused(400, _) = HTTPUpgrade.read(bytes) else {
                Issue.record("accepted: \(String(decoding: bytes, as: UTF8.self))")
                continue
            }
        }
    }

    @Test func waitsForTheWholeRequestAndKeepsWhatFollows() {
        let bytes = request("/ws")
        for count in 0..<bytes.count { #expect(HTTPUpgrade.read(Array(bytes[..<count])) == .incomplete) }
        guard case .accepted(let request) = HTTPUpgrade.read(bytes + [1, 2]) else {
            Issue.record("refused")
            return
        }
        #expect(request.length == bytes.count)
        #expect(
            HTTPUpgrade.read([UInt8](repeating: 65, count: 70_000))
                == .refused(status: 431, body: "request is too long"))
    }

    @Test func answersWithTheKeyOfTheStandard() {
        let text = String(
            decoding: HTTPUpgrade.acceptance(key: Array("dGhlIHNhbXBsZSBub25jZQ==".utf8)), as: UTF8.self)
        #expect(text.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
        #expect(text.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
        #expect(text.hasSuffix("\r\n\r\n"))
    }

    @Test func refusesWithALengthThatIsTrue() {
        for status in [404, 451, 599] {
            let text = String(decoding: HTTPUpgrade.refusal(status: status, body: "ß"), as: UTF8.self)
            let parts = text.components(separatedBy: "\r\n\r\n")
            #expect(parts.count == 2)
            #expect(text.hasPrefix("HTTP/1.1 \(status) "))
            #expect(parts[0].contains("Content-Length: \(parts[1].utf8.count)\r\n"))
        }
    }
}

extension String {
    fileprivate func components(separatedBy separator: String) -> [Substring] {
        split(separator: separator, omittingEmptySubsequences: false)
    }
}
