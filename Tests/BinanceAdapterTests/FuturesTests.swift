import BinanceAdapter
import ExchangeAdapter
import MarketData
import Testing

/// What futures send, to the letter.
struct FuturesTests {
    private func event(
        _ market: String, _ subscription: Subscription, _ stream: String, _ payload: String
    ) throws -> Reading {
        let harness = try DecoderHarness([subscription], market: market)
        let frame = GoldenTests.wrapped(stream, payload)
        let readings = harness.decode(frame)
        // By keys, it reads the same.
        #expect(harness.decode(" " + frame) == readings)
        #expect(readings.count == 1)
        return try #require(readings.first)
    }

    private func some(_ kind: EventKind, _ symbol: String) -> Subscription {
        Subscription(kind: kind, symbols: .some([symbol]))
    }

    @Test func trade() throws {
        let reading = try event(
            "usdm", some(.trade, "BTCUSDT"), "btcusdt@trade",
            #"{"e":"trade","E":1790370834849,"T":1790370834848,"s":"BTCUSDT","t":8121136411,"p":"83680.00","q":"0.001","X":"MARKET","m":true,"st":1}"#
        )
        #expect(
            reading.fields == [
                "eventTime": "1790370834849000000", "tradeId": "8121136411", "price": "83680.00",
                "quantity": "0.001", "tradeTime": "1790370834848000000", "aggressor": "sell",
            ])
    }

    @Test(arguments: ["NA", "RPI", "INSURANCE_FUND", "ADL", "SOMETHING_NEW_9"])
    func tradeThatWasNoOrdinaryOne(word: String) throws {
        let reading = try event(
            "usdm", some(.trade, "DOGEUSDT"), "dogeusdt@trade",
            #"{"e":"trade","E":1790371725749,"T":1790371725748,"s":"DOGEUSDT","t":3488255295,"p":"0","q":"0","X":"\#(word)","m":true,"st":1}"#
        )
        #expect(
            reading.fields == [
                "eventTime": "1790371725749000000", "tradeId": "3488255295", "price": "0", "quantity": "0",
                "tradeTime": "1790371725748000000", "aggressor": "sell", "execution": word,
            ])
    }

    /// Trades that are no ordinary ones consume ids all the same.
    @Test func executionsOfAllKindsAreFollowedById() throws {
        let harness = try DecoderHarness([some(.trade, "A")], market: "usdm")
        let words = ["MARKET", "NA", "ADL", "MARKET", "INSURANCE_FUND", "RPI", "MARKET"]
        let frames = words.enumerated().map { index, word in
            let id = index < 6 ? index : index + 1
            return Array(
                GoldenTests.wrapped(
                    "a@trade", #"{"s":"A","t":\#(id),"p":"0","q":"0","X":"\#(word)","m":true}"#
                ).utf8)
        }
        #expect(harness.decodeOnce(frames, from: 0) == 7)
        #expect(harness.counters.counts(.trade, market: 0).received == 7)
        #expect(harness.counters.counts(.trade, market: 0).gaps == 1)
    }

    @Test func spotSaysNothingOfExecutions() throws {
        let harness = try DecoderHarness([some(.trade, "A")])
        let payload = #"{"s":"A","t":1,"p":"1","q":"1","X":["?"],"m":true,"st":2}"#
        #expect(harness.decode(GoldenTests.wrapped("a@trade", payload)).map(\.kind) == [.trade])
    }

    @Test func aggTradeLeavesOutWhatIsWithoutRPI() throws {
        let reading = try event(
            "usdm", some(.aggTrade, "BTCUSDT"), "btcusdt@aggTrade",
            #"{"e":"aggTrade","E":1791382992488,"a":3477868433,"s":"BTCUSDT","p":"83091.70","q":"0.022","nq":"0.020","f":8153634393,"l":8153634394,"T":1791382992338,"m":false,"st":1}"#
        )
        #expect(
            reading.fields == [
                "eventTime": "1791382992488000000", "aggregateId": "3477868433", "price": "83091.70",
                "quantity": "0.022", "firstTradeId": "8153634393", "lastTradeId": "8153634394",
                "tradeTime": "1791382992338000000", "aggressor": "buy",
            ])
    }

    @Test func tickerHasNoBestPrices() throws {
        let reading = try event(
            "usdm", some(.ticker, "BTCUSDT"), "btcusdt@ticker",
            #"{"e":"24hrTicker","E":1791382993519,"s":"BTCUSDT","ps":"BTCUSDT","p":"-3058.40","P":"-3.550","w":"84385.14","c":"83091.60","Q":"0.002","o":"86150.00","h":"86664.90","l":"82706.20","v":"170340.583","q":"14374214019.71","O":1791296580000,"C":1791382993519,"F":8150083791,"L":8153634403,"n":3538937,"st":1}"#
        )
        #expect(
            reading.fields == [
                "eventTime": "1791382993519000000", "window": "24h", "openTime": "1791296580000000000",
                "closeTime": "1791382993519000000", "open": "86150.00", "high": "86664.90",
                "low": "82706.20", "last": "83091.60", "lastQuantity": "0.002", "change": "-3058.40",
                "changePercent": "-3.550", "weightedAverage": "84385.14", "volume": "170340.583",
                "quoteVolume": "14374214019.71", "tradeCount": "3538937", "firstTradeId": "8150083791",
                "lastTradeId": "8153634403",
            ])
    }

    @Test func bookTickerHasAnEventTime() throws {
        let reading = try event(
            "coinm", some(.bookTicker, "BTCUSD_PERP"), "btcusd_perp@bookTicker",
            #"{"e":"bookTicker","u":11660059839759,"s":"BTCUSD_PERP","ps":"BTCUSD","b":"83732.4","B":"680","a":"83732.5","A":"2458","T":1790373637546,"E":1790373637547,"st":2}"#
        )
        #expect(
            reading.fields == [
                "eventTime": "1790373637547000000", "updateId": "11660059839759", "bid": "83732.4",
                "bidQuantity": "680", "ask": "83732.5", "askQuantity": "2458",
            ])
    }

    @Test func markPrice() throws {
        let reading = try event(
            "usdm", some(.markPrice, "BTCUSDT"), "btcusdt@markPrice@1s",
            #"{"e":"markPriceUpdate","E":1791382993000,"s":"BTCUSDT","p":"83084.30000000","ap":"83084.40000000","P":"83195.15881449","i":"83123.65891304","r":"0.00000078","T":1791388800000,"st":1}"#
        )
        #expect(
            reading.fields == [
                "eventTime": "1791382993000000000", "markPrice": "83084.30000000",
                "indexPrice": "83123.65891304", "settlementPrice": "83195.15881449",
                "fundingRate": "0.00000078", "nextFundingTime": "1791388800000000000",
                "averageMarkPrice": "83084.40000000",
            ])
    }

    @Test func markPriceOfAContractThatExpires() throws {
        let reading = try event(
            "coinm",
            Subscription(
                kind: .markPrice, symbols: .some(["BTCUSD_220624"]), updateSpeed: 3_000_000_000),
            "btcusd_220624@markPrice",
            #"{"e":"markPriceUpdate","E":1654858230006,"s":"BTCUSD_220624","p":"29996.97713232","P":"29910.05037677","r":"","T":0}"#
        )
        #expect(
            reading.fields == [
                "eventTime": "1654858230006000000", "markPrice": "29996.97713232",
                "settlementPrice": "29910.05037677", "nextFundingTime": "0",
            ])
    }

    // MARK: - Rows of the other market

    private static func row(_ symbol: String, _ system: String) -> String {
        #"{"e":"markPriceUpdate","E":1,"s":"\#(symbol)","p":"1.5","T":0\#(system)}"#
    }

    @Test(arguments: [("usdm", ["A", "C"]), ("coinm", ["B", "C"])])
    func rowsOfTheOtherMarketAreIgnored(market: String, symbols: [String]) throws {
        let harness = try DecoderHarness([Subscription(kind: .markPrice, symbols: .all)], market: market)
        let rows = [
            FuturesTests.row("A", #","st":1"#), FuturesTests.row("B", #","st":2"#), FuturesTests.row("C", ""),
            FuturesTests.row("D", #","st":3"#),
        ]
        let frame = GoldenTests.wrapped("!markPrice@arr@1s", "[\(rows.joined(separator: ","))]")
        #expect(harness.decode(frame).map(\.symbol) == symbols)
        #expect(harness.counters.counts(nil, market: 0).ignored == 2)
        #expect(harness.counters.counts(.markPrice, market: 0).received == 2)
        #expect(harness.instruments.count == 2)
    }

    @Test func bestPricesOfAllSymbolsAreObjects() throws {
        let harness = try DecoderHarness([Subscription(kind: .bookTicker, symbols: .all)], market: "usdm")
        func frame(_ symbol: String, _ system: Int) -> String {
            GoldenTests.wrapped(
                "!bookTicker",
                #"{"e":"bookTicker","u":1,"s":"\#(symbol)","b":"1","B":"1","a":"2","A":"1","T":1,"E":1,"st":\#(system)}"#
            )
        }
        #expect(harness.decode(frame("A", 1)).map(\.symbol) == ["A"])
        #expect(harness.decode(frame("B", 2)).isEmpty)
        #expect(harness.counters.counts(nil, market: 0).ignored == 1)
    }

    @Test func tooManySubscriptions() throws {
        let harness = try DecoderHarness([some(.aggTrade, "A")], market: "usdm")
        let answer = #"{"error":{"code":4,"msg":"Too many subscriptions"},"id":7}"#
        #expect(harness.decode(answer).isEmpty)
        #expect(harness.takeSignals() == [.refused(id: 7, code: 4, text: answer)])
    }

    // MARK: - Lists

    @Test func listsAreBounded() throws {
        let harness = try DecoderHarness([some(.aggTrade, "A")], market: "usdm")
        let names = (0..<5_000).map { "s\($0)@aggTrade" }
        let list = names.map { "\"\($0)\"" }.joined(separator: ",")
        #expect(harness.decode("{\"result\":[\(list)],\"id\":9}").isEmpty)
        #expect(harness.takeSignals() == [.listed(id: 9, names: Array(names.prefix(4_096)))])
        let odd = #"{"id":3,"result":["a\u0040trade", "币usdt@trade"]}"#
        _ = harness.decode(odd)
        _ = harness.decode(#"{"result":[],"id":4}"#)
        _ = harness.decode(#"{"result":[1],"id":5}"#)
        _ = harness.decode("{\"result\":[\"\(String(repeating: "a", count: 257))\"],\"id\":6}")
        #expect(
            harness.takeSignals() == [
                .listed(id: 3, names: ["a@trade", "币usdt@trade"]), .listed(id: 4, names: []),
                .acknowledged(id: 5), .acknowledged(id: 6),
            ])
    }
}
