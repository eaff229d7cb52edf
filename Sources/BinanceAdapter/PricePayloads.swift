import ByteScanning
import ExchangeAdapter
import MarketData

extension SpotReader {
    func readBookTicker(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        let event = events.begin(BookTicker.self)
        event.initialize(to: BookTicker(header: header(source.stream, events)))
        var keys = SeenKeys()
        var symbol = JSONString(start: cursor.at, count: 0, hasEscapes: false)
        var more = try cursor.enterObject()
        while more {
            let key = try cursor.readKey().single
            switch key {
            case UInt8(ascii: "e"): try checkEvent("bookTicker", &keys, &cursor)
            case UInt8(ascii: "E"):
                if try keys.admit(key, &cursor) { event.pointee.header.eventTime = try readTime(&cursor) }
            case UInt8(ascii: "s"): if try keys.admit(key, &cursor) { symbol = try cursor.readString() }
            case UInt8(ascii: "u"):
                if try keys.admit(key, &cursor) { event.pointee.updateID = try cursor.readInteger() }
            case UInt8(ascii: "b"):
                if try keys.admit(key, &cursor) { event.pointee.bid = try cursor.readDecimal() }
            case UInt8(ascii: "B"):
                if try keys.admit(key, &cursor) { event.pointee.bidQuantity = try cursor.readDecimal() }
            case UInt8(ascii: "a"):
                if try keys.admit(key, &cursor) { event.pointee.ask = try cursor.readDecimal() }
            case UInt8(ascii: "A"):
                if try keys.admit(key, &cursor) { event.pointee.askQuantity = try cursor.readDecimal() }
            default: try cursor.skipValue()
            }
            more = try cursor.nextMember()
        }
        guard keys.hasAll("subBaA") else { return .missingKey }
        if let reason = try settle(symbol, source, &event.pointee.header, &cursor) { return reason }
        events.end(BookTicker.self, kind: .bookTicker)
        return nil
    }

    func readAveragePrice(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        let event = events.begin(AveragePrice.self)
        event.initialize(to: AveragePrice(header: header(source.stream, events)))
        var keys = SeenKeys()
        var symbol = JSONString(start: cursor.at, count: 0, hasEscapes: false)
        var more = try cursor.enterObject()
        while more {
            let key = try cursor.readKey().single
            switch key {
            case UInt8(ascii: "e"): try checkEvent("avgPrice", &keys, &cursor)
            case UInt8(ascii: "E"):
                if try keys.admit(key, &cursor) { event.pointee.header.eventTime = try readTime(&cursor) }
            case UInt8(ascii: "s"): if try keys.admit(key, &cursor) { symbol = try cursor.readString() }
            case UInt8(ascii: "i"):
                if try keys.admit(key, &cursor) { event.pointee.interval = try readPackedWord(&cursor) }
            case UInt8(ascii: "w"):
                if try keys.admit(key, &cursor) { event.pointee.price = try cursor.readDecimal() }
            case UInt8(ascii: "T"):
                if try keys.admit(key, &cursor) { event.pointee.tradeTime = try readTime(&cursor) }
            default: try cursor.skipValue()
            }
            more = try cursor.nextMember()
        }
        guard keys.hasAll("sw") else { return .missingKey }
        if let reason = try settle(symbol, source, &event.pointee.header, &cursor) { return reason }
        events.end(AveragePrice.self, kind: .averagePrice)
        return nil
    }

    /// One to eight letters and digits, the first the lowest byte.
    private func readPackedWord(_ cursor: inout JSONCursor) throws(ScanError) -> UInt64 {
        let text = try cursor.readString()
        guard text.count > 0, text.count <= 8 else { throw .wrongType }
        var packed: UInt64 = 0
        for (index, byte) in text.bytes.enumerated() {
            guard byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 else { throw .wrongType }
            packed |= UInt64(byte) << UInt64(index * 8)
        }
        return packed
    }
}
