import CKernel
import CTLS
import Foundation
import MarketData
import Testing

@testable import Rings
@testable import Wire

/// Certificates in a directory of their own.
struct Certificates: ~Copyable {
    let directory: String

    init(names: [String] = ["localhost", "127.0.0.1"], expired: Bool = false) throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("wire-\(UUID())").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        var text = [CChar](repeating: 0, count: 200)
        let words = names.map { strdup($0) }
        defer { for word in words { free(word) } }
        let pointers = words.map { UnsafePointer($0) }
        guard
            ct_certificate_write(directory, pointers, Int32(names.count), expired ? 1 : 0, &text, text.count)
                == 0
        else { throw TestFailure(description: "no certificates") }
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    var authority: String { directory + "/ca.pem" }

    func server(address: String = "127.0.0.1", port: UInt16 = 0) throws -> ScriptedServer {
        try ScriptedServer(
            address: address, port: port, certificate: directory + "/server.pem",
            key: directory + "/server-key.pem")
    }
}

@Suite(.serialized, .onBothBackends) struct WireStageTests {
    /// Messages of all sizes, whole and in fragments, pings in between, cut into random pieces by socket and TLS.
    private func stream(_ seed: UInt64) -> (bytes: [UInt8], messages: [[UInt8]]) {
        var random = SplitMix64(seed: seed)
        var bytes: [UInt8] = []
        var messages: [[UInt8]] = []
        for index in 0..<600 {
            let size =
                index % 97 == 0
                ? Int.random(in: 60_000...300_000, using: &random) : Int.random(in: 0...400, using: &random)
            let message = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ index) & 0x7F }
            messages.append(message)
            let cut = Int.random(in: 0...size, using: &random)
            if index % 5 == 0 {
                bytes += frame(1, Array(message[..<cut]), fin: false)
                if index % 10 == 0 { bytes += frame(10, [1, 2, 3]) }
                bytes += frame(0, Array(message[cut...]))
            } else {
                bytes += frame(1, message)
            }
        }
        return (bytes, messages)
    }

    @Test(arguments: [1, 2, 3]) func plainMessagesArriveWholeAndInOrder(seed: UInt64) throws {
        let bench = try WireBench(server: try ScriptedServer())
        let (bytes, messages) = stream(seed)
        bench.server.pieceMax = seed == 1 ? 3_000 : 200_000
        try bench.turn { bench.server.isUpgraded }
        let begin = ck_realtime_nanos()
        bench.server.outgoing += bytes
        try bench.turn { bench.messages.count >= messages.count }
        #expect(bench.messages == messages)
        #expect(bench.records.first == .opened(generation: 1))
        #expect(bench.times.allSatisfy { $0 >= begin - 1_000_000 && $0 <= ck_realtime_nanos() })
        #expect(bench.times == bench.times.sorted())
        #expect(bench.monitor.frameCount(ofSlot: 0) == messages.count)
    }

    @Test(arguments: [1, 2, 3], RecordReader.allCases)
    func messagesOverTLSArriveWholeAndInOrder(seed: UInt64, reader: RecordReader) throws {
        let certificates = try Certificates()
        let bench = try WireBench(
            server: try certificates.server(), isTLS: true,
            context: try reader.context(certificates.authority))
        let (bytes, messages) = stream(seed)
        bench.server.pieceMax = seed == 1 ? 3_000 : 200_000
        try bench.turn { bench.server.isUpgraded }
        bench.server.outgoing += bytes
        try bench.turn { bench.messages.count >= messages.count }
        #expect(bench.messages == messages)
        #expect(bench.noticed("TLSv1.3"))
    }

    /// Frames that come in the same packet as the upgrade's answer are not lost.
    @Test func framesBehindTheAnswerCount() throws {
        let bench = try WireBench(server: try ScriptedServer())
        bench.server.outgoing = frame(1, [65]) + frame(1, [66])
        try bench.turn { bench.messages.count == 2 }
        #expect(bench.messages == [[65], [66]])
    }

    /// Nobody empties the ring: reading stops, the kernel's buffers fill, and nothing is lost once it goes on.
    @Test func aFullRingHoldsTheSocketUp() throws {
        let bench = try WireBench(server: try ScriptedServer(), ringBytes: 1 << 19)
        bench.consumes = false
        try bench.turn { bench.server.isUpgraded }
        let message = [UInt8](repeating: 9, count: 1_000)
        let count = 20_000
        var rest = count
        func refill() {
            while rest > 0, bench.server.outgoing.count < 1 << 20 {
                bench.server.outgoing += frame(1, message)
                rest -= 1
            }
        }
        for _ in 0..<2_000 {
            refill()
            bench.turn()
        }
        #expect(bench.ring.bytesUsed > 200_000)
        #expect(bench.monitor.frameCount(ofSlot: 0) < count)
        #expect(bench.stage.parkLimit() <= 1_000_000)
        // The socket has more, but that must not end the wait: whoever empties the ring may need the CPU.
        let begin = ck_monotonic_nanos()
        bench.stage.park(nanos: 20_000_000)
        #expect(ck_monotonic_nanos() - begin >= 15_000_000)
        bench.consumes = true
        try bench.turn {
            refill()
            return bench.messages.count == count
        }
        #expect(bench.messages.allSatisfy { $0 == message })
    }

    @Test func requestsArePacedMaskedAndAcknowledged() throws {
        let bench = try WireBench(server: try ScriptedServer(), streams: ["a", "b", "c"]) {
            $0.namesPerRequest = 1
            $0.frameSpacingNanos = 30_000_000
        }
        var times: [Int64] = []
        try bench.turn {
            while times.count < bench.server.received.count { times.append(ck_monotonic_nanos()) }
            return times.count == 3
        }
        #expect(
            bench.server.received.map { String(decoding: $0.payload, as: UTF8.self) } == [
                "+1 a", "+2 b", "+3 c",
            ])
        #expect(bench.server.allMasked)
        for (first, second) in zip(times, times.dropFirst()) { #expect(second - first > 20_000_000) }
        #expect(bench.monitor.state(ofSlot: 0) == .subscribing)
        for id in 1...3 as ClosedRange<Int64> {
            bench.commands.send(.acknowledged(slot: 0, generation: 1, id: id))
        }
        bench.turn()
        #expect(bench.monitor.state(ofSlot: 0) == .live)
    }

    @Test func aRequestWithoutAnswerEndsTheConnection() throws {
        let bench = try WireBench(
            server: try ScriptedServer(), streams: ["a"]
        ) { $0.acknowledgementNanos = 20_000_000 }
        try bench.turn { bench.monitor.endCount(.request, ofSlot: 0) == 1 }
        #expect(bench.noticed("request 1 was not answered"))
        try bench.turn { bench.monitor.openedCount(ofSlot: 0) == 2 }
    }

    @Test func pingsAreAnsweredWithTheirPayload() throws {
        let bench = try WireBench(server: try ScriptedServer()) { $0.frameSpacingNanos = 1 }
        try bench.turn { bench.server.isUpgraded }
        bench.server.outgoing += frame(9, Array("1672515782136".utf8))
        try bench.turn { !bench.server.received.isEmpty }
        #expect(bench.server.received[0].opcode == 10)
        #expect(bench.server.received[0].payload == Array("1672515782136".utf8))
    }

    @Test func aCloseIsAnsweredAndTheConnectionMadeAnew() throws {
        let bench = try WireBench(server: try ScriptedServer())
        try bench.turn { bench.server.isUpgraded }
        bench.server.outgoing += frame(1, [65]) + frame(8, [3, 240] + Array("Too many requests".utf8))
        try bench.turn { bench.monitor.endCount(.closed, ofSlot: 0) == 1 }
        for _ in 0..<20 { bench.server.pump() }
        #expect(bench.server.received.contains { $0.opcode == 8 && $0.payload == [3, 240] })
        #expect(bench.noticed("1008 Too many requests"))
        bench.server.disconnect()
        try bench.turn { bench.monitor.openedCount(ofSlot: 0) == 2 }
        bench.server.outgoing += frame(1, [66])
        try bench.turn { bench.messages.count == 2 }
        #expect(
            bench.records == [
                .opened(generation: 1), .frame([65], generation: 1), .closed(generation: 1),
                .opened(generation: 2),
                .frame([66], generation: 2),
            ])
    }

    @Test func aMessageOverTheLimitEndsTheConnection() throws {
        let bench = try WireBench(server: try ScriptedServer())
        try bench.turn { bench.server.isUpgraded }
        bench.server.outgoing += frame(1, [65]) + [0x81, 127, 0, 0, 0, 0, 1, 0, 0, 0] + [1, 2, 3]
        try bench.turn { bench.monitor.endCount(.tooLarge, ofSlot: 0) == 1 }
        for _ in 0..<20 { bench.server.pump() }
        #expect(bench.server.received.contains { $0.opcode == 8 && $0.payload == [3, 241] })
        #expect(bench.messages == [[65]])
        #expect(bench.noticed("maxMessageBytes"))
    }

    @Test func silenceEndsTheConnection() throws {
        let bench = try WireBench(server: try ScriptedServer()) { $0.silenceNanos = 50_000_000 }
        try bench.turn { bench.monitor.endCount(.silence, ofSlot: 0) == 1 }
        #expect(bench.noticed("no bytes for"))
    }

    @Test(arguments: [
        (404, "wrong path"), (451, "location"), (429, "too many requests"), (503, "fault of its own"),
    ])
    func refusedUpgradesNameTheirCause(status: Int, cause: String) throws {
        let bench = try WireBench(server: try ScriptedServer())
        bench.server.answer = { _ in Array("HTTP/1.1 \(status) No\r\nRetry-After: 9\r\n\r\n".utf8) }
        try bench.turn { bench.monitor.endCount(.upgrade, ofSlot: 0) == 1 }
        for _ in 0..<5 { bench.turn() }
        #expect(bench.noticed("HTTP \(status)"))
        #expect(bench.noticed(cause))
        // Retry-After is obeyed: no second attempt in the meantime.
        ck_sleep_nanos(30_000_000)
        for _ in 0..<50 { bench.turn() }
        #expect(bench.server.acceptedCount == 1)
    }

    /// In each of the three forms of a date, as this machine's calendar writes them.
    @Test(arguments: ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"])
    func aRefusalUntilADateIsObeyed(format: String) throws {
        let bench = try WireBench(server: try ScriptedServer())
        bench.server.answer = { _ in
            // A date knows whole seconds: between one and two from now.
            var moment = time(nil) + 2
            var parts = tm()
            gmtime_r(&moment, &parts)
            var text = [CChar](repeating: 0, count: 64)
            let count = strftime(&text, text.count, format, &parts)
            let date = String(decoding: text[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
            return Array("HTTP/1.1 429 No\r\nRetry-After: \(date)\r\n\r\n".utf8)
        }
        try bench.turn { bench.monitor.endCount(.upgrade, ofSlot: 0) == 1 }
        let refused = ck_monotonic_nanos()
        bench.server.answer = ScriptedServer.accept
        try bench.turn { bench.monitor.openedCount(ofSlot: 0) == 1 }
        let waited = ck_monotonic_nanos() - refused
        #expect(waited > 900_000_000, "\(waited / 1_000_000) ms")
    }

    @Test func aHostThatRefusesIsTriedAgain() throws {
        let bench = try WireBench(server: try ScriptedServer(), host: "127.0.0.2")
        try bench.turn { bench.monitor.endCount(.connect, ofSlot: 0) >= 2 }
        #expect(bench.noticed("Connection refused"))
        #expect(bench.noticed("nothing listens there"))
    }

    @Test(arguments: [RecordReader.openssl, .direct]) func certificatesAreChecked(reader: RecordReader) throws
    {
        let wrongName = try Certificates(names: ["elsewhere.example"])
        let expired = try Certificates(expired: true)
        let trusted = try Certificates()
        let cases: [(server: ScriptedServer, authority: String, why: String)] = [
            (try wrongName.server(), wrongName.authority, "hostname mismatch"),
            (try expired.server(), expired.authority, "expired"),
            (try trusted.server(), expired.authority, "certificate"),
        ]
        for (server, authority, why) in cases {
            let bench = try WireBench(
                server: server, isTLS: true, context: try reader.context(authority))
            try bench.turn { bench.monitor.endCount(.tls, ofSlot: 0) >= 1 }
            #expect(bench.noticed(why), "\(bench.notices.map(\.text))")
            #expect(bench.monitor.openedCount(ofSlot: 0) == 0)
        }
    }

    @Test func aMissingAuthorityIsAnErrorWithItsPath() {
        let error = #expect(throws: TLSContext.Failure.self) {
            try TLSContext(certificateAuthority: "/none/ca.pem")
        }
        #expect(error?.description.contains("/none/ca.pem") == true)
    }

    @Test func stopClosesPolitely() throws {
        let bench = try WireBench(server: try ScriptedServer())
        try bench.turn { bench.server.isUpgraded && bench.monitor.openedCount(ofSlot: 0) == 1 }
        bench.commands.send(.stop)
        try bench.turn { bench.server.received.contains { $0.opcode == 8 && $0.payload == [3, 232] } }
        bench.server.outgoing += frame(1, [65]) + frame(8, [3, 232])
        try bench.turn { bench.stage.isStopped }
        // What was sent before the close still counts.
        #expect(bench.messages == [[65]])
        #expect(bench.monitor.isStopped)
    }
}
