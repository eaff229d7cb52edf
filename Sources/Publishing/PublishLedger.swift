import Batching
import CKernel
import MarketData
import Rings
import Synchronization

/// Something that the control plane should log: a problem that began, or its end.
public struct PublishNote: Sendable, Equatable {
    /// When, ns since the epoch.
    public let time: Int64
    /// False: information, for instance that a problem is over.
    public let isProblem: Bool
    /// What, where, and the remedy.
    public let text: String
}

/// What hinders a sink, or last hindered it.
public struct PublishProblem: Sendable, Equatable {
    /// What, where, and the remedy.
    public internal(set) var text: String
    /// When it was first and last seen, ns since the epoch.
    public internal(set) var since: Int64
    /// See ``since``.
    public internal(set) var lastSeen: Int64
    /// When it was over; nil while it lasts.
    public internal(set) var recovered: Int64?
}

/// A topic and ordering key that rests: nothing of it is sent until its first request has succeeded.
public struct PausedKey: Sendable, Equatable {
    /// The topic id.
    public var topic: String
    /// "" where there is none.
    public var orderingKey: String
    /// When the trouble began, ns since the epoch.
    public var since: Int64
    /// The service's words.
    public var reason: String
    /// Batches that wait, and the memory they take.
    public var batches: Int
    /// See ``batches``.
    public var bytes: Int
}

/// The books of one publisher thread, which alone writes them; any thread reads.
public final class PublishLedger: Sendable {
    /// Counters of the whole thread, in the order of their cells.
    public enum Total: Int, CaseIterable, Sendable {
        /// Batches taken from the ring.
        case batchesTaken
        /// Batches acknowledged.
        case batchesPublished
        /// Their bytes before and after compression.
        case rawBytesPublished
        /// See ``rawBytesPublished``.
        case bytesPublished
        /// Bytes of batches taken, as compressed; with ``bytesPublished`` it gives those in flight.
        case bytesTaken
        /// Requests sent again because their outcome was an error or unknown.
        case retries
        /// Connections made.
        case connections
        /// Connections given up after an error, or closed by the other side.
        case reconnects
        /// Answers with HTTP 200 but without grpc-status.
        case answersWithoutStatus
        /// Bytes that Pub/Sub bills for publishing, as ``PublishPrice`` estimates them.
        case billedBytes
        /// Topics created, or found to exist when they should be created.
        case topicsReady
        /// Gauge: topics that are still to be created.
        case topicsPending
        /// Gauge: requests under way.
        case requestsInFlight
        /// Gauge: connections that are open.
        case connectionsOpen
        /// Gauge: topics and ordering keys that rest after an error.
        case keysPaused
        /// Gauge: memory that holds unacknowledged batches, bytes.
        case bytesHeld
        /// Notes that nobody fetched in time.
        case notesDropped
        /// Batches that the spool dropped at a limit.
        case batchesDropped
        /// Their bytes.
        case bytesDropped
    }

    /// Markets that it has counters for.
    public let markets: Int
    private let totals = CounterBlock(count: Total.allCases.count)
    private let codes = CounterBlock(count: PublishCode.allCases.count)
    private let taken: CounterBlock
    private let published: CounterBlock
    private let deadLettered: CounterBlock
    private let recovered: CounterBlock
    private let dropped: CounterBlock
    private let latencies: [LatencyHistogram]
    private let state = Mutex(State())
    private let ended = Atomic<Bool>(false)
    /// See ``oldestUnsafe``; 0: none.
    private let oldestHeld = Atomic<Int64>(0)
    private let oldestHeldNumber = Atomic<UInt64>(0)
    private let oldestWaiting = Atomic<Int64>(0)
    /// For the publisher thread alone, behind a pointer: access to a class's variable would be checked with every batch.
    nonisolated(unsafe) private let unsafeBatches: UnsafeMutablePointer<UnsafeBatches>
    nonisolated(unsafe) private var spooled: [BatchReceipt] = []
    /// Those of `latencies`, by kind.
    nonisolated(unsafe) private let recorders: UnsafeMutablePointer<LatencyRecorder>

    /// Notes that are kept for the control plane at most.
    static let noteLimit = 64

    /// While a problem lasts, changed words make a new note at most so often, ns.
    static let noteInterval: Int64 = 1_000_000_000

    private struct State {
        var lastProblemNote: Int64 = 0
        var problem: PublishProblem?
        var paused: [PausedKey] = []
        var notes: [PublishNote] = []
    }

