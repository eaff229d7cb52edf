import CKernel
import Glibc
import Testing

@testable import feed_replayer

/// Faults of TLS, of the handshakes, of requests, and of what comes by chance.
@Suite struct HandshakeFaultTests {
    private let trades = "/stream?streams=btcusdt@trade/ethusdt@trade/bnbusdt@trade"
    private let list = #"{"method":"LIST_SUBSCRIPTIONS","id":3}"#

    @Test func sendsAlerts() throws {
        let exchange = try Exchange(tls: true)
        let client = try exchange.client(trades)
        _ = try client.next()
        exchange.control.send("alert all")
        guard case .failed(let text)? = client.untilEnd() else {
            Issue.record("ended as \(String(describing: client.end))")
            return
        }
        #expect(text.contains("bad record mac"), "\(text)")
        exchange.control.send("alert handshake for 10s")
        let refused = try TestClient(port: exchange.server.port, authority: exchange.authority)
        #expect(throws: TestClient.Ended.self) { try refused.upgrade(trades) }
        guard case .failed(let text)? = refused.end else {
            Issue.record("ended as \(String(describing: refused.end))")
            return
        }
        #expect(text.contains("handshake failure"), "\(text)")
        exchange.control.send("welcome")
        #expect(try exchange.client(trades).next().opcode == 1)
        let plain = try Exchange()
        _ = try plain.client(trades)
        #expect(plain.control.send("alert all") == #"{"ok":false,"error":"alert needs TLS"}"#)
    }

    @Test(arguments: ["accept", "tls", "upgrade"])
    func leavesClientsWaiting(_ stage: String) throws {
        let exchange = try Exchange(tls: true)
        exchange.control.send("hang \(stage) for 300ms")
        let client = try TestClient(port: exchange.server.port, authority: exchange.authority)
        try client.request(trades)
        #expect(client.isQuiet(milliseconds: 200))
        if stage == "accept" {
            // It is accepted late, and then as any other.
            #expect(try client.readHeader() == "HTTP/1.1 101 Switching Protocols")
        } else {
            usleep(200_000)
            #expect(client.isQuiet(milliseconds: 100))
        }
        exchange.control.send("welcome")
        #expect(try exchange.client(trades).next().opcode == 1)
    }

