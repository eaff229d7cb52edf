import Foundation
import Glibc
import Testing

@testable import feed_replayer

/// Each fault as a client meets it.
@Suite struct FaultTests {
    private let trades = "/stream?streams=btcusdt@trade/ethusdt@trade/bnbusdt@trade"

    @Test func cutsAndResets() throws {
        let exchange = try Exchange()
        let first = try exchange.client(trades)
        let second = try exchange.client(trades)
        _ = try (first.next(), second.next())
        #expect(exchange.control.send("cut 1").hasPrefix(#"{"ok":true,"time":1"#))
        #expect(first.untilEnd() == .fin)
        #expect(exchange.control.send("reset connection 2").hasSuffix(#""connections":[2]}"#))
        #expect(second.untilEnd() == .reset)
        #expect(
            try exchange.told().filter { !$0.contains("open") && !$0.contains("gone") } == [
                "1 cut 1", "2 reset connection 2",
            ])
    }

    @Test func stallsWhilePingsAndAnswersGoOn() throws {
        let exchange = try Exchange { $0.pingInterval = 100_000_000 }
        let client = try exchange.client(trades)
        _ = try client.next()
        exchange.control.send("stall all")
        let ping = try client.nextControl()
        #expect(ping.opcode == 9)
        try client.send(text: #"{"method":"LIST_SUBSCRIPTIONS","id":3}"#)
        var frame = try client.next()
        while frame.opcode == 9 { frame = try client.next() }
        #expect(frame.text == #"{"result":["btcusdt@trade","ethusdt@trade","bnbusdt@trade"],"id":3}"#)
        exchange.control.send("resume all")
        while frame.opcode == 9 || frame.text.contains("result") { frame = try client.next() }
        #expect(try tradeID(frame).id > 0)
    }

    @Test func freezesWithoutAWord() throws {
        let exchange = try Exchange { $0.pingInterval = 50_000_000 }
        let client = try exchange.client(trades)
        _ = try client.next()
        exchange.control.send("freeze newest")
        while !client.isQuiet(milliseconds: 200) {
            while !client.isQuiet(milliseconds: 0) { _ = try client.next() }
        }
        try client.send(bytes: clientFrame(9, [7]))
        #expect(client.isQuiet(milliseconds: 100))
        exchange.control.send("resume newest")
        var frame = try client.next()
        while frame.opcode != 10 { frame = try client.next() }
        #expect(frame.payload == [7])
    }

    @Test func silencesSingleStreams() throws {
        let exchange = try Exchange()
        let client = try exchange.client(trades)
        _ = try client.next()
        exchange.control.send("silent btcusdt@trade all until resubscribed")
        exchange.control.send("silent eth* all for 400ms")
        var seen: [String] = []
        for _ in 0..<60 { seen.append(try tradeID(client.next()).stream) }
        #expect(Set(seen.suffix(20)).count == 1, "\(seen)")
        try client.send(text: #"{"method":"UNSUBSCRIBE","params":["btcusdt@trade"],"id":1}"#)
        try client.send(text: #"{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":2}"#)
        for answer in 1...2 { #expect(try client.nextControl().text == #"{"result":null,"id":\#(answer)}"#) }
        usleep(500_000)
        seen = []
        for _ in 0..<1_000 { seen.append(try tradeID(client.next()).stream) }
        #expect(Set(seen.suffix(50)).count == 3)
    }

    @Test func skipsAndRepeatsIds() throws {
        let exchange = try Exchange()
        let clients = [try exchange.client(trades), try exchange.client(trades, listener: 1)]
        // Each stream has been heard of before one is interrupted.
        for client in clients { for _ in 0..<50 { _ = try client.next() } }
        exchange.control.send("skip 3 btcusdt@trade 1")
        exchange.control.send("repeat 2 listener \(exchange.server.ports[1])")
        var last: [[String: Int]] = [[:], [:]]
        var steps: [[Int]] = [[], []]
        for (index, client) in clients.enumerated() {
            for _ in 0..<200 {
                let (stream, id) = try tradeID(client.next())
                if let before = last[index][stream] { steps[index].append(id - before) }
                last[index][stream] = id
            }
        }
        #expect(steps[0].filter { $0 != 1 } == [4])
        #expect(steps[1].filter { $0 != 1 } == [0, 0])
        let told = try exchange.told()
        #expect(told.count { $0.hasPrefix("1 skipped {") } == 3)
        #expect(told.count { $0.hasPrefix("2 repeated {") } == 2)
    }

    @Test func announcesAShutdownAndClosesAfterTheLead() throws {
        let exchange = try Exchange()
        let client = try exchange.client(trades)
        exchange.control.send("shutdown 1 lead 300ms")
        #expect(
            try client.nextControl().text.hasPrefix(
                #"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1"#))
        let sent = try client.next()
        #expect(sent.opcode == 1)
        #expect(try client.nextControl().code == 1001)
    }

    @Test func endsALifeOfAFewMilliseconds() throws {
        let exchange = try Exchange { $0.lifetime = 100_000_000...200_000_000 }
        let close = try exchange.client(trades).nextControl()
        #expect(close.opcode == 8 && close.code == 1005)
        exchange.control.send("lifetime none")
        let client = try exchange.client(trades)
        for _ in 0..<400 { #expect(try client.next().opcode == 1) }
    }

    @Test func refusesForAWhile() throws {
        let exchange = try Exchange()
        exchange.control.send("refuse 429 retry-after 2 listener \(exchange.server.ports[1]) for 300ms")
        let refused = try exchange.client(trades, listener: 1)
        let header = String(decoding: refused.header, as: UTF8.self)
        #expect(header.hasPrefix("HTTP/1.1 429 Too Many Requests\r\n"))
        #expect(header.contains("\r\nRetry-After: 2\r\n\r\n"))
        #expect(try exchange.client(trades).next().opcode == 1)
        usleep(400_000)
        #expect(try exchange.client(trades, listener: 1).next().opcode == 1)
        exchange.control.send("refuse 418")
        #expect(try exchange.client("/ws").header.starts(with: Array("HTTP/1.1 418 ".utf8)))
        exchange.control.send("welcome")
        #expect(try exchange.client(trades).next().opcode == 1)
    }

    /// The date is as far ahead as asked, or up to a second more: it knows whole seconds.
    @Test func refusesUntilADate() throws {
        let exchange = try Exchange()
        exchange.control.send("refuse 503 retry-after-date 90s")
        let before = time(nil)
        let header = String(decoding: try exchange.client(trades).header, as: UTF8.self)
        let after = time(nil)
        #expect(header.hasPrefix("HTTP/1.1 503 "))
        let line = header.split(separator: "\r\n").first { $0.hasPrefix("Retry-After: ") } ?? ""
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(identifier: "GMT")
        format.dateFormat = "'Retry-After: 'EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        let date = Int(try #require(format.date(from: String(line)), "\(header)").timeIntervalSince1970)
        #expect((before + 90...after + 91).contains(date))
    }

    @Test func floodsWith1008() throws {
        let exchange = try Exchange()
        exchange.control.send("flood for 5s")
        for _ in 0..<3 {
            let close = try exchange.client(trades).next()
            #expect(close.opcode == 8 && close.code == 1008 && close.reason == "Too many requests")
        }
        exchange.control.send("welcome")
        #expect(try exchange.client(trades).next().opcode == 1)
    }

    @Test func followsAScript() throws {
        let exchange = try Exchange(
            script: """
                # first
                at 200ms cut connection 1

                on open 2 silent btc* # quiet
                every 150ms..250ms close 4000 newest reason so it goes
                """)
        let first = try exchange.client(trades)
        #expect(first.untilEnd() != nil)
        let second = try exchange.client(trades)
        var frame = try second.next()
        while frame.opcode == 1 {
            #expect(!frame.text.contains("btcusdt"))
            frame = try second.next()
        }
        #expect(frame.code == 4000 && frame.reason == "so it goes")
    }
}
