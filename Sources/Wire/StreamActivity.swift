import CKernel
import Synchronization

/// When each stream last brought data, on each connection that carries it: written by the parser thread for every
/// market payload, read by the I/O thread's watchdogs. Pings, acknowledgements and unreadable frames leave no trace
/// here: only market payloads count as life.
///
/// A cell for each stream and member. A *member* is one of the four connections that may carry a stream at once:
/// `leg * 2 + side`, where `side` tells a slot's two connections apart while one hands over to the other.
///
/// Silences are remembered for one to two days: markets have the rhythm of a day, so a silence that belongs to it comes
/// again within ``windowNanos``, and one that was an outage is forgotten. The maximum is kept of the window at hand and of
/// the one before, which costs a comparison for each payload and no list.
public final class StreamActivity: @unchecked Sendable {
    // One writer of each word, and loads and stores are relaxed: plain moves. Raw memory, so that writing costs neither
    // retains nor exclusivity checks. A reader may see one word of a cell before the others.

    /// What is known of one stream on one member.
    public struct Cell: Sendable, Equatable {
        /// The generation of the member's connection that these figures are of.
        public var generation: UInt32
        /// The first payload of this generation, monotonic ns; 0: none yet.
        public var first: Int64
        /// The latest payload, monotonic ns; 0: none yet.
        public var last: Int64
        /// Payloads of this generation.
        public var count: Int64
    }

    /// Where the words of a cell stand; as many as a cache line holds.
    @usableFromInline enum Word {
        @usableFromInline static let generation = 0
        @usableFromInline static let last = 1
        @usableFromInline static let count = 2
        /// The longest silence of the window at hand.
        @usableFromInline static let longest = 3
        /// When the window at hand ends.
        @usableFromInline static let windowEnd = 4
        /// Written by the I/O thread: the silence that began with this payload is no habit.
        @usableFromInline static let excused = 5
        @usableFromInline static let first = 6
        /// The longest silence of the window before.
        @usableFromInline static let longestBefore = 7
        @usableFromInline static let all = 8
    }

    /// Members that a stream has.
    @inlinable public static var members: Int { 4 }
    /// After one to two of these a silence is forgotten, ns: a day.
    public static let windowNanos: Int64 = 86_400_000_000_000
    /// Streams that there is room for.
    public let capacity: Int
    @usableFromInline let cells: UnsafeMutablePointer<Atomic<Int64>>

    /// All silent. Memory is touched only as streams come to life.
    public init(capacity: Int) {
        let count = max(1, capacity) * StreamActivity.members * Word.all
        guard let memory = ck_pages(count * MemoryLayout<Int64>.stride) else {
            preconditionFailure("no address space for \(count) words")
        }
        self.capacity = max(1, capacity)
        cells = memory.bindMemory(to: Atomic<Int64>.self, capacity: count)
    }

    deinit {
        ck_pages_free(cells, capacity * StreamActivity.members * Word.all * MemoryLayout<Int64>.stride)
    }

    @inlinable func cell(_ stream: UInt32, _ member: Int) -> UnsafeMutablePointer<Atomic<Int64>> {
        cells + (Int(stream) &* StreamActivity.members &+ member) &* Word.all
    }

    /// hot: asks for the memory that ``record(stream:member:generation:now:)`` will need.
    @inlinable public func askFor(stream: UInt32, member: Int) { ck_prefetch(cell(stream, member)) }

    /// hot: a payload of `stream` came on `member`'s connection `generation` at `now`, monotonic ns.
    @inlinable public func record(stream: UInt32, member: Int, generation: UInt32, now: Int64) {
        guard Int(stream) < capacity else { return }
        let cell = cell(stream, member)
        let last = cell[Word.last].load(ordering: .relaxed)
        cell[Word.last].store(now, ordering: .relaxed)
        guard cell[Word.generation].load(ordering: .relaxed) == Int64(generation) else {
            return begin(cell, generation, now)
        }
        cell[Word.count].store(cell[Word.count].load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        if now >= cell[Word.windowEnd].load(ordering: .relaxed) { turn(cell, now) }
        if now &- last > cell[Word.longest].load(ordering: .relaxed) { learn(cell, last, now) }
    }

    /// The first payload of a generation.
    @usableFromInline func begin(
        _ cell: UnsafeMutablePointer<Atomic<Int64>>, _ generation: UInt32, _ now: Int64
    ) {
        cell[Word.count].store(1, ordering: .relaxed)
        cell[Word.first].store(now, ordering: .relaxed)
        if now >= cell[Word.windowEnd].load(ordering: .relaxed) { turn(cell, now) }
        // Last, so that who sees the generation sees its time.
        cell[Word.generation].store(Int64(generation), ordering: .releasing)
    }

    /// Another window begins.
    @usableFromInline func turn(_ cell: UnsafeMutablePointer<Atomic<Int64>>, _ now: Int64) {
        let isNext = now - cell[Word.windowEnd].load(ordering: .relaxed) < StreamActivity.windowNanos
        let longest = isNext ? cell[Word.longest].load(ordering: .relaxed) : 0
        cell[Word.longestBefore].store(longest, ordering: .relaxed)
        cell[Word.longest].store(0, ordering: .relaxed)
        cell[Word.windowEnd].store(now + StreamActivity.windowNanos, ordering: .relaxed)
    }

    /// A silence was longer than any other of its window.
    @usableFromInline func learn(
        _ cell: UnsafeMutablePointer<Atomic<Int64>>, _ last: Int64, _ now: Int64
    ) {
        guard cell[Word.excused].load(ordering: .relaxed) != last else { return }
        cell[Word.longest].store(now - last, ordering: .relaxed)
    }

    /// The silence of `stream` on `member` that began with the payload at `last` is an outage that a watchdog is about to
    /// end, and no habit of the stream. 0: it was one after all. For the I/O thread.
    public func excuse(stream: UInt32, member: Int, last: Int64) {
        guard Int(stream) < capacity else { return }
        cell(stream, member)[Word.excused].store(last, ordering: .relaxed)
    }

    /// What is known of `stream` on `member`.
    public func read(stream: UInt32, member: Int) -> Cell {
        guard Int(stream) < capacity else { return Cell(generation: 0, first: 0, last: 0, count: 0) }
        let cell = cell(stream, member)
        return Cell(
            generation: UInt32(truncatingIfNeeded: cell[Word.generation].load(ordering: .acquiring)),
            first: cell[Word.first].load(ordering: .relaxed), last: cell[Word.last].load(ordering: .relaxed),
            count: cell[Word.count].load(ordering: .relaxed))
    }

    /// The longest time between two payloads of one connection, of any that carried `stream` in the last one to two days,
    /// ns; 0: none is known.
    public func longestSilence(stream: UInt32, now: Int64) -> Int64 {
        guard Int(stream) < capacity else { return 0 }
        var longest: Int64 = 0
        for member in 0..<StreamActivity.members {
            let cell = cell(stream, member)
            let age = now - cell[Word.windowEnd].load(ordering: .relaxed)
            guard age < StreamActivity.windowNanos else { continue }
            longest = max(longest, cell[Word.longest].load(ordering: .relaxed))
            // Its window's turn comes with the next payload only.
            if age < 0 { longest = max(longest, cell[Word.longestBefore].load(ordering: .relaxed)) }
        }
        return longest
    }
}
