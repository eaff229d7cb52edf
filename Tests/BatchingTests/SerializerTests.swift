import MarketData
import Testing

@testable import Batching

/// Every kind to the letter of the message contract: keys, their order, digits, absent fields.
@Suite struct SerializerTests {
    private func d(_ magnitude: UInt64) -> Decimal { Decimal(magnitude: magnitude, scale: 2) }

    private func json<Event: BitwiseCopyable>(_ event: Event) throws -> String {
        let bench = try BatchBench()
        _ = bench.instruments.intern("BTCUSDT", market: 0)
        try bench.put(event)
        bench.flush()
        let batches = try bench.take()
        return try #require(batches.first?.lines.first)
    }

    private func header(_ kind: EventKind, variant: UInt8 = 0, eventTime: Int64 = 5) -> EventHeader {
        EventHeader(kind: kind, variant: variant, instrument: 1, eventTime: eventTime, receivedTime: 6)
    }

    private func begin(_ type: String) -> String {
        #"{"type":"\#(type)","exchange":"binance","symbol":"BTCUSDT","sequence":1,"#
    }

    @Test func trade() throws {
        var event = Trade(header: header(.trade))
        event.tradeID = 12_345
        event.tradeTime = 1_672_515_782_136_000_000
        event.price = Decimal(magnitude: 100_000, scale: 8)
        event.quantity = Decimal(magnitude: 100, scale: 0)
        event.aggressor = .sell
        event.header.flags = 1
        #expect(
            try json(event) == begin("trade")
                + #""eventTime":5,"receivedTime":6,"tradeId":12345,"price":"0.00100000","quantity":"100","#
                + #""tradeTime":1672515782136000000,"aggressor":"sell","source":"rest"}"#)
    }

    @Test func aggTrade() throws {
        var event = AggTrade(header: header(.aggTrade))
        event.aggregateID = 1
        event.firstTradeID = -1
        event.lastTradeID = 3
        event.tradeTime = 4
        event.price = d(100)
        event.quantity = d(7)
        #expect(
            try json(event) == begin("aggTrade")
                + #""eventTime":5,"receivedTime":6,"aggregateId":1,"price":"1.00","quantity":"0.07","#
                + #""firstTradeId":-1,"lastTradeId":3,"tradeTime":4,"aggressor":"buy"}"#)
    }

    @Test func kline() throws {
        var event = Kline(header: header(.kline, variant: Interval.month1.rawValue))
        event.openTime = 0
        event.closeTime = 9
        (event.open, event.high, event.low, event.close) = (d(1), d(2), d(3), d(4))
        (event.volume, event.quoteVolume) = (d(5), d(6))
        (event.takerBuyVolume, event.takerBuyQuoteVolume) = (d(7), d(8))
        event.tradeCount = 0
        event.firstTradeID = -1
        event.lastTradeID = -1
        event.isClosed = true
        #expect(
            try json(event) == begin("kline")
                + #""eventTime":5,"receivedTime":6,"interval":"1M","openTime":0,"closeTime":9,"open":"0.01","#
                + #""high":"0.02","low":"0.03","close":"0.04","volume":"0.05","quoteVolume":"0.06","#
                + #""takerBuyVolume":"0.07","takerBuyQuoteVolume":"0.08","tradeCount":0,"firstTradeId":-1,"#
                + #""lastTradeId":-1,"closed":true}"#)
    }

    @Test(arguments: Interval.allCases) func everyInterval(interval: Interval) throws {
        let event = Kline(header: header(.kline, variant: interval.rawValue))
        #expect(
            try json(event) == begin("kline")
                + #""eventTime":5,"receivedTime":6,"interval":"\#(interval.name)","closed":false}"#)
    }

    @Test func ticker() throws {
        var event = Ticker(header: header(.ticker, variant: TickerWindow.hours24.rawValue))
        (event.openTime, event.closeTime) = (1, 2)
        (event.open, event.high, event.low, event.last) = (d(1), d(2), d(3), d(4))
        (event.lastQuantity, event.previousClose) = (d(5), d(6))
        event.change = Decimal(magnitude: 7, scale: 3, isNegative: true)
        (event.changePercent, event.weightedAverage) = (d(8), d(9))
        (event.bid, event.bidQuantity, event.ask, event.askQuantity) = (d(10), d(11), d(12), d(13))
        event.volume = try #require(Decimal(wideMagnitude: 123_456_789_012_345_678_901_234, scale: 8))
        event.quoteVolume = d(15)
        (event.tradeCount, event.firstTradeID, event.lastTradeID) = (16, 17, 18)
        #expect(
            try json(event) == begin("ticker")
                + #""eventTime":5,"receivedTime":6,"window":"24h","openTime":1,"closeTime":2,"open":"0.01","#
                + #""high":"0.02","low":"0.03","last":"0.04","lastQuantity":"0.05","previousClose":"0.06","#
                + #""change":"-0.007","changePercent":"0.08","weightedAverage":"0.09","bid":"0.10","#
                + #""bidQuantity":"0.11","ask":"0.12","askQuantity":"0.13","volume":"1234567890123456.78901234","#
                + #""quoteVolume":"0.15","tradeCount":16,"firstTradeId":17,"lastTradeId":18}"#)
    }

