import Batching
import CKernel
import Rings

/// The publisher thread: takes closed batches from the ring and hands them to its sink.
///
/// A batch that the sink does not take goes to the spool. Without one, or where that takes it no more, it stays in the
/// ring; a full ring holds up the batch thread, and in the end the socket. When the stage is given up it closes its sink
/// and its spool.
public struct PublisherStage<S: Sink>: ~Copyable, Stage {
    private var input: RingConsumer
    private let routes: RouteTable
    private let sink: S
    private let ledger: PublishLedger
    private let spool: Spool?
    private let monitor: BatchMonitor
    private let waker: Waker
    private var isBlocked = false
    /// Of the batches at the beginning of the ring, those that the sink has: a bit for each. They were put back with others
    /// that did not get on disk.
    private var passed: UInt64 = 0

    /// Batches taken in one cycle at most, so that the sink's own work is never far away; as many as the batch thread closes
    /// in one, lest they pile up where both share a thread.
    static var batchesPerCycle: Int { 256 }

    /// A stage that reads batches, whose routes are in `routes`, from `input`. `monitor`: the batch thread's, which
    /// may close batches early while nothing is in flight. `waker`: that of the thread's `StageControl`, which the ring
    /// must have, too. `spool`: of the same ledger and routes as the sink.
    public init(
        input: consuming RingConsumer, routes: RouteTable, sink: S, spool: Spool? = nil,
        monitor: BatchMonitor = BatchMonitor(), waker: Waker
    ) {
        self.input = input
        self.routes = routes
        self.sink = sink
        ledger = sink.ledger
        self.spool = spool
        self.monitor = monitor
        self.waker = waker
    }

    deinit {
        spool?.close(sink)
        sink.close()
    }

    /// One cycle.
    public mutating func doWork() -> Int {
        var work = 0
        isBlocked = false
        var direct: UInt64 = 0
        while work < Self.batchesPerCycle, let payload = input.peek() {
            let bit: UInt64 = 1 << UInt64(work)
            if passed & bit != 0 {
                direct |= bit
            } else {
                switch take(BatchView(payload: payload, routes: routes)) {
                case .sink: direct |= bit
                case .spool: break
                case nil: isBlocked = true
                }
                if isBlocked { break }
            }
            input.advance()
            work += 1
        }
        if let spool, !spool.commit() {
            // What the sink took meanwhile is not taken twice.
            passed |= direct
            input.takeBack()
            isBlocked = true
            work = 0
        } else {
            passed = work < 64 ? passed >> UInt64(work) : 0
            input.release()
        }
        ledger.setWaiting(input.peek().map { $0.load(as: BatchHeader.self).closedTime })
        let now = ck_monotonic_nanos()
        if let spool {
            work += spool.doWork(sink, now: now)
            monitor.setRoutesWait(!spool.isEmpty)
        }
        let done = sink.doWork(now: now)
        monitor.setPublisherLoad(ledger.batchesInFlight)
        return work + done
    }

    private enum Taker { case sink, spool }

    /// hot: the sink, or the spool where something of the batch's topic and key is before it; nil: neither.
    private func take(_ batch: BatchView) -> Taker? {
        guard let spool else { return sink.take(batch) == .accepted ? .sink : nil }
        if spool.admits(batch.route), sink.take(batch) == .accepted { return .sink }
        return spool.take(batch, from: sink, now: ck_monotonic_nanos()) ? .spool : nil
    }

    /// Whether a batch waits that the sink would take, or the sink or the spool has something to do.
    public mutating func hasInput() -> Bool {
        if !isBlocked && input.hasInput() || sink.hasInput() { return true }
        return spool?.hasInput(now: ck_monotonic_nanos()) ?? false
    }

    /// Until the sink's or the spool's next deadline.
    public mutating func parkLimit() -> Int64 {
        let limit = min(sink.parkLimit(now: ck_monotonic_nanos()), 1_000_000_000)
        return min(limit, spool?.parkLimit(isBlocked: isBlocked) ?? limit)
    }

    /// Waits with the sink.
    public mutating func park(nanos: Int64) { sink.park(nanos: nanos, waker: waker) }
}
