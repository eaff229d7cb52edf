import ByteScanning
import ExchangeAdapter
import MarketData

/// Spot's usual frames.
extension FrameReader {
    @inline(__always)
    func takeTrade(
        _ start: ExpectedText, _ layout: UnsafeRawPointer, _ events: inout EventWriter
    ) -> Bool {
        var text = start
        let event = events.begin(Trade.self)
        var eventTime: Int64 = 0
        var isMaker = false
        var isIgnored = false
        guard takeTime(&text, &eventTime), layouts.takeMiddle(&text, layout),
            text.survey(), text.takeInteger(&event.pointee.tradeID), text.take(Literal(",\"p\":\"")),
            text.takeDecimal(&event.pointee.price), text.take(Literal("\",\"q\":\"")),
            text.takeDecimal(&event.pointee.quantity), text.take(Literal("\",\"T\":")),
            takeTime(&text, &event.pointee.tradeTime), text.take(Literal(",\"m\":")), text.takeBool(&isMaker),
            text.take(Literal(",\"M\":")), text.takeBool(&isIgnored), text.take(Literal("}}")), text.isAtEnd
        else { return false }
        event.pointee.header = header(layout, eventTime: eventTime, events)
        event.pointee.execution = ShortText()
        event.pointee.aggressor = isMaker ? .sell : .buy
        events.end(Trade.self, kind: .trade)
        return true
    }

    @inline(never)
    func takeAggTrade(
        _ start: ExpectedText, _ layout: UnsafeRawPointer, _ events: inout EventWriter
    ) -> Bool {
        var text = start
        let event = events.begin(AggTrade.self)
        var eventTime: Int64 = 0
        var isMaker = false
        var isIgnored = false
        guard takeTime(&text, &eventTime), layouts.takeMiddle(&text, layout),
            text.survey(), text.takeInteger(&event.pointee.aggregateID), text.take(Literal(",\"p\":\"")),
            text.takeDecimal(&event.pointee.price), text.take(Literal("\",\"q\":\"")),
            text.takeDecimal(&event.pointee.quantity), text.take(Literal("\",\"f\":")),
            text.survey(), text.takeInteger(&event.pointee.firstTradeID), text.take(Literal(",\"l\":")),
            text.takeInteger(&event.pointee.lastTradeID), text.take(Literal(",\"T\":")),
            takeTime(&text, &event.pointee.tradeTime), text.take(Literal(",\"m\":")), text.takeBool(&isMaker),
            text.take(Literal(",\"M\":")), text.takeBool(&isIgnored), text.take(Literal("}}")), text.isAtEnd
        else { return false }
        event.pointee.header = header(layout, eventTime: eventTime, events)
        event.pointee.aggressor = isMaker ? .sell : .buy
        events.end(AggTrade.self, kind: .aggTrade)
        return true
    }

    @inline(never)
    func takeTicker(
        _ start: ExpectedText, _ layout: UnsafeRawPointer, _ events: inout EventWriter
    ) -> Bool {
        var text = start
        let event = events.begin(Ticker.self)
        var eventTime: Int64 = 0
        guard takeTime(&text, &eventTime), layouts.takeMiddle(&text, layout),
            text.survey(), text.takeSignedDecimal(&event.pointee.change), text.take(Literal("\",\"P\":\"")),
            text.takeSignedDecimal(&event.pointee.changePercent), text.take(Literal("\",\"w\":\"")),
            text.takeDecimal(&event.pointee.weightedAverage), text.take(Literal("\",\"x\":\"")),
            text.survey(), text.takeDecimal(&event.pointee.previousClose), text.take(Literal("\",\"c\":\"")),
            text.takeDecimal(&event.pointee.last), text.take(Literal("\",\"Q\":\"")),
            text.takeDecimal(&event.pointee.lastQuantity), text.take(Literal("\",\"b\":\"")),
            text.survey(), text.takeDecimal(&event.pointee.bid), text.take(Literal("\",\"B\":\"")),
            text.takeDecimal(&event.pointee.bidQuantity), text.take(Literal("\",\"a\":\"")),
            text.takeDecimal(&event.pointee.ask), text.take(Literal("\",\"A\":\"")),
            text.survey(), text.takeDecimal(&event.pointee.askQuantity), text.take(Literal("\",\"o\":\"")),
            text.takeDecimal(&event.pointee.open), text.take(Literal("\",\"h\":\"")),
            text.takeDecimal(&event.pointee.high), text.take(Literal("\",\"l\":\"")),
            text.survey(), text.takeDecimal(&event.pointee.low), text.take(Literal("\",\"v\":\"")),
            text.takeAloneDecimal(&event.pointee.volume), text.take(Literal("\",\"q\":\"")),
            text.takeAloneDecimal(&event.pointee.quoteVolume), text.take(Literal("\",\"O\":")),
            takeTime(&text, &event.pointee.openTime), text.take(Literal(",\"C\":")),
            takeTime(&text, &event.pointee.closeTime), text.take(Literal(",\"F\":")),
            text.survey(), text.takeInteger(&event.pointee.firstTradeID), text.take(Literal(",\"L\":")),
            text.takeInteger(&event.pointee.lastTradeID), text.take(Literal(",\"n\":")),
            text.takeInteger(&event.pointee.tradeCount), text.take(Literal("}}")), text.isAtEnd
        else { return false }
        event.pointee.header = header(layout, eventTime: eventTime, events)
        events.end(Ticker.self, kind: .ticker)
        return true
    }

    @inline(never)
    func takeMiniTicker(
        _ start: ExpectedText, _ layout: UnsafeRawPointer, _ events: inout EventWriter
    ) -> Bool {
        var text = start
        let event = events.begin(MiniTicker.self)
        var eventTime: Int64 = 0
        guard takeTime(&text, &eventTime), layouts.takeMiddle(&text, layout),
            text.survey(), text.takeDecimal(&event.pointee.last), text.take(Literal("\",\"o\":\"")),
            text.takeDecimal(&event.pointee.open), text.take(Literal("\",\"h\":\"")),
            text.takeDecimal(&event.pointee.high), text.take(Literal("\",\"l\":\"")),
            text.survey(), text.takeDecimal(&event.pointee.low), text.take(Literal("\",\"v\":\"")),
            text.takeAloneDecimal(&event.pointee.volume), text.take(Literal("\",\"q\":\"")),
            text.takeAloneDecimal(&event.pointee.quoteVolume), text.take(Literal("\"}}")), text.isAtEnd
        else { return false }
        event.pointee.header = header(layout, eventTime: eventTime, events)
        events.end(MiniTicker.self, kind: .miniTicker)
        return true
    }

    @inline(never)
    func takeBookTicker(
        _ start: ExpectedText, _ layout: UnsafeRawPointer, _ events: inout EventWriter
    ) -> Bool {
        var text = start
        let event = events.begin(BookTicker.self)
        guard text.takeAloneInteger(&event.pointee.updateID), layouts.takeMiddle(&text, layout),
            text.survey(), text.takeDecimal(&event.pointee.bid), text.take(Literal("\",\"B\":\"")),
            text.takeDecimal(&event.pointee.bidQuantity), text.take(Literal("\",\"a\":\"")),
            text.survey(), text.takeDecimal(&event.pointee.ask), text.take(Literal("\",\"A\":\"")),
            text.takeDecimal(&event.pointee.askQuantity), text.take(Literal("\"}}")), text.isAtEnd
        else { return false }
        event.pointee.header = header(layout, eventTime: absentInteger, events)
        events.end(BookTicker.self, kind: .bookTicker)
        return true
    }
}
