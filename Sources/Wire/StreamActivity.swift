import CKernel
import Synchronization

/// When each stream last brought data, on each connection that carries it: written by the parser thread for every
/// market payload, read by the I/O thread's watchdogs. Pings, acknowledgements and unreadable frames leave no trace
/// here: only market payloads count as life.
///
/// A cell for each stream and member. A *member* is one of the four connections that may carry a stream at once:
/// `leg * 2 + side`, where `side` tells a slot's two connections apart while one hands over to the other.
public final class StreamActivity: @unchecked Sendable {
    // One writer, the parser thread, whose loads and stores are relaxed: plain moves. Raw memory, so that writing
    // costs neither retains nor exclusivity checks. A reader may see one word of a cell before the others.

    /// What is known of one stream on one member.
    public struct Cell: Sendable, Equatable {
        /// The generation of the member's connection that these figures are of.
        public var generation: UInt32
        /// The latest payload, monotonic ns; 0: none yet.
        public var last: Int64
        /// Payloads of this generation.
        public var count: Int64
        /// The longest time between two payloads of one generation, of any so far, ns.
        public var longestSilence: Int64
    }

    /// Members that a stream has.
    @inlinable public static var members: Int { 4 }
    @usableFromInline static var words: Int { 4 }
    /// Streams that there is room for.
    public let capacity: Int
    @usableFromInline let cells: UnsafeMutablePointer<Atomic<Int64>>

    /// All silent. Memory is touched only as streams come to life.
    public init(capacity: Int) {
        let count = max(1, capacity) * StreamActivity.members * StreamActivity.words
        guard let memory = ck_zeroed(count, MemoryLayout<Int64>.stride) else {
            preconditionFailure("no address space for \(count) words")
        }
        self.capacity = max(1, capacity)
        cells = memory.bindMemory(to: Atomic<Int64>.self, capacity: count)
    }

    deinit { ck_zeroed_free(cells) }

    @inlinable func cell(_ stream: UInt32, _ member: Int) -> UnsafeMutablePointer<Atomic<Int64>> {
        cells + (Int(stream) &* StreamActivity.members &+ member) &* StreamActivity.words
    }

    /// hot: a payload of `stream` came on `member`'s connection `generation` at `now`, monotonic ns.
    @inlinable public func record(stream: UInt32, member: Int, generation: UInt32, now: Int64) {
        guard Int(stream) < capacity else { return }
        let cell = cell(stream, member)
        let last = cell[1].load(ordering: .relaxed)
        cell[1].store(now, ordering: .relaxed)
        guard cell[0].load(ordering: .relaxed) == Int64(generation) else {
            cell[2].store(1, ordering: .relaxed)
            // Last, so that who sees the generation sees its time.
            cell[0].store(Int64(generation), ordering: .releasing)
            return
        }
        cell[2].store(cell[2].load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        if now &- last > cell[3].load(ordering: .relaxed) { cell[3].store(now &- last, ordering: .relaxed) }
    }

    /// What is known of `stream` on `member`.
    public func read(stream: UInt32, member: Int) -> Cell {
        guard Int(stream) < capacity else { return Cell(generation: 0, last: 0, count: 0, longestSilence: 0) }
        let cell = cell(stream, member)
        return Cell(
            generation: UInt32(truncatingIfNeeded: cell[0].load(ordering: .acquiring)),
            last: cell[1].load(ordering: .relaxed), count: cell[2].load(ordering: .relaxed),
            longestSilence: cell[3].load(ordering: .relaxed))
    }
}
