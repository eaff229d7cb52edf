import Batching
import CKernel
import ExchangeAdapter
import Foundation
import Logging
import MarketData
import Parsing
import Publishing
import Rings
import Synchronization

/// Writes down about once a second how far everything is safe, on a thread of its own. Nothing is asked of the hot threads
/// but a copy of the expected ids.
///
/// A round: the parsers copy what they expect and say where their event rings are; the batch thread has taken everything up
/// to there; every batch that was open then is closed; the publisher has taken those; and none of them is unsafe any more
/// (`PublishLedger.oldestUnsafeNumber`). Then what the copy says is safe, and is written. So after kill -9 what is asked for
/// again begins no later than the first event that was lost; what was safe but not written down yet comes once more, with
/// `"source":"rest"`. Batches go by their numbers, not by times: clocks are set back.
///
/// Of a sequence that is new it is written down at once with which id it began: were the process killed before it is known
/// to be safe, everything from there on is fetched again.
final class CheckpointKeeper: Sendable {
    /// What it needs of a lane.
    struct LaneEnd: Sendable {
        var commands: CommandQueue<ParserCommand>
        var instruments: InstrumentTable
        var eventRing: RingStorage
    }

    private enum Stage {
        /// The parsers copy.
        case copying
        /// The batch thread takes what they had written.
        case taking
        /// Batches up to this one, in the order of opening, are to close.
        case closing(upTo: Int)
        /// The publisher is to take what stands before this position of the ring.
        case handing(position: UInt64, closed: Int)
        /// Batches up to this one, in the order of closing, are to be safe.
        case storing(closed: Int)
    }

    /// Between two rounds, ns; while new sequences begin; while none has.
    private static let period: Int64 = 1_000_000_000
    private static let periodOfNew: Int64 = 100_000_000
    private static let periodOfNone: Int64 = 20_000_000
    /// Between two looks.
    private static let lookMicroseconds: UInt32 = 5_000

    private let path: String
    private let lanes: [LaneEnd]
    /// Markets that are written down.
    private let markets: Set<Int>
    private let batchRing: RingStorage
    private let batches: BatchMonitor
    private let ledger: PublishLedger
    private let repairs: [RepairService]
    private let logger: Logger
    /// What is in the file, and why it was not replaced.
    private let last: Mutex<(checkpoint: Checkpoint, problem: String)>
    private let lastWrite = Atomic<Int64>(0)
    private let stopping = Atomic<Bool>(false)
    private let stopped = Atomic<Bool>(true)
    /// The last round: asked for, copied, written.
    private let wantsLast = Atomic<Bool>(false)
    private let copiedLast = Atomic<Bool>(false)
    private let wroteLast = Atomic<Bool>(false)

    /// - Parameter resumed: what this run goes on from.
    init(
        path: String, lanes: [LaneEnd], markets: Set<Int>, batchRing: RingStorage, batches: BatchMonitor,
        ledger: PublishLedger, repairs: [RepairService], resumed: Checkpoint, logger: Logger
    ) {
        last = Mutex((resumed, ""))
        self.path = path
        self.lanes = lanes
        self.markets = markets
        self.batchRing = batchRing
        self.batches = batches
        self.ledger = ledger
        self.repairs = repairs
        self.logger = logger
    }

    /// When the last checkpoint was written, ns since the epoch; 0: never in this run.
    var lastWritten: Int64 { lastWrite.load(ordering: .relaxed) }

    /// Starts the thread.
    func start() {
        stopped.store(false, ordering: .sequentiallyConsistent)
        let thread = Thread { [self] in
            run()
            stopped.store(true, ordering: .sequentiallyConsistent)
        }
        thread.name = "checkpoint"
        thread.start()
    }

    // MARK: The end

    /// Nothing more comes from the exchanges: one more round, and none after it.
    func requestLast() { wantsLast.store(true, ordering: .sequentiallyConsistent) }
    /// Whether that round needs the parsers no more.
    var hasCopiedLast: Bool { copiedLast.load(ordering: .sequentiallyConsistent) }
    /// Whether that round is done.
    var hasWrittenLast: Bool { wroteLast.load(ordering: .sequentiallyConsistent) }

    /// Ends the thread.
    func stop() { stopping.store(true, ordering: .sequentiallyConsistent) }
    /// Whether it has ended.
    var isStopped: Bool { stopped.load(ordering: .sequentiallyConsistent) }

    // MARK: The thread

    private func run() {
        var round: (stage: Stage, copies: [SequenceSnapshot], isLast: Bool, isNoted: Bool)?
        var hasNew = false
        var due = ck_monotonic_nanos()
        // By lane: sequences that a copy has room for.
        var room = lanes.map { _ in 1_024 }
        var known = Set(last.withLock { $0.checkpoint.sequences.map(\.name) })
        while !stopping.load(ordering: .relaxed) {
            guard var current = round else {
                let isLast = wantsLast.load(ordering: .sequentiallyConsistent)
                if isLast || ck_monotonic_nanos() >= due, let copies = begin(room) {
                    round = (.copying, copies, isLast, false)
                } else {
                    rest(until: due)
                }
                continue
            }
            if !current.isLast, wantsLast.load(ordering: .sequentiallyConsistent) {
                // This round may never end where the sink gets nowhere.
                round = nil
                continue
            }
            let isSafe = move(&current.stage, current.copies)
            if current.copies.allSatisfy(\.isDone) {
                guard current.copies.allSatisfy(\.isComplete) else {
                    room = zip(room, current.copies).map { max($0, $1.count + 256) }
                    round = nil
                    continue
                }
                if !current.isNoted {
                    current.isNoted = true
                    hasNew = note(current.copies, known: &known)
                }
                if current.isLast { copiedLast.store(true, ordering: .sequentiallyConsistent) }
            }
            guard isSafe else {
                round = current
                usleep(CheckpointKeeper.lookMicroseconds)
                continue
            }
            let isEmpty = current.copies.allSatisfy { $0.count == 0 }
            if !isEmpty || current.isLast { write(checkpoint(current.copies)) }
            guard !current.isLast else { return wroteLast.store(true, ordering: .sequentiallyConsistent) }
            round = nil
            due =
                ck_monotonic_nanos()
                + (isEmpty
                    ? CheckpointKeeper.periodOfNone
                    : hasNew ? CheckpointKeeper.periodOfNew : CheckpointKeeper.period)
            hasNew = false
        }
    }

