import ByteScanning
import CKernel
import ExchangeAdapter
import MarketData
import Wire

/// Reads the frames of a Binance market's combined streams.
///
/// A frame is told by the name of its stream, then read by keys, in whatever order they come; keys that are not
/// known are skipped, and `null` is the same as absence. A frame with one object becomes one event or one dead
/// letter; of an array every readable element becomes an event and each other one a dead letter. Rows that say that
/// they belong to the other kind of futures are counted as ignored.
final class BinanceDecoder: FrameDecoder {
    private var reader: FrameReader
    /// The reader's, which counts no reference to it.
    private let instruments: InstrumentTable

    /// As many as ten frames have.
    private static var bytesAhead: Int { 2_048 }

    init(_ reader: FrameReader) {
        self.reader = reader
        instruments = reader.instruments
    }

    /// See ``FrameDecoder/update(streams:)``.
    func update(streams: [StreamPlan]) {
        let old = reader
        reader = FrameReader(
            streams: streams, of: old.rules, market: old.market, instruments: instruments,
            nanosPerUnit: old.nanosPerUnit)
        old.free()
    }

    deinit { reader.free() }

    /// See ``FrameDecoder/decode(_:from:into:)``.
    func decode(_ run: FrameRun, from first: Int, into events: inout EventWriter) -> Int {
        let reader = reader
        let count = Int(run.header.frameCount)
        guard first < count else { return 0 }
        return reader.layouts.isWide
            ? decodeAhead(reader, run, from: first, count: count, into: &events)
            : decode(reader, run, from: first, count: count, into: &events)
    }

    private func decode(
        _ reader: FrameReader, _ run: FrameRun, from first: Int, count: Int, into events: inout EventWriter
    ) -> Int {
        var index = first
        var guess = reader.layouts.guess(run.frame(first))
        var room = RoomForRun(run, from: first, in: &events)
        while index < count, room.isThere(for: run.slice(index), in: &events) {
            // The last frame stands for one behind it.
            let next = reader.layouts.guess(run.frame(min(index &+ 1, count &- 1)))
            reader.readOrSpeculate(run, index, guess: guess, into: &events)
            guess = next
            index &+= 1
        }
        return index &- first
    }

    /// The same where tables are large: the memory that a frame needs is asked for while those before it are read. Each
    /// step's address stands in what the step before asked for, so it is taken some frames later.
    ///
    /// What was decrypted of a long read is out of the nearest caches when it is parsed, and heads of frames out of their
    /// order keep the processor from seeing that it is read from front to end: about as much as a frame has is asked
    /// for with each.
    private func decodeAhead(
        _ reader: FrameReader, _ run: FrameRun, from first: Int, count: Int, into events: inout EventWriter
    ) -> Int {
        let last = count &- 1
        let layouts = reader.layouts
        var buckets = InlineArray<16, Int>(repeating: 0)
        var guesses = InlineArray<16, UnsafeRawPointer>(repeating: layouts.guess(run.frame(first)))
        for ahead in first...min(first &+ 11, last) {
            buckets[ahead & 15] = layouts.bucketAhead(run.frame(ahead))
        }
        for ahead in first...min(first &+ 7, last) {
            guesses[ahead & 15] = layouts.guessAhead(inBucket: buckets[ahead & 15])
        }
        var index = first
        var room = RoomForRun(run, from: first, in: &events)
        while index < count, room.isThere(for: run.slice(index), in: &events) {
            if let start = run.frame(index).baseAddress {
                for line in 0..<4 { ck_prefetch(start + BinanceDecoder.bytesAhead + line &* 64) }
            }
            // Behind the last frame it is the last one's again.
            buckets[(index &+ 12) & 15] = layouts.bucketAhead(run.frame(min(index &+ 12, last)))
            guesses[(index &+ 8) & 15] = layouts.guessAhead(inBucket: buckets[min(index &+ 8, last) & 15])
            let layout = LayoutTable.values(guesses[min(index &+ 4, last) & 15])
            events.askFor(stream: layout.stream, kind: layout.kind, instrument: layout.instrument)
            reader.readOrSpeculate(run, index, guess: guesses[index & 15], into: &events)
            index &+= 1
        }
        return index &- first
    }
}