    /// Books for market indices below `markets`.
    public init(markets: Int) {
        self.markets = max(1, markets)
        taken = CounterBlock(count: self.markets * EventKind.count)
        published = CounterBlock(count: self.markets * EventKind.count)
        deadLettered = CounterBlock(count: self.markets * EventKind.count)
        recovered = CounterBlock(count: self.markets * EventKind.count)
        dropped = CounterBlock(count: self.markets * EventKind.count * SpoolDrop.allCases.count)
        latencies = (0..<EventKind.count).map { _ in LatencyHistogram() }
        unsafeBatches = .allocate(capacity: 1)
        unsafeBatches.initialize(to: UnsafeBatches())
        recorders = .allocate(capacity: EventKind.count)
        for kind in 0..<EventKind.count { (recorders + kind).initialize(to: latencies[kind].recorder) }
    }

    deinit {
        unsafeBatches.deinitialize(count: 1)
        unsafeBatches.deallocate()
        recorders.deallocate()
    }

    private func cell(_ market: Int, _ kind: EventKind) -> Int {
        min(market, markets - 1) * EventKind.count + Int(kind.rawValue)
    }

    // MARK: For any thread

    /// One of the whole thread's counters.
    public func total(_ total: Total) -> Int { totals.value(total.rawValue) }

    /// Events acknowledged by the sink.
    public func eventsPublished(market: Int, kind: EventKind) -> Int { published.value(cell(market, kind)) }

    /// Events that the spool dropped at that limit.
    public func eventsDropped(market: Int, kind: EventKind, policy: SpoolDrop) -> Int {
        let index = SpoolDrop.allCases.firstIndex(of: policy) ?? 0
        return dropped.value(cell(market, kind) * SpoolDrop.allCases.count + index)
    }

    /// Events that an earlier run left in the spool.
    public func eventsRecovered(market: Int, kind: EventKind) -> Int { recovered.value(cell(market, kind)) }

    /// Events that the sink or the spool holds and that are not acknowledged yet.
    public func eventsInFlight(market: Int, kind: EventKind) -> Int {
        // The smaller number first, else an event could be seen published before it was seen taken.
        let done =
            published.value(cell(market, kind)) + deadLettered.value(cell(market, kind))
            + SpoolDrop.allCases.reduce(0) { $0 + eventsDropped(market: market, kind: kind, policy: $1) }
        return max(0, taken.value(cell(market, kind)) - done)
    }

    /// Events that the sink's other side refused for what they are, and that went to the dead letters.
    public func eventsDeadLettered(market: Int, kind: EventKind) -> Int {
        deadLettered.value(cell(market, kind))
    }

    /// All events that went to the dead letters.
    public var eventsDeadLettered: Int { (0..<deadLettered.count).reduce(0) { $0 + deadLettered.value($1) } }

    /// All events acknowledged.
    public var eventsPublished: Int { (0..<published.count).reduce(0) { $0 + published.value($1) } }

    /// All events that the sink or the spool holds.
    public var eventsInFlight: Int {
        let done =
            eventsPublished + eventsDeadLettered + (0..<dropped.count).reduce(0) { $0 + dropped.value($1) }
        return max(0, (0..<taken.count).reduce(0) { $0 + taken.value($1) } - done)
    }

    /// Batches that the sink or the spool holds.
    public var batchesInFlight: Int {
        let published = total(.batchesPublished) + total(.batchesDropped)
        return max(0, total(.batchesTaken) - published)
    }

    /// Bytes of those batches, as they came.
    public var bytesInFlight: Int {
        let published = total(.bytesPublished) + total(.bytesDropped)
        return max(0, total(.bytesTaken) - published)
    }

    /// When the oldest batch was closed that would be lost with the process: that is in the ring or with the sink,
    /// and neither acknowledged nor in the spool. ns since the epoch; nil: there is none. A batch counts from when the
    /// publisher thread first sees it, which is one of its cycles after it was closed.
    public var oldestUnsafe: Int64? {
        // In this order a batch on its way from the ring to the sink cannot be missed.
        let waiting = oldestWaiting.load(ordering: .acquiring)
        let held = oldestHeld.load(ordering: .acquiring)
        if held == 0 { return waiting == 0 ? nil : waiting }
        return waiting == 0 ? held : min(held, waiting)
    }

    /// The number of the oldest batch that the sink has taken and that is neither acknowledged nor in the spool; nil: there is
    /// none. Those in the ring are not counted: what is released from there was told of here before.
    public var oldestUnsafeNumber: UInt64? {
        let number = oldestHeldNumber.load(ordering: .acquiring)
        return number == 0 ? nil : number
    }