    private func rest(until due: Int64) {
        let left = (due - ck_monotonic_nanos()) / 1_000
        usleep(UInt32(min(max(left, 1_000), 50_000)))
    }

    /// nil where a parser takes no commands now.
    private func begin(_ room: [Int]) -> [SequenceSnapshot]? {
        var copies: [SequenceSnapshot] = []
        for (lane, room) in zip(lanes, room) {
            let copy = SequenceSnapshot(capacity: room)
            guard lane.commands.send(.snapshot(copy)) else { return nil }
            copies.append(copy)
        }
        return copies
    }

    /// Goes on as far as possible. True: what was copied is safe.
    private func move(_ stage: inout Stage, _ copies: [SequenceSnapshot]) -> Bool {
        while true {
            switch stage {
            case .copying:
                guard copies.allSatisfy(\.isDone) else { return false }
                stage = .taking
            case .taking:
                for (lane, copy) in zip(lanes, copies) where lane.eventRing.readPosition < copy.position {
                    return false
                }
                stage = .closing(upTo: batches.openedCount)
            case .closing(let last):
                if let oldest = batches.oldestOpen, oldest <= last { return false }
                stage = .handing(position: batchRing.writtenPosition, closed: batches.batchCount)
            case .handing(let position, let closed):
                guard batchRing.readPosition >= position else { return false }
                stage = .storing(closed: closed)
            case .storing(let closed):
                if let oldest = ledger.oldestUnsafeNumber, oldest <= UInt64(closed) { return false }
                return hasAllHoles(copies)
            }
        }
    }

    /// Whether the holes that the parsers told before they copied have been taken over.
    private func hasAllHoles(_ copies: [SequenceSnapshot]) -> Bool {
        for (lane, copy) in copies.enumerated() {
            let taken = repairs.reduce(0) { $0 + $1.holesTaken(lane: lane) }
            if taken < copy.holesTold { return false }
        }
        return true
    }

    /// Writes down where sequences begin of which nothing is written yet. True: there are such.
    private func note(_ copies: [SequenceSnapshot], known: inout Set<Checkpoint.Name>) -> Bool {
        var checkpoint = last.withLock { $0.checkpoint }
        var names: [Checkpoint.Name] = []
        for (lane, copy) in zip(lanes, copies) {
            for entry in copy.entries where markets.contains(lane.instruments.market(at: entry.instrument)) {
                let name = Checkpoint.Name(
                    lane.instruments.instrument(at: entry.instrument), entry.kind, variant: entry.variant)
                guard !known.contains(name) else { continue }
                names.append(name)
                checkpoint.sequences.append(
                    Checkpoint.Sequence(name: name, expected: max(entry.first, 1), newest: 0))
            }
        }
        guard !names.isEmpty else { return false }
        checkpoint.time = ck_realtime_nanos()
        if write(checkpoint) { known.formUnion(names) }
        return true
    }

    @discardableResult private func write(_ checkpoint: Checkpoint) -> Bool {
        let problem: String
        do throws(Checkpoint.Unusable) {
            try checkpoint.write(to: path)
            lastWrite.store(checkpoint.time, ordering: .relaxed)
            problem = ""
        } catch {
            problem = error.description
        }
        let before = last.withLock { last in
            if problem.isEmpty { last.checkpoint = checkpoint }
            defer { last.problem = problem }
            return last.problem
        }
        if problem != before {
            if problem.isEmpty {
                logger.info("checkpoint: written again")
            } else {
                // The one before stays: a start from it asks for more than is missing.
                logger.error(
                    "checkpoint: \(problem); after a crash more is fetched again than was missed, or not all of it"
                )
            }
        }
        return problem.isEmpty
    }

    private func checkpoint(_ copies: [SequenceSnapshot]) -> Checkpoint {
        var checkpoint = Checkpoint()
        checkpoint.time = ck_realtime_nanos()
        for (index, copy) in copies.enumerated() {
            let instruments = lanes[index].instruments
            var expected: [Checkpoint.Name: Int64] = [:]
            for entry in copy.entries where markets.contains(instruments.market(at: entry.instrument)) {
                let name = Checkpoint.Name(
                    instruments.instrument(at: entry.instrument), entry.kind, variant: entry.variant)
                expected[name] = entry.expected
                checkpoint.sequences.append(
                    Checkpoint.Sequence(name: name, expected: entry.expected, newest: entry.newest))
            }
            for service in repairs {
                for hole in service.unfilled(lane: index, afterDelivery: copy.deliveriesTaken) {
                    let name = Checkpoint.Name(
                        instruments.instrument(at: hole.range.instrument), hole.range.kind,
                        variant: hole.range.variant)
                    // What is not below the next id is asked for anyhow, as soon as one comes.
                    if let next = expected[name], hole.ids.lowerBound >= next { continue }
                    checkpoint.holes.append(
                        Checkpoint.Hole(name: name, ids: hole.ids, cause: hole.range.cause))
                }
            }
        }
        return checkpoint
    }
}
