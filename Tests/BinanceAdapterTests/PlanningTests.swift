import BinanceAdapter
import ExchangeAdapter
import MarketData
import ReferenceJSON
import Testing
import Wire

struct PlanningTests {
    private func adapter() throws -> BinanceAdapter { try #require(BinanceAdapter(market: "spot")) }

    private func names(_ subscriptions: [Subscription]) throws -> [String] {
        var warnings: [String] = []
        let names = try adapter().streams(for: subscriptions, warnings: &warnings).map(\.name)
        #expect(warnings == [])
        return names
    }

    @Test func markets() throws {
        #expect(BinanceAdapter.markets == ["spot"])
        #expect(BinanceAdapter(market: "usdm") == nil)
        #expect(BinanceAdapter(market: "Spot") == nil)
        #expect(try adapter().exchange == "binance")
        #expect(try adapter().defaultEndpoint.description == "wss://stream.binance.com:9443")
    }

    @Test func streamNames() throws {
        let one = Subscription.Symbols.some(["BTCUSDT"])
        #expect(
            try names([
                Subscription(kind: .trade, symbols: one), Subscription(kind: .aggTrade, symbols: one),
                Subscription(kind: .kline, symbols: one, interval: .minute1),
                Subscription(kind: .kline, symbols: one, interval: .month1),
                Subscription(kind: .ticker, symbols: one),
                Subscription(kind: .ticker, symbols: one, window: .hours4),
                Subscription(kind: .miniTicker, symbols: one), Subscription(kind: .bookTicker, symbols: one),
                Subscription(kind: .averagePrice, symbols: one),
                Subscription(kind: .miniTicker, symbols: .all),
                Subscription(kind: .ticker, symbols: .all, window: .hour1),
            ]) == [
                "btcusdt@trade", "btcusdt@aggTrade", "btcusdt@kline_1m", "btcusdt@kline_1M", "btcusdt@ticker",
                "btcusdt@ticker_4h", "btcusdt@miniTicker", "btcusdt@bookTicker", "btcusdt@avgPrice",
                "!miniTicker@arr", "!ticker_1h@arr",
            ])
    }

