import CKernel
import MarketData

/// How far one sequence of contiguous ids is: trades or aggregate trades of one instrument. All zeros: nothing came.
@frozen @usableFromInline struct SequenceState: BitwiseCopyable {
    /// What follows the highest id that was published; 0 where none was.
    @usableFromInline var expected: Int64
    /// The latest time of a trade that was published in order, ns since the epoch.
    @usableFromInline var newest: Int64
    /// The connection that brought the id before `expected`.
    @usableFromInline var connection: UInt64
    /// Half a cache line in all, lest a state lie in two.
    private var unused: Int64 = 0

    init(expected: Int64, newest: Int64, connection: UInt64) {
        (self.expected, self.newest, self.connection) = (expected, newest, connection)
    }
}

/// How far each member is with a sequence on its own. Kept only while several can bring it.
struct MemberProgress {
    static let bytes = 112
    private let memory: UnsafeMutableRawPointer

    init(_ memory: UnsafeMutableRawPointer) { self.memory = memory }

    /// By member: what follows the highest id that its connection brought; 0: none.
    var next: UnsafeMutablePointer<Int64> { memory.assumingMemoryBound(to: Int64.self) }
    /// By member: that connection's generation.
    var generations: UnsafeMutablePointer<UInt32> { (memory + 32).assumingMemoryBound(to: UInt32.self) }
    /// By leg: the first id of a connection that began ahead of the one that it takes over from. Ids from that one's
    /// end up to here are lost to the leg unless they still come on it. 0: nothing is open.
    var owed: UnsafeMutablePointer<Int64> { (memory + 48).assumingMemoryBound(to: Int64.self) }
    /// By leg: what follows the highest id that it brought; 0: none.
    var legNext: UnsafeMutablePointer<Int64> { (memory + 64).assumingMemoryBound(to: Int64.self) }
    /// An id of which is known when it came and on which connection, to tell by how much that one leads, plus 1; 0: none.
    var probe: UnsafeMutablePointer<Int64> { (memory + 80).assumingMemoryBound(to: Int64.self) }
    /// When it was received, ns since the epoch.
    var probeReceived: UnsafeMutablePointer<Int64> { (memory + 88).assumingMemoryBound(to: Int64.self) }
    var probeConnection: UnsafeMutablePointer<UInt64> { (memory + 96).assumingMemoryBound(to: UInt64.self) }

    func clear() { memory.initializeMemory(as: UInt8.self, repeating: 0, count: MemberProgress.bytes) }
}

/// What is seldom needed of a sequence.
struct SequenceHistory: BitwiseCopyable {
    /// What was published of this count.
    var stretches: Stretches
    /// The last stretch of the count before the exchange began anew, and the latest time in it.
    var earlierFirst: Int64
    var earlierEnd: Int64
    var earlierTime: Int64
    /// From this id on the latest ids were settled without an event, when the newest event had the time
    /// `settledAfter`: one of them that comes late nonetheless is newer than all that was published, and no new count
    /// for that.
    var settledFrom: Int64 = 0
    var settledAfter: Int64 = 0
    /// Events that wait for ids before them, by rising id: indices in the pool plus 1; 0: none.
    var head: UInt32
    var tail: UInt32
    /// When the first of them must go on at the latest, monotonic ns.
    var deadline: Int64
    /// Behind the last hole that was told to be filled over REST; 0: none was.
    var askedTo: Int64
    /// Place in the list of sequences that wait.
    var position: UInt32
    var shard: UInt32
    /// Known where something is or was missing.
    var market: UInt16
    /// The first of them may go on whatever is missing.
    var isReleased: Bool
    /// The exchange has begun to count anew within what waits: what follows is put behind it as it comes.
    var isRestarting: Bool
    /// The hole before the first of them is counted as open, though nothing was said of it yet.
    var isCounted: Bool
    /// Changes wherever what is known of the ids is forgotten.
    var epoch: UInt32
}

/// The sequences of a lane, two for each instrument. Memory is touched only as it is used.
@frozen @usableFromInline struct SequenceTable: ~Copyable {
    @usableFromInline let states: UnsafeMutablePointer<SequenceState>
    private let progressMemory: UnsafeMutableRawPointer
    private let historyMemory: UnsafeMutableRawPointer
    /// What is left of `Stretches.roomOfLane`. To be taken out of its owner first: of `&owner.stretchRoom.pointee` the
    /// thread sanitizer is told the owner's first word instead of the pointer, a ring that its consumer reads, too.
    let stretchRoom: UnsafeMutablePointer<Int>
    let count: Int

    init(instrumentCapacity: Int) {
        count = (instrumentCapacity + 1) * 2
        guard let states = ck_pages(count * MemoryLayout<SequenceState>.stride),
            let progress = ck_zeroed(count, MemberProgress.bytes),
            let history = ck_zeroed(count, MemoryLayout<SequenceHistory>.stride)
        else { preconditionFailure("no address space for \(count) sequences of ids") }
        self.states = states.bindMemory(to: SequenceState.self, capacity: count)
        progressMemory = progress
        historyMemory = history
        stretchRoom = .allocate(capacity: 1)
        stretchRoom.initialize(to: Stretches.roomOfLane)
    }

    // Inlinable because its owner is: the 6.3 optimizer aborts on a deinit that is not, inside one that is.
    @inlinable deinit { freeMemory() }

    @usableFromInline func freeMemory() {
        for index in 0..<count where states[index].expected != 0 {
            history(index).pointee.stretches.begin(at: 0, room: &stretchRoom.pointee)
        }
        stretchRoom.deallocate()
        ck_pages_free(states, count * MemoryLayout<SequenceState>.stride)
        ck_zeroed_free(progressMemory)
        ck_zeroed_free(historyMemory)
    }

    /// Index of a sequence.
    @inlinable static func index(_ kind: EventKind, instrument: UInt32) -> Int {
        Int(instrument) &* 2 &+ (kind == .aggTrade ? 1 : 0)
    }
    static func kind(_ index: Int) -> EventKind { index & 1 == 1 ? .aggTrade : .trade }
    static func instrument(_ index: Int) -> UInt32 { UInt32(index / 2) }

    func progress(_ index: Int) -> MemberProgress {
        MemberProgress(progressMemory + index * MemberProgress.bytes)
    }
    /// The connection of sequences that a checkpoint says how far they are.
    static var checkpoint: UInt64 { .max }

    /// As if nothing had come.
    func forget(_ index: Int) {
        let epoch = history(index).pointee.epoch
        defer { history(index).pointee.epoch = epoch &+ 1 }
        history(index).pointee.stretches.begin(at: 0, room: &stretchRoom.pointee)
        states[index] = SequenceState(expected: 0, newest: 0, connection: 0)
        progress(index).clear()
        (historyMemory + index * MemoryLayout<SequenceHistory>.stride).initializeMemory(
            as: UInt8.self, repeating: 0, count: MemoryLayout<SequenceHistory>.stride)
    }
    func history(_ index: Int) -> UnsafeMutablePointer<SequenceHistory> {
        (historyMemory + index * MemoryLayout<SequenceHistory>.stride).assumingMemoryBound(
            to: SequenceHistory.self)
    }
}
