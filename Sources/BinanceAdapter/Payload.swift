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

/// Where a payload stands.
struct PayloadSource {
    let stream: UnsafePointer<StreamEntry>
    /// Whether the frame must end right behind it. Where not, the frame is known to be well-formed.
    let endsFrame: Bool
}

// MARK: - Dispatch

extension SpotReader {
    /// Reads one object of a stream and writes its event; nil where that went well. Where not, nothing was written,
    /// and the cursor stands where it failed.
    func readObject(
        _ cursor: inout JSONCursor, of source: PayloadSource, into events: inout EventWriter
    ) -> DeadLetterReason? {
        do throws(ScanError) {
            switch source.stream.pointee.kind {
            case .trade: return try readTrade(&cursor, source, &events)
            case .aggTrade: return try readAggTrade(&cursor, source, &events)
            case .kline: return try readKline(&cursor, source, &events)
            case .ticker: return try readTicker(&cursor, source, &events)
            case .miniTicker: return try readMiniTicker(&cursor, source, &events)
            case .bookTicker: return try readBookTicker(&cursor, source, &events)
            case .averagePrice: return try readAveragePrice(&cursor, source, &events)
            case .markPrice, .depth, .gap, .deadLetter: return .unknownShape
            }
        } catch {
            return DeadLetterReason(error)
        }
    }

    func header(_ stream: UnsafePointer<StreamEntry>, _ events: borrowing EventWriter) -> EventHeader {
        EventHeader(
            kind: stream.pointee.kind, variant: stream.pointee.variant, instrument: stream.pointee.instrument,
            receivedTime: events.receivedTime)
    }

    /// A time in the exchange's unit, as ns.
    @inline(__always)
    func readTime(_ cursor: inout JSONCursor) throws(ScanError) -> Int64 {
        let (nanos, isTooLate) = try cursor.readInteger().multipliedReportingOverflow(by: nanosPerUnit)
        guard !isTooLate else { throw .integer }
        return nanos
    }

    /// The event's own name must be what its stream's name promises.
    @inline(__always)
    func checkEvent(
        _ name: StaticString, _ keys: inout SeenKeys, _ cursor: inout JSONCursor
    ) throws(ScanError) {
        guard try keys.admit(UInt8(ascii: "e"), &cursor) else { return }
        guard try cursor.readString().isWritten(name) else { throw .wrongType }
    }

    /// The last of an event: the frame's end, where that is asked, and the symbol, mostly the stream's own.
    @inline(__always)
    func settle(
        _ symbol: JSONString, _ source: PayloadSource, _ header: inout EventHeader, _ cursor: inout JSONCursor
    ) throws(ScanError) -> DeadLetterReason? {
        if source.endsFrame {
            cursor.skipSpace()
            try cursor.expect(UInt8(ascii: "}"))
            try cursor.expectEnd()
        }
        let entry = source.stream.pointee
        if Int(entry.symbolLength) == symbol.count, entry.instrument != 0, !symbol.hasEscapes,
            Word.areEqual(symbol.start, streams.text + Int(entry.symbolOffset), count: symbol.count)
        {
            return nil
        }
        return intern(symbol, &header.instrument)
    }

    @inline(never)
    private func intern(_ symbol: JSONString, _ instrument: inout UInt32) -> DeadLetterReason? {
        withUnsafeTemporaryAllocation(byteCount: InstrumentTable.symbolLengthMax, alignment: 1) { room in
            var text = symbol.bytes
            if symbol.hasEscapes {
                guard let count = symbol.unescape(into: room) else { return .name }
                text = UnsafeRawBufferPointer(rebasing: room[..<count])
            }
            guard !text.isEmpty, text.count <= InstrumentTable.symbolLengthMax, SpotReader.isName(text) else {
                return .name
            }
            guard let index = instruments.intern(text, market: market) else { return .tooManyInstruments }
            instrument = index
            return nil
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
