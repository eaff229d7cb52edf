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
        #expect(BinanceAdapter.markets == ["spot", "usdm", "coinm"])
        #expect(BinanceAdapter(market: "futures") == nil)
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
                    name: "!ticker_1d@arr", kind: .ticker, variant: TickerWindow.day1.rawValue, symbol: nil,
                    period: 1_000_000_000),
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

    // MARK: - Requests

    @Test func requestsNameTheStreams() throws {
        let language = try adapter().language
        #expect(
            String(decoding: language.subscribe(["a0@trade", "a1@trade"], id: 1), as: UTF8.self)
                == #"{"method":"SUBSCRIBE","params":["a0@trade","a1@trade"],"id":1}"#)
        #expect(
            String(decoding: language.unsubscribe(["a0@trade"], id: .max), as: UTF8.self)
                == #"{"method":"UNSUBSCRIBE","params":["a0@trade"],"id":9223372036854775807}"#)
        #expect(
            language.list(id: 3).map { String(decoding: $0, as: UTF8.self) }
                == #"{"method":"LIST_SUBSCRIPTIONS","id":3}"#)
    }

    @Test func namesAreEscaped() throws {
        let name = "quote\"backslash\\bell\u{7}币@trade"
        let json = try ReferenceJSON.read(try adapter().language.subscribe([name], id: 1))
        guard case .array(let elements) = json["params"], case .string(let text) = elements.first else {
            Issue.record("no params")
            return
        }
        #expect(text.text.map { String(decoding: $0, as: UTF8.self) } == name)
    }

    @Test func microsecondsAreAskedFor() throws {
        var adapter = try adapter()
        let stream = StreamPlan(name: "a@trade", kind: .trade, symbol: "A")
        #expect(adapter.target(of: stream) == "/stream")
        adapter.timeUnit = .microseconds
        #expect(adapter.target(of: stream) == "/stream?timeUnit=MICROSECOND")
    }
}
