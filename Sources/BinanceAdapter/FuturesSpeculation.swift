import ByteScanning
import ExchangeAdapter
import MarketData

/// The usual frames of futures, as they were seen on the wire in 2026. Keys that came in the years before then (`nq`,
/// `ap`, `ps`, `st`) may be absent, as they are in older recordings and, where it is `st`, on some streams still.
extension FrameReader {
    @inline(__always)
    func takeOfFutures(
        _ text: ExpectedText, _ layout: UnsafeRawPointer, _ kind: EventKind,
        _ events: inout EventWriter
    ) -> Bool {
        switch kind {
        case .trade: return takeFuturesTrade(text, layout, &events)
        case .aggTrade: return takeFuturesAggTrade(text, layout, &events)
        case .kline: return takeKline(text, layout, &events)
        case .ticker: return takeFuturesTicker(text, layout, &events)
        case .miniTicker: return takeFuturesMiniTicker(text, layout, &events)
        case .bookTicker: return takeFuturesBookTicker(text, layout, &events)
        case .markPrice: return takeMarkPrice(text, layout, &events)
        case .averagePrice, .depth, .gap, .deadLetter: return false
        }
    }

    /// The end of a frame: `,"st":1` of the own market, or nothing, and the braces.
    @inline(__always)
    private func takeEnd(_ text: inout ExpectedText) -> Bool {
        _ = text.takeOptional(systemTag == 1 ? Literal(",\"st\":1") : Literal(",\"st\":2"))
        return text.take(Literal("}}")) && text.isAtEnd
    }

    @inline(never)
    private func takeFuturesTrade(
        _ start: ExpectedText, _ layout: UnsafeRawPointer, _ events: inout EventWriter
    ) -> Bool {
        var text = start
        let event = events.begin(Trade.self)
        var eventTime: Int64 = 0
        var isMaker = false
        guard takeTime(&text, &eventTime), text.take(Literal(",\"T\":")),
            takeTime(&text, &event.pointee.tradeTime), layouts.takeMiddle(&text, layout),
            text.survey(), text.takeInteger(&event.pointee.tradeID), text.take(Literal(",\"p\":\"")),
            text.takeDecimal(&event.pointee.price), text.take(Literal("\",\"q\":\"")),
            text.takeDecimal(&event.pointee.quantity), text.take(Literal("\",\"X\":\"")),
            takeExecution(&text, &event.pointee.execution), text.take(Literal(",\"m\":")),
            text.takeBool(&isMaker), takeEnd(&text)
        else { return false }
        event.pointee.header = header(layout, eventTime: eventTime, events)
        event.pointee.aggressor = isMaker ? .sell : .buy
        events.end(Trade.self, kind: .trade)
        return true
    }

    /// `MARKET"`, mostly.
    @inline(__always)
    private func takeExecution(_ text: inout ExpectedText, _ execution: inout ShortText) -> Bool {
        execution = ShortText()
        if text.takeOptional(Literal("MARKET\"")) { return true }
        let count = otherExecution(text, &execution)
        text.skip(count)
        return count != 0
    }

    /// Its length with its quote; 0 where there is none.
    @inline(never)
    private func otherExecution(_ start: ExpectedText, _ execution: inout ShortText) -> Int {
        var text = start
        guard text.skipText(),
            let word = ShortText(UnsafeRawBufferPointer(start: start.at, count: text.at - start.at)),
            text.take(Literal("\""))
        else { return 0 }
        execution = word
        return text.at - start.at
    }

    @inline(never)
    private func takeFuturesAggTrade(
        _ start: ExpectedText, _ layout: UnsafeRawPointer, _ events: inout EventWriter
    ) -> Bool {
        var text = start
        let event = events.begin(AggTrade.self)
        var eventTime: Int64 = 0
        var isMaker = false
        guard takeTime(&text, &eventTime), text.take(Literal(",\"a\":")),
            text.takeAloneInteger(&event.pointee.aggregateID), layouts.takeMiddle(&text, layout),
            text.survey(), text.takeDecimal(&event.pointee.price), text.take(Literal("\",\"q\":\"")),
            text.takeDecimal(&event.pointee.quantity),
            !text.takeOptional(Literal("\",\"nq\":\"")) || text.skipText(),
            text.take(Literal("\",\"f\":")), text.survey(), text.takeInteger(&event.pointee.firstTradeID),
            text.take(Literal(",\"l\":")), text.takeInteger(&event.pointee.lastTradeID),
            text.take(Literal(",\"T\":")), takeTime(&text, &event.pointee.tradeTime),
            text.take(Literal(",\"m\":")), text.takeBool(&isMaker), takeEnd(&text)
        else { return false }
        event.pointee.header = header(layout, eventTime: eventTime, events)
        event.pointee.aggressor = isMaker ? .sell : .buy
        events.end(AggTrade.self, kind: .aggTrade)
        return true
    }