    @Test func swallowsRequestsAndAnswers() throws {
        let exchange = try Exchange { $0.startAfterStreams = 10 }
        let client = try exchange.client("/stream")
        exchange.control.send("deaf 1")
        try client.send(text: #"{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}"#)
        #expect(client.isQuiet(milliseconds: 150))
        exchange.control.send("resume 1")
        exchange.control.send("unanswered 1 for 100ms")
        try client.send(text: #"{"method":"SUBSCRIBE","params":["ethusdt@trade"],"id":2}"#)
        #expect(client.isQuiet(milliseconds: 200))
        try client.send(text: list)
        #expect(try client.next().text == #"{"result":["ethusdt@trade"],"id":3}"#)
        // As the exchange: too long a request is swallowed.
        let many = (0..<300).map { "\"symbol\($0)usdt@trade\"" }.joined(separator: ",")
        try client.send(text: #"{"method":"SUBSCRIBE","params":[\#(many)],"id":4}"#)
        try client.send(text: list)
        #expect(try client.next().text == #"{"result":["ethusdt@trade"],"id":3}"#)
    }

    @Test func takesRulesAtAnyTime() throws {
        let exchange = try Exchange()
        #expect(exchange.control.send("on open each deaf").hasPrefix(#"{"ok":true"#))
        #expect(exchange.control.send("at 200ms cut newest").hasPrefix(#"{"ok":true"#))
        #expect(exchange.control.send("at 200ms cut").hasPrefix(#"{"ok":false"#))
        let client = try exchange.client("/stream")
        try client.send(text: list)
        #expect(client.isQuiet(milliseconds: 50))
        #expect(client.untilEnd() == .fin)
        exchange.control.send("forget")
        let next = try exchange.client("/stream")
        try next.send(text: list)
        #expect(try next.next().text == #"{"result":[],"id":3}"#)
    }

    @Test func tricklesBytes() throws {
        let exchange = try Exchange()
        let client = try exchange.client(trades)
        _ = try client.next()
        exchange.control.send("slow 2000 all")
        // What was sent before comes at once; then about twelve frames a second.
        var wait: Int64 = 0
        while wait < 30_000_000 {
            let before = ck_monotonic_nanos()
            _ = try client.next()
            wait = ck_monotonic_nanos() - before
        }
        let before = ck_monotonic_nanos()
        for _ in 0..<12 { _ = try client.next() }
        #expect(ck_monotonic_nanos() - before > 400_000_000)
        exchange.control.send("resume all")
        for _ in 0..<500 { _ = try client.next() }
    }

    @Test func sendsGarbage() throws {
        let exchange = try Exchange()
        let client = try exchange.client(trades)
        exchange.control.send("garbage all")
        #expect(try client.nextControl().text == "\u{1}{\"stream\":garbage]")
        exchange.control.send("garbage utf8 all")
        #expect(try client.nextControl().payload == [0x7B, 0xFF, 0xFE, 0xC0])
        exchange.control.send("garbage opcode all")
        #expect(try client.nextControl().opcode == 3)
        exchange.control.send("close none all")
        #expect(try client.nextControl().code == 1005)
    }

    @Test func twoListenersServeTheSameTrades() throws {
        let exchange = try Exchange { $0.lags = [0, 60_000_000] }
        let clients = [try exchange.client(trades), try exchange.client(trades, listener: 1)]
        var frames: [[TestClient.Frame]] = [[], []]
        for (index, client) in clients.enumerated() {
            for _ in 0..<300 { frames[index].append(try client.next()) }
        }
        let start = try #require(frames[0].firstIndex(of: frames[1][0]))
        #expect(frames[0][start...].elementsEqual(frames[1].prefix(300 - start)))
        // The first pause of the one that lags ends the lag's time after the other has the frame.
        let id = try tradeID(clients[0].next()).id
        #expect(try tradeID(clients[1].next()).id != id)
    }

    @Test func cutsClientsThatDoNotReadWhereAsked() throws {
        let exchange = try Exchange {
            $0.pacing = .rate(50_000)
            $0.backlogCut = 200_000
        }
        let idle = try exchange.client(trades)
        let client = try exchange.client(trades)
        for _ in 0..<60_000 { _ = try client.next() }
        #expect(idle.untilEnd() != nil)
        #expect(try exchange.told().contains("1 cut, too slow"))
    }

    /// The same seed strikes in the same way.
    @Test func strikesByChance() throws {
        let exchange = try Exchange {
            $0.chances = try FaultChances(reading: "skip=0.05,repeat=0.05")
        }
        let client = try exchange.client(trades)
        var last: [String: Int] = [:]
        var steps: [Int: Int] = [:]
        for _ in 0..<2_000 {
            let (stream, id) = try tradeID(client.next())
            if let before = last[stream] { steps[id - before, default: 0] += 1 }
            last[stream] = id
        }
        #expect((50..<200).contains(steps[0] ?? 0) && (50..<200).contains(steps[2] ?? 0), "\(steps)")
        let hasty = try Exchange { $0.chances = try FaultChances(reading: "cut=20/s,refuse=0.5") }
        var refused = 0
        for _ in 0..<10 {
            let client = try hasty.client(trades)
            if client.header.starts(with: Array("HTTP/1.1 429".utf8)) {
                refused += 1
            } else {
                #expect(client.untilEnd() == .fin)
            }
        }
        #expect((1...9).contains(refused))
    }

    @Test func refusesAndClosesByChanceInSeveralWays() throws {
        let exchange = try Exchange {
            $0.chances = try FaultChances(reading: "refuse-503=0.3,refuse-418-3=0.3,close-1008=20/s")
        }
        var statuses: [String: Int] = [:]
        for _ in 0..<40 {
            let client = try exchange.client(trades)
            let header = String(decoding: client.header, as: UTF8.self)
            statuses[String(header.prefix(12).suffix(3)), default: 0] += 1
            #expect(header.contains("418") == header.contains("\r\nRetry-After: 3\r\n"))
            if header.hasPrefix("HTTP/1.1 101") { #expect(try client.nextControl().code == 1008) }
        }
        #expect(Set(statuses.keys) == ["101", "418", "503"], "\(statuses)")
    }

    @Test func refusesTLSByChance() throws {
        let exchange = try Exchange(tls: true) {
            $0.chances = try FaultChances(reading: "alert-handshake=0.5")
        }
        var refused = 0
        for _ in 0..<16 {
            let client = try TestClient(port: exchange.server.port, authority: exchange.authority)
            do { _ = try client.upgrade(trades) } catch is TestClient.Ended {
                guard case .failed(let text)? = client.end, text.contains("handshake failure") else {
                    Issue.record("ended as \(String(describing: client.end))")
                    return
                }
                refused += 1
            }
        }
        #expect((1...15).contains(refused))
        let told = try exchange.told()
        #expect(told.count { $0.hasSuffix("alert handshake") } == refused, "\(told)")
    }

    @Test func leavesClientsWaitingByChance() throws {
        let exchange = try Exchange { $0.chances = try FaultChances(reading: "hang-accept=0.5") }
        var clients: [TestClient] = []
        for _ in 0..<16 {
            clients.append(try TestClient(port: exchange.server.port))
            try clients.last?.request(trades)
        }
        let quiet = clients.filter { $0.isQuiet(milliseconds: 100) }.count
        let told = try exchange.told()
        let struck = told.count { $0.hasSuffix(" hang accept") }
        #expect((1...15).contains(struck) && quiet >= struck, "\(told)")
        #expect(told.count { $0.contains(" open ") } == 16 - struck)
        let secure = try Exchange(tls: true) { $0.chances = try FaultChances(reading: "hang-tls=0.5") }
        let greetings = try (0..<16).map { _ in
            try TestClient(port: secure.server.port, authority: secure.authority)
        }
        for client in greetings { try client.request(trades) }
        // Whatever came before has been seen to when this is answered.
        secure.control.send("connections")
        let hanging = try secure.told().count { $0.hasSuffix(" hang tls") }
        #expect((1...15).contains(hanging))
    }
}
