import ByteScanning
import ExchangeAdapter
import MarketData

extension SpotReader {
    func readTrade(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        let event = events.begin(Trade.self)
        event.initialize(to: Trade(header: header(source.stream, events)))
        var keys = SeenKeys()
        var symbol = JSONString(start: cursor.at, count: 0, hasEscapes: false)
        var more = try cursor.enterObject()
        while more {
            let key = try cursor.readKey().single
            switch key {
            case UInt8(ascii: "e"): try checkEvent("trade", &keys, &cursor)
            case UInt8(ascii: "E"):
                if try keys.admit(key, &cursor) { event.pointee.header.eventTime = try readTime(&cursor) }
            case UInt8(ascii: "s"): if try keys.admit(key, &cursor) { symbol = try cursor.readString() }
            case UInt8(ascii: "t"):
                if try keys.admit(key, &cursor) { event.pointee.tradeID = try cursor.readInteger() }
            case UInt8(ascii: "p"):
                if try keys.admit(key, &cursor) { event.pointee.price = try cursor.readDecimal() }
            case UInt8(ascii: "q"):
                if try keys.admit(key, &cursor) { event.pointee.quantity = try cursor.readDecimal() }
            case UInt8(ascii: "T"):
                if try keys.admit(key, &cursor) { event.pointee.tradeTime = try readTime(&cursor) }
            case UInt8(ascii: "m"):
                if try keys.admit(key, &cursor) {
                    event.pointee.aggressor = try cursor.readBool() ? .sell : .buy
                }
            default: try cursor.skipValue()
            }
            more = try cursor.nextMember()
        }
        guard keys.hasAll("stpqm") else { return .missingKey }
        if let reason = try settle(symbol, source, &event.pointee.header, &cursor) { return reason }
        events.end(Trade.self, kind: .trade)
        return nil
    }

    func readAggTrade(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        let event = events.begin(AggTrade.self)
        event.initialize(to: AggTrade(header: header(source.stream, events)))
        var keys = SeenKeys()
        var symbol = JSONString(start: cursor.at, count: 0, hasEscapes: false)
        var more = try cursor.enterObject()
        while more {
            let key = try cursor.readKey().single
            switch key {
            case UInt8(ascii: "e"): try checkEvent("aggTrade", &keys, &cursor)
            case UInt8(ascii: "E"):
                if try keys.admit(key, &cursor) { event.pointee.header.eventTime = try readTime(&cursor) }
            case UInt8(ascii: "s"): if try keys.admit(key, &cursor) { symbol = try cursor.readString() }
            case UInt8(ascii: "a"):
                if try keys.admit(key, &cursor) { event.pointee.aggregateID = try cursor.readInteger() }
            case UInt8(ascii: "p"):
                if try keys.admit(key, &cursor) { event.pointee.price = try cursor.readDecimal() }
            case UInt8(ascii: "q"):
                if try keys.admit(key, &cursor) { event.pointee.quantity = try cursor.readDecimal() }
            case UInt8(ascii: "f"):
                if try keys.admit(key, &cursor) { event.pointee.firstTradeID = try cursor.readInteger() }
            case UInt8(ascii: "l"):
                if try keys.admit(key, &cursor) { event.pointee.lastTradeID = try cursor.readInteger() }
            case UInt8(ascii: "T"):
                if try keys.admit(key, &cursor) { event.pointee.tradeTime = try readTime(&cursor) }
            case UInt8(ascii: "m"):
                if try keys.admit(key, &cursor) {
                    event.pointee.aggressor = try cursor.readBool() ? .sell : .buy
                }
            default: try cursor.skipValue()
            }
            more = try cursor.nextMember()
        }
        guard keys.hasAll("sapqm") else { return .missingKey }
        if let reason = try settle(symbol, source, &event.pointee.header, &cursor) { return reason }
        events.end(AggTrade.self, kind: .aggTrade)
        return nil
    }
}
