import MarketData
import Testing

@testable import feed_replayer

/// Readers of bytes from outside meet bytes that nobody meant: none may crash, and what they return stays in bounds.
@Suite struct SturdinessTests {
    private let seeds: [String] = [
        #"{"method":"SUBSCRIBE","params":["btcusdt@trade","\u5e01\ud83d\ude00@t"],"id":1}"#,
        #"{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":1,"i":"1m","q":"\"}"}}}"#,
        #" [ {"e":"24hrMiniTicker","E":1,"s":"A"} , {"e":1} ] "#,
        #"{"u":1,"s":"A","b":"1","B":"1","a":"1","A":"1"}"#, #"{"e":"forceOrder","E":1,"o":{"s":"A"}}"#,
        "1680652800004107 {\"e\":\"trade\",\"E\":5,\"s\":\"A\"}", "-0.5e+3", "[[[[[[", "\"\\u12\"",
        "GET /stream?streams=a%40b/%zz%2 HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "hex:00ff", "huge:12", "\u{81}\u{85}abcdhello",
    ]

    /// A seed with some bytes changed, dropped, doubled, or the end cut off.
    private func mutated(_ bytes: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
        var bytes = bytes
        for _ in 0...random.below(4) where !bytes.isEmpty {
            let index = random.below(bytes.count)
            switch random.below(5) {
            case 0: bytes[index] = UInt8(truncatingIfNeeded: random.next())
            case 1: bytes.remove(at: index)
            case 2: bytes.insert(bytes[index], at: index)
            case 3: bytes[index] = Array("\"\\{}[]:,\n 0eE".utf8)[random.below(12)]
            default: bytes.removeSubrange(index...)
            }
        }
        return bytes
    }

    @Test func readersSurviveAnyBytes() throws {
        var random = SplitMix64(seed: 7)
        var understood = 0
        for round in 0..<6_500 {
            let bytes = mutated(Array(seeds[round % seeds.count].utf8), &random)
            if (try? ControlGrammar.read(bytes)) != nil { understood += 1 }
            _ = HTTPUpgrade.read(bytes)
            _ = HTTPUpgrade.readAddress(bytes)
            // A large frame is made in memory: not every time that the digits grow.
            if bytes.count < 12 { _ = try? InjectedFrame(line: bytes, place: "here") }
            var reader = ClientFrameReader()
            reader.feed(bytes)
            while reader.next() != nil {}
            bytes.withUnsafeBytes { raw in
                if let found = RecordedFeed.unwrap(raw) {
                    #expect(found.name.upperBound <= raw.count && found.payload.upperBound <= raw.count)
                }
                _ = StreamNaming.name(of: raw)
                _ = RecordedFeed.eventTime(raw)
                _ = FeedTimes.read(raw)
            }
        }
        #expect(understood > 10)
    }

    @Test func clientFramesSurviveAnyBytes() {
        var random = SplitMix64(seed: 8)
        var messages = 0
        for _ in 0..<2_000 {
            var bytes =
                clientFrame(1, Array("hello".utf8), isFinal: false) + clientFrame(0, [1]) + clientFrame(9, [])
            bytes = mutated(bytes, &random)
            var reader = ClientFrameReader()
            while !bytes.isEmpty {
                let count = 1 + random.below(bytes.count)
                reader.feed(bytes.prefix(count))
                bytes.removeFirst(count)
                while reader.next() != nil { messages += 1 }
            }
        }
        #expect(messages > 500)
    }
}
