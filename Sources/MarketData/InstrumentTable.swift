/// One instrument of one market.
public struct Instrument: Sendable, Hashable {
    /// The adapter's market: `binance`, `binance-usdm`, …
    public let exchange: String
    /// The exchange's own spelling, UTF-8.
    public let symbol: String

    /// An instrument.
    public init(exchange: String, symbol: String) {
        self.exchange = exchange
        self.symbol = symbol
    }
}

/// The instruments of one lane, by index. Append-only and of fixed capacity, so that entries never move.
///
/// One thread appends (the composition root before the lane starts, then the parser thread); others read entries
/// whose index reached them through a ring, which orders the memory. Index 0 is no instrument.
public final class InstrumentTable: @unchecked Sendable {
    /// The longest symbol, in bytes of UTF-8.
    public static let symbolLengthMax = 60

    @usableFromInline struct Entry {
        @usableFromInline var length: UInt16
        @usableFromInline var market: UInt16
        @usableFromInline var hash: UInt32
        // 60 bytes of symbol follow.
    }
    @usableFromInline static var entrySize: Int { 72 }

    /// Most instruments that fit.
    public let capacity: Int
    /// Exchange names, by market index.
    public let exchanges: [String]
    @usableFromInline let entries: UnsafeMutableRawPointer
    @usableFromInline let buckets: UnsafeMutablePointer<UInt32>
    @usableFromInline let bucketMask: UInt32
    @usableFromInline var used: UInt32 = 1

    /// A table for instruments of `exchanges` (market 0, 1, …). Memory is touched only as it is used.
    public init(exchanges: [String], capacity: Int = 65_536) {
        self.exchanges = exchanges
        self.capacity = capacity
        entries = .allocate(byteCount: (capacity + 1) * InstrumentTable.entrySize, alignment: 64)
        let size = (capacity * 2).nextPowerOfTwo
        buckets = .allocate(capacity: size)
        buckets.initialize(repeating: 0, count: size)
        bucketMask = UInt32(size - 1)
    }

    deinit {
        entries.deallocate()
        buckets.deallocate()
    }

    /// How many instruments there are. For the appending thread.
    public var count: Int { Int(used) - 1 }

    @inlinable static func hash(_ symbol: UnsafeRawBufferPointer, market: Int) -> UInt32 {
        // FNV-1a, 32 bits: symbols are short.
        var hash: UInt32 = 2_166_136_261 ^ UInt32(truncatingIfNeeded: market)
        for byte in symbol { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        return hash ^ hash >> 15
    }

    /// The index of a symbol, entered if it is new; nil where the symbol is empty or too long or the table full.
    @inlinable public func intern(_ symbol: UnsafeRawBufferPointer, market: Int) -> UInt32? {
        guard symbol.count > 0, symbol.count <= InstrumentTable.symbolLengthMax else { return nil }
        let hash = InstrumentTable.hash(symbol, market: market)
        var slot = hash & bucketMask
        while true {
            let index = buckets[Int(slot)]
            if index == 0 { return append(symbol, market: market, hash: hash, slot: slot) }
            if matches(index, symbol, market: market, hash: hash) { return index }
            slot = (slot &+ 1) & bucketMask
        }
    }

    /// As ``intern(_:market:)``, for set-up.
    public func intern(_ symbol: String, market: Int) -> UInt32? {
        var symbol = symbol
        return symbol.withUTF8 { intern(UnsafeRawBufferPointer($0), market: market) }
    }

    /// Whether entry `index` is that symbol.
    @inlinable public func isSymbol(_ symbol: UnsafeRawBufferPointer, at index: UInt32) -> Bool {
        let held = self.symbol(at: index)
        guard held.count == symbol.count else { return false }
        for position in 0..<symbol.count where held[position] != symbol[position] { return false }
        return true
    }

    @inlinable func matches(_ index: UInt32, _ symbol: UnsafeRawBufferPointer, market: Int, hash: UInt32)
        -> Bool
    {
        let entry = entry(index).pointee
        return entry.hash == hash && Int(entry.market) == market && isSymbol(symbol, at: index)
    }

    @inlinable func entry(_ index: UInt32) -> UnsafeMutablePointer<Entry> {
        (entries + Int(index) &* InstrumentTable.entrySize).assumingMemoryBound(to: Entry.self)
    }

    /// The symbol's bytes.
    @inlinable public func symbol(at index: UInt32) -> UnsafeRawBufferPointer {
        let entry = entry(index)
        return UnsafeRawBufferPointer(
            start: UnsafeRawPointer(entry) + MemoryLayout<Entry>.size, count: Int(entry.pointee.length))
    }

    /// The market's index in ``exchanges``.
    @inlinable public func market(at index: UInt32) -> Int { Int(entry(index).pointee.market) }

    /// The entry as a value.
    public func instrument(at index: UInt32) -> Instrument {
        Instrument(
            exchange: exchanges[market(at: index)], symbol: String(decoding: symbol(at: index), as: UTF8.self)
        )
    }

    @usableFromInline @inline(never)
    func append(_ symbol: UnsafeRawBufferPointer, market: Int, hash: UInt32, slot: UInt32) -> UInt32? {
        guard Int(used) <= capacity else { return nil }
        let index = used
        let entry = entry(index)
        entry.pointee = Entry(length: UInt16(symbol.count), market: UInt16(market), hash: hash)
        (UnsafeMutableRawPointer(entry) + MemoryLayout<Entry>.size).copyMemory(
            from: symbol.baseAddress ?? UnsafeRawPointer(entry), byteCount: symbol.count)
        buckets[Int(slot)] = index
        used += 1
        return index
    }
}

extension Int {
    fileprivate var nextPowerOfTwo: Int { 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount) }
}
