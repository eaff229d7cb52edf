import ByteScanning
import ExchangeAdapter
import MarketData

extension SpotReader {
    /// What a ticker of the window calls itself.
    private func checkTickerEvent(
        _ window: UInt8, _ keys: inout SeenKeys, _ cursor: inout JSONCursor
    ) throws(ScanError) {
        switch TickerWindow(rawValue: window) {
        case .hours24: try checkEvent("24hrTicker", &keys, &cursor)
        case .hour1: try checkEvent("1hTicker", &keys, &cursor)
        case .hours4: try checkEvent("4hTicker", &keys, &cursor)
        case .day1: try checkEvent("1dTicker", &keys, &cursor)
        case nil: throw .wrongType
        }
    }

    func readTicker(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        let event = events.begin(Ticker.self)
        event.initialize(to: Ticker(header: header(source.stream, events)))
        var keys = SeenKeys()
        var symbol = JSONString(start: cursor.at, count: 0, hasEscapes: false)
        var more = try cursor.enterObject()
        while more {
            let key = try cursor.readKey().single
            switch key {
            case UInt8(ascii: "e"): try checkTickerEvent(source.stream.pointee.variant, &keys, &cursor)
            case UInt8(ascii: "E"):
                if try keys.admit(key, &cursor) { event.pointee.header.eventTime = try readTime(&cursor) }
            case UInt8(ascii: "s"): if try keys.admit(key, &cursor) { symbol = try cursor.readString() }
            case UInt8(ascii: "p"):
                if try keys.admit(key, &cursor) { event.pointee.change = try cursor.readDecimal() }
            case UInt8(ascii: "P"):
                if try keys.admit(key, &cursor) { event.pointee.changePercent = try cursor.readDecimal() }
            case UInt8(ascii: "w"):
                if try keys.admit(key, &cursor) { event.pointee.weightedAverage = try cursor.readDecimal() }
            case UInt8(ascii: "x"):
                if try keys.admit(key, &cursor) { event.pointee.previousClose = try cursor.readDecimal() }
            case UInt8(ascii: "c"):
                if try keys.admit(key, &cursor) { event.pointee.last = try cursor.readDecimal() }
            case UInt8(ascii: "Q"):
                if try keys.admit(key, &cursor) { event.pointee.lastQuantity = try cursor.readDecimal() }
            case UInt8(ascii: "b"):
                if try keys.admit(key, &cursor) { event.pointee.bid = try cursor.readDecimal() }
            case UInt8(ascii: "B"):
                if try keys.admit(key, &cursor) { event.pointee.bidQuantity = try cursor.readDecimal() }
            case UInt8(ascii: "a"):
                if try keys.admit(key, &cursor) { event.pointee.ask = try cursor.readDecimal() }
            case UInt8(ascii: "A"):
                if try keys.admit(key, &cursor) { event.pointee.askQuantity = try cursor.readDecimal() }
            case UInt8(ascii: "o"):
                if try keys.admit(key, &cursor) { event.pointee.open = try cursor.readDecimal() }
            case UInt8(ascii: "h"):
                if try keys.admit(key, &cursor) { event.pointee.high = try cursor.readDecimal() }
            case UInt8(ascii: "l"):
                if try keys.admit(key, &cursor) { event.pointee.low = try cursor.readDecimal() }
            case UInt8(ascii: "v"):
                if try keys.admit(key, &cursor) { event.pointee.volume = try cursor.readDecimal() }
            case UInt8(ascii: "q"):
                if try keys.admit(key, &cursor) { event.pointee.quoteVolume = try cursor.readDecimal() }
            case UInt8(ascii: "O"):
                if try keys.admit(key, &cursor) { event.pointee.openTime = try readTime(&cursor) }
            case UInt8(ascii: "C"):
                if try keys.admit(key, &cursor) { event.pointee.closeTime = try readTime(&cursor) }
            case UInt8(ascii: "F"):
                if try keys.admit(key, &cursor) { event.pointee.firstTradeID = try cursor.readInteger() }
            case UInt8(ascii: "L"):
                if try keys.admit(key, &cursor) { event.pointee.lastTradeID = try cursor.readInteger() }
            case UInt8(ascii: "n"):
                if try keys.admit(key, &cursor) { event.pointee.tradeCount = try cursor.readInteger() }
            default: try cursor.skipValue()
            }
            more = try cursor.nextMember()
        }
        guard keys.hasAll("sohlc") else { return .missingKey }
        if let reason = try settle(symbol, source, &event.pointee.header, &cursor) { return reason }
        events.end(Ticker.self, kind: .ticker)
        return nil
    }

    func readMiniTicker(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        let event = events.begin(MiniTicker.self)
        event.initialize(to: MiniTicker(header: header(source.stream, events)))
        var keys = SeenKeys()
        var symbol = JSONString(start: cursor.at, count: 0, hasEscapes: false)
        var more = try cursor.enterObject()
        while more {
            let key = try cursor.readKey().single
            switch key {
            case UInt8(ascii: "e"): try checkEvent("24hrMiniTicker", &keys, &cursor)
            case UInt8(ascii: "E"):
                if try keys.admit(key, &cursor) { event.pointee.header.eventTime = try readTime(&cursor) }
            case UInt8(ascii: "s"): if try keys.admit(key, &cursor) { symbol = try cursor.readString() }
            case UInt8(ascii: "c"):
                if try keys.admit(key, &cursor) { event.pointee.last = try cursor.readDecimal() }
            case UInt8(ascii: "o"):
                if try keys.admit(key, &cursor) { event.pointee.open = try cursor.readDecimal() }
            case UInt8(ascii: "h"):
                if try keys.admit(key, &cursor) { event.pointee.high = try cursor.readDecimal() }
            case UInt8(ascii: "l"):
                if try keys.admit(key, &cursor) { event.pointee.low = try cursor.readDecimal() }
            case UInt8(ascii: "v"):
                if try keys.admit(key, &cursor) { event.pointee.volume = try cursor.readDecimal() }
            case UInt8(ascii: "q"):
                if try keys.admit(key, &cursor) { event.pointee.quoteVolume = try cursor.readDecimal() }
            default: try cursor.skipValue()
            }
            more = try cursor.nextMember()
        }
        guard keys.hasAll("sohlc") else { return .missingKey }
        if let reason = try settle(symbol, source, &event.pointee.header, &cursor) { return reason }
        events.end(MiniTicker.self, kind: .miniTicker)
        return nil
    }
}