/// Whether the ring has room for the events of a run: asked once for all frames where that is enough.
private struct RoomForRun {
    private var isForAll: Bool

    init(_ run: FrameRun, from first: Int, in events: inout EventWriter) {
        isForAll = events.hasRoom(
            forRunOf: Int(run.header.tableOffset), frames: Int(run.header.frameCount) &- first)
    }

    /// hot: whether the next frame may be read.
    @inline(__always)
    mutating func isThere(for slice: FrameSlice, in events: inout EventWriter) -> Bool {
        isForAll = isForAll && !events.isHolding
        return isForAll || events.hasRoom(forFrameOf: slice.length)
    }
}

/// What reading a frame needs, as a value: loops over it touch no class.
struct FrameReader {
    let streams: StreamTable
    let layouts: LayoutTable
    /// Kept by the decoder, so that a copy of this value counts no reference.
    unowned(unsafe) let instruments: InstrumentTable
    let rules: BinanceMarket
    /// See ``BinanceMarket/systemTag``.
    let systemTag: Int64
    /// Index of the market.
    let market: Int
    let nanosPerUnit: Int64
    /// The latest time whose nanoseconds fit 64 bits.
    let unitsMax: Int64

    /// Whoever makes one must ``free()`` it.
    init(
        streams: [StreamPlan], of rules: BinanceMarket, market: Int, instruments: InstrumentTable,
        nanosPerUnit: Int64
    ) {
        self.streams = StreamTable(streams, market: market, instruments: instruments)
        layouts = LayoutTable(streams, of: rules, market: market, instruments: instruments)
        self.instruments = instruments
        self.rules = rules
        systemTag = rules.systemTag
        self.market = market
        self.nanosPerUnit = nanosPerUnit
        unitsMax = Int64.max / nanosPerUnit
    }

    /// Gives the tables' memory back.
    func free() {
        streams.free()
        layouts.free()
    }

    /// hot: one frame of a run. `guess`: see ``LayoutTable/guess(_:)``.
    @inline(__always)
    func readOrSpeculate(
        _ run: FrameRun, _ index: Int, guess: UnsafeRawPointer, into events: inout EventWriter
    ) {
        let frame = run.frame(index)
        if run.slice(index).isBinary {
            events.deadLetter(frame, reason: .unknownShape, offset: 0, kind: nil)
        } else if !speculate(frame, guess: guess, into: &events) {
            read(frame, into: &events)
        }
    }

    /// One frame, however it is written. Room for all that it can become has been asked for.
    @inline(never)
    func read(_ frame: UnsafeRawBufferPointer, into events: inout EventWriter) {
        guard var cursor = JSONCursor(frame) else {
            return events.deadLetter(frame, reason: .malformed, offset: 0, kind: nil)
        }
        if readInOrder(cursor, into: &events) { return }
        let envelope: FrameEnvelope
        do throws(ScanError) {
            envelope = try FrameEnvelope(&cursor)
        } catch {
            return events.deadLetter(
                frame, reason: DeadLetterReason(error), offset: cursor.offset, kind: nil)
        }
        guard envelope.has(.stream), envelope.has(.data) else {
            if !answer(envelope, frame: frame, into: &events) {
                events.deadLetter(frame, reason: .unknownShape, offset: 0, kind: nil)
            }
            return
        }
        guard let stream = find(envelope.stream) else {
            if envelope.isShutdownStream {
                events.signals.append(.serverShutdown)
            } else {
                events.ignore()
            }
            return
        }
        events.stream = stream.pointee.id
        if stream.pointee.isArray {
            readArray(frame, at: envelope.data, of: stream, into: &events)
        } else {
            var payload = JSONCursor(start: cursor.start, at: envelope.data, end: cursor.end)
            let source = PayloadSource(stream: stream, endsFrame: false)
            if let reason = readObject(&payload, of: source, into: &events) {
                events.deadLetter(frame, reason: reason, offset: payload.offset, kind: stream.pointee.kind)
            }
        }
    }

