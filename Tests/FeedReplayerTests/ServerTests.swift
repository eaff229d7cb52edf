import Glibc
import Testing

@testable import feed_replayer

@Suite struct ServerTests {
    private func options(_ pacing: Pacing = .max, _ change: (inout ServerOptions) -> Void = { _ in }) throws
        -> ServerOptions
    {
        var options = ServerOptions(
            listen: [try #require(ListenAddress("127.0.0.1:0"))], certificate: nil, pacing: pacing)
        change(&options)
        return options
    }

    private func synthetic(_ options: ServerOptions) throws -> RunningServer {
        try RunningServer(options) {
            SyntheticMarket(
                symbols: MarketSymbol.list(count: 3, nonASCII: false), mix: .standard, seed: 1,
                clock: .virtual(epoch: 1_790_000_000_000, step: 1e6))
        }
    }

    private let trade = #"{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"1.0","q":"2","T":1,"m":true,"M":true}"#
    private let depth = #"{"stream":"btcusdt@depth","data":{"e":"depthUpdate","E":2,"s":"BTCUSDT"}}"#
    private let book = #"{"u":4,"s":"ETHUSDT","b":"1","B":"1","a":"2","A":"1"}"#

    private func recorded(_ options: ServerOptions, _ directory: TemporaryDirectory) throws -> RunningServer {
        let path = try directory.write(
            "feed.ndjson", "\(trade)\n\(depth)\n\(book)\n{\"result\":null,\"id\":1}\n")
        return try RunningServer(options) { try RecordedFeed(paths: [path], loops: false) }
    }

    @Test(arguments: [false, true], [false, true])
    func sendsTheFeedOverTLS(_ recordsAreSingle: Bool, _ isLongFrame: Bool) throws {
        let directory = try TemporaryDirectory()
        let files = try Certificates.write(
            directory: directory.path, names: Certificates.localNames, isExpired: false)
        let filler = isLongFrame ? String(repeating: "x", count: 70_000) : "short"
        let long = #"{"stream":"a@trade","data":{"e":"trade","E":1,"s":"A","filler":"\#(filler)"}}"#
        let path = try directory.write("feed.ndjson", "\(long)\n\(trade)\n\(long)\n")
        let server = try RunningServer(
            try options {
                $0.certificate = files
                $0.recordsAreSingle = recordsAreSingle
                $0.startAfterStreams = 2
                $0.exitWhenDone = true
            }
        ) { try RecordedFeed(paths: [path], loops: false) }
        let client = try TestClient(port: server.port, authority: files.authority)
        #expect(
            try client.upgrade("/stream?streams=a@trade/btcusdt@trade") == "HTTP/1.1 101 Switching Protocols")
        #expect(try client.next().text == long)
        #expect(try client.next().text == #"{"stream":"btcusdt@trade","data":\#(trade)}"#)
        #expect(try client.next().text == long)
        let close = try client.next()
        #expect(close.opcode == 8 && close.code == 1000)
        try client.send(bytes: clientFrame(8, [3, 0xE8]))
        #expect(server.wait().hasPrefix(#"{"framesSent":3,"#))
    }

    @Test func sendsOnlyWhatIsSubscribedInTheConnectionsForm() throws {
        let directory = try TemporaryDirectory()
        let truth = directory.path + "/truth"
        let server = try recorded(
            try options {
                $0.startAfterStreams = 4
                $0.groundTruth = truth
            }, directory)
        let raw = try TestClient(port: server.port)
        let combined = try TestClient(port: server.port)
        _ = try raw.upgrade("/ws/btcusdt@depth/ethusdt@bookTicker")
        _ = try combined.upgrade("/stream")
        try combined.send(text: #"{"method":"SUBSCRIBE","params":["btcusdt@trade","nosuch@trade"],"id":1}"#)
        #expect(try combined.next().text == #"{"result":null,"id":1}"#)
        #expect(try combined.next().text == #"{"stream":"btcusdt@trade","data":\#(trade)}"#)
        #expect(try raw.next().text == #"{"e":"depthUpdate","E":2,"s":"BTCUSDT"}"#)
        #expect(try raw.next().text == book)
        #expect(server.stop().hasPrefix(#"{"framesSent":3,"bytesSent":"#))
        let file = try FeedFile(path: truth)
        var lines: [[Substring]] = []
        file.forEachLine {
            lines.append(String(decoding: $0, as: UTF8.self).split(separator: "\t", maxSplits: 2))
        }
        #expect(
            lines.map { $0[2] } == [
                "{\"stream\":\"btcusdt@trade\",\"data\":\(trade)}",
                #"{"e":"depthUpdate","E":2,"s":"BTCUSDT"}"#, book[...],
            ])
        #expect(Set(lines.map { $0[0] }).count == 2)
        #expect(lines.allSatisfy { (Int64($0[1]) ?? 0) > 1_700_000_000_000_000_000 })
    }

    @Test func answersRequests() throws {
        let server = try synthetic(try options(.rate(1)) { $0.startAfterStreams = 1000 })
        let client = try TestClient(port: server.port)
        _ = try client.upgrade("/ws")
        try client.send(
            text: #"{"method":"SUBSCRIBE","params":["btcusdt@trade","x@trade","btcusdt@trade"],"id":1}"#)
        #expect(try client.next().text == #"{"result":null,"id":1}"#)
        try client.send(text: #"{"method":"UNSUBSCRIBE","params":["btcusdt@trade","never@trade"],"id":2}"#)
        #expect(try client.next().text == #"{"result":null,"id":2}"#)
        try client.send(text: #"{"method":"LIST_SUBSCRIPTIONS","id":3}"#)
        #expect(try client.next().text == #"{"result":["x@trade"],"id":3}"#)
        try client.send(text: #"{"method":"GET_PROPERTY","params":["combined"],"id":4}"#)
        #expect(try client.next().text == #"{"result":false,"id":4}"#)
        try client.send(text: #"{"method":"SET_PROPERTY","params":["x",true],"id":5}"#)
        #expect(try client.next().text == #"{"error":{"code":0,"msg":"Unknown property"},"id":5}"#)
        let other = try TestClient(port: server.port)
        _ = try other.upgrade("/ws")
        try other.send(bytes: clientFrame(1, [UInt8](repeating: 65, count: 5000)))
        try other.send(bytes: clientFrame(9, [1, 2, 3]))
        #expect(try other.next() == TestClient.Frame(opcode: 10, payload: [1, 2, 3]))
    }

    @Test func closesAConnectionThatAsksTooMuch() throws {
        let server = try synthetic(try options(.rate(1)) { $0.startAfterStreams = 10_000 })
        let hasty = try TestClient(port: server.port)
        _ = try hasty.upgrade("/ws")
        for _ in 0..<6 { try hasty.send(bytes: clientFrame(9, [])) }
        for _ in 0..<5 { #expect(try hasty.next().opcode == 10) }
        let close = try hasty.next()
        #expect(close.code == 1008 && close.reason == "Too many requests")

        let greedy = try TestClient(port: server.port)
        let names = (0..<1024).map { "s\($0)@trade" }.joined(separator: "/")
        #expect(try greedy.upgrade("/stream?streams=\(names)") == "HTTP/1.1 101 Switching Protocols")
        try greedy.send(text: #"{"method":"SUBSCRIBE","params":["one@trade"],"id":9}"#)
        #expect(try greedy.next().text == #"{"error":{"code":4,"msg":"Too many subscriptions"},"id":9}"#)
        let end = try greedy.next()
        #expect(end.code == 1008 && end.reason == "Invalid request")
    }

    @Test func answersTheClosingHandshakeAndViolations() throws {
        let server = try synthetic(try options(.rate(1)))
        let polite = try TestClient(port: server.port)
        _ = try polite.upgrade("/ws")
        try polite.send(bytes: clientFrame(8, [0x0F, 0xA0]))
        #expect(try polite.next().code == 4000)
        #expect(polite.isEnded())
        let bare = try TestClient(port: server.port)
        _ = try bare.upgrade("/ws")
        try bare.send(bytes: clientFrame(1, [65], isMasked: false))
        #expect(try bare.next().code == 1002)
        let garbled = try TestClient(port: server.port)
        _ = try garbled.upgrade("/ws")
        try garbled.send(bytes: clientFrame(1, [0xFF, 0xFE]))
        #expect(try garbled.next().code == 1007)
    }

    @Test func refusesUpgradesAsAsked() throws {
        let server = try synthetic(try options(.rate(1)))
        #expect(try TestClient(port: server.port).upgrade("/nowhere") == "HTTP/1.1 404 Not Found")
        let restricted = try synthetic(try options(.rate(1)) { $0.upgradeStatus = 451 })
        #expect(
            try TestClient(port: restricted.port).upgrade("/ws")
                == "HTTP/1.1 451 Unavailable For Legal Reasons")
    }

    @Test func pingsAndClosesWithoutAPong() throws {
        let server = try synthetic(
            try options(.rate(1)) {
                $0.pingInterval = 100_000_000
                $0.pongPatience = 300_000_000
                $0.startAfterStreams = 9
            })
        let client = try TestClient(port: server.port)
        _ = try client.upgrade("/ws")
        let ping = try client.next()
        #expect(ping.opcode == 9 && (Int64(ping.text) ?? 0) > 1_700_000_000_000)
        var frame = try client.next()
        while frame.opcode == 9 { frame = try client.next() }
        #expect(frame.code == 1008 && frame.reason == "Pong timeout")
    }

    @Test func misbehavesOnDemand() throws {
        let cut = try synthetic(try options { $0.closeAfterFrames = 7 })
        for _ in 0..<2 {
            let client = try TestClient(port: cut.port)
            _ = try client.upgrade("/ws/btcusdt@trade")
            for _ in 0..<7 { #expect(try client.next().opcode == 1) }
            #expect(client.isEnded())
        }
        let injecting = try synthetic(
            try options(.rate(1)) {
                $0.injected = [
                    InjectedFrame(line: [123], bytes: [123]), InjectedFrame(line: [], bytes: [0, 255]),
                ]
                $0.serverShutdownAfter = 0
            })
        let client = try TestClient(port: injecting.port)
        _ = try client.upgrade("/stream?streams=btcusdt@trade")
        #expect(try client.next().payload == [123])
        #expect(try client.next().payload == [0, 255])
        var frame = try client.next()
        while frame.text.hasPrefix(#"{"stream":"btcusdt@trade""#) { frame = try client.next() }
        #expect(frame.text.hasPrefix(#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1"#))
    }

    /// A client that does not read holds the feed; nothing is lost for it.
    @Test func waitsForASlowClient() throws {
        let server = try synthetic(
            try options {
                $0.startAfterStreams = 2
                $0.messages = 60_000
                $0.exitWhenDone = true
            })
        let client = try TestClient(port: server.port)
        _ = try client.upgrade("/ws/btcusdt@trade")
        let other = try TestClient(port: server.port)
        _ = try other.upgrade("/ws/btcusdt@kline_1m")
        usleep(300_000)
        var ids: [Int64] = []
        while true {
            let frame = try client.next()
            guard frame.opcode == 1 else { break }
            let text = frame.text
            let start = try #require(text.firstRange(of: "\"t\":")?.upperBound)
            ids.append(try #require(Int64(text[start...].prefix { $0.isNumber })))
            if ids.count % 1000 == 0 { usleep(1000) }
        }
        #expect(ids.count > 30_000)
        #expect(zip(ids, ids.dropFirst()).allSatisfy { $0 + 1 == $1 })
    }

    @Test func makesCertificatesOnce() throws {
        let directory = try TemporaryDirectory()
        let files = try Certificates.prepare(directory: directory.path)
        var before = stat()
        try #require(stat(files.key, &before) == 0)
        #expect(before.st_mode & 0o777 == 0o600)
        #expect(try Certificates.prepare(directory: directory.path) == files)
        var after = stat()
        try #require(stat(files.key, &after) == 0)
        #expect(before.st_ino == after.st_ino)
        let passing = try Certificates.prepare(directory: nil)
        #expect(access(passing.key, F_OK) == 0)
        Certificates.remove(passing)
        #expect(access(passing.temporaryDirectory ?? "/", F_OK) != 0)
        Certificates.remove(files)
        #expect(access(files.key, F_OK) == 0)
        #expect(throws: ReplayerError.self) {
            try Certificates.write(directory: "/proc/nowhere", names: ["a"], isExpired: false)
        }
    }

    @Test func saysWhatKeepsItFromServing() throws {
        let server = try synthetic(try options())
        func message(_ change: (inout ServerOptions) -> Void) throws -> String {
            do {
                _ = try synthetic(try options(.max, change))
                return "no error"
            } catch {
                return "\(error)"
            }
        }
        let taken = try message { $0.listen = [ListenAddress("127.0.0.1:\(server.port)") ?? $0.listen[0]] }
        #expect(taken.contains("another replayer"), "\(taken)")
        let missing = try message {
            $0.certificate = CertificateFiles(certificate: "/no/a.pem", key: "/no/b.pem")
        }
        #expect(missing.contains("certificate /no/a.pem could not be read"), "\(missing)")
        let truth = try message { $0.groundTruth = "/no/truth" }
        #expect(truth.contains("ground truth /no/truth cannot be written"), "\(truth)")
    }
}
