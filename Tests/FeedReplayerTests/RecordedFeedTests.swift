import CZstd
import Glibc
import Testing

@testable import feed_replayer

/// A directory for one test, removed afterwards.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/feed-replayer-test-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        path = template.withUnsafeBufferPointer { readText($0) }
    }

    deinit {
        if let directory = opendir(path) {
            while let entry = readdir(directory) {
                let name = withUnsafeBytes(of: entry.pointee.d_name) {
                    readText($0.bindMemory(to: CChar.self))
                }
                unlink("\(path)/\(name)")
            }
            closedir(directory)
        }
        rmdir(path)
    }

    func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }

    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let file = try #require(fopen("\(path)/\(name)", "w"))
        defer { fclose(file) }
        try #require(fwrite(bytes, 1, bytes.count, file) == bytes.count)
        return "\(path)/\(name)"
    }
}

/// All frames of a feed in order: stream, combined form, payload.
func frames<Source: FeedSource & ~Copyable>(
    _ source: inout Source, limit: Int = .max, now: Int64 = 0, of wanted: (String) -> Bool = { _ in true }
) -> [(stream: String, combined: String, payload: String, due: Int64?)] {
    let names = source.streamNames
    for stream in names.indices where wanted(String(decoding: names[stream], as: UTF8.self)) {
        source.setSubscribed(stream: stream, true)
    }
    var out: [(stream: String, combined: String, payload: String, due: Int64?)] = []
    var frame = FeedFrame()
    while out.count < limit {
        let due = source.nextDue()
        switch source.next(&frame, now: now) {
        case .frame:
            let combined = String(decoding: frame.combined, as: UTF8.self)
            let payload = String(decoding: frame.combined[frame.payload], as: UTF8.self)
            out.append((String(decoding: names[frame.stream], as: UTF8.self), combined, payload, due))
        case .skipped, .idle: continue
        case .end: return out
        }
    }
    return out
}

@Suite struct RecordedFeedTests {
    private let trade =
        #"{"e":"trade","E":1672515782136,"s":"BTCUSDT","t":1,"p":"1.0","q":"2","T":1672515782136,"m":true,"M":true}"#

