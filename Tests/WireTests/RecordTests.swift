import CKernel
import CTLS
import MarketData
import Testing

@testable import Wire

/// Receiving over TLS, by OpenSSL and by ourselves, from OpenSSL's own server.
@Suite(.serialized) struct RecordTests {
    private static let suites = [
        "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
    ]

    /// Data of all sizes, padded and not, with tickets and new keys in between, in pieces of all sizes, read with room for
    /// much and for little.
    @Test(arguments: RecordReader.allCases, RecordTests.suites)
    func everythingArrivesInOrder(reader: RecordReader, suite: String) throws {
        let host = try TLSHost(suite: suite)
        for seed in 1...3 as ClosedRange<UInt64> {
            var random = SplitMix64(seed: seed)
            let pair = try host.pair(reader)
            try pair.shakeHands()
            #expect(pair.description.hasPrefix("TLSv1.3 \(suite)"))
            #expect(pair.description.contains("direct") == reader.isDirect)
            var sent: [UInt8] = []
            var reading = TLSPair.Reading()
            var updates: UInt64 = 0
            let roomMax = [300, 5_000, 65_536][Int(seed - 1)]
            let pieceMax = [70_000, 20, 2_000][Int(seed - 1)]
            for step in 0..<60 {
                let most = [1, 40, 300, 16_384, 50_000][Int.random(in: 0..<5, using: &random)]
                let count = Int.random(in: 1...(seed < 3 ? min(most, 2_000) : most), using: &random)
                let data = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
                if step % 7 == 3 { #expect(ct_server_ticket(pair.server) == 0) }
                if step % 5 == 4, step % 7 != 3 {
                    #expect(ct_server_update_key(pair.server, step % 2 == 0 ? 1 : 0) == 0)
                    updates += 1
                }
                if step % 11 == 6 { ct_server_pad(pair.server, Int.random(in: 0...2_000, using: &random)) }
                #expect(ct_server_write(pair.server, data, data.count) == 0)
                sent += data
                guard step % 3 == 0 || step == 59 else { continue }
                pair.read(
                    into: &reading, room: { Int.random(in: 1...roomMax, using: &random) },
                    piece: { Int.random(in: 1...pieceMax, using: &random) },
                    isEnough: { $0.bytes.count >= sent.count })
                let words = Array("step \(step)".utf8)
                #expect(ct_client_write(pair.client, words, words.count) == Int64(words.count))
                #expect(pair.serverReads(atLeast: words.count).bytes == words)
            }
            #expect(reading.bytes == sent)
            #expect(reading.verdict == Int64(CT_WANT_READ), "\(pair.clientError)")
            #expect(ct_client_read_keys(pair.client) == (reader.isDirect ? updates + 1 : 0))
            #expect(ct_client_has_pending(pair.client) == 0)
            ct_server_shutdown(pair.server)
            pair.read(into: &reading, isEnough: { _ in false })
            #expect(reading.verdict == 0, "\(pair.clientError)")
        }
    }

    /// The direct way is for TLS 1.3 alone, and gives way by itself.
    @Test(arguments: RecordReader.allCases) func olderTLSIsOpenSSLs(reader: RecordReader) throws {
        let pair = try TLSHost(version: 12).pair(reader)
        try pair.shakeHands()
        #expect(pair.description.hasPrefix("TLSv1.2"))
        #expect(!pair.description.contains("direct"))
        let data = [UInt8](repeating: 7, count: 100_000)
        #expect(ct_server_write(pair.server, data, data.count) == 0)
        var reading = TLSPair.Reading()
        pair.read(into: &reading, room: { 1_000 }, isEnough: { $0.bytes.count >= data.count })
        #expect(reading.bytes == data)
        pair.hangUp()
        pair.read(into: &reading, isEnough: { _ in false })
        #expect(reading.verdict == Int64(CT_FAILED))
        #expect(pair.clientError == "connection ended without TLS close")
    }

    /// One receive call brings many records, and one read opens all of them.
    @Test func oneReadOpensManyRecords() throws {
        let pair = try TLSHost(tickets: 0).pair(.direct)
        try pair.shakeHands()
        for _ in 0..<50 { #expect(ct_server_write(pair.server, "0123456789", 10) == 0) }
        #expect(ct_server_flush(pair.server) == 0)
        var reading = TLSPair.Reading()
        let calls = ct_client_receive_calls(pair.client)
        pair.read(into: &reading, isEnough: { !$0.bytes.isEmpty })
        #expect(reading.bytes.count == 500)
        #expect(ct_client_receive_calls(pair.client) == calls + 1)
        #expect(ct_client_received_nanos(pair.client) > 1_700_000_000_000_000_000)
    }

    /// Many key updates without data in between, in both directions.
    @Test(arguments: RecordReader.allCases) func aHundredKeyUpdates(reader: RecordReader) throws {
        let pair = try TLSHost().pair(reader)
        try pair.shakeHands()
        var reading = TLSPair.Reading()
        for round in 0..<100 {
            #expect(ct_server_update_key(pair.server, 1) == 0)
            #expect(ct_server_update_key(pair.server, 0) == 0)
            if round % 10 == 0 {
                #expect(ct_server_write(pair.server, "x", 1) == 0)
                pair.read(into: &reading, isEnough: { $0.bytes.count > round / 10 })
                #expect(ct_client_write(pair.client, "yz", 2) == 2)
                #expect(pair.serverReads(atLeast: 2).bytes == [121, 122])
            }
        }
        #expect(ct_server_write(pair.server, "end", 3) == 0)
        pair.read(into: &reading, isEnough: { $0.bytes.count >= 13 })
        #expect(reading.bytes.count == 13, "\(pair.clientError)")
        #expect(reader == .openssl || ct_client_read_keys(pair.client) == 201)
    }

    /// A key that is worn out is replaced by one that the client asks for.
    @Test(arguments: [RecordReader.direct, .directByEVP]) func wornKeysAreReplaced(reader: RecordReader)
        throws
    {
        let pair = try TLSHost().pair(reader)
        try pair.shakeHands()
        ct_client_limit_keys(pair.client, 10_000, 40_000)
        var reading = TLSPair.Reading()
        let data = [UInt8](repeating: 1, count: 1_000)
        for round in 1...200 {
            #expect(ct_server_write(pair.server, data, data.count) == 0)
            pair.read(into: &reading, isEnough: { $0.bytes.count >= round * 1_000 })
            // The server answers what it reads.
            var byte: UInt8 = 0
            _ = ct_server_read(pair.server, &byte, 1)
        }
        #expect(reading.bytes.count == 200_000, "\(pair.clientError)")
        #expect(ct_client_read_keys(pair.client) > 10)
    }

    /// A server that never answers the request is not believed for ever.
    @Test(arguments: [RecordReader.direct, .directByEVP]) func wornKeysEndTheConnection(reader: RecordReader)
        throws
    {
        let pair = try TLSHost().pair(reader)
        try pair.shakeHands()
        ct_client_limit_keys(pair.client, 10_000, 40_000)
        let data = [UInt8](repeating: 1, count: 1_000)
        for _ in 0..<60 { #expect(ct_server_write(pair.server, data, data.count) == 0) }
        var reading = TLSPair.Reading()
        pair.read(into: &reading, isEnough: { $0.bytes.count >= 60_000 })
        #expect(reading.verdict == Int64(CT_FAILED))
        #expect(pair.clientError.contains("no new key"))
        #expect((37_000...40_000).contains(reading.bytes.count), "\(reading.bytes.count)")
    }

    /// The server asks for a new key while the client's own bytes are stuck: the answer follows them.
    @Test(arguments: RecordReader.allCases) func aKeyUpdateWhileSendingIsStuck(reader: RecordReader) throws {
        let pair = try TLSHost().pair(reader)
        try pair.shakeHands()
        let words = (0..<16_000).map { UInt8(truncatingIfNeeded: $0 / 3) }
        var sent = 0
        var result = Int64(words.count)
        for _ in 0..<2_000 where result == words.count {
            result = ct_client_write(pair.client, words, words.count)
            if result > 0 { sent += 1 }
        }
        #expect(result == Int64(CT_WANT_WRITE))
        #expect(ct_server_update_key(pair.server, 1) == 0)
        #expect(ct_server_write(pair.server, "behind", 6) == 0)
        var reading = TLSPair.Reading()
        // It may have to wait for room to answer; then what is behind the update is not lost sight of.
        var chunk = [UInt8](repeating: 0, count: 100)
        for _ in 0..<200 where reading.bytes.isEmpty {
            _ = ct_server_flush(pair.server)
            let got = ct_client_read(pair.client, &chunk, chunk.count)
            #expect(
                got > 0 || got == Int64(CT_WANT_READ) || got == Int64(CT_WANT_WRITE), "\(pair.clientError)")
            if got > 0 { reading.bytes += chunk[..<Int(got)] }
            if got == Int64(CT_WANT_WRITE) { break }
            ck_sleep_nanos(20_000)
        }
        var received: [UInt8] = []
        for _ in 0..<2_000 where received.count < (sent + 1) * words.count {
            received += pair.serverReads(atLeast: 1).bytes
            if result == Int64(CT_WANT_WRITE) {
                result = ct_client_write(pair.client, words, words.count)
                if result > 0 { sent += 1 }
            }
            if result > 0, received.count == sent * words.count { break }
        }
        #expect(received == Array(repeatElement(words, count: sent).joined()))
        pair.read(into: &reading, isEnough: { $0.bytes.count >= 6 })
        #expect(reading.bytes == Array("behind".utf8), "\(pair.clientError)")
        #expect(ct_client_write(pair.client, words, words.count) == Int64(words.count))
        #expect(pair.serverReads(atLeast: words.count).bytes == words)
    }
}
