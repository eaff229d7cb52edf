import CKernel
import CZstd
import Foundation
import Testing

@testable import ControlPlane

@Suite struct TailTests {
    static func compress(_ text: String) -> Data {
        guard let compressor = cz_compressor_new(1, 0) else { return Data() }
        defer { cz_compressor_free(compressor) }
        let from = Array(text.utf8)
        var to = [UInt8](repeating: 0, count: cz_bound(from.count))
        let count = cz_compress(compressor, nil, &to, to.count, from, from.count)
        return Data(to[..<Int(count)])
    }

    static func trade(_ id: Int, symbol: String = "BTCUSDT") -> String {
        "{\"type\":\"trade\",\"exchange\":\"binance\",\"symbol\":\"\(symbol)\",\"sequence\":\(id),"
            + "\"eventTime\":1672515782136000000,\"receivedTime\":1672515782140123456,\"tradeId\":\(id),"
            + "\"price\":\"0.00100000\",\"quantity\":\"100\",\"tradeTime\":1672515782136000000,\"aggressor\":\"sell\"}"
    }

    /// A directory of its own, removed at the end.
    final class Directory {
        let url = FileManager.default.temporaryDirectory.appending(path: "tail-\(UUID())")
        init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(at: url) }
        func file(_ name: String) -> URL { url.appending(path: name) }
    }

    /// What `tail` prints, and its warnings.
    static func tail(_ settings: TailSettings) throws -> (lines: [String], warnings: [String]) {
        let output = FileManager.default.temporaryDirectory.appending(path: "tail-output-\(UUID())")
        let file = open(output.path, O_RDWR | O_CREAT, 0o600)
        try #require(file >= 0)
        defer {
            close(file)
            try? FileManager.default.removeItem(at: output)
        }
        var warnings: [String] = []
        try TailRun(settings, stop: StopRequest(), output: file).run { warnings.append($0) }
        let text = try String(contentsOf: output, encoding: .utf8)
        return (text.split(separator: "\n").map(String.init), warnings)
    }

    @Test func segmentsInTheOrderOfTheirNames() throws {
        let directory = try Directory()
        let lines = (1...5).map { TailTests.trade($0) }
        try (TailTests.compress(lines[0] + "\n") + TailTests.compress(lines[1] + "\n" + lines[2] + "\n"))
            .write(to: directory.file("segment-1.ndjson.zst"))
        try Data((lines[3] + "\n").utf8).write(to: directory.file("segment-2.ndjson"))
        try TailTests.compress(lines[4] + "\n").write(to: directory.file("segment-3.ndjson.zst"))
        try Data("no event".utf8).write(to: directory.file("other.txt"))
        var settings = TailSettings(source: .files(path: directory.url.path, follow: false))
        settings.isJSON = true
        #expect(try TailTests.tail(settings).lines == lines)
        settings.limit = 3
        #expect(try TailTests.tail(settings).lines == Array(lines[..<3]))
        settings.source = .files(path: directory.file("segment-3.ndjson.zst").path, follow: false)
        #expect(try TailTests.tail(settings).lines == [lines[4]])
    }

    @Test func filters() throws {
        let directory = try Directory()
        let lines = [
            TailTests.trade(1), TailTests.trade(2, symbol: "ETHUSDT"),
            "{\"type\":\"ticker\",\"symbol\":\"BTCUSDT\"}",
        ]
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: directory.file("a.ndjson"))
        var settings = TailSettings(source: .files(path: directory.url.path, follow: false))
        settings.isJSON = true
        settings.types = ["trade"]
        #expect(try TailTests.tail(settings).lines == Array(lines[..<2]))
        settings.symbols = ["ETHUSDT"]
        #expect(try TailTests.tail(settings).lines == [lines[1]])
    }

    @Test func timesAreFoundByTheIndexAndWithoutOne() throws {
        let directory = try Directory()
        let begin: Int64 = 1_672_515_782_000_000_000
        let minute: Int64 = 60_000_000_000
        // Twenty minutes, a batch and a block of the index each.
        let lines = (0..<20).map { index in
            TailTests.trade(index).replacing("1672515782136000000", with: "\(begin + Int64(index) * minute)")
        }
        let batches = lines.map { TailTests.compress($0 + "\n") }
        let segment = directory.file("segment-1.ndjson.zst")
        try batches.reduce(Data(), +).write(to: segment)
        var index = "exchange-collector segment index 1\n"
        var offset = 0
        for (number, batch) in batches.enumerated() {
            let time = begin + Int64(number) * minute
            index += "\(offset) \(time) \(time)\n"
            offset += batch.count
        }
        var settings = TailSettings(source: .files(path: directory.url.path, follow: false))
        settings.isJSON = true
        settings.from = begin + 5 * minute
        settings.to = begin + 7 * minute
        let times = (settings.from, settings.to)
        func bytesRead() throws -> Int {
            let reader = try SegmentReader(path: directory.url.path, times: times)
            while try reader.readNew({ _ in true }) {}
            return reader.bytesRead
        }
        #expect(try TailTests.tail(settings).lines == Array(lines[5...7]))
        #expect(try bytesRead() == offset)
        let file = directory.file(".segment-1.ndjson.zst.index")
        // One that is torn, or of another file, is not obeyed.
        for wrong in [index, index + "end \(offset + 1)\n"] {
            try Data(wrong.utf8).write(to: file)
            #expect(try TailTests.tail(settings).lines == Array(lines[5...7]))
            #expect(try bytesRead() == offset)
        }
        try Data((index + "end \(offset)\n").utf8).write(to: file)
        #expect(try TailTests.tail(settings).lines == Array(lines[5...7]))
        #expect(try bytesRead() == batches[5...7].reduce(0) { $0 + $1.count })
        settings.from = begin + 30 * minute
        settings.to = .max
        #expect(try TailTests.tail(settings).lines.isEmpty)
        #expect(try TailTests.tail(settings).warnings.isEmpty)
    }

    @Test func incompleteEndIsSaidAndNothingElseIsLost() throws {
        let directory = try Directory()
        let whole = TailTests.compress(TailTests.trade(1) + "\n")
        let cut = TailTests.compress(TailTests.trade(2) + "\n").dropLast(5)
        try (whole + cut).write(to: directory.file("a.ndjson.zst"))
        try Data((TailTests.trade(3) + "\n{\"type\":").utf8).write(to: directory.file("b.ndjson"))
        let (lines, warnings) = try TailTests.tail(
            TailSettings(source: .files(path: directory.url.path, follow: false)))
        #expect(lines.count == 2)
        #expect(warnings.count == 2)
        #expect(
            warnings[0].hasSuffix(
                "a.ndjson.zst: its last \(cut.count) bytes are not complete: it is being written, or its writer was killed"
            ))
    }

    @Test func wrongSourcesAreNamed() throws {
        func message(_ settings: TailSettings) -> String {
            do {
                _ = try TailTests.tail(settings)
                return "no error"
            } catch { return "\(error)" }
        }
        let directory = try Directory()
        let path = directory.url.path
        #expect(
            message(TailSettings(source: .files(path: path, follow: false)))
                == "\(path): no segments (*.ndjson.zst, *.ndjson); --follow waits for some")
        #expect(
            message(TailSettings(source: .files(path: path + "/nope", follow: false)))
                == "\(path)/nope: no such file or directory; name a directory that a file sink writes (sink.path)"
        )
        try Data("not zstd at all".utf8).write(to: directory.file("a.ndjson.zst"))
        #expect(
            message(TailSettings(source: .files(path: path, follow: false))).hasPrefix(
                "\(path)/a.ndjson.zst, byte 0: corrupt zstd data: "))
        try FileManager.default.removeItem(at: directory.file("a.ndjson.zst"))
        try Data("no\u{1B}[2J json\n".utf8).write(to: directory.file("a.ndjson"))
        #expect(
            message(TailSettings(source: .files(path: path, follow: false)))
                == "event 1 is not a JSON object: no\u{FFFD}[2J json")
    }

    @Test func followsWhatIsWrittenLater() throws {
        let directory = try Directory()
        let reader = try SegmentReader(path: directory.url.path)
        var seen = ""
        func read() throws {
            while try reader.readNew({
                seen += String(decoding: $0, as: UTF8.self); return true
            }) {}
        }
        try read()
        #expect(seen.isEmpty)
        let file = directory.file("a.ndjson.zst")
        let second = TailTests.compress("two\n")
        try TailTests.compress("one\n").write(to: file)
        try read()
        #expect(seen == "one\n")
        // A frame comes in two pieces.
        let handle = try FileHandle(forWritingTo: file)
        try handle.seekToEnd()
        try handle.write(contentsOf: second.prefix(7))
        try read()
        #expect(seen == "one\n")
        try handle.write(contentsOf: second.dropFirst(7))
        try read()
        #expect(seen == "one\ntwo\n")
        // A writer takes back what it had not finished, and writes something else.
        let end = try handle.offset()
        try handle.write(contentsOf: TailTests.compress("never\n").prefix(7))
        try read()
        try handle.truncate(atOffset: end)
        try read()
        try handle.write(contentsOf: TailTests.compress("three\n"))
        try read()
        #expect(seen == "one\ntwo\nthree\n")
        // The next segment, plain, its last line in two pieces.
        let plain = directory.file("b.ndjson")
        try Data("four\nfi".utf8).write(to: plain)
        try read()
        #expect(seen == "one\ntwo\nthree\nfour\n")
        let plainHandle = try FileHandle(forWritingTo: plain)
        try plainHandle.seekToEnd()
        try plainHandle.write(contentsOf: Data("ve\n".utf8))
        try read()
        #expect(seen == "one\ntwo\nthree\nfour\nfive\n")
        #expect(reader.leftovers.isEmpty)
    }

    @Test(arguments: [
        (
            trade(12_345),
            "19:43:02.136000  trade         binance       BTCUSDT             0.00100000 × 100              sell #12345"
        ),
        (
            "{\"type\":\"kline\",\"exchange\":\"binance\",\"symbol\":\"B\",\"sequence\":1,\"eventTime\":1672515782136000000,\"interval\":\"1m\",\"openTime\":1672515780000000000,\"open\":\"1.0\",\"high\":\"2\",\"low\":\"0.5\",\"close\":\"1.5\",\"volume\":\"9\",\"tradeCount\":7,\"closed\":true}",
            "19:43:02.136000  kline         binance       B             1m  from 19:43:00.000000  o 1.0  h 2  l 0.5  c 1.5  v 9  7 trades  closed"
        ),
        (
            "{\"type\":\"bookTicker\",\"exchange\":\"binance\",\"symbol\":\"B\",\"sequence\":1,\"receivedTime\":1,\"updateId\":4,\"bid\":\"1\",\"bidQuantity\":\"2\",\"ask\":\"3\",\"askQuantity\":\"4\"}",
            "00:00:00.000000  bookTicker    binance       B             bid 1 × 2  ask 3 × 4"
        ),
        (
            "{\"type\":\"gap\",\"exchange\":\"binance\",\"symbol\":\"B\",\"sequence\":1,\"receivedTime\":1,\"of\":\"trade\",\"firstMissing\":5,\"lastMissing\":9,\"state\":\"open\",\"cause\":\"sequence\"}",
            "00:00:00.000000  gap           binance       B             trade ids 5–9 open, cause: sequence"
        ),
        (
            "{\"type\":\"deadletter\",\"exchange\":\"binance\",\"receivedTime\":1,\"reason\":\"malformed JSON\",\"offset\":3,\"frame\":\"e30=\"}",
            "00:00:00.000000  deadletter    binance                     malformed JSON, at byte 3"
        ),
        (
            "{\"type\":\"trade\",\"symbol\":\"\\u001b[2J\"}",
            "00:00:00.000000  trade                       \u{FFFD}[2J                         – × –                     #–"
        ),
    ])
    func linesForPeople(json: String, line: String) throws {
        #expect(try #require(EventText(json: Array(json.utf8))).line() == line)
    }

    @Test func answersOfHTTPServers() throws {
        let client = PlainHTTPClient(host: "h", port: 1)
        func parse(_ text: String, isEnd: Bool = false) throws -> String {
            guard let answer = try client.parse(Array(text.utf8), isEnd: isEnd) else { return "more" }
            return "\(answer.status) \(String(decoding: answer.body, as: UTF8.self))"
        }
        #expect(try parse("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") == "200 {}")
        #expect(
            try parse(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA \r\n0123456789\r\n0\r\n\r\n"
            )
                == "200 abc0123456789")
        #expect(try parse("HTTP/1.1 200 OK\r\n\r\nabc", isEnd: true) == "200 abc")
        let incomplete = [
            "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        ]
        for text in incomplete { #expect(try parse(text) == "more", "\(text)") }
        let wrong = [
            "SSH-2.0\r\n\r\n", "HTTP/1.1 x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ]
        for text in wrong { #expect(throws: TailError.self, "\(text)") { try parse(text) } }
        #expect(throws: TailError.self) {
            try PlainHTTPClient(host: "127.0.0.1", port: 1).request("GET", "/")
        }
    }

    @Test func messagesOfTheEmulator() throws {
        let lines = TailTests.trade(1) + "\n" + TailTests.trade(2) + "\n"
        let data = TailTests.compress(lines).base64EncodedString()
        let batch: [String: Any] = [
            "data": data, "attributes": ["content_encoding": "zstd", "batch_id": "x-1"],
        ]
        #expect(try EmulatorReader.lines(of: batch, topic: "t") == Array(lines.utf8))
        let event: [String: Any] = ["data": Data("{}".utf8).base64EncodedString()]
        #expect(try EmulatorReader.lines(of: event, topic: "t") == Array("{}\n".utf8))
        let cut = TailTests.compress(lines).dropLast(3).base64EncodedString()
        #expect(throws: TailError.self) {
            try EmulatorReader.lines(
                of: ["data": cut, "attributes": ["content_encoding": "zstd"]], topic: "t")
        }
        #expect(throws: TailError.self) { try EmulatorReader.lines(of: ["data": "*"], topic: "t") }
    }
}