    @Test func keepsFramesAndTellsStreams() throws {
        let directory = try TemporaryDirectory()
        let book =
            #"{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}"#
        let kline = #"{"e":"kline","E":1,"s":"币安人生USDT","k":{"t":1,"i":"1M"}}"#
        let array = #"[{"e":"24hrMiniTicker","E":1,"s":"A"},{"e":"24hrMiniTicker","E":1,"s":"B"}]"#
        let spaced = #"{ "data" : [1, "}"] , "stream" : "x@y" }"#
        let wrapped = #"{"stream":"btcusdt@trade","data":\#(trade)}"#
        let lines = [
            wrapped, trade, book, kline, array, spaced, #"{"result":null,"id":2}"#, "", "garbage",
            #"{"e":"trade"#,
        ]
        let path = try directory.write("a.ndjson", lines.joined(separator: "\n") + "\n")
        var feed = try RecordedFeed(paths: [path], loops: false)
        #expect(feed.leftOut == 4)
        #expect(feed.frameCount == 6)
        let found = frames(&feed)
        #expect(
            found.map(\.stream) == [
                "btcusdt@trade", "btcusdt@trade", "bnbusdt@bookTicker", "币安人生usdt@kline_1M",
                "!miniTicker@arr", "x@y",
            ])
        #expect(found.map(\.payload) == [trade, trade, book, kline, array, #"[1, "}"]"#])
        #expect(found[0].combined == wrapped)
        #expect(found[1].combined == wrapped)
        #expect(found[2].combined == #"{"stream":"bnbusdt@bookTicker","data":\#(book)}"#)
        #expect(found[5].combined == spaced)
    }

    @Test func takesTimesFromTheSidecarTheLineOrTheEvent() throws {
        let directory = try TemporaryDirectory()
        func frame(_ time: Int) -> String {
            #"{"stream":"a@trade","data":{"e":"trade","E":\#(time),"s":"A"}}"#
        }
        let book = #"{"stream":"a@bookTicker","data":{"u":1,"s":"A","b":"1","B":"1","a":"1","A":"1"}}"#
        let sidecar = try directory.write("a.ndjson", "\(frame(1))\n\(book)\n\(frame(2))\n")
        _ = try directory.write("a.recv", "1618677372.5\n1618677372.5104241\n1618677373.0\n")
        let inline = try directory.write(
            "b.ndjson",
            "1680652800004107 \(frame(1))\n1680652800004231 \(book)\n1680652800003000 \(frame(9))\n")
        let event = try directory.write(
            "c.ndjson", "\(frame(1_672_515_782_136))\n\(book)\n\(frame(1_672_515_782_146))\n")
        var feed = try RecordedFeed(paths: [sidecar, inline, event], loops: false)
        let dues = frames(&feed).map(\.due)
        // Files follow each other, and no time falls.
        #expect(
            dues == [
                0, 10_424_100, 500_000_000, 500_000_000, 500_124_000, 500_124_000, 500_124_000, 500_124_000,
                510_124_000,
            ])
    }

    @Test func saysWhatIsWrongWithAFile() throws {
        let directory = try TemporaryDirectory()
        func message(_ paths: [String]) -> String {
            do throws(ReplayerError) {
                _ = try RecordedFeed(paths: paths, loops: false)
                return "no error"
            } catch {
                return error.description
            }
        }
        #expect(message(["/no/such.ndjson"]).hasPrefix("/no/such.ndjson cannot be read: "))
        let path = try directory.write("a.ndjson", "\(trade)\n\(trade)\n")
        let times = try directory.write("a.recv", "1\n")
        #expect(message([path]) == "\(path) has more lines than its sidecar of receive times (1)")
        _ = try directory.write("a.recv", "yesterday\n")
        #expect(message([path]) == "\(times):1 is no time in ns, µs, ms or seconds")
        let broken = try directory.write("b.ndjson.zst", "no zstd at all")
        #expect(message([broken]).hasPrefix("\(broken) is no valid zstd file at byte "))
        let packed = try compressed(Array("\(trade)\n".utf8))
        let cut = try directory.write("c.ndjson.zst", Array(packed.dropLast(3)))
        #expect(message([cut]) == "\(cut) ends in the middle of a zstd frame; copy it again")
    }

    @Test func readsConcatenatedZstdAndLoops() throws {
        let directory = try TemporaryDirectory()
        let packed = try compressed(Array("\(trade)\n".utf8))
        var feed = try RecordedFeed(
            paths: [try directory.write("a.ndjson.zst", packed + packed)], loops: true)
        #expect(feed.frameCount == 2)
        let found = frames(&feed, limit: 5)
        #expect(found.map(\.payload) == [String](repeating: trade, count: 5))
        #expect(found.map(\.due) == [0, 0, 1_000_000, 1_000_000, 2_000_000])
    }

    private func compressed(_ bytes: [UInt8]) throws -> [UInt8] {
        let compressor = try #require(cz_compressor_new(3, 0))
        defer { cz_compressor_free(compressor) }
        var out = [UInt8](repeating: 0, count: cz_bound(bytes.count))
        let count = cz_compress(compressor, nil, &out, out.count, bytes, bytes.count)
        try #require(count > 0)
        return Array(out[..<Int(count)])
    }

    @Test(arguments: [
        ("1680652800", 1_680_652_800_000_000_000), ("1680652800.25", 1_680_652_800_250_000_000),
        ("1680652800004", 1_680_652_800_004_000_000), ("1680652800004107", 1_680_652_800_004_107_000),
        ("1680652800004107123", 1_680_652_800_004_107_123),
    ])
    func readsTimesOfEveryUnit(_ text: String, _ nanos: Int64) {
        Array(text.utf8).withUnsafeBytes { #expect(FeedTimes.read($0) == nanos) }
    }

    @Test(arguments: ["", ".", "12a", "-5", "1.2.3", "99999999999999999999"])
    func refusesWhatIsNoTime(_ text: String) {
        Array(text.utf8).withUnsafeBytes { #expect(FeedTimes.read($0) == nil) }
    }

    @Test func readsInjections() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("inject", "{\"e\":\nhex:00fF11\nhuge:5\n")
        let frames = try InjectedFrame.read(path: path)
        #expect(frames.map(\.bytes) == [Array("{\"e\":".utf8), [0, 255, 17], Array("aaaaa".utf8)])
        #expect(frames[1].line == Array("hex:00fF11".utf8))
        for bad in ["hex:0", "hex:zz", "huge:-1", "huge:x", "huge:9999999999999"] {
            #expect(throws: ReplayerError.self) { try InjectedFrame(line: Array(bad.utf8), place: "f:1") }
        }
    }
}
