import ByteScanning
import ExchangeAdapter
import MarketData

extension Kline: Payload {
    static var kind: EventKind { .kline }
    static let keys = KeySet("k")
    static let required = KeySet("sk")
    private static let barKeys = KeySet("tTsifLochlvnxqVQ")
    private static let barRequired = KeySet("tohlcx")
    static func isNamed(_ name: JSONString, variant: UInt8) -> Bool { name.isWritten("kline") }

    /// Takes the bar, the only key's value.
    mutating func take(
        _ key: UInt8, _ cursor: inout JSONCursor, _ reader: borrowing FrameReader,
        _ notes: inout PayloadNotes
    ) throws(ScanError) {
        let known = Kline.barKeys
        var keys = SeenKeys()
        var more = try cursor.enterObject()
        while more {
            let key = KeySet.code(of: try cursor.readKey())
            if !known.contains(key) {
                try cursor.skipValue()
            } else if try keys.admit(key, &cursor) {
                try takeOfBar(key, &cursor, reader, &notes)
            }
            more = try cursor.nextMember()
        }
        notes.lacksKeys = !keys.present.contains(Kline.barRequired)
    }

    @inline(__always)
    private mutating func takeOfBar(
        _ key: UInt8, _ cursor: inout JSONCursor, _ reader: borrowing FrameReader,
        _ notes: inout PayloadNotes
    ) throws(ScanError) {
        switch key {
        case UInt8(ascii: "t"): openTime = try reader.readTime(&cursor)
        case UInt8(ascii: "T"): closeTime = try reader.readTime(&cursor)
        case UInt8(ascii: "s"): notes.barSymbol = try cursor.readString()
        case UInt8(ascii: "i"): try Kline.checkInterval(cursor.readString(), header.variant)
        case UInt8(ascii: "f"): firstTradeID = try cursor.readInteger()
        case UInt8(ascii: "L"): lastTradeID = try cursor.readInteger()
        case UInt8(ascii: "o"): open = try cursor.readDecimal()
        case UInt8(ascii: "c"): close = try cursor.readDecimal()
        case UInt8(ascii: "h"): high = try cursor.readDecimal()
        case UInt8(ascii: "l"): low = try cursor.readDecimal()
        case UInt8(ascii: "v"): volume = try cursor.readDecimal()
        case UInt8(ascii: "n"): tradeCount = try cursor.readInteger()
        case UInt8(ascii: "x"): isClosed = try cursor.readBool()
        case UInt8(ascii: "q"): quoteVolume = try cursor.readDecimal()
        case UInt8(ascii: "V"): takerBuyVolume = try cursor.readDecimal()
        default: takerBuyQuoteVolume = try cursor.readDecimal()
        }
    }

    /// The bar's own interval must be the stream's.
    private static func checkInterval(_ text: JSONString, _ variant: UInt8) throws(ScanError) {
        guard text.count < 8, Word.prefix(Word.load(text.start), text.count) == packedInterval(variant)
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

extension FrameReader {
    @inline(never)
    func readKline(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        try read(&cursor, source, &events) {
            (event: inout Kline, key, cursor, notes) throws(ScanError) in
            try event.take(key, &cursor, self, &notes)
        }
    }
}
