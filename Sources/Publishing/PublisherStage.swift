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

    /// Batches taken in one cycle at most, so that the sink's own work is never far away.
    static var batchesPerCycle: Int { 64 }

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
        while work < Self.batchesPerCycle, let payload = input.peek() {
            guard take(BatchView(payload: payload, routes: routes)) else {
                isBlocked = true
                break
            }
            input.advance()
            work += 1
        }
        input.release()
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

    /// hot: the sink, or the spool where something of the batch's topic and key is before it.
    private func take(_ batch: BatchView) -> Bool {
        guard let spool else { return sink.take(batch) == .accepted }
        if spool.admits(batch.route), sink.take(batch) == .accepted { return true }
        return spool.take(batch, from: sink, now: ck_monotonic_nanos())
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
