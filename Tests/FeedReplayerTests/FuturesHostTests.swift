import Testing

@testable import feed_replayer

/// The futures hosts: their routes, and their payloads in the wire's key order.
@Suite struct FuturesHostTests {
    private func keys(_ payload: String) throws -> [String] {
        guard case .object(let members) = try JSONReader.read(Array(payload.utf8)) else { return [] }
        return members.map(\.name)
    }

    private func market(_ market: Market, _ mix: String) throws -> SyntheticMarket {
        SyntheticMarket(
            symbols: market.symbols(count: 2, nonASCII: false), mix: try #require(MarketMix(argument: mix)),
            seed: 1,
            clock: .virtual(epoch: 1_790_000_000_000, step: 1e6), market: market)
    }

    private let mix = "trade=40,aggTrade=10,kline=10,ticker=10,miniTicker=10,bookTicker=10,markPrice=10"

    @Test func payloadsHaveTheWiresKeys() throws {
        var source = try market(.usdm, mix)
        var seen: [String: [String]] = [:]
        for frame in frames(&source, limit: 3_000) {
            seen[String(frame.stream.split(separator: "@", maxSplits: 1)[1])] = try keys(frame.payload)
        }
        func list(_ text: String) -> [String] { text.split(separator: ",").map(String.init) }
        #expect(seen["trade"] == list("e,E,T,s,t,p,q,X,m,st"))
        #expect(seen["aggTrade"] == list("e,E,a,s,p,q,nq,f,l,T,m,st"))
        #expect(seen["bookTicker"] == list("e,u,s,ps,b,B,a,A,T,E,st"))
        #expect(seen["ticker"] == list("e,E,s,ps,p,P,w,c,Q,o,h,l,v,q,O,C,F,L,n,st"))
        #expect(seen["miniTicker"] == list("e,E,s,c,o,h,l,v,q,ps,st"))
        #expect(seen["markPrice"] == list("e,E,s,p,ap,P,i,r,T,st"))
        #expect(seen["markPrice@1s"] == seen["markPrice"])
        #expect(seen["kline_1m"] == list("e,E,s,k"))
        #expect(seen["avgPrice"] == nil && seen["kline_1s"] == nil)
    }

    /// Rows that are no print use up an id, and only that.
    @Test func tradeIdsHaveNoHolesAndAggregatesSkipWhatIsNoPrint() throws {
        var source = try market(.usdm, "trade=50,aggTrade=50")
        var last: [String: Int64] = [:]
        var lastAggregate: [String: Int64] = [:]
        var executions: [String: Int] = [:]
        var skipped = 0
        for frame in frames(&source, limit: 4_000) {
            let event = try Event(frame.payload)
            let symbol = try event.text("s")
            if try event.text("e") == "trade" {
                let id = try event.integer("t")
                if let before = last[symbol] { #expect(id == before + 1) }
                last[symbol] = id
                let execution = try event.text("X")
                executions[execution, default: 0] += 1
                if execution == "NA" { #expect(frame.payload.contains(#""p":"0","q":"0","X":"NA""#)) }
            } else {
                if let before = lastAggregate[symbol], try event.integer("f") > before + 1 { skipped += 1 }
                lastAggregate[symbol] = try event.integer("l")
            }
        }
        #expect(executions.keys.sorted() == ["INSURANCE_FUND", "MARKET", "NA", "RPI"])
        #expect(skipped > 10)
    }

    @Test func coinMarginedHasItsOwnNames() throws {
        var source = try market(.coinm, mix)
        let all = frames(&source, limit: 500)
        #expect(Set(all.map { $0.stream.prefix { $0 != "@" } }) == ["btcusd_perp", "ethusd_perp"])
        let ticker = try #require(all.first { $0.stream == "btcusd_perp@ticker" })
        #expect(
            ticker.payload.contains(#""s":"BTCUSD_PERP","ps":"BTCUSD","#)
                && ticker.payload.hasSuffix(#""st":2}"#))
    }

    @Test(arguments: [
        ("/public/stream", true, false), ("/market/stream", false, true), ("/stream", true, false),
        ("/private/stream", false, false),
    ])
    func routesDeliverTheirStreams(_ path: String, _ trades: Bool, _ aggregates: Bool) throws {
        let exchange = try Exchange {
            $0.market = .usdm
            $0.startAfterStreams = 0
        }
        let client = try exchange.client("\(path)?streams=btcusdt@trade")
        try client.send(text: #"{"method":"SUBSCRIBE","params":["btcusdt@kline_1m"],"id":1}"#)
        var seen: Set<String> = []
        var isAcknowledged = false
        // What is on the wrong route is acknowledged all the same.
        while !isAcknowledged || (trades || aggregates) && seen.isEmpty {
            let text = try client.next().text
            if text == #"{"result":null,"id":1}"# { isAcknowledged = true } else { seen.insert(text) }
        }
        for _ in 0..<100 where trades || aggregates { seen.insert(try client.next().text) }
        #expect(seen.contains { $0.contains("@trade") } == trades)
        #expect(seen.contains { $0.contains("@kline") } == aggregates)
        if !trades, !aggregates { #expect(client.isQuiet(milliseconds: 100)) }
    }

    @Test func pathsBelongToTheirHosts() throws {
        func status(_ path: String, _ market: Market) -> Int? {
            let request =
                "GET \(path) HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            if case .refused(let status, _) = HTTPUpgrade.read(Array(request.utf8), market: market) {
                return status
            }
            return nil
        }
        #expect(status("/public/stream", .usdm) == nil && status("/market/ws/btcusdt@aggTrade", .usdm) == nil)
        #expect(status("/market/btcusdt@aggTrade", .usdm) == 404 && status("/other/ws", .usdm) == 404)
        #expect(status("/public/stream", .spot) == 404 && status("/market/ws", .coinm) == 404)
        #expect(status("/ws", .coinm) == nil)
    }

    @Test func futuresTakeTenMessagesASecond() throws {
        let exchange = try Exchange { $0.market = .coinm }
        let client = try exchange.client("/ws")
        for _ in 0..<11 { try client.send(bytes: clientFrame(9, [])) }
        for _ in 0..<10 { #expect(try client.next().opcode == 10) }
        #expect(try client.next().code == 1008)
    }
}