    @inline(never)
    private func takeFuturesTicker(
        _ start: ExpectedText, _ layout: UnsafeRawPointer, _ events: inout EventWriter
    ) -> Bool {
        var text = start
        let event = events.begin(Ticker.self)
        event.initialize(to: Ticker(header: header(layout, eventTime: 0, events)))
        guard takeTime(&text, &event.pointee.header.eventTime), layouts.takeMiddle(&text, layout),
            layouts.skipSecond(&text, layout), text.take(Literal("\"p\":\"")),
            text.survey(), text.takeSignedDecimal(&event.pointee.change), text.take(Literal("\",\"P\":\"")),
            text.takeSignedDecimal(&event.pointee.changePercent), text.take(Literal("\",\"w\":\"")),
            text.takeDecimal(&event.pointee.weightedAverage), text.take(Literal("\",\"c\":\"")),
            text.survey(), text.takeDecimal(&event.pointee.last), text.take(Literal("\",\"Q\":\"")),
            text.takeDecimal(&event.pointee.lastQuantity), text.take(Literal("\",\"o\":\"")),
            text.takeDecimal(&event.pointee.open), text.take(Literal("\",\"h\":\"")),
            text.survey(), text.takeDecimal(&event.pointee.high), text.take(Literal("\",\"l\":\"")),
            text.takeDecimal(&event.pointee.low), text.take(Literal("\",\"v\":\"")),
            text.takeAloneDecimal(&event.pointee.volume), text.take(Literal("\",\"q\":\"")),
            text.takeAloneDecimal(&event.pointee.quoteVolume), text.take(Literal("\",\"O\":")),
            takeTime(&text, &event.pointee.openTime), text.take(Literal(",\"C\":")),
            takeTime(&text, &event.pointee.closeTime), text.take(Literal(",\"F\":")),
            text.survey(), text.takeInteger(&event.pointee.firstTradeID), text.take(Literal(",\"L\":")),
            text.takeInteger(&event.pointee.lastTradeID), text.take(Literal(",\"n\":")),
            text.takeInteger(&event.pointee.tradeCount), takeEnd(&text)
        else { return false }
        events.end(Ticker.self, kind: .ticker)
        return true
    }

    @inline(never)
    private func takeFuturesMiniTicker(
        _ start: ExpectedText, _ layout: UnsafeRawPointer, _ events: inout EventWriter
    ) -> Bool {
        var text = start
        let event = events.begin(MiniTicker.self)
        var eventTime: Int64 = 0
        guard takeTime(&text, &eventTime), layouts.takeMiddle(&text, layout),
            layouts.skipSecond(&text, layout),
            text.take(Literal("\"c\":\"")), text.survey(), text.takeDecimal(&event.pointee.last),
            text.take(Literal("\",\"o\":\"")), text.takeDecimal(&event.pointee.open),
            text.take(Literal("\",\"h\":\"")), text.takeDecimal(&event.pointee.high),
            text.take(Literal("\",\"l\":\"")), text.survey(), text.takeDecimal(&event.pointee.low),
            text.take(Literal("\",\"v\":\"")), text.takeAloneDecimal(&event.pointee.volume),
            text.take(Literal("\",\"q\":\"")), text.takeAloneDecimal(&event.pointee.quoteVolume),
            text.take(Literal("\"")), takeEnd(&text)
        else { return false }
        event.pointee.header = header(layout, eventTime: eventTime, events)
        events.end(MiniTicker.self, kind: .miniTicker)
        return true
    }

    @inline(never)
    private func takeFuturesBookTicker(
        _ start: ExpectedText, _ layout: UnsafeRawPointer, _ events: inout EventWriter
    ) -> Bool {
        var text = start
        let event = events.begin(BookTicker.self)
        var transactionTime: Int64 = 0
        var eventTime: Int64 = 0
        guard text.takeAloneInteger(&event.pointee.updateID), layouts.takeMiddle(&text, layout),
            layouts.skipSecond(&text, layout), text.take(Literal("\"b\":\"")),
            text.survey(), text.takeDecimal(&event.pointee.bid), text.take(Literal("\",\"B\":\"")),
            text.takeDecimal(&event.pointee.bidQuantity), text.take(Literal("\",\"a\":\"")),
            text.survey(), text.takeDecimal(&event.pointee.ask), text.take(Literal("\",\"A\":\"")),
            text.takeDecimal(&event.pointee.askQuantity), text.take(Literal("\",\"T\":")),
            takeTime(&text, &transactionTime), text.take(Literal(",\"E\":")), takeTime(&text, &eventTime),
            takeEnd(&text)
        else { return false }
        event.pointee.header = header(layout, eventTime: eventTime, events)
        events.end(BookTicker.self, kind: .bookTicker)
        return true
    }

    @inline(never)
    private func takeMarkPrice(
        _ start: ExpectedText, _ layout: UnsafeRawPointer, _ events: inout EventWriter
    ) -> Bool {
        var text = start
        let event = events.begin(MarkPrice.self)
        event.initialize(to: MarkPrice(header: header(layout, eventTime: 0, events)))
        guard takeTime(&text, &event.pointee.header.eventTime), layouts.takeMiddle(&text, layout),
            text.survey(), text.takeDecimal(&event.pointee.markPrice),
            !text.takeOptional(Literal("\",\"ap\":\""))
                || text.takeDecimal(&event.pointee.averageMarkPrice),
            text.take(Literal("\",\"P\":\"")), text.takeDecimal(&event.pointee.settlementPrice),
            text.survey(),
            !text.takeOptional(Literal("\",\"i\":\"")) || text.takeDecimal(&event.pointee.indexPrice),
            text.take(Literal("\",\"r\":\"")), text.takeSignedDecimal(&event.pointee.fundingRate),
            text.take(Literal("\",\"T\":")), takeTime(&text, &event.pointee.nextFundingTime),
            takeEnd(&text)
        else { return false }
        events.end(MarkPrice.self, kind: .markPrice)
        return true
    }
}

extension ExpectedText {
    /// These bytes where they stand here; false, and nothing taken, where others do.
    @inline(__always)
    fileprivate mutating func takeOptional(_ literal: Literal) -> Bool {
        let start = self
        if take(literal) { return true }
        self = start
        return false
    }
}
