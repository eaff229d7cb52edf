import CKernel
import CTLS
import Testing

@testable import Wire

/// What a server of TLS 1.3 sends after the handshake.
private enum Step {
    case data(String)
    case record(type: UInt8, [UInt8], padding: Int = 0)
    case raw([UInt8])
    /// A record of data with one bit changed.
    case damaged(byte: Int)
    /// The latest sealed record once more.
    case again
    /// A sealed record that never arrives.
    case lost
    /// The key changes.
    case renew

    static func keyUpdate(_ asks: UInt8 = 0) -> Step { .record(type: 22, [24, 0, 0, 1, asks]) }
}

/// The same bytes on the wire mean the same, whoever opens the records: what is read, how it ends, and the alert that the
/// server gets.
@Suite(.serialized) struct ForgedRecordTests {
    private static let end = Array("the end".utf8)
    /// A NewSessionTicket (RFC 8446, section 4.6.1).
    private static let ticket: [UInt8] = {
        let body: [UInt8] =
            [0, 0, 14, 16, 1, 2, 3, 4, 1, 9, 0, 100] + [UInt8](repeating: 0xAB, count: 100) + [0, 0]
        return [4, 0, 0, UInt8(body.count)] + body
    }()

    private static func bytes(_ steps: [Step], _ forge: OpaquePointer) -> [UInt8] {
        var all: [UInt8] = []
        var latest: [UInt8] = []
        func seal(_ type: UInt8, _ content: [UInt8], _ padding: Int = 0) {
            latest = [UInt8](repeating: 0, count: content.count + padding + Int(CT_FORGE_OVERHEAD))
            let count = ct_forge_record(forge, type, content, content.count, padding, &latest)
            #expect(count == latest.count)
        }
        for step in steps {
            switch step {
            case .data(let text):
                seal(23, Array(text.utf8))
                all += latest
            case .record(let type, let content, let padding):
                seal(type, content, padding)
                all += latest
            case .raw(let bytes): all += bytes
            case .damaged(let byte):
                seal(23, Array("damaged".utf8))
                latest[byte] ^= 0x10
                all += latest
            case .again: all += latest
            case .lost: seal(23, Array("lost".utf8))
            case .renew: #expect(ct_forge_renew(forge) == 0)
            }
        }
        return all
    }

    private struct Outcome: Equatable {
        var reading = TLSPair.Reading()
        /// What the server learned.
        var alert = ""
        var clientError = ""

        static func == (one: Outcome, other: Outcome) -> Bool {
            one.reading == other.reading && one.alert == other.alert
        }
    }

    /// `cut`: after so many bytes the rest is sent only when the client has read what it could; `isLost`: never, and the
    /// server hangs up.
    private func outcome(
        _ host: TLSHost, _ reader: RecordReader, _ steps: [Step], cut: Int? = nil, isLost: Bool = false,
        room: Int = 65_536
    ) throws -> Outcome {
        let pair = try host.pair(reader)
        try pair.shakeHands()
        var secret = [UInt8](repeating: 0, count: 48)
        var suite: UInt16 = 0
        let size = ct_server_secret(pair.server, &secret, &suite)
        let forge = try #require(ct_forge_new(suite, secret, size))
        defer { ct_forge_free(forge) }
        let all = ForgedRecordTests.bytes(steps, forge)
        var outcome = Outcome()
        let first = Array(all.prefix(cut ?? all.count))
        #expect(ct_server_write_raw(pair.server, first, first.count) == 0)
        if let cut {
            #expect(ct_server_flush(pair.server) == 0)
            var chunk = [UInt8](repeating: 0, count: 65_536)
            // On loopback what was sent is there.
            while case let got = ct_client_read(pair.client, &chunk, room), got > 0 {
                outcome.reading.bytes += chunk[..<Int(got)]
            }
            if isLost {
                pair.hangUp()
            } else {
                let rest = Array(all[cut...])
                #expect(ct_server_write_raw(pair.server, rest, rest.count) == 0)
            }
        }
        let end = ForgedRecordTests.end
        pair.read(
            into: &outcome.reading, room: { room },
            isEnough: { $0.bytes.last == end.last && $0.bytes.suffix(end.count) == end[...] })
        outcome.clientError = outcome.reading.verdict == Int64(CT_FAILED) ? pair.clientError : ""
        if !isLost {
            ct_client_shutdown(pair.client)
            outcome.alert = pair.serverReads().error
            var byte: UInt8 = 0
            let verdict = outcome.reading.verdict
            if verdict != Int64(CT_WANT_READ), reader.isDirect {
                #expect(ct_client_read(pair.client, &byte, 1) == verdict, "an end is an end")
                #expect(ct_client_has_pending(pair.client) == 0)
            }
        }
        return outcome
    }