    /// A frame whose name stands before its data, and nothing behind them, is read in one pass. False where it is
    /// another, or not readable: then nothing was written.
    private func readInOrder(_ frame: JSONCursor, into events: inout EventWriter) -> Bool {
        var cursor = frame
        do throws(ScanError) {
            guard try cursor.enterObject(), try cursor.readKey() == JSONKey("stream") else { return false }
            let name = try cursor.readString()
            guard try cursor.nextMember(), try cursor.readKey() == JSONKey("data") else { return false }
            if let stream = find(name) {
                events.stream = stream.pointee.id
                let source = PayloadSource(stream: stream, endsFrame: true)
                return !stream.pointee.isArray && readObject(&cursor, of: source, into: &events) == nil
            }
            guard !name.isWritten(FrameEnvelope.shutdownStream) else { return false }
            try cursor.skipValue()
            guard try !cursor.nextMember() else { return false }
            try cursor.expectEnd()
            events.ignore()
            return true
        } catch {
            return false
        }
    }

    private func find(_ name: JSONString) -> UnsafePointer<StreamEntry>? {
        guard name.hasEscapes else { return streams.find(name.start, count: name.count) }
        return withUnsafeTemporaryAllocation(byteCount: 256, alignment: 8) { room in
            guard let base = room.baseAddress,
                let count = name.unescape(
                    into: UnsafeMutableRawBufferPointer(start: base, count: 256 - JSONCursor.slack))
            else { return nil }
            return streams.find(base, count: count)
        }
    }

    /// The elements of a frame that is known to be well-formed.
    private func readArray(
        _ frame: UnsafeRawBufferPointer, at data: UnsafeRawPointer, of stream: UnsafePointer<StreamEntry>,
        into events: inout EventWriter
    ) {
        guard let base = frame.baseAddress else { return }
        let kind = stream.pointee.kind
        let source = PayloadSource(stream: stream, endsFrame: false)
        var cursor = JSONCursor(start: base, at: data, end: base + frame.count)
        do throws(ScanError) {
            guard try elementsFit(cursor, frameBytes: frame.count) else {
                return events.deadLetter(frame, reason: .unknownShape, offset: cursor.offset, kind: kind)
            }
            var more = try cursor.enterArray()
            while more {
                let first = cursor.at
                var element = JSONCursor(start: first, at: first, end: cursor.end)
                let reason = readObject(&element, of: source, into: &events)
                cursor.at = element.at
                if let reason {
                    cursor.at = first
                    try cursor.skipValue()
                    events.deadLetter(
                        UnsafeRawBufferPointer(start: first, count: cursor.at - first), reason: reason,
                        offset: element.offset, kind: kind)
                }
                more = try cursor.nextElement()
            }
        } catch {
            events.deadLetter(frame, reason: DeadLetterReason(error), offset: cursor.offset, kind: kind)
        }
    }

    /// Whether all that the elements can become fits in the room that was asked for. Only an array of many elements
    /// that are too short to be anything does not, because each takes a dead letter's header.
    private func elementsFit(_ array: JSONCursor, frameBytes: Int) throws(ScanError) -> Bool {
        var cursor = array
        var bytes = 0
        var more = try cursor.enterArray()
        while more {
            let first = cursor.at
            try cursor.skipValue()
            let deadLetter = MemoryLayout<DeadLetter>.stride + (cursor.at - first) + 16
            bytes += max(deadLetter, MemoryLayout<Ticker>.size + 16)
            more = try cursor.nextElement()
        }
        return bytes <= EventWriter.bound(forFrameOf: frameBytes)
    }
}

extension DeadLetterReason {
    init(_ error: ScanError) {
        switch error {
        case .malformed, .depth: self = .malformed
        case .wrongType: self = .wrongType
        case .decimal: self = .decimal
        case .integer: self = .integer
        }
    }
}
