import Batching
import Testing

@testable import Publishing

/// What needs no server; with a real one the sink is tested end to end.
@Suite struct NATSTests {
    private func feed(_ bytes: ArraySlice<UInt8>, to parser: inout NATSParser) {
        let room = parser.room()
        for (index, byte) in bytes.enumerated() { room[index] = byte }
        parser.advance(bytes.count)
    }

    private func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

    private func describe(_ operation: NATSOperation) -> String {
        switch operation {
        case .info(let json): "info \(String(decoding: json, as: UTF8.self))"
        case .message(let subject, let header, let payload):
            "message \(text(subject)) [\(text(header))] [\(text(payload))]"
        case .ping: "ping"
        case .pong: "pong"
        case .ok: "ok"
        case .error(let text): "error \(text)"
        }
    }

    private static let stream = """
        INFO {"version":"2.9.10"}\r
        +OK\r
        PING\r
        MSG _INBOX.a.1.2.3 1 5\r
        a\r\nbc\r
        MSG _INBOX.a.1.2.3 1 reply.to 0\r
        \r
        HMSG _INBOX.a.4.5.0 1 16 20\r
        NATS/1.0 503\r\n\r\nbody\r
        PONG\r
        -ERR 'Authorization Violation'\r\n
        """
    private static let operations = [
        #"info {"version":"2.9.10"}"#, "ok", "ping", "message _INBOX.a.1.2.3 [] [a\r\nbc]",
        "message _INBOX.a.1.2.3 [] []", "message _INBOX.a.4.5.0 [NATS/1.0 503\r\n\r\n] [body]", "pong",
        "error Authorization Violation",
    ]

    @Test(arguments: [1, 2, 3, 7, 50, 1000])
    func operationsAreReadHoweverTheyAreCut(size: Int) throws {
        var parser = NATSParser()
        let bytes = Array(NATSTests.stream.utf8)
        var found: [String] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            feed(bytes[start..<min(start + size, bytes.count)], to: &parser)
            while let operation = try parser.next() { found.append(describe(operation)) }
        }
        #expect(found == NATSTests.operations)
    }

    @Test(arguments: [
        "HTTP/1.1 400 Bad Request\r\n", "MSG a 1\r\n", "MSG a 1 x\r\n", "MSG a 1 9999999\r\n",
        "HMSG a 1 9 3\r\n",
        "MSG a 1 -5\r\n", "\r\n",
    ])
    func otherBytesAreErrors(bytes: String) {
        var parser = NATSParser()
        feed(Array(bytes.utf8)[...], to: &parser)
        do {
            _ = try parser.next()
            Issue.record("accepted: \(bytes)")
        } catch {
            #expect(!error.text.isEmpty)
        }
    }

    @Test func aLineWithoutEndIsAnError() throws {
        var parser = NATSParser()
        feed([UInt8](repeating: 65, count: NATSParser.capacity)[...], to: &parser)
        #expect(throws: NATSMalformed.self) { try parser.next().map(describe) }
    }

    private func reply(_ payload: String, header: String = "") -> NATSReply {
        Array(header.utf8).withUnsafeBytes { header in
            Array(payload.utf8).withUnsafeBytes { NATSReply(header: header, payload: $0) }
        }
    }

    @Test func repliesAreJudged() {
        #expect(reply(#"{"stream":"MARKET", "seq":7}"#).code == .ok)
        #expect(reply(#"{"type":"io.nats.jetstream.api.v1.stream_create_response","config":{}}"#).code == .ok)
        #expect(reply("", header: "NATS/1.0 503\r\n\r\n").code == .notFound)
        let full =
            #"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"S","seq":0}"#
        #expect(
            reply(full) == NATSReply(code: .resourceExhausted, number: 10077, text: "maximum bytes exceeded"))
        #expect(
            reply(#"{"error":{"code":503,"err_code":10008,"description":"system temporarily unavailable"}}"#)
                .code
                == .unavailable)
        #expect(
            reply(#"{"type":"x","error":{"code":400,"err_code":10065}}"#).number == NATSReply.subjectsOverlap)
        #expect(reply("hello").code == .unknown)
        #expect(reply("{}").code == .unknown)
    }

    @Test func addresses() {
        #expect(NATSEndpoint("nats://a")?.description == "nats://a:4222")
        #expect(NATSEndpoint("tls://10.0.0.1:4333")?.isTLS == true)
        #expect(NATSEndpoint("nats://[::1]:1")?.host == "::1")
        #expect(NATSEndpoint("nats://[::1]")?.description == "nats://[::1]:4222")
        for text in [
            "a:4222", "http://a", "nats://", "nats://a:0", "nats://a:x", "nats://u:p@a:1", "nats://a/b",
        ] {
            #expect(NATSEndpoint(text) == nil, "\(text)")
        }
    }

    @Test(arguments: [
        ("market.{type}.{exchange}.{symbol}", "market.>"), ("a.b-{type}", "a.>"),
        ("{exchange}.{type}", "*.>"),
        ("all", "all"), ("a.b", "a.b"),
    ])
    func theStreamTakesWhatTheTemplateGives(template: String, subject: String) throws {
        let endpoint = try #require(NATSEndpoint("nats://a"))
        let settings = NATSSettings(
            endpoint: endpoint, subjects: try TopicTemplate(template), collector: "c", runID: 1)
        #expect(settings.streamSubject == subject)
    }
}