    private static let good: [(String, [Step])] = [
        ("data", [.data("a"), .data(""), .data("bc")]),
        ("padding", [.record(type: 23, [1, 0, 0], padding: 1), .record(type: 23, [0, 0], padding: 500)]),
        (
            "sizes",
            [15, 16, 17, 255, 256, 4_096, 16_383, 16_384].map {
                .record(type: 23, Array(repeating: 5, count: $0))
            }
        ),
        ("full and padded", [.record(type: 23, Array(repeating: 5, count: 16_384), padding: 239)]),
        (
            "32 empty records",
            Array(repeating: .data(""), count: 32) + [.data("a")] + Array(repeating: .data(""), count: 32)
        ),
        ("key update", [.data("a"), .keyUpdate(), .renew, .data("b"), .keyUpdate(1), .renew, .data("c")]),
        ("padded key update", [.record(type: 22, [24, 0, 0, 1, 0], padding: 77), .renew, .data("b")]),
        (
            "key update in pieces",
            [
                .record(type: 22, [24]), .record(type: 22, [0, 0]), .record(type: 22, [1]),
                .record(type: 22, [1]), .renew, .data("b"),
            ]
        ),
        ("ticket", [.data("a"), .record(type: 22, ticket), .data("b"), .record(type: 22, ticket)]),
        ("two tickets in a record", [.data("a"), .record(type: 22, ticket + ticket), .data("b")]),
        ("ticket and key update", [.record(type: 22, ticket + [24, 0, 0, 1, 0]), .renew, .data("b")]),
        (
            "ticket in pieces",
            [
                .data("a"), .record(type: 22, Array(ticket[..<50])),
                .record(type: 22, Array(ticket[50...]) + ticket), .data("b"),
            ]
        ),
        ("cancelled", [.data("a"), .record(type: 21, [1, 90]), .data("b")]),
    ]