    @Test func rollingTickerLacksWhatIsNotSent() throws {
        var event = Ticker(header: header(.ticker, variant: TickerWindow.hour1.rawValue))
        event.last = d(1)
        #expect(
            try json(event) == begin("ticker")
                + #""eventTime":5,"receivedTime":6,"window":"1h","last":"0.01"}"#)
    }

    @Test func miniTicker() throws {
        var event = MiniTicker(header: header(.miniTicker))
        (event.open, event.high, event.low, event.last) = (d(1), d(2), d(3), d(4))
        (event.volume, event.quoteVolume) = (d(5), d(6))
        #expect(
            try json(event) == begin("miniTicker")
                + #""eventTime":5,"receivedTime":6,"open":"0.01","high":"0.02","low":"0.03","last":"0.04","#
                + #""volume":"0.05","quoteVolume":"0.06"}"#)
    }

    @Test func bookTickerHasNoEventTime() throws {
        var event = BookTicker(header: header(.bookTicker, eventTime: absentInteger))
        event.updateID = 9
        (event.bid, event.bidQuantity, event.ask, event.askQuantity) = (d(1), d(2), d(3), d(4))
        #expect(
            try json(event) == begin("bookTicker")
                + #""receivedTime":6,"updateId":9,"bid":"0.01","bidQuantity":"0.02","ask":"0.03","#
                + #""askQuantity":"0.04"}"#)
    }

    @Test func averagePrice() throws {
        var event = AveragePrice(header: header(.averagePrice))
        event.interval = UInt64(UInt8(ascii: "5")) | UInt64(UInt8(ascii: "m")) << 8
        event.price = d(1)
        event.tradeTime = 3
        #expect(
            try json(event) == begin("averagePrice")
                + #""eventTime":5,"receivedTime":6,"interval":"5m","price":"0.01","tradeTime":3}"#)
    }

    @Test func markPrice() throws {
        var event = MarkPrice(header: header(.markPrice))
        (event.markPrice, event.indexPrice, event.settlementPrice) = (d(1), d(2), d(3))
        event.fundingRate = Decimal(magnitude: 78, scale: 8, isNegative: true)
        event.nextFundingTime = 0
        event.averageMarkPrice = d(5)
        #expect(
            try json(event) == begin("markPrice")
                + #""eventTime":5,"receivedTime":6,"markPrice":"0.01","indexPrice":"0.02","#
                + #""settlementPrice":"0.03","fundingRate":"-0.00000078","nextFundingTime":0,"#
                + #""averageMarkPrice":"0.05"}"#)
        var bare = MarkPrice(header: header(.markPrice))
        bare.markPrice = d(1)
        #expect(try json(bare) == begin("markPrice") + #""eventTime":5,"receivedTime":6,"markPrice":"0.01"}"#)
    }

    @Test(arguments: ["NA", "ADL", "INSURANCE_FUND", "X", "aWordOf-24_letters000000"])
    func tradeThatWasNoOrdinaryOne(word: String) throws {
        var event = Trade(header: header(.trade))
        event.tradeID = 1
        (event.price, event.quantity) = (Decimal(magnitude: 0, scale: 0), Decimal(magnitude: 0, scale: 0))
        event.execution = try #require(Array(word.utf8).withUnsafeBytes { ShortText($0) })
        event.header.flags = 1
        #expect(
            try json(event) == begin("trade")
                + #""eventTime":5,"receivedTime":6,"tradeId":1,"price":"0","quantity":"0","aggressor":"buy","#
                + #""execution":"\#(word)","source":"rest"}"#)
    }

    @Test func gap() throws {
        let event = Gap(
            header: header(.gap, variant: EventKind.aggTrade.rawValue, eventTime: absentInteger),
            firstMissing: 3,
            lastMissing: 9, state: .open, cause: .reconnect)
        #expect(
            try json(event) == begin("gap")
                + #""receivedTime":6,"of":"aggTrade","firstMissing":3,"lastMissing":9,"state":"open","#
                + #""cause":"reconnect"}"#)
    }

    @Test func gapOfBars() throws {
        var event = Gap(
            header: header(.gap, variant: EventKind.kline.rawValue, eventTime: absentInteger),
            firstMissing: 60_000_000_000, lastMissing: 120_000_000_000, state: .lost, cause: .outage)
        event.header.flags = Gap.flags(interval: Interval.minute1.rawValue)
        #expect(
            try json(event) == begin("gap")
                + #""receivedTime":6,"of":"kline","interval":"1m","firstMissing":60000000000,"#
                + #""lastMissing":120000000000,"state":"lost","cause":"outage"}"#)
    }

    @Test func symbolsAreEscaped() {
        let prefix = EventSerializer.prefix(kind: .trade, exchange: "x", symbol: "a\"b\\c\u{1}币")
        #expect(
            String(decoding: prefix, as: UTF8.self)
                == #"{"type":"trade","exchange":"x","symbol":"a\"b\\c\u0001币","sequence":"#)
    }
}
