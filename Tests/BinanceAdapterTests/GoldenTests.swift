import BinanceAdapter
import ExchangeAdapter
import MarketData
import Testing

/// Every message of the exchange's documentation, and what must come of it.
struct GoldenTests {
    static func wrapped(_ stream: String, _ payload: String) -> String {
        "{\"stream\":\"\(stream)\",\"data\":\(payload)}"
    }

    private func event(
        _ kind: EventKind, _ symbol: String, _ stream: String, _ payload: String, interval: Interval? = nil,
        window: TickerWindow = .hours24
    ) throws -> Reading {
        let harness = try DecoderHarness([
            Subscription(kind: kind, symbols: .some([symbol]), interval: interval, window: window)
        ])
        let readings = harness.decode(GoldenTests.wrapped(stream, payload), padding: 0x39)
        let reading = try #require(readings.first)
        #expect(readings.count == 1)
        #expect(reading.kind == kind)
        #expect(reading.symbol == symbol)
        #expect(harness.counters.counts(kind, market: 0).received == 1)
        return reading
    }

    @Test func trade() throws {
        let reading = try event(
            .trade, "BTCUSDT", "btcusdt@trade",
            #"{"e":"trade","E":1790960630914,"s":"BTCUSDT","t":6732650448,"p":"84922.04000000","q":"0.00023000","T":1790960630913,"m":true,"M":true}"#
        )
        #expect(
            reading.fields == [
                "eventTime": "1790960630914000000", "tradeId": "6732650448", "price": "84922.04000000",
                "quantity": "0.00023000", "tradeTime": "1790960630913000000", "aggressor": "sell",
            ])
    }

    @Test func tradeOfBefore2024() throws {
        let reading = try event(
            .trade, "BTCUSDT", "btcusdt@trade",
            #"{"e":"trade","E":1592591955766,"s":"BTCUSDT","t":343719861,"p":"9302.00000000","q":"0.00101900","b":2517144287,"a":2517144235,"T":1592591955765,"m":false,"M":true}"#
        )
        #expect(
            reading.fields == [
                "eventTime": "1592591955766000000", "tradeId": "343719861", "price": "9302.00000000",
                "quantity": "0.00101900", "tradeTime": "1592591955765000000", "aggressor": "buy",
            ])
    }

    @Test func aggTrade() throws {
        let reading = try event(
            .aggTrade, "BNBBTC", "bnbbtc@aggTrade",
            #"{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":100,"l":105,"T":1672515782136,"m":true,"M":true}"#
        )
        #expect(
            reading.fields == [
                "eventTime": "1672515782136000000", "aggregateId": "12345", "price": "0.001",
                "quantity": "100",
                "firstTradeId": "100", "lastTradeId": "105", "tradeTime": "1672515782136000000",
                "aggressor": "sell",
            ])
    }

    @Test func kline() throws {
        let reading = try event(
            .kline, "BNBBTC", "bnbbtc@kline_1m",
            #"{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,"T":1672515839999,"s":"BNBBTC","i":"1m","f":100,"L":200,"o":"0.0010","c":"0.0020","h":"0.0025","l":"0.0015","v":"1000","n":100,"x":false,"q":"1.0000","V":"500","Q":"0.500","B":"123456"}}"#,
            interval: .minute1)
        #expect(
            reading.fields == [
                "eventTime": "1672515782136000000", "interval": "1m", "openTime": "1672515780000000000",
                "closeTime": "1672515839999000000", "open": "0.0010", "high": "0.0025", "low": "0.0015",
                "close": "0.0020", "volume": "1000", "quoteVolume": "1.0000", "takerBuyVolume": "500",
                "takerBuyQuoteVolume": "0.500", "tradeCount": "100", "firstTradeId": "100",
                "lastTradeId": "200", "closed": "false",
            ])
    }

    @Test func emptyKline() throws {
        let reading = try event(
            .kline, "BNBBTC", "bnbbtc@kline_1s",
            #"{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,"T":1672515780999,"s":"BNBBTC","i":"1s","f":-1,"L":-1,"o":"0.0010","c":"0.0010","h":"0.0010","l":"0.0010","v":"0.00000000","n":0,"x":true,"q":"0.00000000","V":"0.00000000","Q":"0.00000000","B":"0"}}"#,
            interval: .second1)
        #expect(reading.fields["firstTradeId"] == "-1")
        #expect(reading.fields["lastTradeId"] == "-1")
        #expect(reading.fields["tradeCount"] == "0")
        #expect(reading.fields["volume"] == "0.00000000")
        #expect(reading.fields["closed"] == "true")
    }

    @Test(arguments: Interval.allCases) func klineOfEachInterval(interval: Interval) throws {
        let reading = try event(
            .kline, "BNBBTC", "bnbbtc@kline_\(interval.name)",
            #"{"e":"kline","E":1,"s":"BNBBTC","k":{"t":0,"T":1,"s":"BNBBTC","i":"\#(interval.name)","f":1,"L":2,"o":"1","c":"2","h":"3","l":"0","v":"1","n":1,"x":false,"q":"1","V":"5","Q":"0.5","B":"0"}}"#,
            interval: interval)
        #expect(reading.fields["interval"] == interval.name)
    }

    static let ticker24 =
        #"{"e":"24hrTicker","E":1672515782136,"s":"BNBBTC","p":"0.0015","P":"250.00","w":"0.0018","x":"0.0009","c":"0.0025","Q":"10","b":"0.0024","B":"10","a":"0.0026","A":"100","o":"0.0010","h":"0.0025","l":"0.0010","v":"1234567890123456.12345678","q":"18","O":0,"C":86400000,"F":0,"L":18150,"n":18151}"#

    @Test func ticker() throws {
        let reading = try event(.ticker, "BNBBTC", "bnbbtc@ticker", GoldenTests.ticker24)
        #expect(
            reading.fields == [
                "eventTime": "1672515782136000000", "window": "24h", "openTime": "0",
                "closeTime": "86400000000000", "open": "0.0010", "high": "0.0025", "low": "0.0010",
                "last": "0.0025", "lastQuantity": "10", "previousClose": "0.0009", "change": "0.0015",
                "changePercent": "250.00", "weightedAverage": "0.0018", "bid": "0.0024", "bidQuantity": "10",
                "ask": "0.0026", "askQuantity": "100", "volume": "1234567890123456.12345678",
                "quoteVolume": "18", "tradeCount": "18151", "firstTradeId": "0", "lastTradeId": "18150",
            ])
    }

    @Test(arguments: [TickerWindow.hour1, .hours4, .day1]) func rollingTicker(window: TickerWindow) throws {
        let reading = try event(
            .ticker, "BNBBTC", "bnbbtc@ticker_\(window.name)",
            #"{"e":"\#(window.name)Ticker","E":1672515782136,"s":"BNBBTC","p":"-0.0015","P":"-250.00","o":"0.0010","h":"0.0025","l":"0.0010","c":"0.0025","w":"0.0018","v":"10000","q":"18","O":0,"C":1675216573749,"F":0,"L":18150,"n":18151}"#,
            window: window)
        #expect(
            reading.fields == [
                "eventTime": "1672515782136000000", "window": window.name, "openTime": "0",
                "closeTime": "1675216573749000000", "open": "0.0010", "high": "0.0025", "low": "0.0010",
                "last": "0.0025", "change": "-0.0015", "changePercent": "-250.00",
                "weightedAverage": "0.0018", "volume": "10000", "quoteVolume": "18", "tradeCount": "18151",
                "firstTradeId": "0", "lastTradeId": "18150",
            ])
    }

    static func miniTicker(_ symbol: String) -> String {
        #"{"e":"24hrMiniTicker","E":1672515782136,"s":"\#(symbol)","c":"0.0025","o":"0.0010","h":"0.0026","l":"0.0009","v":"10000","q":"18"}"#
    }

    static let miniTickerFields = [
        "eventTime": "1672515782136000000", "open": "0.0010", "high": "0.0026", "low": "0.0009",
        "last": "0.0025", "volume": "10000", "quoteVolume": "18",
    ]

    @Test func miniTicker() throws {
        let reading = try event(
            .miniTicker, "BNBBTC", "bnbbtc@miniTicker", GoldenTests.miniTicker("BNBBTC"))
        #expect(reading.fields == GoldenTests.miniTickerFields)
    }

    @Test func miniTickerArray() throws {
        let harness = try DecoderHarness([Subscription(kind: .miniTicker, symbols: .all)])
        let symbols = ["BNBBTC", "ETHBTC", "币安人生USDT", "LTCBTC"]
        let payload = "[\(symbols.map(GoldenTests.miniTicker).joined(separator: ","))]"
        let readings = harness.decode(GoldenTests.wrapped("!miniTicker@arr", payload))
        #expect(readings.map(\.symbol) == symbols)
        #expect(readings.allSatisfy { $0.fields == GoldenTests.miniTickerFields })
        #expect(harness.decode(GoldenTests.wrapped("!miniTicker@arr", "[]")).isEmpty)
    }

    @Test func tickerArrays() throws {
        let harness = try DecoderHarness([
            Subscription(kind: .ticker, symbols: .all),
            Subscription(kind: .ticker, symbols: .all, window: .hours4),
        ])
        let day = harness.decode(GoldenTests.wrapped("!ticker@arr", "[\(GoldenTests.ticker24)]"))
        #expect(day.map { $0.fields["window"] } == ["24h"])
        let rolling =
            #"{"e":"4hTicker","E":1,"s":"A","o":"1","h":"2","l":"0","c":"2","O":0,"C":1,"F":0,"L":1,"n":2}"#
        let four = harness.decode(
            GoldenTests.wrapped("!ticker_4h@arr", "[\(rolling),\(rolling.replacing("\"A\"", with: "\"B\""))]")
        )
        #expect(four.map { $0.fields["window"] } == ["4h", "4h"])
        #expect(four.map(\.symbol) == ["A", "B"])
    }

    @Test func bookTicker() throws {
        let reading = try event(
            .bookTicker, "BNBUSDT", "bnbusdt@bookTicker",
            #"{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}"#
        )
        #expect(
            reading.fields == [
                "updateId": "400900217", "bid": "25.35190000", "bidQuantity": "31.21000000",
                "ask": "25.36520000", "askQuantity": "40.66000000",
            ])
    }

    @Test func averagePrice() throws {
        let reading = try event(
            .averagePrice, "BTCUSDT", "btcusdt@avgPrice",
            #"{"e":"avgPrice","E":1693907033000,"s":"BTCUSDT","i":"5m","w":"25776.86000000","T":1693907032213}"#
        )
        #expect(
            reading.fields == [
                "eventTime": "1693907033000000000", "interval": "5m", "price": "25776.86000000",
                "tradeTime": "1693907032213000000",
            ])
    }

    @Test func symbolBeyondASCII() throws {
        let reading = try event(
            .trade, "币安人生USDT", "币安人生usdt@trade",
            #"{"e":"trade","E":1,"s":"币安人生USDT","t":1,"p":"1","q":"1","T":1,"m":false,"M":true}"#)
        #expect(reading.symbol == "币安人生USDT")
    }

    @Test func microseconds() throws {
        let harness = try DecoderHarness(
            [Subscription(kind: .trade, symbols: .some(["A"]))], timeUnit: .microseconds)
        let readings = harness.decode(
            GoldenTests.wrapped(
                "a@trade",
                #"{"e":"trade","E":1790960630914123,"s":"A","t":1,"p":"1","q":"1","T":1790960630913987,"m":true}"#
            ))
        #expect(readings.first?.fields["eventTime"] == "1790960630914123000")
        #expect(readings.first?.fields["tradeTime"] == "1790960630913987000")
    }
}