    /// Requests (writes, for a file) that ended so.
    public func requests(_ code: PublishCode) -> Int { codes.value(Int(code.rawValue)) }

    /// From the closing of a batch to its acknowledgement, once for each event, ns.
    public func latency(kind: EventKind) -> LatencySnapshot { latencies[Int(kind.rawValue)].snapshot() }

    /// Topics and keys that rest, those that have rested longest first; at most ``pausedLimit`` of them.
    public var paused: [PausedKey] { state.withLock { $0.paused } }

    /// Most entries of ``paused``; the total `keysPaused` counts all.
    public static let pausedLimit = 100

    /// What hinders the sink now, or did last.
    public var problem: PublishProblem? { state.withLock { $0.problem } }

    /// Whether nothing hinders the sink.
    public var isHealthy: Bool {
        state.withLock { state in
            guard let problem = state.problem else { return true }
            return problem.recovered != nil
        }
    }

    /// Whether the sink's other side has gone for good: what is in flight will stay so.
    public var hasEnded: Bool { ended.load(ordering: .acquiring) }

    /// Notes since the last call, oldest first.
    public func fetchNotes() -> [PublishNote] {
        state.withLock { state in
            let notes = state.notes
            state.notes = []
            return notes
        }
    }

    // MARK: For the publisher thread

    func add(_ amount: Int = 1, to total: Total) { totals.add(amount, to: total.rawValue) }

    func set(_ value: Int, at total: Total) { totals.set(value, at: total.rawValue) }

    func count(_ code: PublishCode) { codes.add(1, to: Int(code.rawValue)) }

    /// The sink has taken a batch over. One from the spool was counted when it came there.
    func take(_ receipt: BatchReceipt) {
        guard !receipt.place.isSomewhere else { return }
        countTaken(receipt)
        unsafeBatches.pointee.append(number: receipt.number, closedTime: receipt.closedTime)
        setOldestHeld()
    }

    /// The spool has taken a batch over from the ring.
    func spool(_ receipt: BatchReceipt) { countTaken(receipt) }

    private func countTaken(_ receipt: BatchReceipt) {
        taken.add(Int(receipt.events), to: cell(Int(receipt.market), receipt.kind))
        totals.add(Int(receipt.bytes), to: Total.bytesTaken.rawValue)
        totals.add(receipt.endsBatch ? 1 : 0, to: Total.batchesTaken.rawValue)
    }

    /// The spool has a batch, or a part of one, of an earlier run.
    func recover(market: Int, kind: EventKind, events: Int, bytes: Int) {
        taken.add(events, to: cell(market, kind))
        recovered.add(events, to: cell(market, kind))
        totals.add(bytes, to: Total.bytesTaken.rawValue)
        totals.add(1, to: Total.batchesTaken.rawValue)
    }

    /// The spool has a copy of a batch, or of a part of one, that the sink holds.
    func secure(_ receipt: BatchReceipt) {
        guard receipt.endsBatch else { return }
        unsafeBatches.pointee.remove(number: receipt.number)
        setOldestHeld()
    }

    /// A batch was dropped from the spool.
    func drop(_ receipt: BatchReceipt, policy: SpoolDrop) {
        let policies = SpoolDrop.allCases.count
        let index = SpoolDrop.allCases.firstIndex(of: policy) ?? 0
        dropped.add(Int(receipt.events), to: cell(Int(receipt.market), receipt.kind) * policies + index)
        totals.add(Int(receipt.bytes), to: Total.bytesDropped.rawValue)
        totals.add(1, to: Total.batchesDropped.rawValue)
    }

    /// Damage took batches of that route from the spool.
    func lose(_ share: SpoolShare, of route: Route) {
        let policies = SpoolDrop.allCases.count
        let index = SpoolDrop.allCases.firstIndex(of: .damaged) ?? 0
        dropped.add(share.events, to: cell(route.market, route.kind) * policies + index)
        totals.add(share.bytes, to: Total.bytesDropped.rawValue)
        totals.add(share.batches, to: Total.batchesDropped.rawValue)
    }

    /// When the oldest batch was closed that the sink holds and nothing else has, ns since the epoch.
    var oldestHeldTime: Int64? { unsafeBatches.pointee.oldest }

