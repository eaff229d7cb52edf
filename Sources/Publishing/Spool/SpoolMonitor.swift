import CKernel
import Rings
import Synchronization

/// What the spool tells other threads. The publisher thread alone writes.
public final class SpoolMonitor: Sendable {
    /// Figures, in the order of their cells.
    public enum Figure: Int, CaseIterable, Sendable {
        /// Gauge: bytes of the segments that hold a batch which is not acknowledged.
        case bytes
        /// Gauge: their number.
        case segments
        /// Gauge: batches that are not acknowledged.
        case batches
        /// Batches written.
        case stored
        /// Batches that were read back and handed to the sink.
        case handed
        /// Batches acknowledged.
        case acknowledged
        /// Batches that an earlier run left.
        case recovered
        /// Batches dropped at a limit.
        case dropped
        /// Writes, syncs and reads that failed.
        case failures
        /// Times that the sink took nothing although it seemed well.
        case stalls
        /// Bytes of a batch that was being written when the process or the machine ended.
        case tornBytes
        /// Bytes that were skipped as damaged.
        case damagedBytes
        /// Batches lost with these.
        case damagedBatches
        /// Gauge: places of batches kept in memory because their lane could not take them.
        case deferred
        /// Events in batches that were handed to the sink.
        case eventsHanded
    }

    private let figures = CounterBlock(count: Figure.allCases.count)
    private let oldest = Atomic<Int64>(0)
    /// Batches older than this make the collector not ready, ns.
    public let warnAge: Int64
    private let ledger: PublishLedger
    private let state = Mutex<PublishProblem?>(nil)

    /// All 0. `ledger`: where notes for the log go.
    public init(ledger: PublishLedger, warnAge: Int64 = 30_000_000_000) {
        self.ledger = ledger
        self.warnAge = warnAge
    }

    // MARK: For any thread

    /// One of the figures.
    public func value(_ figure: Figure) -> Int { figures.value(figure.rawValue) }

    /// When the oldest batch was closed that is not acknowledged, to about a hundred batches; ns since the epoch, nil
    /// where there is none.
    public var oldestTime: Int64? {
        let time = oldest.load(ordering: .acquiring)
        return time == 0 ? nil : time
    }

    /// What is wrong with the disk now, or was last.
    public var problem: PublishProblem? { state.withLock { $0 } }

    /// Why the collector is not to be relied upon: the disk fails, or batches have waited for too long. Nil: it is.
    /// `now`: ns since the epoch.
    public func hindrance(now: Int64) -> String? {
        if let problem, problem.recovered == nil { return problem.text }
        guard let oldestTime, now - oldestTime > warnAge else { return nil }
        return
            "spool: the oldest of \(value(.batches)) batches on disk has waited for \((now - oldestTime) / 1_000_000_000) s"
    }

    // MARK: For the publisher thread

    func add(_ amount: Int, to figure: Figure) { figures.add(amount, to: figure.rawValue) }
    func set(_ value: Int, at figure: Figure) { figures.set(value, at: figure.rawValue) }

    func setOldest(_ time: Int64?) {
        let time = time ?? 0
        if time != oldest.load(ordering: .relaxed) { oldest.store(time, ordering: .releasing) }
    }

    /// The disk fails. The same text again only moves the time; another one within a second makes no note.
    func report(problem text: String) {
        let now = ck_realtime_nanos()
        let isNew = state.withLock { problem in
            if var known = problem, known.recovered == nil {
                let isNew = known.text != text && now - known.lastSeen > PublishLedger.noteInterval
                (known.text, known.lastSeen) = (text, now)
                problem = known
                return isNew
            }
            problem = PublishProblem(text: text, since: now, lastSeen: now, recovered: nil)
            return true
        }
        if isNew { note(problem: text) }
    }

    func reportRecovery(_ text: String) {
        let now = ck_realtime_nanos()
        let ended = state.withLock { problem in
            guard problem?.recovered == nil, let since = problem?.since else { return nil as Int64? }
            problem?.recovered = now
            return now - since
        }
        if let ended { note(information: "\(text), after \(Double(ended / 1_000_000) / 1000) s") }
    }

    /// A line for the log about something that is over, but bad.
    func note(problem text: String) { ledger.note(text, isProblem: true) }
    /// A line for the log.
    func note(information text: String) { ledger.note(text, isProblem: false) }
}
