import CKernel
import MarketData

/// The latest identities that were published of each instrument, kind and variant, for the kinds whose identities are
/// not contiguous. An event is a repeat exactly where its identity is among them; what was forgotten since counts as
/// new, so that nothing is taken for a repeat wrongly.
///
/// A block for each instrument, kind and variant, made with its first event. Order is not assumed: a newer identity
/// needs no search; a repeat is mostly found where its connection found the one before; everything else is searched.
@frozen @usableFromInline struct RecentEvents: ~Copyable {
    /// How many identities of best prices are remembered: a second of the busiest instrument.
    @usableFromInline static var narrowCapacity: Int { 1_024 }
    /// How many of all other kinds: at the most frequent ones' four a second, eight seconds.
    @usableFromInline static var wideCapacity: Int { 32 }

    /// What an identity comes to.
    @usableFromInline enum Finding {
        case new
        case known
    }

    @frozen @usableFromInline struct Header: BitwiseCopyable {
        /// The highest first word in the block.
        @usableFromInline var highest: Int64
        /// The first word of an entry of which is known when it came and on which connection, to tell by how much that
        /// one leads; `Int64.min`: none.
        @usableFromInline var probe: Int64
        @usableFromInline var received: Int64
        @usableFromInline var connection: UInt64
        /// Where the next entry goes.
        @usableFromInline var next: UInt32
        @usableFromInline var count: UInt32
        /// By member: where its next repeat is to be expected.
        @usableFromInline var cursors: SIMD4<UInt32>
    }

    /// By kind and variant, then instrument.
    @usableFromInline let blocks: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    @usableFromInline let instruments: Int

    /// Rows of `blocks`: 16 intervals, 4 windows, and a row for each other kind.
    @usableFromInline static var rows: Int { 24 }
    @usableFromInline static var headerBytes: Int { 64 }

    init(instrumentCapacity: Int) {
        instruments = instrumentCapacity + 1
        guard let memory = ck_zeroed(RecentEvents.rows * instruments, MemoryLayout<Int>.stride) else {
            preconditionFailure("no address space for \(instruments) instruments")
        }
        blocks = memory.bindMemory(
            to: UnsafeMutableRawPointer?.self, capacity: RecentEvents.rows * instruments)
    }

    // Inlinable because its owner is: the 6.3 optimizer aborts on a deinit that is not, inside one that is.
    @inlinable deinit { freeMemory() }

    @usableFromInline func freeMemory() {
        for index in 0..<RecentEvents.rows * instruments {
            if let block = blocks[index] { ck_zeroed_free(block) }
        }
        ck_zeroed_free(blocks)
    }

    /// The row of a kind whose identities are followed here.
    @inlinable static func row(_ kind: EventKind, variant: UInt8) -> Int {
        switch kind {
        case .kline: Int(variant & 15)
        case .ticker: 16 &+ Int(variant & 3)
        case .miniTicker: 20
        case .bookTicker: 21
        case .averagePrice: 22
        default: 23
        }
    }

    /// hot: what an identity of `words` words comes to; a new one is remembered.
    @inlinable func find(
        row: Int, instrument: UInt32, first: Int64, second: Int64, words: Int, capacity: Int,
        source: borrowing RunSource
    ) -> Finding {
        let cell = blocks + (row &* instruments &+ Int(instrument))
        let block = cell.pointee ?? make(cell, words: words, capacity: capacity)
        let header = block.assumingMemoryBound(to: Header.self)
        if first <= header.pointee.highest {
            let isKnown = search(
                block, first: first, second: second, words: words, capacity: capacity, member: source.member)
            if isKnown { return .known }
        } else {
            header.pointee.highest = first
        }
        let entry =
            (block + RecentEvents.headerBytes).assumingMemoryBound(to: Int64.self)
            + Int(header.pointee.next) &* words
        entry[0] = first
        if words == 2 { entry[1] = second }
        if header.pointee.probe == .min {
            header.pointee.probe = first
            header.pointee.received = source.receivedTime
            header.pointee.connection = source.connection
        }
        header.pointee.next = (header.pointee.next &+ 1) & UInt32(truncatingIfNeeded: capacity &- 1)
        if Int(header.pointee.count) < capacity {
            header.pointee.count &+= 1
        } else if header.pointee.next == 0 {
            settleHighest(block, words: words, capacity: capacity)
        }
        return .new
    }

