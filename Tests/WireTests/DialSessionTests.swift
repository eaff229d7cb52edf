import CTLS
import Testing

@testable import Wire

/// The cache of TLS sessions, at the shim.
@Suite(.serialized) struct DialSessionTests {
    /// Shakes hands anew for each of `peers` and tells which resumed; the tickets of the first ones are read.
    private func resumed(
        version: Int32, peers: [String?], reading count: Int, by reader: RecordReader = .direct
    ) throws -> [Bool] {
        let host = try TLSHost(version: version)
        return try peers.enumerated().map { index, peer in
            let pair = try host.pair(reader, peer: peer)
            try pair.shakeHands()
            if index < count {
                guard ct_server_write(pair.server, "x", 1) == 0 else {
                    throw TestFailure(description: "no write")
                }
                var reading = TLSPair.Reading()
                pair.read(into: &reading, isEnough: { $0.bytes.count == 1 })
                guard reading.bytes.count == 1 else { throw TestFailure(description: "nothing read") }
            }
            return ct_client_is_resumed(pair.client) != 0
        }
    }

    /// OpenSSL's servers give two tickets with a full handshake (SSL_CTX_set_num_tickets); none is used twice.
    @Test(arguments: RecordReader.allCases) func aTicketOfTLS13IsUsedOnce(reader: RecordReader) throws {
        #expect(
            try resumed(version: 13, peers: Array(repeating: "a:1", count: 5), reading: 1, by: reader)
                == [false, true, true, false, false])
    }

    /// Tickets that come between the data, long after the handshake.
    @Test(arguments: RecordReader.allCases) func aLateTicketIsKept(reader: RecordReader) throws {
        let host = try TLSHost(tickets: 0)
        let first = try host.pair(reader, peer: "a:1")
        try first.shakeHands()
        var reading = TLSPair.Reading()
        for count in 1...3 {
            #expect(ct_server_write(first.server, "before", 6) == 0)
            if count > 1 { #expect(ct_server_ticket(first.server) == 0) }
            #expect(ct_server_write(first.server, "behind", 6) == 0)
            first.read(into: &reading, isEnough: { $0.bytes.count == 12 * count })
        }
        let resumed = try (0..<3).map { _ in
            let later = try host.pair(reader, peer: "a:1")
            try later.shakeHands()
            return ct_client_is_resumed(later.client) != 0
        }
        #expect(resumed == [true, true, false])
    }

    @Test func aSessionOfTLS12IsUsedAgainAndAgain() throws {
        #expect(
            try resumed(version: 12, peers: Array(repeating: "a:1", count: 5), reading: 1)
                == [false, true, true, true, true])
    }

    @Test(arguments: [12, 13] as [Int32]) func sessionsBelongToTheirPeer(version: Int32) throws {
        #expect(
            try resumed(version: version, peers: ["a:1", "a:2", nil, "a:1", "a:2", nil], reading: 6)
                == [false, false, false, true, true, false])
        let long = String(repeating: "h", count: 300)
        #expect(try resumed(version: version, peers: [long, long], reading: 2) == [false, false])
    }

    /// More peers than the cache has room for: the oldest give way, and the newest resume.
    @Test func theCacheIsBounded() throws {
        let peers = (0..<100).map { "host\($0):1" }
        let found = try resumed(version: 12, peers: peers + peers.reversed(), reading: 200)
        #expect(found.prefix(100).allSatisfy { !$0 })
        #expect(found.dropFirst(100).prefix(64).allSatisfy { $0 })
        #expect(found.suffix(36).allSatisfy { !$0 })
    }
}
