import ByteScanning
import ExchangeAdapter
import MarketData

/// Which one-letter keys of an object were there.
struct SeenKeys {
    private var seen: UInt64 = 0
    private var present: UInt64 = 0

    @inline(__always)
    private static func bit(_ letter: UInt8) -> UInt64 { 1 &<< UInt64(letter &- 0x41) }

    /// Before a known key's value (letters A…z). False: the value is `null`, which is taken, and means absence.
    /// A key that comes twice leaves open which one counts.
    @inline(__always)
    mutating func admit(_ letter: UInt8, _ cursor: inout JSONCursor) throws(ScanError) -> Bool {
        let bit = SeenKeys.bit(letter)
        guard seen & bit == 0 else { throw .malformed }
        seen |= bit
        if cursor.takeNull() { return false }
        present |= bit
        return true
    }

    /// Whether all of these letters were there with a value.
    @inline(__always)
    func hasAll(_ letters: StaticString) -> Bool {
        var wanted: UInt64 = 0
        for index in 0..<letters.utf8CodeUnitCount { wanted |= SeenKeys.bit(letters.utf8Start[index]) }
        return present & wanted == wanted
    }

    @inline(__always)
    func has(_ letter: UInt8) -> Bool { present & SeenKeys.bit(letter) != 0 }
}

/// What a payload's symbol came to.
private enum Found {
    case instrument(UInt32)
    case not(DeadLetterReason)
}

// MARK: - Dispatch

extension SpotReader {
    /// Reads one object of a stream and writes its event; nil where that went well. Where not, nothing was written,
    /// and the cursor stands where it failed.
    func readObject(
        _ cursor: inout JSONCursor, of stream: UnsafePointer<StreamEntry>, into events: inout EventWriter
    ) -> DeadLetterReason? {
        do throws(ScanError) {
            switch stream.pointee.kind {
            case .trade: return try readTrade(&cursor, stream, &events)
            case .aggTrade: return try readAggTrade(&cursor, stream, &events)
            case .kline: return try readKline(&cursor, stream, &events)
            case .ticker: return try readTicker(&cursor, stream, &events)
            case .miniTicker: return try readMiniTicker(&cursor, stream, &events)
            case .bookTicker: return try readBookTicker(&cursor, stream, &events)
            case .averagePrice: return try readAveragePrice(&cursor, stream, &events)
            case .markPrice, .depth, .gap, .deadLetter: return .unknownShape
            }
        } catch {
            return DeadLetterReason(error)
        }
    }

    private func header(_ stream: UnsafePointer<StreamEntry>, _ events: borrowing EventWriter) -> EventHeader
    {
        EventHeader(
            kind: stream.pointee.kind, variant: stream.pointee.variant, instrument: stream.pointee.instrument,
            receivedTime: events.receivedTime)
    }

    /// A time in the exchange's unit, as ns.
    @inline(__always)
    private func readTime(_ cursor: inout JSONCursor) throws(ScanError) -> Int64 {
        let (nanos, isTooLate) = try cursor.readInteger().multipliedReportingOverflow(by: nanosPerUnit)
        guard !isTooLate else { throw .integer }
        return nanos
    }

    /// The event's own name must be what its stream's name promises.
    @inline(__always)
    private func checkEvent(
        _ name: StaticString, _ keys: inout SeenKeys, _ cursor: inout JSONCursor
    ) throws(ScanError) {
        guard try keys.admit(UInt8(ascii: "e"), &cursor) else { return }
        guard try cursor.readString().isWritten(name) else { throw .wrongType }
    }

    /// The instrument of a symbol: mostly the stream's own.
    @inline(__always)
    private func find(_ symbol: JSONString, _ stream: UnsafePointer<StreamEntry>) -> Found {
        let entry = stream.pointee
        if Int(entry.symbolLength) == symbol.count, entry.instrument != 0, !symbol.hasEscapes,
            Word.areEqual(symbol.start, streams.text + Int(entry.symbolOffset), count: symbol.count)
        {
            return .instrument(entry.instrument)
        }
        return intern(symbol)
    }

    @inline(never)
    private func intern(_ symbol: JSONString) -> Found {
        withUnsafeTemporaryAllocation(byteCount: InstrumentTable.symbolLengthMax, alignment: 1) { room in
            var text = symbol.bytes
            if symbol.hasEscapes {
                guard let count = symbol.unescape(into: room) else { return .not(.name) }
                text = UnsafeRawBufferPointer(rebasing: room[..<count])
            }
            guard !text.isEmpty, text.count <= InstrumentTable.symbolLengthMax, SpotReader.isName(text) else {
                return .not(.name)
            }
            guard let index = instruments.intern(text, market: market) else {
                return .not(.tooManyInstruments)
            }
            return .instrument(index)
        }
    }