    /// Calls `each` for what was acknowledged of the spool's batches since the last call; returns how many there were.
    func fetchSpooled(_ each: (BatchReceipt) -> Void) -> Int {
        let count = spooled.count
        guard count > 0 else { return 0 }
        for receipt in spooled { each(receipt) }
        spooled.removeAll(keepingCapacity: true)
        return count
    }

    private func setOldestHeld() {
        let number = unsafeBatches.pointee.oldestNumber ?? 0
        guard number != oldestHeldNumber.load(ordering: .relaxed) else { return }
        oldestHeld.store(unsafeBatches.pointee.oldest ?? 0, ordering: .releasing)
        oldestHeldNumber.store(number, ordering: .releasing)
    }

    /// When the batch was closed that is next in the ring; nil: the ring is empty.
    func setWaiting(_ closedTime: Int64?) {
        let waiting = closedTime ?? 0
        guard waiting != oldestWaiting.load(ordering: .relaxed) else { return }
        oldestWaiting.store(waiting, ordering: .releasing)
    }

    /// The sink has it safe. `now`: ns since the epoch. `asDeadLetter`: not where it should have gone.
    func acknowledge(_ receipt: BatchReceipt, now: Int64, asDeadLetter: Bool = false) {
        recorders[Int(receipt.kind.rawValue)].record(now - receipt.closedTime, count: Int(receipt.events))
        totals.add(Int(receipt.rawBytes), to: Total.rawBytesPublished.rawValue)
        totals.add(Int(receipt.bytes), to: Total.bytesPublished.rawValue)
        totals.add(receipt.endsBatch ? 1 : 0, to: Total.batchesPublished.rawValue)
        let cell = cell(Int(receipt.market), receipt.kind)
        if asDeadLetter {
            deadLettered.add(Int(receipt.events), to: cell)
        } else {
            published.add(Int(receipt.events), to: cell)
        }
        guard !receipt.place.isSomewhere else {
            spooled.append(receipt)
            return
        }
        guard receipt.endsBatch else { return }
        unsafeBatches.pointee.remove(number: receipt.number)
        setOldestHeld()
    }

    /// The topics and keys that rest: the first of them, and how many there are in all.
    func set(paused: [PausedKey], count: Int) {
        totals.set(count, at: Total.keysPaused.rawValue)
        state.withLock { $0.paused = paused }
    }

    /// Something hinders the sink. The same text again only moves the problem's time; another one
    /// makes a note, at most one a second.
    func report(problem text: String) {
        let now = ck_realtime_nanos()
        let dropped = state.withLock { state in
            if let problem = state.problem, problem.text == text, problem.recovered == nil {
                state.problem?.lastSeen = now
                return false
            }
            if var problem = state.problem, problem.recovered == nil {
                // Something else than before, within the same trouble.
                problem.text = text
                problem.lastSeen = now
                state.problem = problem
                guard now - state.lastProblemNote >= PublishLedger.noteInterval else { return false }
            } else {
                state.problem = PublishProblem(text: text, since: now, lastSeen: now, recovered: nil)
            }
            state.lastProblemNote = now
            return append(PublishNote(time: now, isProblem: true, text: text), to: &state)
        }
        if dropped { add(to: .notesDropped) }
    }

    /// The sink's other side has gone for good.
    func reportEnd(_ text: String) {
        report(problem: text)
        ended.store(true, ordering: .releasing)
    }

    /// The problem, if there is one, is over.
    func reportRecovery(_ text: @autoclosure () -> String) {
        let now = ck_realtime_nanos()
        let dropped = state.withLock { state in
            guard let problem = state.problem, problem.recovered == nil else { return false }
            state.problem?.recovered = now
            let seconds = Double((now - problem.since) / 1_000_000) / 1000
            let note = "\(text()), after \(seconds) s of: \(problem.text)"
            return append(PublishNote(time: now, isProblem: false, text: note), to: &state)
        }
        if dropped { add(to: .notesDropped) }
    }

    /// Something worth a log line that hinders nothing.
    func report(information text: String) { note(text, isProblem: false) }

    /// A log line.
    func note(_ text: String, isProblem: Bool) {
        let dropped = state.withLock { state in
            append(PublishNote(time: ck_realtime_nanos(), isProblem: isProblem, text: text), to: &state)
        }
        if dropped { add(to: .notesDropped) }
    }

    private func append(_ note: PublishNote, to state: inout State) -> Bool {
        state.notes.append(note)
        guard state.notes.count > PublishLedger.noteLimit else { return false }
        state.notes.removeFirst()
        return true
    }
}
