import ExchangeAdapter
import MarketData
import Testing

@testable import BinanceAdapter

struct FuturesPlanningTests {
    private func plans(
        _ market: String, _ subscriptions: [Subscription]
    ) throws -> (plans: [StreamPlan], warnings: [String]) {
        var warnings: [String] = []
        let plans = try #require(BinanceAdapter(market: market))
            .streams(for: subscriptions, warnings: &warnings)
        return (plans, warnings)
    }

    @Test func marketsOfTheirOwn() throws {
        let usdm = try #require(BinanceAdapter(market: "usdm"))
        let coinm = try #require(BinanceAdapter(market: "coinm"))
        #expect(usdm.exchange == "binance-usdm")
        #expect(coinm.exchange == "binance-coinm")
        #expect(usdm.endpoints.map(\.description) == ["wss://fstream.binance.com:443"])
        #expect(coinm.endpoints.map(\.description) == ["wss://dstream.binance.com:443"])
        for adapter in [usdm, coinm] {
            #expect(adapter.endpoints.first == adapter.defaultEndpoint)
            #expect(adapter.limits.frameSpacingNanos == 125_000_000)
            #expect(adapter.limits.silenceNanos == 420_000_000_000)
            #expect(adapter.limits.streamsPerConnection == 1_000)
        }
    }

    /// Name, target on USD-M, period there and on COIN-M in ms.
    static let streams: [(Subscription, String, String, Int64?, Int64?)] = {
        let one = Subscription.Symbols.some(["BTCUSD_261225"])
        func of(_ kind: EventKind, _ symbols: Subscription.Symbols = one) -> Subscription {
            Subscription(kind: kind, symbols: symbols)
        }
        let slow: Int64 = 3_000_000_000
        return [
            (of(.trade), "btcusd_261225@trade", "/public/stream", nil, nil),
            (of(.bookTicker), "btcusd_261225@bookTicker", "/public/stream", nil, nil),
            (of(.bookTicker, .all), "!bookTicker", "/public/stream", 5_000, nil),
            (of(.aggTrade), "btcusd_261225@aggTrade", "/market/stream", nil, nil),
            (
                Subscription(kind: .kline, symbols: one, interval: .month1), "btcusd_261225@kline_1M",
                "/market/stream", nil, nil
            ),
            (of(.markPrice), "btcusd_261225@markPrice@1s", "/market/stream", 1_000, 1_000),
            (of(.markPrice, .all), "!markPrice@arr@1s", "/market/stream", 1_000, 1_000),
            (
                Subscription(kind: .markPrice, symbols: one, updateSpeed: slow), "btcusd_261225@markPrice",
                "/market/stream", 3_000, 3_000
            ),
            (
                Subscription(kind: .markPrice, symbols: .all, updateSpeed: slow), "!markPrice@arr",
                "/market/stream", 3_000, 3_000
            ),
            (of(.ticker), "btcusd_261225@ticker", "/market/stream", 2_000, 500),
            (of(.ticker, .all), "!ticker@arr", "/market/stream", 1_000, 1_000),
            (of(.miniTicker), "btcusd_261225@miniTicker", "/market/stream", 2_000, 500),
            (of(.miniTicker, .all), "!miniTicker@arr", "/market/stream", 1_000, 1_000),
        ]
    }()

    @Test func namesRoutesAndPeriods() throws {
        for (subscription, name, target, usdmPeriod, coinmPeriod) in FuturesPlanningTests.streams {
            for (market, target, period) in [
                ("usdm", target, usdmPeriod), ("coinm", "/stream", coinmPeriod),
            ] {
                let adapter = try #require(BinanceAdapter(market: market))
                let plan = try #require(try plans(market, [subscription]).plans.first)
                #expect(plan.name == name)
                #expect(adapter.target(of: plan) == target, "\(market) \(name)")
                #expect(plan.period == period.map { $0 * 1_000_000 }, "\(market) \(name)")
                #expect((plan.symbol == nil) == (subscription.symbols == .all))
            }
        }
    }

    @Test func microsecondsAreOfSpotOnly() throws {
        var adapter = try #require(BinanceAdapter(market: "usdm"))
        adapter.timeUnit = .microseconds
        #expect(
            adapter.target(of: StreamPlan(name: "a@trade", kind: .trade, symbol: "A")) == "/public/stream")
    }

    /// Names that the exchange would acknowledge and never serve.
    @Test(arguments: [
        "btcusdt@depth@250ms", "btcusdt@kline_1s", "btcusdt@kline_2m", "btcusdt@ticker_1h",
        "btcusdt@avgPrice",
        "btcusdt@", "btcusdt", "", "!trade", "!kline_1m@arr", "btcusdt@markPrice@3s", "btcusdt@Trade",
    ]) func whatIsNotInTheCatalogue(name: String) {
        #expect(StreamCatalog.of(.usdm).find(name) == nil)
        #expect(StreamCatalog.of(.coinm).find(name) == nil)
    }

    @Test(arguments: [
        (
            Subscription(kind: .kline, symbols: .some(["A"]), interval: .second1),
            "no kline of 1s: write one of 1m"
        ),
        (Subscription(kind: .kline, symbols: .some(["A"])), "one of 1m, 3m"),
        (Subscription(kind: .ticker, symbols: .some(["A"]), window: .hour1), "only the ticker of 24 hours"),
        (Subscription(kind: .averagePrice, symbols: .some(["A"])), "spot only"),
        (Subscription(kind: .depth, symbols: .some(["A"])), "remove the subscription"),
        (Subscription(kind: .trade, symbols: .all), "bookTicker and markPrice"),
        (Subscription(kind: .aggTrade, symbols: .all), "list the symbols"),
        (Subscription(kind: .kline, symbols: .all, interval: .minute1), "list the symbols"),
        (
            Subscription(kind: .markPrice, symbols: .some(["A"]), updateSpeed: 2_000_000_000),
            "updateSpeed: 1s or 3s"
        ),
        (
            Subscription(kind: .trade, symbols: .some(["A"]), updateSpeed: 1_000_000_000),
            "takes no updateSpeed"
        ),
        (Subscription(kind: .trade, symbols: .some(["!A"])), "has no stream"),
    ]) func refusals(subscription: Subscription, words: String) throws {
        for market in ["usdm", "coinm"] {
            #expect {
                try plans(market, [subscription])
            } throws: { error in
                "\(error)".contains(words)
            }
        }
    }

    @Test func whatIsUndocumentedIsTakenWithAWarning() throws {
        let trade = Subscription(kind: .trade, symbols: .some(["BTCUSDT", "ETHUSDT"]))
        let (plans, warnings) = try plans("usdm", [trade])
        #expect(plans.map(\.name) == ["btcusdt@trade", "ethusdt@trade"])
        #expect(warnings.count == 1)
        #expect(warnings.first?.contains("aggTrade") == true)
    }

    @Test func symbolsOfTheOtherMarketAreTakenWithAWarning() throws {
        let perpetual = Subscription(kind: .aggTrade, symbols: .some(["BTCUSD_PERP"]))
        let stable = Subscription(kind: .aggTrade, symbols: .some(["BTCUSDT"]))
        #expect(try plans("usdm", [stable]).warnings == [])
        #expect(try plans("coinm", [perpetual]).warnings == [])
        #expect(try plans("usdm", [perpetual]).warnings.first?.contains("coinm") == true)
        #expect(try plans("coinm", [stable]).warnings.first?.contains("BTCUSD_PERP") == true)
    }
}
