import ByteScanning
import ExchangeAdapter
import MarketData

extension BookTicker: Payload {
    static var kind: EventKind { .bookTicker }
    static let keys = KeySet("ubBaA")
    static let required = KeySet("subBaA")
    static func isNamed(_ name: JSONString, variant: UInt8) -> Bool { name.isWritten("bookTicker") }

    @inline(__always)
    mutating func take(
        _ key: UInt8, _ cursor: inout JSONCursor, _ reader: borrowing FrameReader,
        _ notes: inout PayloadNotes
    ) throws(ScanError) {
        switch key {
        case UInt8(ascii: "u"): updateID = try cursor.readInteger()
        case UInt8(ascii: "b"): bid = try cursor.readDecimal()
        case UInt8(ascii: "B"): bidQuantity = try cursor.readDecimal()
        case UInt8(ascii: "a"): ask = try cursor.readDecimal()
        default: askQuantity = try cursor.readDecimal()
        }
    }
}

extension AveragePrice: Payload {
    static var kind: EventKind { .averagePrice }
    static let keys = KeySet("iwT")
    static let required = KeySet("sw")
    static func isNamed(_ name: JSONString, variant: UInt8) -> Bool { name.isWritten("avgPrice") }

    @inline(__always)
    mutating func take(
        _ key: UInt8, _ cursor: inout JSONCursor, _ reader: borrowing FrameReader,
        _ notes: inout PayloadNotes
    ) throws(ScanError) {
        switch key {
        case UInt8(ascii: "i"): interval = try AveragePrice.packed(cursor.readString())
        case UInt8(ascii: "w"): price = try cursor.readDecimal()
        default: tradeTime = try reader.readTime(&cursor)
        }
    }

    /// One to eight letters and digits, the first the lowest byte.
    private static func packed(_ text: JSONString) throws(ScanError) -> UInt64 {
        guard text.count > 0, text.count <= 8 else { throw .wrongType }
        var packed: UInt64 = 0
        for (index, byte) in text.bytes.enumerated() {
            guard byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 else { throw .wrongType }
            packed |= UInt64(byte) << UInt64(index * 8)
        }
        return packed
    }
}

extension MarkPrice: Payload {
    static var kind: EventKind { .markPrice }

    /// The last one is ``KeySet/averageMark``.
    static let keys = KeySet("piPrT|")
    static let required = KeySet("sp")
    static func isNamed(_ name: JSONString, variant: UInt8) -> Bool { name.isWritten("markPriceUpdate") }

    @inline(__always)
    mutating func take(
        _ key: UInt8, _ cursor: inout JSONCursor, _ reader: borrowing FrameReader,
        _ notes: inout PayloadNotes
    ) throws(ScanError) {
        switch key {
        case UInt8(ascii: "p"): markPrice = try cursor.readDecimal()
        case UInt8(ascii: "i"): indexPrice = try MarkPrice.decimalOrNothing(&cursor)
        case UInt8(ascii: "P"): settlementPrice = try MarkPrice.decimalOrNothing(&cursor)
        case UInt8(ascii: "r"): fundingRate = try MarkPrice.decimalOrNothing(&cursor)
        case KeySet.averageMark: averageMarkPrice = try MarkPrice.decimalOrNothing(&cursor)
        default: nextFundingTime = try reader.readTime(&cursor)
        }
    }

    /// COIN-M's contracts that expire have no funding, and say so with `"r":""`.
    static func decimalOrNothing(_ cursor: inout JSONCursor) throws(ScanError) -> Decimal {
        var text = ExpectedText(at: cursor.at, end: cursor.end)
        if cursor.byte == UInt8(ascii: "\""), text.take(Literal("\"\"")), text.at <= cursor.end {
            cursor.at = text.at
            return Decimal()
        }
        return try cursor.readDecimal()
    }
}

extension FrameReader {
    @inline(never)
    func readBookTicker(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        try read(&cursor, source, &events) {
            (event: inout BookTicker, key, cursor, notes) throws(ScanError) in
            try event.take(key, &cursor, self, &notes)
        }
    }

    @inline(never)
    func readAveragePrice(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        try read(&cursor, source, &events) {
            (event: inout AveragePrice, key, cursor, notes) throws(ScanError) in
            try event.take(key, &cursor, self, &notes)
        }
    }

    @inline(never)
    func readMarkPrice(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        try read(&cursor, source, &events) {
            (event: inout MarkPrice, key, cursor, notes) throws(ScanError) in
            try event.take(key, &cursor, self, &notes)
        }
    }
}
