import ByteScanning
import ExchangeAdapter
import MarketData

/// The usual frames, read by comparing them with the layout that they have had for years. Whatever is read here is
/// what the general reading would have come to; where a frame is written in any other way, that one is asked.
extension FrameReader {
    /// hot: true where the frame's event was written; false where nothing was. `guess`: see ``LayoutTable/guess(_:)``.
    @inline(__always)
    func speculate(
        _ frame: UnsafeRawBufferPointer, guess: UnsafeRawPointer, into events: inout EventWriter
    ) -> Bool {
        guard frame.count >= LayoutTable.frameMin, let start = frame.baseAddress,
            let layout = layouts.find(start, guess: guess)
        else { return false }
        let values = LayoutTable.values(layout)
        events.stream = values.stream
        let text = ExpectedText(at: start + Int(values.prefixLength), end: start + frame.count)
        guard systemTag == 0 else { return takeOfFutures(text, layout, values.kind, &events) }
        switch values.kind {
        case .trade: return takeTrade(text, layout, &events)
        case .aggTrade: return takeAggTrade(text, layout, &events)
        case .kline: return takeKline(text, layout, &events)
        case .ticker: return takeTicker(text, layout, &events)
        case .miniTicker: return takeMiniTicker(text, layout, &events)
        case .bookTicker: return takeBookTicker(text, layout, &events)
        case .averagePrice, .markPrice, .depth, .gap, .deadLetter: return false
        }
    }

    /// A time, as ns.
    @inline(__always)
    func takeTime(_ text: inout ExpectedText, _ nanos: inout Int64) -> Bool {
        var units: Int64 = 0
        // Both are written out, so that what differs between them is known to each.
        if nanosPerUnit == 1_000_000 {
            guard text.takeTime(isLong: false, &units), units <= Int64.max / 1_000_000 else { return false }
            nanos = units &* 1_000_000
        } else {
            guard text.takeTime(isLong: nanosPerUnit == 1_000, &units), units <= unitsMax else {
                return false
            }
            nanos = units &* nanosPerUnit
        }
        return true
    }

    @inline(__always)
    func header(
        _ layout: UnsafeRawPointer, eventTime: Int64, _ events: borrowing EventWriter
    ) -> EventHeader {
        let values = LayoutTable.values(layout)
        return EventHeader(
            kind: values.kind, variant: values.variant, instrument: values.instrument, eventTime: eventTime,
            receivedTime: events.receivedTime)
    }

    /// Klines are written in the same way on all markets.
    @inline(never)
    func takeKline(
        _ start: ExpectedText, _ layout: UnsafeRawPointer, _ events: inout EventWriter
    ) -> Bool {
        var text = start
        let event = events.begin(Kline.self)
        var eventTime: Int64 = 0
        guard takeTime(&text, &eventTime), layouts.takeMiddle(&text, layout),
            takeTime(&text, &event.pointee.openTime), text.take(Literal(",\"T\":")),
            takeTime(&text, &event.pointee.closeTime), layouts.takeSecond(&text, layout),
            text.survey(), text.takeInteger(&event.pointee.firstTradeID), text.take(Literal(",\"L\":")),
            text.takeInteger(&event.pointee.lastTradeID), text.take(Literal(",\"o\":\"")),
            text.takeDecimal(&event.pointee.open), text.take(Literal("\",\"c\":\"")),
            text.survey(), text.takeDecimal(&event.pointee.close), text.take(Literal("\",\"h\":\"")),
            text.takeDecimal(&event.pointee.high), text.take(Literal("\",\"l\":\"")),
            text.takeDecimal(&event.pointee.low), text.take(Literal("\",\"v\":\"")),
            text.takeAloneDecimal(&event.pointee.volume), text.take(Literal("\",\"n\":")),
            text.survey(), text.takeInteger(&event.pointee.tradeCount), text.take(Literal(",\"x\":")),
            text.takeBool(&event.pointee.isClosed), text.take(Literal(",\"q\":\"")),
            text.takeAloneDecimal(&event.pointee.quoteVolume), text.take(Literal("\",\"V\":\"")),
            text.takeAloneDecimal(&event.pointee.takerBuyVolume), text.take(Literal("\",\"Q\":\"")),
            text.takeAloneDecimal(&event.pointee.takerBuyQuoteVolume), text.take(Literal("\",\"B\":\"")),
            text.skipText(), text.take(Literal("\"}}}")), text.isAtEnd
        else { return false }
        event.pointee.header = header(layout, eventTime: eventTime, events)
        events.end(Kline.self, kind: .kline)
        return true
    }
}
