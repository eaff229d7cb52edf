import CKernel
import MarketData

/// Events that wait for ids before them, and the sequences that they belong to: a pool of fixed size, so that waiting
/// never allocates. Indices into it count from 1; 0 is none.
@frozen @usableFromInline struct HeldEvents: ~Copyable {
    /// Events that fit: at 50,000 trades a second those of 80 ms.
    static let capacity = 4_096
    /// How long an event waits, ns: several times what hosts of one exchange differ by.
    static let patience: Int64 = 250_000_000
    /// The largest event that can wait.
    static let eventBytes = 160

    struct Entry: BitwiseCopyable {
        var id: Int64
        var time: Int64
        /// When it came, monotonic ns.
        var heldAt: Int64
        var next: UInt32
        /// Bytes of the event, which follows.
        var size: UInt16
        var cause: GapCause
        var connection: UInt64
    }

    private let entries: UnsafeMutableRawPointer
    /// Sequences that wait, in no order.
    private let waiting: UnsafeMutablePointer<UInt32>
    /// Sequences that wait.
    @usableFromInline var sequenceCount = 0
    /// Events that wait.
    private(set) var eventCount = 0
    /// Before this no deadline passes, monotonic ns.
    var earliest = Int64.max
    /// Whether some of the events may go on at once.
    var hasReleased = false
    private var free: UInt32 = 0
    private var untouched: UInt32 = 1

    private static let stride = (MemoryLayout<Entry>.size + 7) / 8 * 8 + eventBytes

    init() {
        guard let entries = ck_zeroed(HeldEvents.capacity, HeldEvents.stride),
            let waiting = ck_zeroed(HeldEvents.capacity, MemoryLayout<UInt32>.stride)
        else { preconditionFailure("no address space for \(HeldEvents.capacity) events that wait") }
        self.entries = entries
        self.waiting = waiting.bindMemory(to: UInt32.self, capacity: HeldEvents.capacity)
    }

    // Inlinable because its owner is: the 6.3 optimizer aborts on a deinit that is not, inside one that is.
    @inlinable deinit { freeMemory() }

    @usableFromInline func freeMemory() {
        ck_zeroed_free(entries)
        ck_zeroed_free(waiting)
    }

    /// Events that still fit.
    var room: Int { HeldEvents.capacity - eventCount }

    subscript(_ index: UInt32) -> UnsafeMutablePointer<Entry> {
        (entries + Int(index - 1) * HeldEvents.stride).assumingMemoryBound(to: Entry.self)
    }

    func event(_ index: UInt32) -> UnsafeMutableRawPointer {
        entries + Int(index - 1) * HeldEvents.stride + (HeldEvents.stride - HeldEvents.eventBytes)
    }

    /// A copy of an event; 0 where the pool is full.
    mutating func take(_ entry: Entry, event: UnsafeRawPointer) -> UInt32 {
        guard eventCount < HeldEvents.capacity else { return 0 }
        precondition(Int(entry.size) <= HeldEvents.eventBytes, "an event too large to wait")
        var index = free
        if index != 0 {
            free = self[index].pointee.next
        } else {
            index = untouched
            untouched += 1
        }
        eventCount += 1
        self[index].initialize(to: entry)
        self.event(index).copyMemory(from: event, byteCount: Int(entry.size))
        return index
    }

    mutating func giveBack(_ index: UInt32) {
        self[index].pointee.next = free
        free = index
        eventCount -= 1
    }

    // MARK: Sequences that wait

    /// Puts a sequence on the list; returns its place.
    mutating func add(sequence: Int) -> UInt32 {
        waiting[sequenceCount] = UInt32(sequence)
        sequenceCount += 1
        return UInt32(sequenceCount - 1)
    }

    /// Takes the sequence at a place off the list; returns which one has that place now, nil where none.
    mutating func removeSequence(at place: UInt32) -> Int? {
        sequenceCount -= 1
        guard Int(place) < sequenceCount else { return nil }
        waiting[Int(place)] = waiting[sequenceCount]
        return Int(waiting[Int(place)])
    }

    func sequence(at place: Int) -> Int { Int(waiting[place]) }
}
