import ByteScanning
import ExchangeAdapter
import MarketData

/// Keys of an object that mean something here: all of one letter, and two of two. Each has a code: a letter's own
/// (`A` … `z`), or one of those below.
struct KeySet: BitwiseCopyable {
    /// `st`: which kind of futures a row is of.
    static var system: UInt8 { 0x7B }
    /// `ap`: averaged mark price.
    static var averageMark: UInt8 { 0x7C }

    /// What all events may have.
    static let common = KeySet("eEs")
    /// What all events of futures may have; the last one is ``system``.
    static let commonOfFutures = KeySet("eEs{")

    private var bits: UInt64

    /// None.
    @inline(__always)
    init() { bits = 0 }

    /// The keys of these codes. Not folded into a constant where they are many: to be kept, not to be made each time.
    init(_ letters: StaticString) {
        bits = 0
        for index in 0..<letters.utf8CodeUnitCount { bits |= KeySet.bit(letters.utf8Start[index]) }
    }

    @inline(__always)
    private static func bit(_ code: UInt8) -> UInt64 { 1 &<< UInt64(code &- 0x41) }

    /// A key's code; 0, which no set contains, for all others.
    @inline(__always)
    static func code(of key: JSONKey) -> UInt8 {
        let letter = key.single
        if letter &- 0x41 < 58 { return letter }
        if key == JSONKey("st") { return system }
        return key == JSONKey("ap") ? averageMark : 0
    }

    @inline(__always)
    func contains(_ code: UInt8) -> Bool { code != 0 && bits & KeySet.bit(code) != 0 }

    @inline(__always)
    func contains(_ others: KeySet) -> Bool { bits & others.bits == others.bits }

    @inline(__always)
    mutating func insert(_ code: UInt8) { bits |= KeySet.bit(code) }

    @inline(__always)
    mutating func insert(_ others: KeySet) { bits |= others.bits }
}

/// Which known keys of an object were there.
struct SeenKeys: BitwiseCopyable {
    private var seen = KeySet()
    /// Those with a value.
    private(set) var present = KeySet()

    /// Before a known key's value. False: the value is `null`, which is taken, and means absence. A key that comes
    /// twice leaves open which one counts.
    @inline(__always)
    mutating func admit(_ code: UInt8, _ cursor: inout JSONCursor) throws(ScanError) -> Bool {
        guard !seen.contains(code) else { throw .malformed }
        seen.insert(code)
        if cursor.takeNull() { return false }
        present.insert(code)
        return true
    }
}

/// What is noted of a payload beside its event's fields.
struct PayloadNotes {
    /// `s`.
    var symbol: JSONString
    /// `st`; 0 where it was not there.
    var system: Int64 = 0
    /// The symbol in a kline's bar; nil where it was not there.
    var barSymbol: JSONString?
    /// Whether an inner object has not all of its keys.
    var lacksKeys = false
}

/// An event as it stands in an object of its stream: which keys it knows and which it needs. `e`, `E`, `s` and `st` are
/// the same for all.
protocol Payload: BitwiseCopyable {
    static var kind: EventKind { get }
    /// The known ones.
    static var keys: KeySet { get }
    /// The known ones of futures.
    static var futuresKeys: KeySet { get }
    /// Those without which it is no event, the symbol among them.
    static var required: KeySet { get }
    /// Whether an event that says in `e` that it is `name` is one.
    static func isNamed(_ name: JSONString, variant: UInt8) -> Bool

    init(header: EventHeader)
    var header: EventHeader { get set }
}

extension Payload {
    static var futuresKeys: KeySet { keys }
}

/// Where a payload stands.
struct PayloadSource {
    let stream: UnsafePointer<StreamEntry>
    /// Whether the frame must end right behind it. Where not, the frame is known to be well-formed.
    let endsFrame: Bool
}

