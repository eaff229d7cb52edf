import BinanceAdapter
import ExchangeAdapter
import MarketData
import Testing

struct DecoderTests {
    static let trade = [Subscription(kind: .trade, symbols: .some(["BTCUSDT"]))]

    static func frame(_ id: Int, symbol: String = "BTCUSDT") -> [UInt8] {
        Array(
            GoldenTests.wrapped(
                "btcusdt@trade",
                #"{"e":"trade","E":1,"s":"\#(symbol)","t":\#(id),"p":"1","q":"1","T":1,"m":false,"M":true}"#
            ).utf8)
    }

    @Test func manyFramesInARun() throws {
        let harness = try DecoderHarness(DecoderTests.trade)
        let readings = harness.decode((1...500).map { DecoderTests.frame($0) })
        #expect(readings.map { $0.fields["tradeId"] } == (1...500).map { "\($0)" })
    }

    @Test func fullRingStopsAndGoesOn() throws {
        let harness = try DecoderHarness(DecoderTests.trade, ringBytes: 8_192)
        let frames = (1...200).map { DecoderTests.frame($0) }
        var readings: [Reading] = []
        var done = 0
        var calls = 0
        while done < frames.count, calls < 1_000 {
            let step = harness.decodeOnce(frames, from: done)
            #expect(step > 0)
            done += step
            calls += 1
            if calls == 1 { #expect(harness.decodeOnce(frames, from: done) == 0) }
            harness.drain(&readings)
        }
        #expect(calls > 2)
        #expect(readings.map { $0.fields["tradeId"] } == (1...200).map { "\($0)" })
    }

    @Test func binaryFrame() throws {
        let harness = try DecoderHarness(DecoderTests.trade)
        let readings = harness.decode([DecoderTests.frame(1)], isBinary: true)
        #expect(readings.map { $0.fields["reason"] } == ["unknownShape"])
        #expect(readings.first?.bytes == DecoderTests.frame(1))
    }

    @Test func emptyFrame() throws {
        let harness = try DecoderHarness(DecoderTests.trade)
        #expect(harness.decode([[]], padding: 0x7B).map { $0.fields["reason"] } == ["malformed"])
    }

    @Test func anotherSymbolThanTheStreams() throws {
        let harness = try DecoderHarness(DecoderTests.trade)
        let readings = harness.decode([
            DecoderTests.frame(1, symbol: "ETHUSDT"), DecoderTests.frame(2),
            DecoderTests.frame(3, symbol: "ETHUSDT"),
        ])
        #expect(readings.map(\.symbol) == ["ETHUSDT", "BTCUSDT", "ETHUSDT"])
        #expect(harness.instruments.count == 2)
    }

    @Test func fullInstrumentTable() throws {
        let plans = [StreamPlan(name: "btcusdt@trade", kind: .trade, symbol: "BTCUSDT")]
        let harness = try DecoderHarness(plans, instrumentCapacity: 1)
        let readings = harness.decode([DecoderTests.frame(1, symbol: "ETHUSDT"), DecoderTests.frame(2)])
        #expect(readings.map { $0.fields["reason"] } == ["tooManyInstruments", nil])
        #expect(readings.last?.symbol == "BTCUSDT")
    }

    @Test(arguments: [
        (#"{"e":"trade","E":1,"s":"BTCUSDT","p":"1","q":"1","T":1,"m":false}"#, DeadLetterReason.missingKey),
        (#"{"e":"trade","s":"BTCUSDT","t":1,"p":null,"q":"1","m":false}"#, .missingKey),
        (#"{"s":"BTCUSDT","t":1,"p":"1","q":"1"}"#, .missingKey),
        (#"{"s":"BTCUSDT","t":"1","p":"1","q":"1","m":true}"#, .wrongType),
        (#"{"s":"BTCUSDT","t":1,"p":"1","q":"1","m":1}"#, .wrongType),
        (#"{"e":"aggTrade","s":"BTCUSDT","t":1,"p":"1","q":"1","m":true}"#, .wrongType),
        (#"{"s":"BTCUSDT","t":9223372036854775808,"p":"1","q":"1","m":true}"#, .integer),
        (#"{"s":"BTCUSDT","t":1,"T":9223372036855,"p":"1","q":"1","m":true}"#, .integer),
        (#"{"s":"BTCUSDT","t":1,"p":"1e5","q":"1","m":true}"#, .decimal),
        (#"{"s":"BTCUSDT","t":1,"p":"01","q":"1","m":true}"#, .decimal),
        (#"{"s":"","t":1,"p":"1","q":"1","m":true}"#, .name),
        (#"{"s":"A B","t":1,"p":"1","q":"1","m":true}"#, .name),
        (#"{"s":"BTCUSDT","t":1,"t":2,"p":"1","q":"1","m":true}"#, .malformed),
        (#"[]"#, .wrongType), (#"1"#, .wrongType), (#"null"#, .wrongType),
    ]) func reasons(payload: String, reason: DeadLetterReason) throws {
        let harness = try DecoderHarness(DecoderTests.trade)
        let frame = GoldenTests.wrapped("btcusdt@trade", payload)
        let readings = harness.decode(frame)
        #expect(readings.map { $0.fields["reason"] } == ["\(reason)"])
        #expect(readings.first?.bytes == Array(frame.utf8))
        #expect(harness.counters.counts(.trade, market: 0).deadLettered == 1)
        let offset = Int(readings.first?.fields["offset"] ?? "") ?? -1
        #expect((0...frame.utf8.count).contains(offset))
    }

    @Test func whatIsAbsentStaysAbsent() throws {
        let harness = try DecoderHarness(DecoderTests.trade)
        let readings = harness.decode(
            GoldenTests.wrapped("btcusdt@trade", #"{"E":null,"s":"BTCUSDT","t":0,"p":"1","q":"1","m":true}"#))
        #expect(
            readings.first?.fields == ["tradeId": "0", "price": "1", "quantity": "1", "aggressor": "sell"])
    }

    @Test func badElementOfAnArray() throws {
        let harness = try DecoderHarness([Subscription(kind: .miniTicker, symbols: .all)])
        let good = GoldenTests.miniTicker("BNBBTC")
        let bad = good.replacing("0.0025", with: "0.00.25")
        let readings = harness.decode(
            GoldenTests.wrapped("!miniTicker@arr", "[\(good), \(bad) ,\(GoldenTests.miniTicker("ETHBTC"))]"))
        #expect(readings.map(\.kind) == [.miniTicker, .deadLetter, .miniTicker])
        #expect(readings.map(\.symbol) == ["BNBBTC", "", "ETHBTC"])
        #expect(readings[1].bytes == Array(bad.utf8))
        #expect(readings[1].fields["reason"] == "decimal")
        #expect(harness.counters.counts(.miniTicker, market: 0).received == 3)
        #expect(harness.counters.counts(.miniTicker, market: 0).deadLettered == 1)
    }

    @Test func arrayOfCrumbsIsOneDeadLetter() throws {
        let harness = try DecoderHarness([Subscription(kind: .miniTicker, symbols: .all)])
        let crumbs = "[" + Array(repeating: "1", count: 2_000).joined(separator: ",") + "]"
        let readings = harness.decode(GoldenTests.wrapped("!miniTicker@arr", crumbs))
        #expect(readings.map { $0.fields["reason"] } == ["unknownShape"])
    }

    @Test func arrayThatEndsTooSoonDeliversNothing() throws {
        let harness = try DecoderHarness([Subscription(kind: .miniTicker, symbols: .all)])
        let frame = GoldenTests.wrapped("!miniTicker@arr", "[\(GoldenTests.miniTicker("A"))")
        #expect(harness.decode(frame).map { $0.fields["reason"] } == ["malformed"])
    }

    @Test func aWholeMarketInOneFrame() throws {
        let harness = try DecoderHarness([Subscription(kind: .ticker, symbols: .all)], ringBytes: 1 << 23)
        let tickers = (0..<1_400).map { index in
            GoldenTests.ticker24.replacing("BNBBTC", with: "SYMBOL\(index)")
        }
        let readings = harness.decode(
            GoldenTests.wrapped("!ticker@arr", "[\(tickers.joined(separator: ","))]"))
        #expect(readings.map(\.symbol) == (0..<1_400).map { "SYMBOL\($0)" })
    }

    @Test func streamsThatNobodyAskedFor() throws {
        let harness = try DecoderHarness(DecoderTests.trade)
        for name in [
            "btcusdt@depth@100ms", "ethusdt@trade", "btcusdt@trad", "btcusdt@trade ", "", "BTCUSDT@trade",
        ] {
            #expect(harness.decode(GoldenTests.wrapped(name, #"{"e":"x","y":[1,{"z":null}]}"#)).isEmpty)
        }
        #expect(harness.counters.counts(nil, market: 0).ignored == 6)
        #expect(harness.counters.counts(nil, market: 0).received == 0)
    }

    @Test func tenThousandStreams() throws {
        let symbols = (0..<10_000).map { "SYM\($0)USDT" }
        var warnings: [String] = []
        let plans = try #require(BinanceAdapter(market: "spot")).streams(
            for: [Subscription(kind: .trade, symbols: .some(symbols))], warnings: &warnings)
        let harness = try DecoderHarness(plans, instrumentCapacity: 20_000)
        let frames = symbols.map { symbol in
            Array(
                GoldenTests.wrapped(
                    "\(symbol.lowercased())@trade", #"{"s":"\#(symbol)","t":1,"p":"1","q":"1","m":false}"#
                ).utf8)
        }
        #expect(harness.decode(frames).map(\.symbol) == symbols)
    }

    // MARK: - Answers

    private func signals(_ frame: String) throws -> [ControlSignal] {
        let harness = try DecoderHarness(DecoderTests.trade)
        #expect(harness.decode(frame).isEmpty)
        return harness.takeSignals()
    }

    @Test func acknowledgements() throws {
        #expect(try signals(#"{"result":null,"id":1}"#) == [.acknowledged(id: 1)])
        #expect(try signals(#"{"id":312,"result":null}"#) == [.acknowledged(id: 312)])
        #expect(
            try signals(#"{"result":["btcusdt@aggTrade"],"id":3}"#) == [
                .listed(id: 3, names: ["btcusdt@aggTrade"])
            ])
        #expect(try signals(#"{"result":true,"id":2}"#) == [.acknowledged(id: 2)])
    }

    @Test func refusals() throws {
        let flat = #"{"code":0,"msg":"Unknown property","id":1}"#
        #expect(try signals(flat) == [.refused(id: 1, code: 0, text: flat)])
        let nested =
            #"{"error":{"code":2,"msg":"Invalid request: request ID must be an unsigned integer"},"id":4}"#
        #expect(try signals(nested) == [.refused(id: 4, code: 2, text: nested)])
        let withNull = #"{"error":{"msg":"x","code":3},"id":null}"#
        #expect(try signals(withNull) == [.refused(id: nil, code: 3, text: withNull)])
        let without = #"{"error":"blahblah"}"#
        #expect(try signals(without) == [.refused(id: nil, code: nil, text: without)])
        let flatWithout = #"{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}"#
        #expect(try signals(flatWithout) == [.refused(id: nil, code: 3, text: flatWithout)])
    }

    @Test func longRefusalIsCutBetweenCharacters() throws {
        let long = "{\"error\":{\"code\":2,\"msg\":\"\(String(repeating: "币", count: 200))\"},\"id\":4}"
        guard case .refused(let id, let code, let text) = try signals(long).first else {
            Issue.record("not refused")
            return
        }
        #expect(id == 4)
        #expect(code == 2)
        #expect(text.utf8.count <= 256)
        #expect(text.utf8.count > 250)
        #expect(long.hasPrefix(text))
    }

    @Test func shutdown() throws {
        #expect(try signals(#"{"e":"serverShutdown","E":1770123456789}"#) == [.serverShutdown])
        #expect(
            try signals(#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}"#)
                == [.serverShutdown])
    }

    @Test(arguments: [
        "{}", "[]", "1", "\"text\"", "not JSON", #"{"result":null}"#, #"{"result":null,"id":"a"}"#,
        #"{"id":1}"#,
        #"{"code":1,"id":1}"#, #"{"stream":"btcusdt@trade"}"#, #"{"data":{}}"#,
        #"{"e":"trade","s":"BTCUSDT"}"#,
    ]) func otherShapes(frame: String) throws {
        let harness = try DecoderHarness(DecoderTests.trade)
        let readings = harness.decode(frame)
        #expect(readings.map(\.kind) == [.deadLetter])
        #expect(readings.first?.bytes == Array(frame.utf8))
        #expect(harness.takeSignals() == [])
    }
}