    /// UTF-8 without what a symbol in a topic's name, an attribute or a line of a log could do harm with.
    private static func isName(_ text: UnsafeRawBufferPointer) -> Bool {
        var isASCII = true
        for byte in text {
            if byte <= 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte == 0x7F {
                return false
            }
            isASCII = isASCII && byte < 0x80
        }
        return isASCII || String(validating: text, as: UTF8.self) != nil
    }
}

// MARK: - Trades

extension SpotReader {
    private func readTrade(
        _ cursor: inout JSONCursor, _ stream: UnsafePointer<StreamEntry>, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        let event = events.begin(Trade.self)
        event.initialize(to: Trade(header: header(stream, events)))
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
        switch find(symbol, stream) {
        case .instrument(let index): event.pointee.header.instrument = index
        case .not(let reason): return reason
        }
        events.end(Trade.self, kind: .trade)
        return nil
    }

    private func readAggTrade(
        _ cursor: inout JSONCursor, _ stream: UnsafePointer<StreamEntry>, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        let event = events.begin(AggTrade.self)
        event.initialize(to: AggTrade(header: header(stream, events)))
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
        switch find(symbol, stream) {
        case .instrument(let index): event.pointee.header.instrument = index
        case .not(let reason): return reason
        }
        events.end(AggTrade.self, kind: .aggTrade)
        return nil
    }
}

// MARK: - Klines

extension SpotReader {
    private func readKline(
        _ cursor: inout JSONCursor, _ stream: UnsafePointer<StreamEntry>, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        let event = events.begin(Kline.self)
        event.initialize(to: Kline(header: header(stream, events)))
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
        switch find(symbol, stream) {
        case .instrument(let index): event.pointee.header.instrument = index
        case .not(let reason): return reason
        }
        if bar.has(UInt8(ascii: "s")) {
            // Two symbols that differ leave open whose bar it is.
            guard symbol.count == barSymbol.count,
                Word.areEqual(symbol.start, barSymbol.start, count: symbol.count)
            else { return .name }
        }
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

// MARK: - Tickers

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

    private func readTicker(
        _ cursor: inout JSONCursor, _ stream: UnsafePointer<StreamEntry>, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        let event = events.begin(Ticker.self)
        event.initialize(to: Ticker(header: header(stream, events)))
        var keys = SeenKeys()
        var symbol = JSONString(start: cursor.at, count: 0, hasEscapes: false)
        var more = try cursor.enterObject()
        while more {
            let key = try cursor.readKey().single
            switch key {
            case UInt8(ascii: "e"): try checkTickerEvent(stream.pointee.variant, &keys, &cursor)
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
        switch find(symbol, stream) {
        case .instrument(let index): event.pointee.header.instrument = index
        case .not(let reason): return reason
        }
        events.end(Ticker.self, kind: .ticker)
        return nil
    }

    private func readMiniTicker(
        _ cursor: inout JSONCursor, _ stream: UnsafePointer<StreamEntry>, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        let event = events.begin(MiniTicker.self)
        event.initialize(to: MiniTicker(header: header(stream, events)))
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
        switch find(symbol, stream) {
        case .instrument(let index): event.pointee.header.instrument = index
        case .not(let reason): return reason
        }
        events.end(MiniTicker.self, kind: .miniTicker)
        return nil
    }
}

// MARK: - Best prices and averages

extension SpotReader {
    private func readBookTicker(
        _ cursor: inout JSONCursor, _ stream: UnsafePointer<StreamEntry>, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        let event = events.begin(BookTicker.self)
        event.initialize(to: BookTicker(header: header(stream, events)))
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
        switch find(symbol, stream) {
        case .instrument(let index): event.pointee.header.instrument = index
        case .not(let reason): return reason
        }
        events.end(BookTicker.self, kind: .bookTicker)
        return nil
    }

    private func readAveragePrice(
        _ cursor: inout JSONCursor, _ stream: UnsafePointer<StreamEntry>, _ events: inout EventWriter
    ) throws(ScanError) -> DeadLetterReason? {
        let event = events.begin(AveragePrice.self)
        event.initialize(to: AveragePrice(header: header(stream, events)))
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
        switch find(symbol, stream) {
        case .instrument(let index): event.pointee.header.instrument = index
        case .not(let reason): return reason
        }
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
