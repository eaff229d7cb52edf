import CKernel
import MarketData
import Testing

@testable import Wire

/// What a connection does with the finer points of WebSocket, against a server that does as it likes.
@Suite(.serialized, .onBothBackends) struct WebSocketStageTests {
    /// Accepts with these words about extensions.
    private func accepting(_ extensions: String) -> (String) -> [UInt8] {
        { request in
            // Without the last "\r\n", which is one character.
            let answer = String(decoding: ScriptedServer.accept(request), as: UTF8.self)
            return Array((answer.dropLast() + "Sec-WebSocket-Extensions: \(extensions)\r\n\r\n").utf8)
        }
    }

    /// A connection that has agreed on compression, and the server's half of it.
    private func compressing(
        _ extensions: String = "permessage-deflate", ringBytes: Int = 1 << 22,
        change: (inout ConnectionPlan) -> Void = { _ in }
    ) throws -> (WireBench, Compressor) {
        let bench = try WireBench(
            server: try ScriptedServer(), ringBytes: ringBytes,
            change: { plan in
                plan.deflate = DeflateOffer()
                change(&plan)
            })
        bench.server.answer = accepting(extensions)
        try bench.turn { bench.monitor.openedCount(ofSlot: 0) == 1 }
        return (bench, try Compressor(extensions))
    }

    /// A server's compression.
    private final class Compressor {
        private var deflate: MessageDeflate
        init(_ extensions: String) throws {
            var agreement = try DeflateAgreement(answer: extensions, to: DeflateOffer())
            swap(&agreement.clientForgets, &agreement.serverForgets)
            swap(&agreement.clientWindowBits, &agreement.serverWindowBits)
            guard let deflate = MessageDeflate(agreement) else { throw TestFailure(description: "no memory") }
            self.deflate = deflate
        }
        func deflated(_ bytes: [UInt8]) -> [UInt8] { deflate.deflate(bytes) ?? [] }
        func inflated(_ bytes: [UInt8]) -> [UInt8] { deflate.inflated(bytes).bytes }
    }

    /// Compressed and plain messages of all sizes, whole and in fragments, cut into random pieces.
    @Test(arguments: [
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
    ])
    func compressedMessagesArriveInflated(extensions: String) throws {
        let (bench, server) = try compressing(extensions)
        bench.server.pieceMax = 30_000
        var random = SplitMix64(seed: 5)
        var messages: [[UInt8]] = []
        for index in 0..<300 {
            let size = index % 50 == 0 ? 200_000 : Int.random(in: 0...600, using: &random)
            let word = index % 4 == 0 ? "{\"p\":\"\(random.next())\"}" : "{\"price\":\"0.00100000\",\"é\":1}"
            let message = Array(String(repeating: word, count: size / word.utf8.count).utf8)
            messages.append(message)
            guard index % 3 != 0 else {
                bench.server.outgoing += frame(1, message)
                continue
            }
            let bytes = server.deflated(message)
            let cut = Int.random(in: 0...bytes.count, using: &random)
            bench.server.outgoing += frame(1, Array(bytes[..<cut]), fin: false, rsv: 4) + frame(10, [])
            bench.server.outgoing += frame(0, Array(bytes[cut...]))
        }
        try bench.turn { bench.messages.count >= messages.count }
        #expect(bench.messages == messages)
        #expect(bench.monitor.endCount(.protocolError, ofSlot: 0) == 0)
    }

    /// Nobody empties the ring: nothing is inflated that it has no room for, and nothing is lost.
    @Test func aFullRingHoldsInflatingUp() throws {
        let (bench, server) = try compressing(ringBytes: WireStage.ringBytes(messageBytes: 1 << 16)) {
            $0.limits.messageBytes = 1 << 16
        }
        bench.consumes = false
        let messages = (0..<200).map { [UInt8](repeating: UInt8($0 & 0x7F), count: 60_000) }
        for message in messages { bench.server.outgoing += frame(2, server.deflated(message), rsv: 4) }
        for _ in 0..<500 { bench.turn() }
        #expect(bench.monitor.frameCount(ofSlot: 0) < 9)
        bench.consumes = true
        try bench.turn { bench.messages.count == messages.count }
        #expect(bench.messages == messages)
    }