    /// A repeat has come: when its first one had, and on which connection, where that is known and it was another leg.
    func lead(row: Int, instrument: UInt32, first: Int64, leg: Int) -> (received: Int64, connection: UInt64)?
    {
        guard let block = blocks[row * instruments + Int(instrument)] else { return nil }
        let header = block.assumingMemoryBound(to: Header.self)
        let probe = header.pointee.probe
        guard probe != .min, first >= probe, RunSource.leg(ofConnection: header.pointee.connection) != leg
        else { return nil }
        // The next one is measured; where this leg has skipped the one that was to be, that one is given up.
        header.pointee.probe = .min
        return first == probe ? (header.pointee.received, header.pointee.connection) : nil
    }

    /// Nothing of an instrument is remembered any longer.
    func forget(row: Int, instrument: UInt32) {
        guard let block = blocks[row * instruments + Int(instrument)] else { return }
        block.assumingMemoryBound(to: Header.self).pointee = RecentEvents.emptyHeader
    }

    private static var emptyHeader: Header {
        Header(highest: .min, probe: .min, received: 0, connection: 0, next: 0, count: 0, cursors: SIMD4())
    }

    @usableFromInline @inline(never)
    func make(
        _ cell: UnsafeMutablePointer<UnsafeMutableRawPointer?>, words: Int, capacity: Int
    ) -> UnsafeMutableRawPointer {
        guard let block = ck_zeroed(1, RecentEvents.headerBytes + capacity * words * 8) else {
            preconditionFailure("no memory to remember \(capacity) events")
        }
        block.initializeMemory(as: Header.self, to: RecentEvents.emptyHeader)
        cell.pointee = block
        return block
    }

    /// Whether an identity is among those remembered.
    @usableFromInline @inline(never)
    func search(
        _ block: UnsafeMutableRawPointer, first: Int64, second: Int64, words: Int, capacity: Int, member: Int
    ) -> Bool {
        let header = block.assumingMemoryBound(to: Header.self)
        let entries = (block + RecentEvents.headerBytes).assumingMemoryBound(to: Int64.self)
        let count = Int(header.pointee.count)
        func isThere(_ place: Int) -> Bool {
            entries[place * words] == first && (words == 1 || entries[place * words + 1] == second)
        }
        let cursor = Int(header.pointee.cursors[member])
        var found = cursor < count && isThere(cursor) ? cursor : -1
        if found < 0, words == 2 {
            // Few, and mostly none is it: faster without a branch for each.
            for place in 0..<count {
                let differs = (entries[place &* 2] ^ first) | (entries[place &* 2 &+ 1] ^ second)
                found = differs == 0 ? place : found
            }
        } else {
            var place = 0
            while found < 0, place < count {
                if isThere(place) { found = place }
                place += 1
            }
        }
        if found >= 0 { header.pointee.cursors[member] = UInt32((found + 1) & (capacity - 1)) }
        return found >= 0
    }

    /// Once a round: where the exchange counts anew, the old count's height is forgotten with its last entry.
    @usableFromInline @inline(never)
    func settleHighest(_ block: UnsafeMutableRawPointer, words: Int, capacity: Int) {
        let entries = (block + RecentEvents.headerBytes).assumingMemoryBound(to: Int64.self)
        var highest = Int64.min
        for place in 0..<capacity { highest = max(highest, entries[place * words]) }
        block.assumingMemoryBound(to: Header.self).pointee.highest = highest
    }
}
