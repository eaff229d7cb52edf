import MarketData
import Synchronization

/// How far the sequences of a lane are, as of one moment of its parser thread: asked for by the control plane, filled by
/// the parser, read by the control plane once it is ``isDone``.
public final class SequenceSnapshot: @unchecked Sendable {
    /// One sequence.
    public struct Entry: BitwiseCopyable, Sendable {
        /// Trade, aggregate trade, or closed bar.
        public var kind: EventKind
        /// Raw ``Interval`` of a bar, else 0.
        public var variant: UInt8
        /// Index in the lane's table.
        public var instrument: UInt32
        /// What follows the highest id that was published; of bars their number, see `Interval.number(opening:)`.
        public var expected: Int64
        /// What it began with: nothing is known of anything before.
        public var first: Int64
        /// The latest time of an event that was published, ns since the epoch.
        public var newest: Int64
    }

    private let room: UnsafeMutableBufferPointer<Entry>
    /// How many sequences there are; those for which there is no room are left out. Only once it is done.
    public private(set) var count = 0
    /// Holes that the parser had asked to be filled.
    public private(set) var holesTold = 0
    /// Deliveries that the parser had put in their place.
    public private(set) var deliveriesTaken = 0
    /// Where the event ring's producer was: what lies before holds everything that the entries speak of.
    public private(set) var position: UInt64 = 0
    private let done = Atomic<Bool>(false)

    /// Room for so many sequences: the parser never allocates.
    public init(capacity: Int) {
        room = .allocate(capacity: max(1, capacity))
    }

    deinit { room.deallocate() }

    /// Whether the parser has filled it.
    public var isDone: Bool { done.load(ordering: .acquiring) }

    /// What the parser told. Only once it is done.
    public var entries: UnsafeBufferPointer<Entry> {
        UnsafeBufferPointer(rebasing: UnsafeBufferPointer(room)[..<min(count, room.count)])
    }
    /// Whether all of them had room.
    public var isComplete: Bool { count <= room.count }

    /// For the parser.
    func append(_ entry: Entry) {
        if count < room.count { room[count] = entry }
        count += 1
    }

    /// For the parser.
    func finish(position: UInt64, holesTold: Int, deliveriesTaken: Int) {
        self.position = position
        self.holesTold = holesTold
        self.deliveriesTaken = deliveriesTaken
        done.store(true, ordering: .releasing)
    }
}

extension EventWriter {
    /// How far everything is. What is written by now is handed over to the batch thread.
    public mutating func snapshot(into snapshot: SequenceSnapshot, instruments: Int) {
        publish()
        for instrument in 1..<UInt32(max(1, instruments) + 1) {
            append(.trade, instrument, to: snapshot)
            append(.aggTrade, instrument, to: snapshot)
        }
        bars.each { instrument, interval, number in
            snapshot.append(
                SequenceSnapshot.Entry(
                    kind: .kline, variant: interval, instrument: instrument, expected: number + 1,
                    first: number, newest: 0))
        }
        snapshot.finish(
            position: producer.storage.writtenPosition, holesTold: holesTold, deliveriesTaken: deliveriesTaken
        )
    }

    private func append(_ kind: EventKind, _ instrument: UInt32, to snapshot: SequenceSnapshot) {
        let index = SequenceTable.index(kind, instrument: instrument)
        let state = sequences.states[index]
        guard state.expected > 0 else { return }
        snapshot.append(
            SequenceSnapshot.Entry(
                kind: kind, variant: 0, instrument: instrument, expected: state.expected,
                first: sequences.history(index).pointee.stretches.base, newest: state.newest))
    }

    /// Before the first frame: a sequence goes on where a checkpoint says that it was.
    public mutating func resume(
        _ kind: EventKind, variant: UInt8, instrument: UInt32, expected: Int64, newest: Int64
    ) {
        if kind == .kline {
            return bars.setLast(expected - 1, instrument, variant, isResumed: true)
        }
        guard kind == .trade || kind == .aggTrade else { return }
        let index = SequenceTable.index(kind, instrument: instrument)
        sequences.states[index] = SequenceState(
            expected: expected, newest: newest, connection: SequenceTable.checkpoint)
        let room = sequences.stretchRoom
        sequences.history(index).pointee.stretches.begin(at: expected, room: &room.pointee)
    }

    /// Before the first frame: a hole that a checkpoint tells of is to be filled still.
    public mutating func resume(_ hole: MissingRange) {
        var hole = hole
        hole.isResumed = true
        guard let repair, hole.market < repair.missing.count, repair.missing[hole.market].send(hole) else {
            return
        }
        holesTold += 1
        if hole.kind == .kline {
            resumeBars(hole)
        } else {
            counters.openGap(1, hole.kind, market: hole.market)
        }
    }
}