    @Test func whatCannotBeInflatedEndsTheConnection() throws {
        let (bomb, server) = try compressing { $0.limits.messageBytes = 100_000 }
        let zeros = server.deflated([UInt8](repeating: 0, count: 1 << 20))
        bomb.server.outgoing += frame(1, [65]) + frame(1, zeros, rsv: 4)
        try bomb.turn { bomb.server.received.contains { $0.payload == [3, 241] } }
        #expect(bomb.monitor.endCount(.tooLarge, ofSlot: 0) == 1)
        #expect(bomb.messages == [[65]])
        #expect(bomb.noticed("maxMessageBytes"))

        let (noise, _) = try compressing()
        noise.server.outgoing += frame(1, [65]) + frame(1, [0xFF, 0xFF], rsv: 4)
        try noise.turn { noise.server.received.contains { $0.payload == [3, 239] } }
        #expect(noise.monitor.endCount(.protocolError, ofSlot: 0) == 1)

        let (binary, other) = try compressing()
        binary.server.outgoing += frame(1, other.deflated([0x41, 0xFF]), rsv: 4)
        try binary.turn { binary.server.received.contains { $0.payload == [3, 239] } }
        #expect(binary.messages.isEmpty)
    }

    /// Messages of ours go out as was agreed on.
    @Test func messagesAreSentBack() throws {
        let message = Array("{\"price\":\"0.00100000\"}".utf8)
        let plain = try WireBench(server: try ScriptedServer())
        plain.echoes = true
        plain.server.outgoing = frame(1, message) + frame(2, [0, 255])
        try plain.turn { plain.server.received.count == 2 }
        #expect(plain.server.received.map(\.opcode) == [1, 2])
        #expect(plain.server.received.map(\.payload) == [message, [0, 255]])

        for extensions in [
            "permessage-deflate", "permessage-deflate; client_no_context_takeover; client_max_window_bits=9",
        ] {
            let (bench, server) = try compressing(extensions)
            bench.echoes = true
            for _ in 0..<3 { bench.server.outgoing += frame(1, server.deflated(message), rsv: 4) }
            try bench.turn { bench.server.received.count == 3 }
            #expect(bench.server.received.map { server.inflated($0.payload) } == [message, message, message])
        }
    }

    /// Where endings are to be settled, what came before a violation or a close is answered first.
    @Test(arguments: [
        (frame(3, []), [3, 234] as [UInt8]), (frame(8, [3, 232]), [3, 232]), (frame(1, [0xFF]), [3, 239]),
    ])
    func answersComeBeforeTheEnd(last: [UInt8], close: [UInt8]) throws {
        let bench = try WireBench(server: try ScriptedServer(), change: { $0.ending = .settled })
        bench.echoes = true
        for index in 0..<50 as Range<UInt8> { bench.server.outgoing += frame(1, [index]) }
        bench.server.outgoing += last + frame(1, [99])
        try bench.turn { bench.server.received.contains { $0.opcode == 8 } }
        #expect(bench.server.received.map(\.payload) == (0..<50 as Range<UInt8>).map { [$0] } + [close])
        // What follows is of no interest; the server ends it.
        for _ in 0..<20 { bench.turn() }
        #expect(bench.monitor.openedCount(ofSlot: 0) == 1)
        bench.server.disconnect()
        try bench.turn { bench.monitor.openedCount(ofSlot: 0) == 2 }
        #expect(bench.messages.count == 50)
    }

    @Test func eachPingIsAnsweredWhereThatIsTheRule() throws {
        let bench = try WireBench(server: try ScriptedServer(), change: { $0.pongs = .each })
        let payloads = (0..<30 as Range<UInt8>).map { [$0, 7] }
        for payload in payloads { bench.server.outgoing += frame(9, payload) }
        try bench.turn { bench.server.received.count == 30 }
        #expect(bench.server.received.map(\.opcode) == Array(repeating: 10, count: 30))
        #expect(bench.server.received.map(\.payload) == payloads)
    }

    @Test func aSlotThatOpensOnceStops() throws {
        let bench = try WireBench(server: try ScriptedServer(), change: { $0.opensOnce = true })
        bench.server.outgoing = frame(1, [65]) + frame(8, [])
        try bench.turn { bench.monitor.state(ofSlot: 0) == .stopped }
        for _ in 0..<50 { bench.turn() }
        #expect(bench.server.acceptedCount == 1)
        #expect(bench.messages == [[65]])
    }

    /// A large message in tens of thousands of fragments, empty ones among them, that dribble in.
    @Test func manySmallFragmentsAreJoined() throws {
        let bench = try WireBench(server: try ScriptedServer())
        bench.server.pieceMax = 9_000
        let message = (0..<700_000).map { UInt8($0 % 127) }
        var stream: [UInt8] = []
        for begin in stride(from: 0, to: message.count, by: 50) {
            stream +=
                frame(begin == 0 ? 1 : 0, Array(message[begin..<begin + 50]), fin: false)
                + frame(0, [], fin: false)
        }
        bench.server.outgoing = stream + frame(0, []) + frame(1, [65])
        try bench.turn { bench.messages.count == 2 }
        #expect(bench.messages == [message, [65]])
    }
}
