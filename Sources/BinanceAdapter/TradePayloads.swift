import ByteScanning
import ExchangeAdapter
import MarketData

extension Trade: Payload {
    static var kind: EventKind { .trade }
    static let keys = KeySet("tpqTm")
    static let futuresKeys = KeySet("tpqTmX")
    static let required = KeySet("stpqm")
    static func isNamed(_ name: JSONString, variant: UInt8) -> Bool { name.isWritten("trade") }

    @inline(__always)
    mutating func take(
        _ key: UInt8, _ cursor: inout JSONCursor, _ reader: borrowing FrameReader,
        _ notes: inout PayloadNotes
    ) throws(ScanError) {
        switch key {
        case UInt8(ascii: "t"): tradeID = try cursor.readInteger()
        case UInt8(ascii: "p"): price = try cursor.readDecimal()
        case UInt8(ascii: "q"): quantity = try cursor.readDecimal()
        case UInt8(ascii: "T"): tradeTime = try reader.readTime(&cursor)
        case UInt8(ascii: "m"): aggressor = try cursor.readBool() ? .sell : .buy
        default: execution = try Trade.execution(cursor.readString())
        }
    }

    /// How the trade came about. `MARKET` is what goes without saying.
    static func execution(_ text: JSONString) throws(ScanError) -> ShortText {
        if text.isWritten("MARKET") { return ShortText() }
        guard let word = ShortText(text.bytes) else { throw .wrongType }
        return word
    }
}

extension AggTrade: Payload {
    static var kind: EventKind { .aggTrade }
    static let keys = KeySet("apqflTm")
    static let required = KeySet("sapqm")
    static func isNamed(_ name: JSONString, variant: UInt8) -> Bool { name.isWritten("aggTrade") }

    @inline(__always)
    mutating func take(
        _ key: UInt8, _ cursor: inout JSONCursor, _ reader: borrowing FrameReader,
        _ notes: inout PayloadNotes
    ) throws(ScanError) {
        switch key {
        case UInt8(ascii: "a"): aggregateID = try cursor.readInteger()
        case UInt8(ascii: "p"): price = try cursor.readDecimal()
        case UInt8(ascii: "q"): quantity = try cursor.readDecimal()
        case UInt8(ascii: "f"): firstTradeID = try cursor.readInteger()
        case UInt8(ascii: "l"): lastTradeID = try cursor.readInteger()
        case UInt8(ascii: "T"): tradeTime = try reader.readTime(&cursor)
        default: aggressor = try cursor.readBool() ? .sell : .buy
        }
    }
}

extension FrameReader {
    @inline(never)
    func readTrade(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        try read(&cursor, source, &events) {
            (event: inout Trade, key, cursor, notes) throws(ScanError) in
            try event.take(key, &cursor, self, &notes)
        }
    }

    @inline(never)
    func readAggTrade(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        try read(&cursor, source, &events) {
            (event: inout AggTrade, key, cursor, notes) throws(ScanError) in
            try event.take(key, &cursor, self, &notes)
        }
    }
}
