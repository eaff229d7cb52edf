import CZstd
import MarketData
import Testing

@testable import Batching

@Suite struct DictionaryTests {
    static func trade(_ id: Int, symbol: String = "BTCUSDT") -> String {
        "{\"type\":\"trade\",\"exchange\":\"binance\",\"symbol\":\"\(symbol)\",\"sequence\":\(id),"
            + "\"eventTime\":\(1_672_515_782_136_000_000 + id * 7_919_000_000),"
            + "\"receivedTime\":\(1_672_515_782_140_123_456 + id * 7_919_104_729),\"tradeId\":\(id * 31 + 12_345),"
            + "\"price\":\"\(16_000 + id % 977).\(id * 7_919 % 90_000 + 10_000)000\",\"quantity\":\"0.\(id * 104_729 % 90_000 + 10_000)000\","
            + "\"tradeTime\":\(1_672_515_782_136_000_000 + id * 7_919_000_000),\"aggressor\":\"\(id % 3 == 0 ? "sell" : "buy")\"}\n"
    }

    struct NoMemory: Error {}

    static func dictionary(bytes: Int = 2_048) throws -> CompressionDictionary {
        try CompressionDictionary.train(
            kind: .trade, samples: (0..<2_000).map { Array(trade($0).utf8)[...] }, bytes: bytes)
    }

    static func frame(_ text: String, _ dictionaries: [CompressionDictionary], window: Int = 0) throws
        -> [UInt8]
    {
        guard let compressor = BatchCompressor(level: 1, window: window, dictionaries: dictionaries) else {
            throw NoMemory()
        }
        let from = Array(text.utf8)
        var to = [UInt8](repeating: 0, count: cz_bound(from.count))
        let made = to.withUnsafeMutableBytes { room -> (bytes: Int, dictionary: UInt32) in
            guard let out = room.baseAddress else { return (0, 0) }
            return compressor.compress(.trade, from: from, count: from.count, to: out, room: room.count)
        }
        #expect(made.dictionary == dictionaries.first { $0.kind == .trade }?.id ?? 0)
        return Array(to[..<made.bytes])
    }

    @Test func aBatchNamesItsDictionaryAndIsReadWithIt() throws {
        let dictionary = try DictionaryTests.dictionary()
        let bench = try BatchBench { $0.dictionaries = [dictionary] }
        for id in 1...3 as ClosedRange<Int64> { try bench.putTrade(id: id) }
        bench.flush()
        let batch = try #require(try bench.take().first)
        #expect(batch.header.isCompressed && batch.header.dictionary == dictionary.id)
        #expect(batch.lines.count == 3)
    }

    @Test func kindsWithoutADictionaryAreCompressedWithout() throws {
        let trades = try DictionaryTests.dictionary()
        let other = try CompressionDictionary(kind: .kline, bytes: trades.bytes)
        let bench = try BatchBench { $0.dictionaries = [other] }
        try bench.putTrade(id: 1)
        bench.flush()
        let batch = try #require(try bench.take().first)
        #expect(batch.header.isCompressed && batch.header.dictionary == 0)
    }

    @Test func smallBatchesShrink() throws {
        let dictionary = try DictionaryTests.dictionary()
        let text = DictionaryTests.trade(2_500)
        #expect(
            try DictionaryTests.frame(text, [dictionary]).count * 2 < DictionaryTests.frame(text, []).count)
    }

    /// Frames with and without dictionaries one behind the other, in pieces of any size.
    @Test(arguments: [1, 2, 3, 7, 11, 64, 1_000_000]) func framesAreReadInAnyPieces(piece: Int) throws {
        let first = try DictionaryTests.dictionary()
        let second = try DictionaryTests.dictionary(bytes: 1_024)
        #expect(first.id != second.id)
        let texts = (0..<9).map { frame in (0..<frame * 3).map { DictionaryTests.trade($0) }.joined() }
        var frames: [UInt8] = []
        for (index, text) in texts.enumerated() {
            frames += try DictionaryTests.frame(text, [[first], [second], []][index % 3])
            // A skippable frame (RFC 8878, section 3.1.2), as other tools put in.
            if index == 4 { frames += [0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3] }
        }
        let decompressor = try #require(cz_decompressor_new())
        defer { cz_decompressor_free(decompressor) }
        for one in [first, second] {
            #expect(cz_decompressor_add(decompressor, one.bytes, one.bytes.count) == 0)
        }
        var read: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 100)
        var left: Int64 = 0
        for begin in stride(from: 0, to: frames.count, by: piece) {
            let bytes = Array(frames[begin..<min(begin + piece, frames.count)])
            var used = 0
            var made = 0
            repeat {
                made = 0
                left = cz_decompress(decompressor, &room, room.count, &made, bytes, bytes.count, &used)
                try #require(left >= 0, "\(String(cString: cz_error_text(left)))")
                read += room[..<made]
            } while used < bytes.count || made == room.count
        }
        #expect(left == 0)
        #expect(String(decoding: read, as: UTF8.self) == texts.joined())
    }

    @Test func anUnknownDictionaryIsNamed() throws {
        let dictionary = try DictionaryTests.dictionary()
        let frame = try DictionaryTests.frame(DictionaryTests.trade(1), [dictionary])
        let decompressor = try #require(cz_decompressor_new())
        defer { cz_decompressor_free(decompressor) }
        var room = [UInt8](repeating: 0, count: 1_000)
        var (used, made) = (0, 0)
        #expect(cz_decompress(decompressor, &room, room.count, &made, frame, frame.count, &used) < 0)
        #expect(cz_decompressor_missing(decompressor) == dictionary.id)
    }

    @Test func aSmallWindowLooksBackLess() throws {
        // The same 8 KiB again and again: only who looks back that far sees it.
        var random: UInt64 = 1
        let block = (0..<8_192).map { _ -> Character in
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Character(Unicode.Scalar(UInt8(ascii: "0") + UInt8(random >> 60)))
        }
        let text = String(repeating: String(block), count: 4)
        let narrow = try DictionaryTests.frame(text, [], window: 10).count
        #expect(try DictionaryTests.frame(text, [], window: 16).count * 2 < narrow)
    }

    @Test func whatIsNoDictionaryIsRefused() throws {
        #expect(throws: CompressionDictionary.Malformed.self) {
            try CompressionDictionary(kind: .trade, bytes: Array("no dictionary at all".utf8))
        }
        #expect(throws: CompressionDictionary.Malformed.self) {
            try CompressionDictionary(kind: .trade, bytes: [])
        }
        // The head alone, and a body that was cut short.
        let whole = try DictionaryTests.dictionary().bytes
        #expect(throws: CompressionDictionary.Malformed.self) {
            try CompressionDictionary(kind: .trade, bytes: Array(whole[..<12]))
        }
        #expect(throws: CompressionDictionary.Malformed.self) {
            try CompressionDictionary.train(kind: .trade, samples: [Array("one".utf8)[...]], bytes: 1_024)
        }
    }

    @Test func embeddedOnesShrinkTheirTypes() throws {
        let kinds = CompressionDictionary.embedded.map(\.kind)
        #expect(
            kinds == [
                .trade, .aggTrade, .kline, .ticker, .miniTicker, .bookTicker, .averagePrice, .markPrice,
            ])
        #expect(Set(CompressionDictionary.embedded.map(\.id)).count == kinds.count)
        let text = DictionaryTests.trade(2_500)
        let packed = try DictionaryTests.frame(text, CompressionDictionary.embedded).count
        #expect(try packed * 3 < DictionaryTests.frame(text, []).count * 2)
    }
}
