import ByteScanning
import ExchangeAdapter
import MarketData

/// One subscribed stream, as the decoder needs it.
struct StreamEntry: BitwiseCopyable {
    /// Where the name lies in ``StreamTable/text``.
    var nameOffset: UInt32
    var nameLength: UInt32
    /// Where the symbol lies there; of length 0 for an all-market stream.
    var symbolOffset: UInt32
    var symbolLength: UInt32
    /// Index of the symbol; 0 for an all-market stream, or where the instrument table was full.
    var instrument: UInt32
    var kind: EventKind
    var variant: UInt8
    /// Whether its payloads are arrays.
    var isArray: Bool
    /// The stream's index in the lane.
    var id: UInt32
}

/// The subscribed streams by name: open addressing, never changed once made. Raw memory, so that reading it costs
/// neither retains nor exclusivity checks; whoever makes it must ``free()`` it.
struct StreamTable: BitwiseCopyable {
    private let entries: UnsafeMutablePointer<StreamEntry>
    private let buckets: UnsafeMutablePointer<UInt32>
    private let mask: UInt64
    /// Names and symbols, with room behind them for loads of whole words.
    let text: UnsafeMutableRawPointer

    /// A table of `streams`; their symbols are interned.
    init(_ streams: [StreamPlan], market: Int, instruments: InstrumentTable) {
        var bytes: [UInt8] = []
        var made: [StreamEntry] = []
        for stream in streams {
            let name = Array(stream.name.utf8)
            let symbol = Array((stream.symbol ?? "").utf8)
            made.append(
                StreamEntry(
                    nameOffset: UInt32(bytes.count), nameLength: UInt32(name.count),
                    symbolOffset: UInt32(bytes.count + name.count), symbolLength: UInt32(symbol.count),
                    instrument: stream.symbol.flatMap { instruments.intern($0, market: market) } ?? 0,
                    kind: stream.kind, variant: stream.variant,
                    isArray: stream.symbol == nil && stream.name.contains("@arr"), id: stream.id))
            bytes += name + symbol
        }
        text = .allocate(byteCount: bytes.count + JSONCursor.slack, alignment: 64)
        text.initializeMemory(as: UInt8.self, repeating: 0, count: bytes.count + JSONCursor.slack)
        for (index, byte) in bytes.enumerated() {
            text.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
        }
        entries = .allocate(capacity: max(1, made.count))
        var size = 16
        while size < made.count * 4 { size *= 2 }
        buckets = .allocate(capacity: size)
        buckets.initialize(repeating: 0, count: size)
        mask = UInt64(size - 1)
        for (index, entry) in made.enumerated() {
            (entries + index).initialize(to: entry)
            let name = UnsafeRawPointer(text + Int(entry.nameOffset))
            if find(name, count: Int(entry.nameLength)) != nil { continue }
            var slot = StreamTable.hash(name, count: Int(entry.nameLength)) & mask
            while buckets[Int(slot)] != 0 { slot = (slot + 1) & mask }
            buckets[Int(slot)] = UInt32(index + 1)
        }
    }

    /// Gives the memory back.
    func free() {
        text.deallocate()
        entries.deallocate()
        buckets.deallocate()
    }

    /// The stream of that name. Up to 7 bytes past the name are read.
    @inline(__always)
    func find(_ name: UnsafeRawPointer, count: Int) -> UnsafePointer<StreamEntry>? {
        var slot = StreamTable.hash(name, count: count) & mask
        while true {
            let index = buckets[Int(truncatingIfNeeded: slot)]
            guard index != 0 else { return nil }
            let entry = entries + Int(truncatingIfNeeded: index &- 1)
            if Int(entry.pointee.nameLength) == count,
                Word.areEqual(name, text + Int(entry.pointee.nameOffset), count: count)
            {
                return UnsafePointer(entry)
            }
            slot = (slot &+ 1) & mask
        }
    }

    /// Begin, middle and end of the name, mixed: names mostly differ in one of them.
    @inline(__always)
    private static func hash(_ name: UnsafeRawPointer, count: Int) -> UInt64 {
        guard count >= 8 else { return mix(Word.prefix(Word.load(name), count) ^ UInt64(count)) }
        let first = Word.load(name)
        let middle = Word.load(name + (count &>> 1 &- 4))
        let last = Word.load(name + (count &- 8))
        return mix(
            first ^ (middle &* 0x9E37_79B9_7F4A_7C15) ^ (last &* 0xC2B2_AE3D_27D4_EB4F) ^ UInt64(count))
    }

    @inline(__always)
    private static func mix(_ word: UInt64) -> UInt64 {
        let product = word &* 0xFF51_AFD7_ED55_8CCD
        return product ^ product &>> 32
    }
}