extension FrameReader {
    /// Reads one object of a stream and writes its event; nil where that went well, or where it is another market's.
    /// Where not, nothing was written, and the cursor stands where it failed.
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
            case .markPrice: return try readMarkPrice(&cursor, source, &events)
            case .depth, .gap, .deadLetter: return .unknownShape
            }
        } catch {
            return DeadLetterReason(error)
        }
    }

    /// Reads an object whose known keys' values go where `take` says.
    ///
    /// Inlined into one function for each kind of event, where `take` goes in line too: as a requirement of ``Payload``
    /// it would be a call for each key, which was measured to cost a quarter of the time.
    @inline(__always)
    func read<Event: Payload>(
        _ cursor: inout JSONCursor, _ source: PayloadSource, _ events: inout EventWriter,
        _ take: (inout Event, UInt8, inout JSONCursor, inout PayloadNotes) throws(ScanError) -> Void
    ) throws(ScanError) -> DeadLetterReason? {
        let entry = source.stream.pointee
        let event = events.begin(Event.self)
        event.initialize(
            to: Event(
                header: EventHeader(
                    kind: entry.kind, variant: entry.variant, instrument: entry.instrument,
                    receivedTime: events.receivedTime)))
        var known = systemTag == 0 ? Event.keys : Event.futuresKeys
        known.insert(systemTag == 0 ? KeySet.common : KeySet.commonOfFutures)
        var keys = SeenKeys()
        var notes = PayloadNotes(symbol: JSONString(start: cursor.at, count: 0, hasEscapes: false))
        var more = try cursor.enterObject()
        while more {
            let key = KeySet.code(of: try cursor.readKey())
            if !known.contains(key) {
                try cursor.skipValue()
            } else if try keys.admit(key, &cursor) {
                switch key {
                case UInt8(ascii: "e"):
                    guard Event.isNamed(try cursor.readString(), variant: entry.variant) else {
                        throw .wrongType
                    }
                case UInt8(ascii: "E"): event.pointee.header.eventTime = try readTime(&cursor)
                case UInt8(ascii: "s"): notes.symbol = try cursor.readString()
                case KeySet.system: notes.system = try cursor.readInteger()
                default: try take(&event.pointee, key, &cursor, &notes)
                }
            }
            more = try cursor.nextMember()
        }
        if keys.present.contains(KeySet.system), notes.system != systemTag {
            try endFrame(source, &cursor)
            events.ignore()
            return nil
        }
        guard keys.present.contains(Event.required), !notes.lacksKeys else { return .missingKey }
        if let bar = notes.barSymbol {
            // Two symbols that differ leave open whose bar it is.
            guard bar.count == notes.symbol.count,
                Word.areEqual(bar.start, notes.symbol.start, count: bar.count)
            else { return .name }
        }
        try endFrame(source, &cursor)
        if let reason = settle(notes.symbol, entry, &event.pointee.header) { return reason }
        events.end(Event.self, kind: Event.kind)
        return nil
    }

    /// The frame's end, where that is asked.
    @inline(__always)
    private func endFrame(_ source: PayloadSource, _ cursor: inout JSONCursor) throws(ScanError) {
        guard source.endsFrame else { return }
        cursor.skipSpace()
        try cursor.expect(UInt8(ascii: "}"))
        try cursor.expectEnd()
    }

    /// A time in the exchange's unit, as ns.
    @inline(__always)
    func readTime(_ cursor: inout JSONCursor) throws(ScanError) -> Int64 {
        let (nanos, isTooLate) = try cursor.readInteger().multipliedReportingOverflow(by: nanosPerUnit)
        guard !isTooLate else { throw .integer }
        return nanos
    }

    /// The event's instrument: mostly the stream's own.
    @inline(__always)
    private func settle(
        _ symbol: JSONString, _ entry: StreamEntry, _ header: inout EventHeader
    ) -> DeadLetterReason? {
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
            guard !text.isEmpty, text.count <= InstrumentTable.symbolLengthMax, FrameReader.isName(text)
            else { return .name }
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
