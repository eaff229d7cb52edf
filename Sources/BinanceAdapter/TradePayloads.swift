import ByteScanning
import ExchangeAdapter
import MarketData

extension Trade: Payload {
    static var kind: EventKind { .trade }
    /// `X` is of futures only.
    @inline(__always)
    static func keys(isFutures: Bool) -> KeySet { isFutures ? KeySet("tpqTmX") : KeySet("tpqTm") }
    static var required: KeySet { KeySet("tpqm") }
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
    static func keys(isFutures: Bool) -> KeySet { KeySet("apqflTm") }
    static var required: KeySet { KeySet("apqm") }
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
