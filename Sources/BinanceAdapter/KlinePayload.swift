import ByteScanning
import ExchangeAdapter
import MarketData

extension SpotReader {
    func readKline(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        let event = events.begin(Kline.self)
        event.initialize(to: Kline(header: header(source.stream, events)))
        var keys = SeenKeys()
        var bar = SeenKeys()
        var symbol = JSONString(start: cursor.at, count: 0, hasEscapes: false)
        var barSymbol = symbol
        var more = try cursor.enterObject()
        while more {
            let key = try cursor.readKey().single
            switch key {
            case UInt8(ascii: "e"): try checkEvent("kline", &keys, &cursor)
            case UInt8(ascii: "E"):
                if try keys.admit(key, &cursor) { event.pointee.header.eventTime = try readTime(&cursor) }
            case UInt8(ascii: "s"): if try keys.admit(key, &cursor) { symbol = try cursor.readString() }
            case UInt8(ascii: "k"):
                if try keys.admit(key, &cursor) { try readBar(&cursor, event, &bar, &barSymbol) }
            default: try cursor.skipValue()
            }
            more = try cursor.nextMember()
        }
        guard keys.hasAll("sk"), bar.hasAll("tohlcx") else { return .missingKey }
        if bar.has(UInt8(ascii: "s")) {
            // Two symbols that differ leave open whose bar it is.
            guard symbol.count == barSymbol.count,
                Word.areEqual(symbol.start, barSymbol.start, count: symbol.count)
            else { return .name }
        }
        if let reason = try settle(symbol, source, &event.pointee.header, &cursor) { return reason }
        events.end(Kline.self, kind: .kline)
        return nil
    }

    private func readBar(
        _ cursor: inout JSONCursor, _ event: UnsafeMutablePointer<Kline>, _ keys: inout SeenKeys,
        _ symbol: inout JSONString
    ) throws(ScanError) {
        var more = try cursor.enterObject()
        while more {
            let key = try cursor.readKey().single
            switch key {
            case UInt8(ascii: "t"):
                if try keys.admit(key, &cursor) { event.pointee.openTime = try readTime(&cursor) }
            case UInt8(ascii: "T"):
                if try keys.admit(key, &cursor) { event.pointee.closeTime = try readTime(&cursor) }
            case UInt8(ascii: "s"): if try keys.admit(key, &cursor) { symbol = try cursor.readString() }
            case UInt8(ascii: "i"):
                if try keys.admit(key, &cursor) { try checkInterval(&cursor, event.pointee.header.variant) }
            case UInt8(ascii: "f"):
                if try keys.admit(key, &cursor) { event.pointee.firstTradeID = try cursor.readInteger() }
            case UInt8(ascii: "L"):
                if try keys.admit(key, &cursor) { event.pointee.lastTradeID = try cursor.readInteger() }
            case UInt8(ascii: "o"):
                if try keys.admit(key, &cursor) { event.pointee.open = try cursor.readDecimal() }
            case UInt8(ascii: "c"):
                if try keys.admit(key, &cursor) { event.pointee.close = try cursor.readDecimal() }
            case UInt8(ascii: "h"):
                if try keys.admit(key, &cursor) { event.pointee.high = try cursor.readDecimal() }
            case UInt8(ascii: "l"):
                if try keys.admit(key, &cursor) { event.pointee.low = try cursor.readDecimal() }
            case UInt8(ascii: "v"):
                if try keys.admit(key, &cursor) { event.pointee.volume = try cursor.readDecimal() }
            case UInt8(ascii: "n"):
                if try keys.admit(key, &cursor) { event.pointee.tradeCount = try cursor.readInteger() }
            case UInt8(ascii: "x"):
                if try keys.admit(key, &cursor) { event.pointee.isClosed = try cursor.readBool() }
            case UInt8(ascii: "q"):
                if try keys.admit(key, &cursor) { event.pointee.quoteVolume = try cursor.readDecimal() }
            case UInt8(ascii: "V"):
                if try keys.admit(key, &cursor) { event.pointee.takerBuyVolume = try cursor.readDecimal() }
            case UInt8(ascii: "Q"):
                if try keys.admit(key, &cursor) {
                    event.pointee.takerBuyQuoteVolume = try cursor.readDecimal()
                }
            default: try cursor.skipValue()
            }
            more = try cursor.nextMember()
        }
    }

    /// The bar's own interval must be the stream's.
    private func checkInterval(_ cursor: inout JSONCursor, _ variant: UInt8) throws(ScanError) {
        let text = try cursor.readString()
        guard text.count < 8,
            Word.prefix(Word.load(text.start), text.count) == SpotReader.packedInterval(variant)
        else { throw .wrongType }
    }

    /// An interval's name, its first byte the lowest.
    private static func packedInterval(_ variant: UInt8) -> UInt64 {
        switch Interval(rawValue: variant) {
        case .second1: JSONKey("1s").packed
        case .minute1: JSONKey("1m").packed
        case .minute3: JSONKey("3m").packed
        case .minute5: JSONKey("5m").packed
        case .minute15: JSONKey("15m").packed
        case .minute30: JSONKey("30m").packed
        case .hour1: JSONKey("1h").packed
        case .hour2: JSONKey("2h").packed
        case .hour4: JSONKey("4h").packed
        case .hour6: JSONKey("6h").packed
        case .hour8: JSONKey("8h").packed
        case .hour12: JSONKey("12h").packed
        case .day1: JSONKey("1d").packed
        case .day3: JSONKey("3d").packed
        case .week1: JSONKey("1w").packed
        case .month1: JSONKey("1M").packed
        case nil: 0
        }
    }
}
