import Batching
import CZstd
import Foundation
import MarketData
import Testing

@testable import ControlPlane

@Suite struct DictionaryFilesTests {
    private static func trade(_ id: Int) -> String {
        TailTests.trade(1_000 + id * 37).replacing(
            "0.00100000", with: "\(id * 7_919 % 1_000).\(id * 104_729 % 90_000 + 10_000)")
    }

    private static func dictionary(_ bytes: Int) throws -> CompressionDictionary {
        try CompressionDictionary.train(
            kind: .trade, samples: (0..<1_000).map { Array((trade($0) + "\n").utf8)[...] }, bytes: bytes)
    }

    private static func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "no error"
        } catch { return "\(error)" }
    }

    @Test func anOlderDictionaryStaysForItsReaders() throws {
        let directory = try TailTests.Directory()
        let path = directory.url.path
        let old = try DictionaryFilesTests.dictionary(1_024)
        let new = try DictionaryFilesTests.dictionary(2_048)
        try DictionaryFiles.write(old, to: path)
        try DictionaryFiles.write(old, to: path)
        try DictionaryFiles.write(new, to: path)
        #expect(try DictionaryFiles.load(directory: path).map(\.id) == [new.id])
        #expect(try Set(DictionaryFiles.all(at: path).map(\.id)) == [old.id, new.id])
        let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
        #expect(names == ["trade.\(old.id).zdict", "trade.zdict"])
    }

    @Test func wrongFilesAreNamed() throws {
        let directory = try TailTests.Directory()
        let path = directory.url.path
        let known = EventKind.allCases.map(\.name).joined(separator: ", ")
        #expect(
            DictionaryFilesTests.message { _ = try DictionaryFiles.load(directory: path) }
                == "\(path): holds no <type>.zdict, where <type> is one of \(known)")
        try Data("nothing of the kind".utf8).write(to: directory.file("trade.zdict"))
        #expect(
            DictionaryFilesTests.message { _ = try DictionaryFiles.load(directory: path) }
                == "\(path)/trade.zdict is no zstd dictionary: its head is another")
    }

    @Test func tailReadsWhatADictionaryPacked() throws {
        let directory = try TailTests.Directory()
        let dictionary = try DictionaryFilesTests.dictionary(2_048)
        let text = DictionaryFilesTests.trade(5) + "\n"
        let compressor = try #require(cz_compressor_new(1, 0))
        defer { cz_compressor_free(compressor) }
        let ready = cz_dictionary_new(dictionary.bytes, dictionary.bytes.count, 1)
        defer { cz_dictionary_free(ready) }
        let from = Array(text.utf8)
        var frame = [UInt8](repeating: 0, count: cz_bound(from.count))
        let count = cz_compress(compressor, ready, &frame, frame.count, from, from.count)
        let segment = directory.file("segment-1.ndjson.zst")
        try (Data(frame[..<Int(count)]) + TailTests.compress(text)).write(to: segment)

        var settings = TailSettings(source: .files(path: directory.url.path, follow: false))
        settings.isJSON = true
        #expect(
            DictionaryFilesTests.message { _ = try TailTests.tail(settings) }
                == "\(segment.path), byte 0: compressed with dictionary \(dictionary.id), which is not known here;"
                + " name its file or directory: --dictionaries PATH")
        let dictionaries = directory.url.path + "/dictionaries"
        try DictionaryFiles.write(dictionary, to: dictionaries)
        settings.dictionaries = dictionaries
        let line = String(text.dropLast())
        #expect(try TailTests.tail(settings).lines == [line, line])
        settings.dictionaries = dictionaries + "/trade.zdict"
        #expect(try TailTests.tail(settings).lines == [line, line])
    }

    @Test func trainedOnSegmentsAndMeasuredOnTheRest() throws {
        let directory = try TailTests.Directory()
        let text = (0..<2_000).map { DictionaryFilesTests.trade($0) + "\n" }.joined()
        try TailTests.compress(text).write(to: directory.file("segment-1.ndjson.zst"))
        let training = DictionaryTraining()
        try training.add(segments: directory.url.path)
        #expect(training.count == 2_000 && training.kinds == [.trade])
        let dictionary = try training.train(.trade, bytes: 2_048)
        let rows = training.measure(dictionary, level: 1, window: 0)
        #expect(rows.map(\.batchSize) == DictionaryTraining.batchSizes)
        #expect(rows[0].batches == 500 && !rows[0].isOnTrainingData)
        #expect(rows[0].dictionaryBytes * 2 < rows[0].plainBytes)
        #expect(DictionaryTable.render(rows, level: 1).split(separator: "\n").count == 2 + rows.count)

        try Data("{\"no\":\"event\"}\n".utf8).write(to: directory.file("segment-2.ndjson"))
        let path = directory.file("segment-2.ndjson").path
        #expect(
            DictionaryFilesTests.message { try DictionaryTraining().add(segments: path) }
                == "\(path): 0 events, 1 other lines; name what a file sink wrote (sink.path), or use --feed for frames"
                + " of an exchange")
    }

    @Test func framesOfAnExchangeBecomeEvents() throws {
        let frames = (0..<3).map { index in
            #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1790960630914,"s":"BTCUSDT","t":\#(100 + index),"p":"84000.04000000","#
                + #""q":"0.00023000","T":1790960630913,"m":true,"M":true}}"#
        }
        let made = Adapters.all[0].init(market: "spot")
        let adapter = try #require(made)
        let feed = RecordedFeed(text: Array(frames.joined(separator: "\n").utf8), adapter: adapter)
        var lines: [String] = []
        try feed.serialize { lines.append(String(decoding: $0, as: UTF8.self)) }
        #expect(feed.deadLetters == 0)
        #expect(lines.count == 3)
        #expect(
            lines[0].hasPrefix(
                #"{"type":"trade","exchange":"binance","symbol":"BTCUSDT","sequence":1,"eventTime":1790960630914000000,"#
            ))
        #expect(lines[2].contains(#""tradeId":102,"price":"84000.04000000","quantity":"0.00023000""#))
        let directory = try TailTests.Directory()
        try Data("{\"e\":\"nothing\"}\n".utf8).write(to: directory.file("feed.ndjson"))
        let path = directory.file("feed.ndjson").path
        #expect(
            DictionaryFilesTests.message {
                try DictionaryTraining().add(feed: path, adapter: "binance", market: "spot")
            }.hasPrefix("\(path): not one frame that binance spot reads"))
    }
}