    @Test func plansCarryKindVariantAndSymbol() throws {
        var warnings: [String] = []
        let plans = try adapter().streams(
            for: [
                Subscription(kind: .kline, symbols: .some(["btcUsdt", "币安人生USDT"]), interval: .hour12),
                Subscription(kind: .ticker, symbols: .all, window: .day1),
            ], warnings: &warnings)
        #expect(
            plans == [
                StreamPlan(
                    name: "btcusdt@kline_12h", kind: .kline, variant: Interval.hour12.rawValue,
                    symbol: "BTCUSDT"),
                StreamPlan(
                    name: "币安人生usdt@kline_12h", kind: .kline, variant: Interval.hour12.rawValue,
                    symbol: "币安人生USDT"),
                StreamPlan(
                    name: "!ticker_1d@arr", kind: .ticker, variant: TickerWindow.day1.rawValue, symbol: nil),
            ])
    }

    @Test func onlyASCIILettersChangeCase() throws {
        #expect(
            try names([Subscription(kind: .trade, symbols: .some(["ÉİSSΣUSDT"]))]) == [
                "Éİssusdt@trade".replacing(
                    "ssusdt", with: "ssΣusdt")
            ])
    }

    @Test func repeatsAreDropped() throws {
        #expect(
            try names([
                Subscription(kind: .trade, symbols: .some(["A", "B", "a"])),
                Subscription(kind: .trade, symbols: .some(["B", "C"])),
                Subscription(kind: .miniTicker, symbols: .all),
                Subscription(kind: .miniTicker, symbols: .all),
            ]) == ["a@trade", "b@trade", "c@trade", "!miniTicker@arr"])
    }

    @Test func retiredStreamIsTakenWithAWarning() throws {
        var warnings: [String] = []
        let plans = try adapter().streams(
            for: [Subscription(kind: .ticker, symbols: .all)], warnings: &warnings)
        #expect(plans.map(\.name) == ["!ticker@arr"])
        #expect(warnings.count == 1)
        #expect(warnings.first?.contains("2026-03-26") == true)
        #expect(warnings.first?.contains("miniTicker") == true)
    }

    @Test(arguments: [
        (Subscription(kind: .trade, symbols: .all), "list the symbols"),
        (Subscription(kind: .bookTicker, symbols: .all), "list the symbols"),
        (Subscription(kind: .averagePrice, symbols: .all), "list the symbols"),
        (Subscription(kind: .kline, symbols: .all, interval: .minute1), "list the symbols"),
        (Subscription(kind: .kline, symbols: .some(["A"])), "1s, 1m, 3m"),
        (Subscription(kind: .trade, symbols: .some(["A"]), interval: .minute1), "takes no interval"),
        (Subscription(kind: .miniTicker, symbols: .all, window: .hour1), "takes no window"),
        (Subscription(kind: .markPrice, symbols: .some(["A"])), "remove the subscription"),
        (Subscription(kind: .depth, symbols: .some(["A"])), "remove the subscription"),
        (Subscription(kind: .gap, symbols: .some(["A"])), "remove the subscription"),
        (Subscription(kind: .deadLetter, symbols: .some(["A"])), "remove the subscription"),
        (Subscription(kind: .trade, symbols: .some([])), "symbols: [BTCUSDT]"),
        (Subscription(kind: .trade, symbols: .some([""])), "empty symbol"),
        (Subscription(kind: .trade, symbols: .some([String(repeating: "A", count: 61)])), "61 bytes"),
    ]) func refusals(subscription: Subscription, words: String) throws {
        var warnings: [String] = []
        let adapter = try adapter()
        #expect {
            try adapter.streams(for: [subscription], warnings: &warnings)
        } throws: { error in
            "\(error)".contains(words) && "\(error)".contains(subscription.kind.name)
        }
    }

    @Test(arguments: [
        "BTC/USDT", "BTC USDT", "BTC\"USDT", "BTC\\USDT", "BTC@USDT", "BTC,USDT", "BTC\nUSDT", "BTC\u{0}USDT",
        "BTC\u{7F}USDT", "BTC\u{A0}USDT", "BTC\u{2028}USDT", "\tBTCUSDT",
    ]) func charactersThatNoSymbolHas(symbol: String) throws {
        var warnings: [String] = []
        let adapter = try adapter()
        #expect {
            try adapter.streams(
                for: [Subscription(kind: .trade, symbols: .some([symbol]))], warnings: &warnings)
        } throws: { error in
            // What is shown of it must not spoil the line.
            "\(error)".contains("U+") && !"\(error)".contains("\n") && !"\(error)".contains("\u{0}")
        }
    }

    // MARK: - Connections

    private func connections(_ count: Int, symbolLength: Int = 10) throws -> [ConnectionPlan] {
        let streams = (0..<count).map { index in
            let number = "\(index)"
            let symbol = String(repeating: "a", count: max(0, symbolLength - number.count)) + number
            return StreamPlan(name: "\(symbol)@trade", kind: .trade, symbol: symbol)
        }
        let adapter = try adapter()
        return adapter.connections(
            for: streams, endpoint: adapter.defaultEndpoint, market: 3, tls: 2, firstSlot: 5)
    }

    /// The names that a request asks for, by the reference reader.
    private func names(in frame: ControlFrame) throws -> [String] {
        #expect(frame.payload.count <= 4_000)
        let json = try ReferenceJSON.read(frame.payload)
        #expect(json["method"] == .string(JSONText("SUBSCRIBE")))
        #expect(json["id"] == .number("\(frame.id)"))
        guard case .array(let elements) = json["params"] else {
            Issue.record("no params")
            return []
        }
        #expect(elements.count <= 200)
        return elements.compactMap { element in
            guard case .string(let text) = element else { return nil }
            return text.text.map { String(decoding: $0, as: UTF8.self) }
        }
    }

    @Test(arguments: [0, 1, 199, 200, 201, 999, 1_000, 1_001, 2_000, 2_001, 5_432]) func limits(count: Int)
        throws
    {
        for length in [3, 10, 59] {
            let plans = try connections(count, symbolLength: length)
            #expect(plans.count == (count + 999) / 1_000)
            var all: Set<String> = []
            for (index, plan) in plans.enumerated() {
                #expect(plan.slot == 5 + index)
                #expect(plan.market == 3)
                #expect(plan.tls == 2)
                #expect(plan.target == "/stream")
                #expect(plan.endpoint.host == "stream.binance.com")
                #expect(plan.controlFrames.map(\.id) == (1...plan.controlFrames.count).map(Int64.init))
                let names = try plan.controlFrames.flatMap(names(in:))
                #expect(names.count == plan.streamCount)
                #expect(names.count <= 1_000)
                #expect(names.count >= count / plans.count)
                all.formUnion(names)
            }
            #expect(all.count == count)
        }
    }

    @Test func firstRequest() throws {
        #expect(
            try connections(2, symbolLength: 2).first?.controlFrames == [
                ControlFrame(
                    id: 1,
                    payload: Array(#"{"method":"SUBSCRIBE","params":["a0@trade","a1@trade"],"id":1}"#.utf8))
            ])
    }

    @Test func namesAreEscaped() throws {
        let name = "quote\"backslash\\bell\u{7}币@trade"
        let adapter = try adapter()
        let plans = adapter.connections(
            for: [StreamPlan(name: name, kind: .trade, symbol: "X")], endpoint: adapter.defaultEndpoint,
            market: 0,
            tls: 0, firstSlot: 0)
        let frame = try #require(plans.first?.controlFrames.first)
        #expect(try names(in: frame) == [name])
    }

    @Test func microsecondsAreAskedFor() throws {
        var adapter = try adapter()
        adapter.timeUnit = .microseconds
        let plans = adapter.connections(
            for: [StreamPlan(name: "a@trade", kind: .trade, symbol: "A")], endpoint: adapter.defaultEndpoint,
            market: 0, tls: 0, firstSlot: 0)
        #expect(plans.first?.target == "/stream?timeUnit=MICROSECOND")
    }
}
