import ByteScanning
import ExchangeAdapter
import MarketData

extension Ticker: Payload {
    static var kind: EventKind { .ticker }
    /// Futures send no `x`, `b`, `B`, `a`, `A`; spot's rolling windows neither, and no `Q`.
    static let keys = KeySet("pPwxcQbBaAohlvqOCFLn")
    static let required = KeySet("sohlc")

    static func isNamed(_ name: JSONString, variant: UInt8) -> Bool {
        switch TickerWindow(rawValue: variant) {
        case .hours24: name.isWritten("24hrTicker")
        case .hour1: name.isWritten("1hTicker")
        case .hours4: name.isWritten("4hTicker")
        case .day1: name.isWritten("1dTicker")
        case nil: false
        }
    }

    @inline(__always)
    mutating func take(
        _ key: UInt8, _ cursor: inout JSONCursor, _ reader: borrowing FrameReader,
        _ notes: inout PayloadNotes
    ) throws(ScanError) {
        switch key {
        case UInt8(ascii: "p"): change = try cursor.readDecimal()
        case UInt8(ascii: "P"): changePercent = try cursor.readDecimal()
        case UInt8(ascii: "w"): weightedAverage = try cursor.readDecimal()
        case UInt8(ascii: "x"): previousClose = try cursor.readDecimal()
        case UInt8(ascii: "c"): last = try cursor.readDecimal()
        case UInt8(ascii: "Q"): lastQuantity = try cursor.readDecimal()
        case UInt8(ascii: "b"): bid = try cursor.readDecimal()
        case UInt8(ascii: "B"): bidQuantity = try cursor.readDecimal()
        case UInt8(ascii: "a"): ask = try cursor.readDecimal()
        case UInt8(ascii: "A"): askQuantity = try cursor.readDecimal()
        case UInt8(ascii: "o"): open = try cursor.readDecimal()
        case UInt8(ascii: "h"): high = try cursor.readDecimal()
        case UInt8(ascii: "l"): low = try cursor.readDecimal()
        case UInt8(ascii: "v"): volume = try cursor.readDecimal()
        case UInt8(ascii: "q"): quoteVolume = try cursor.readDecimal()
        case UInt8(ascii: "O"): openTime = try reader.readTime(&cursor)
        case UInt8(ascii: "C"): closeTime = try reader.readTime(&cursor)
        case UInt8(ascii: "F"): firstTradeID = try cursor.readInteger()
        case UInt8(ascii: "L"): lastTradeID = try cursor.readInteger()
        default: tradeCount = try cursor.readInteger()
        }
    }
}

extension MiniTicker: Payload {
    static var kind: EventKind { .miniTicker }
    static let keys = KeySet("cohlvq")
    static let required = KeySet("sohlc")
    static func isNamed(_ name: JSONString, variant: UInt8) -> Bool { name.isWritten("24hrMiniTicker") }

    @inline(__always)
    mutating func take(
        _ key: UInt8, _ cursor: inout JSONCursor, _ reader: borrowing FrameReader,
        _ notes: inout PayloadNotes
    ) throws(ScanError) {
        switch key {
        case UInt8(ascii: "c"): last = try cursor.readDecimal()
        case UInt8(ascii: "o"): open = try cursor.readDecimal()
        case UInt8(ascii: "h"): high = try cursor.readDecimal()
        case UInt8(ascii: "l"): low = try cursor.readDecimal()
        case UInt8(ascii: "v"): volume = try cursor.readDecimal()
        default: quoteVolume = try cursor.readDecimal()
        }
    }
}

extension FrameReader {
    @inline(never)
    func readTicker(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        try read(&cursor, source, &events) {
            (event: inout Ticker, key, cursor, notes) throws(ScanError) in
            try event.take(key, &cursor, self, &notes)
        }
    }

    @inline(never)
    func readMiniTicker(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        try read(&cursor, source, &events) {
            (event: inout MiniTicker, key, cursor, notes) throws(ScanError) in
            try event.take(key, &cursor, self, &notes)
        }
    }
}