    private static let bad: [(String, [Step])] =
        [
            ("close", [.data("a"), .record(type: 21, [1, 0])]),
            ("data after close", [.data("a"), .record(type: 21, [1, 0]), .data("b"), .damaged(byte: 8)]),
            ("alert", [.data("a"), .record(type: 21, [2, 40])]),
            ("alert with another level", [.data("a"), .record(type: 21, [1, 40])]),
            ("long alert", [.data("a"), .record(type: 21, [1, 0, 0])]),
            ("short alert", [.data("a"), .record(type: 21, [1])]),
            ("empty alert", [.data("a"), .record(type: 21, [])]),
            ("two alerts", [.data("a"), .record(type: 21, [1, 0, 1, 0])]),
            ("33 empty records", [.data("a")] + Array(repeating: .data(""), count: 33)),
            ("no type", [.data("a"), .record(type: 0, [], padding: 20)]),
            ("unknown type", [.data("a"), .record(type: 24, [1, 0, 0])]),
            ("inner change of cipher", [.data("a"), .record(type: 20, [1])]),
            ("empty handshake", [.data("a"), .record(type: 22, [])]),
            ("key update of another size", [.data("a"), .record(type: 22, [24, 0, 0, 2, 0, 0])]),
            ("key update of an unknown kind", [.data("a"), .keyUpdate(2)]),
            ("key update not at the end", [.data("a"), .record(type: 22, [24, 0, 0, 1, 0] + ticket)]),
            ("key update twice", [.data("a"), .record(type: 22, [24, 0, 0, 1, 0, 24, 0, 0, 1, 0])]),
            ("data within a ticket", [.data("a"), .record(type: 22, Array(ticket[..<50])), .data("b")]),
            ("data within a message's header", [.data("a"), .record(type: 22, [4]), .data("b")]),
            (
                "alert within a ticket",
                [.data("a"), .record(type: 22, Array(ticket[..<50])), .record(type: 21, [1, 0])]
            ),
            (
                "empty record within a ticket",
                [.data("a"), .record(type: 22, Array(ticket[..<50])), .data("")]
            ),
            ("broken ticket", [.data("a"), .record(type: 22, [4, 0, 0, 5, 1, 2, 3, 4, 5])]),
            (
                "too long a message",
                [.data("a"), .record(type: 22, [4, 255, 255, 255] + Array(repeating: 1, count: 100))]
            ),
            ("finished", [.data("a"), .record(type: 22, [20, 0, 0, 32] + Array(repeating: 1, count: 32))]),
            ("certificate request", [.data("a"), .record(type: 22, [13, 0, 0, 3, 0, 0, 0])]),
            ("client hello", [.data("a"), .record(type: 22, [1, 0, 0, 3, 0, 0, 0])]),
            ("unknown message", [.data("a"), .record(type: 22, [99, 0, 0, 0])]),
            ("too much content", [.data("a"), .record(type: 23, Array(repeating: 5, count: 16_385))]),
            (
                "too long a record",
                [.data("a"), .record(type: 23, Array(repeating: 5, count: 16_384), padding: 240)]
            ),
            ("as long as can be written", [.data("a"), .raw([23, 3, 3, 255, 255])]),
            ("plain alert", [.data("a"), .raw([21, 3, 3, 0, 2, 1, 0])]),
            ("change of cipher", [.data("a"), .raw([20, 3, 3, 0, 1, 1])]),
            ("plain handshake", [.data("a"), .raw([22, 3, 3, 0, 4, 0, 0, 0, 0])]),
            ("another protocol", [.data("a"), .raw(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))]),
            ("damaged header", [.data("a"), .damaged(byte: 1)]),
            ("damaged data", [.data("a"), .damaged(byte: 7)]),
            ("damaged tag", [.data("a"), .damaged(byte: 28)]),
            ("again", [.data("a"), .again]),
            (
                "again, after OpenSSL lags behind",
                [.data("a"), .data("b"), .keyUpdate(), .renew, .data("c"), .data("d"), .again]
            ),
            ("lost", [.data("a"), .lost, .data("b")]),
            ("new key untold", [.data("a"), .renew, .data("b")]),
            ("old key", [.data("a"), .keyUpdate(), .data("b")]),
        ]
        + (0...17).map {
            (
                "a record of \($0) bytes",
                [.data("a"), .raw([23, 3, 3, 0, UInt8($0)] + Array(repeating: 9, count: $0))]
            )
        }

    @Test(arguments: ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
    func goodRecordsAreRead(suite: String) throws {
        let host = try TLSHost(suite: suite, tickets: 0, tellsSecrets: true)
        for (name, steps) in ForgedRecordTests.good {
            let all = steps + [.record(type: 23, ForgedRecordTests.end)]
            let expected = try outcome(host, .openssl, all)
            #expect(expected.reading.verdict == Int64(CT_WANT_READ), "\(name): \(expected)")
            for reader in RecordReader.allCases where reader.isDirect {
                for room in [65_536, 500] {
                    #expect(
                        try outcome(host, reader, all, room: room) == expected, "\(name), room for \(room)")
                }
            }
        }
    }

    @Test func badRecordsEndTheConnectionAlike() throws {
        let host = try TLSHost(tickets: 0, tellsSecrets: true)
        for (name, steps) in ForgedRecordTests.bad {
            let expected = try outcome(host, .openssl, steps)
            #expect(expected.reading.verdict != Int64(CT_WANT_READ), "\(name)")
            for reader in RecordReader.allCases where reader.isDirect {
                for room in [65_536, 2] {
                    let found = try outcome(host, reader, steps, room: room)
                    #expect(found == expected, "\(name), room for \(room): \(found) instead of \(expected)")
                    #expect(found.clientError.isEmpty == expected.clientError.isEmpty, "\(name): \(found)")
                }
            }
        }
    }

    private static let mixed: [Step] = [
        .data("first"), .record(type: 22, ticket), .data(""), .record(type: 23, [1, 2, 3], padding: 9),
        .keyUpdate(1), .renew,
        .data("second"), .record(type: 22, [24, 0]), .record(type: 22, [0, 1, 0]), .renew,
        .record(type: 21, [1, 90]),
        .data("third"),
    ]

    /// Bytes of ``mixed`` on the wire.
    private static let mixedSize: Int = {
        let secret = [UInt8](repeating: 0, count: 32)
        guard let forge = ct_forge_new(0x1301, secret, secret.count) else { return 0 }
        defer { ct_forge_free(forge) }
        return bytes(mixed, forge).count
    }()

    @Test func anyCutIsTheSame() throws {
        let host = try TLSHost(tickets: 0, tellsSecrets: true)
        let all = ForgedRecordTests.mixed + [.record(type: 23, ForgedRecordTests.end)]
        let expected = try outcome(host, .openssl, all)
        for cut in 0...ForgedRecordTests.mixedSize + 10 {
            #expect(try outcome(host, .direct, all, cut: cut) == expected, "cut at \(cut)")
        }
    }

    /// A stream that ends without close_notify is told apart, wherever it ends, and what came before counts.
    @Test func anEarlyEndIsAFailure() throws {
        let host = try TLSHost(tickets: 0, tellsSecrets: true)
        let steps = ForgedRecordTests.mixed
        for cut in stride(from: 0, through: ForgedRecordTests.mixedSize, by: 3) {
            let expected = try outcome(host, .openssl, steps, cut: cut, isLost: true)
            let found = try outcome(host, .direct, steps, cut: cut, isLost: true)
            #expect(found == expected, "cut at \(cut)")
            #expect(found.reading.verdict == Int64(CT_FAILED))
            #expect(found.clientError == "connection ended without TLS close", "\(found)")
        }
    }

    /// No changed bit goes unnoticed: nothing of the record is read, and nothing after it.
    @Test func everyChangedByteIsNoticed() throws {
        let host = try TLSHost(tickets: 0, tellsSecrets: true)
        for byte in 0..<(7 + Int(CT_FORGE_OVERHEAD)) {
            // A changed length waits for what never comes.
            guard byte != 3, byte != 4 else { continue }
            let found = try outcome(host, .direct, [.data("a"), .damaged(byte: byte), .data("b")])
            #expect(found.reading == .init(bytes: [97], verdict: Int64(CT_FAILED)), "byte \(byte)")
            #expect(found.alert.contains("alert"), "\(found)")
        }
    }
}
