import MarketData
import Testing

@testable import Wire

@Suite struct DialProxyTests {
    @Test(arguments: [
        ("http://proxy.example:3128", "http://proxy.example:3128", nil),
        ("proxy.example:3128", "http://proxy.example:3128", nil),
        ("HTTP://proxy.example/", "http://proxy.example:80", nil),
        ("http://[2001:db8::1]:8080", "http://[2001:db8::1]:8080", nil),
        // RFC 7617, section 2: the example.
        ("http://Aladdin:open%20sesame@p:1", "http://p:1", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("http://user:p%40ss%3Aw@p:1", "http://p:1", "Basic dXNlcjpwQHNzOnc="),
        ("user@p:1", "http://p:1", "Basic dXNlcjo="),
        ("http://a:b@c@p:1", "http://p:1", "Basic YTpiQGM="),
    ])
    func proxiesAreRead(text: String, shown: String, authorization: String?) throws {
        let proxy = try NetworkProxy(text)
        #expect(proxy.description == shown)
        #expect(proxy.authorization == authorization)
        #expect(proxy.hasUser == (authorization != nil))
    }

    @Test(arguments: [
        "", "http://", "https://p:1", "socks5://p:1", "ftp://p", "http://p:0", "http://p:99999",
        "http://p:1/path",
        "http://us er:x@p:1", "http://u:%zz@p:1", "http://u:%0d%0a@p:1", "http://:x@", "p:1:2:x", "://", "@",
        "http://u:p%",
    ])
    func wrongProxiesGetARemedyThatHidesThem(text: String) {
        let error = #expect(throws: NetworkProxy.Malformed.self) { try NetworkProxy(text) }
        #expect(error?.description.contains("write http://[USER:PASSWORD@]HOST:PORT") == true)
        #expect(error?.description.contains("us er") == false)
    }

    @Test func secretsAreNeverShown() throws {
        let proxy = try NetworkProxy("http://user:hunter2@proxy.example:3128")
        var network = NetworkSettings()
        network.proxy = .always(proxy)
        var dumped = ""
        dump(network, to: &dumped)
        let secret = Base64.encode(Array("user:hunter2".utf8))
        for text in [
            "\(proxy)", String(reflecting: proxy), "\(network)", String(reflecting: network), dumped,
            "\(ProxySettings.environment(proxy, except: ProxyExceptions("")))",
        ] {
            #expect(!text.contains("hunter2") && !text.contains(secret) && !text.contains("user:"), "\(text)")
        }
    }

    @Test(arguments: [
        ("*", "stream.example", 443, true), ("example", "stream.example", 443, true),
        ("stream.example", "stream.example", 443, true), (".example", "stream.example", 443, true),
        ("*.example", "STREAM.example.", 443, true), ("eam.example", "stream.example", 443, false),
        ("other,  stream.example:443", "stream.example", 443, true),
        ("stream.example:9443", "stream.example", 443, false), ("10.0.0.0/8", "10.1.2.3", 443, true),
        ("10.0.0.0/8", "11.1.2.3", 443, false), ("10.0.0.0/9", "10.128.0.1", 443, false),
        ("10.0.0.1", "10.0.0.1", 443, true), ("2001:db8::/33", "2001:db8:7fff::1", 443, true),
        ("2001:db8::/33", "2001:db8:8000::1", 443, false), ("::1", "::1", 443, true),
        ("[::1]", "::1", 443, true),
        ("10.0.0.0/99", "10.0.0.0", 443, false), ("", "stream.example", 443, false), (",,", "a", 1, false),
        ("0.0.0.0/0", "stream.example", 443, false), ("0.0.0.0/0", "9.9.9.9", 443, true),
    ])
    func exceptionsAreThoseOfNO_PROXY(list: String, host: String, port: Int, isExcepted: Bool) {
        #expect(ProxyExceptions(list).contains(host: host, port: UInt16(port)) == isExcepted)
    }

    @Test func theEnvironmentsProxyIsForTLSToOtherMachines() throws {
        let proxy = try NetworkProxy("p:1")
        let environment = ProxySettings.environment(proxy, except: ProxyExceptions(".internal"))
        for (endpoint, expected) in [
            ("wss://stream.example", true), ("ws://stream.example", false), ("wss://a.internal", false),
            ("wss://localhost:9443", false), ("wss://127.0.0.5", false), ("wss://[::1]", false),
        ] {
            #expect((environment.proxy(for: try Endpoint(endpoint)) != nil) == expected, "\(endpoint)")
            #expect(ProxySettings.always(proxy).proxy(for: try Endpoint(endpoint)) == proxy)
            #expect(ProxySettings.none.proxy(for: try Endpoint(endpoint)) == nil)
        }
    }

    // MARK: Tunnel

    private func tunnel(_ proxy: String = "p:1", _ endpoint: String = "wss://stream.example") throws
        -> ProxyTunnel
    {
        ProxyTunnel(proxy: try NetworkProxy(proxy), endpoint: try Endpoint(endpoint))
    }

    @Test func asksAsTheRFCSays() throws {
        #expect(
            String(decoding: try tunnel("http://Aladdin:open%20sesame@p:1").request, as: UTF8.self)
                == "CONNECT stream.example:443 HTTP/1.1\r\nHost: stream.example:443\r\n"
                + "User-Agent: exchange-collector\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        )
        let plain = String(decoding: try tunnel("p:1", "ws://[2001:db8::1]").request, as: UTF8.self)
        #expect(plain.hasPrefix("CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n"))
        #expect(!plain.contains("Authorization"))
    }

    @Test func anAcceptedTunnelIsOpenOnlyAtItsHeadersEnd() throws {
        for text in [
            "HTTP/1.1 200 Connection established\r\n\r\n", "HTTP/1.0 200\r\nVia: x\r\n\r\n",
            "HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n",
        ] {
            let bytes = Array(text.utf8)
            // In one piece, byte by byte, and in any two pieces.
            var whole = try tunnel()
            #expect(whole.read(bytes) == .open)
            var slow = try tunnel()
            for byte in bytes.dropLast() { #expect(slow.read([byte]) == .incomplete) }
            #expect(slow.read([10]) == .open)
            for cut in 1..<bytes.count {
                var pieces = try tunnel()
                #expect(pieces.read(bytes[..<cut]) == .incomplete)
                #expect(pieces.read(bytes[cut...]) == .open)
            }
        }
    }

    @Test(arguments: [
        (407, "it wants a user"), (403, "its rules"), (401, "its rules"), (502, "cannot reach"),
        (503, "cannot reach"),
        (504, "did not answer it"), (405, "does not tunnel"), (404, "a web server"),
        (429, "too many requests"),
        (301, "see the proxy's log"), (500, "see the proxy's log"),
    ])
    func refusalsNameTheirRemedy(status: Int, remedy: String) throws {
        var tunnel = try tunnel()
        let answer =
            "HTTP/1.1 \(status) Some \u{1B}[31mReason\r\nRetry-After: 7 \t\r\nContent-Length: 5\r\n\r\nhello"
        guard case .refused(let said, let retryAfter, let text) = tunnel.read(Array(answer.utf8)) else {
            Issue.record("accepted")
            return
        }
        #expect(said == status && retryAfter.flatMap { RetryAfter.nanos($0, wallNanos: 0) } == 7_000_000_000)
        #expect(text.contains("HTTP \(status) Some ?[31mReason") && text.contains(remedy), "\(text)")
        #expect(text.contains("stream.example:443"))
    }

    @Test func aRefusedUserIsToldApartFromAMissingOne() throws {
        var tunnel = try tunnel("u:secret@p:1")
        guard case .refused(407, _, let text) = tunnel.read(Array("HTTP/1.1 407 No\r\n\r\n".utf8)) else {
            Issue.record("no refusal")
            return
        }
        #expect(text.contains("user or password is wrong") && !text.contains("secret"))
    }

    @Test(arguments: [
        ("SSH-2.0-OpenSSH\r\n", "not HTTP/1.1"), ("\u{15}\u{3}\u{1}", "wants TLS"),
        ("HTTP/2 200\r\n\r\n", "not HTTP/1.1"),
        ("HTTP/1.1 abc\r\n\r\n", "without a status"), ("HTTP/1.1 99999 x\r\n\r\n", "without a status"),
        ("HTTP/1.1\r\n\r\n", "without a status"),
        ("HTTP/1.1 200 OK\r\n\r\nhello", "5 bytes that nobody asked for"),
    ])
    func garbageIsRefusedAtOnce(text: String, why: String) throws {
        var tunnel = try tunnel()
        guard case .refused(_, _, let said) = tunnel.read(Array(text.utf8)) else {
            Issue.record("\(text) was not refused")
            return
        }
        #expect(said.contains(why), "\(said)")
    }

    @Test func aHeaderWithoutEndIsBounded() throws {
        var tunnel = try tunnel()
        var outcome = tunnel.read(Array("HTTP/1.1 200 OK\r\n".utf8))
        for _ in 0..<20 where outcome == .incomplete {
            outcome = tunnel.read([UInt8](repeating: 65, count: 1_000))
        }
        guard case .refused(_, _, let text) = outcome else {
            Issue.record("never refused")
            return
        }
        #expect(text.contains("16 KiB"))
    }

    /// Whatever a proxy answers, in whatever pieces: no crash, and never open without a 2xx.
    @Test(arguments: 0..<300) func anyAnswerIsSurvived(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var bytes = Array("HTTP/1.1 200 Connection established\r\nVia: 1.1 x\r\n\r\n".utf8)
        for _ in 0..<Int.random(in: 0...6, using: &random) {
            let at = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<3, using: &random) {
            case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes.remove(at: at)
            default: bytes.insert(UInt8.random(in: 0...255, using: &random), at: at)
            }
        }
        var tunnel = try tunnel()
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = Int.random(in: 1...rest.count, using: &random)
            let outcome = tunnel.read(rest.prefix(count))
            rest = rest.dropFirst(count)
            if case .incomplete = outcome { continue }
            let status = bytes.split(separator: UInt8(ascii: " "), maxSplits: 2).dropFirst().first
            if outcome == .open { #expect(status?.first == UInt8(ascii: "2")) }
            break
        }
    }
}
