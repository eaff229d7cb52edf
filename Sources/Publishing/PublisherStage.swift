import Batching
import CKernel
import Rings

/// The publisher thread: takes closed batches from the ring and hands them to its sink.
///
/// A batch that the sink does not take stays in the ring; a full ring holds up the batch thread, and in the end the
/// socket. When the stage is given up it closes its sink.
public struct PublisherStage<S: Sink>: ~Copyable, Stage {
    private var input: RingConsumer
    private let routes: RouteTable
    private let sink: S
    private let ledger: PublishLedger
    private let monitor: BatchMonitor
    private let waker: Waker
    private var isBlocked = false

    /// Batches taken in one cycle at most, so that the sink's own work is never far away.
    static var batchesPerCycle: Int { 64 }

    /// A stage that reads batches, whose routes are in `routes`, from `input`. `monitor`: the batch thread's, which
    /// may close batches early while nothing is in flight. `waker`: that of the thread's `StageControl`, which the ring
    /// must have, too.
    public init(
        input: consuming RingConsumer, routes: RouteTable, sink: S, monitor: BatchMonitor = BatchMonitor(),
        waker: Waker
    ) {
        self.input = input
        self.routes = routes
        self.sink = sink
        ledger = sink.ledger
        self.monitor = monitor
        self.waker = waker
    }

    deinit { sink.close() }

    /// One cycle.
    public mutating func doWork() -> Int {
        var work = 0
        isBlocked = false
        while work < Self.batchesPerCycle, let payload = input.peek() {
            guard sink.take(BatchView(payload: payload, routes: routes)) == .accepted else {
                isBlocked = true
                break
            }
            input.advance()
            work += 1
        }
        input.release()
        ledger.setWaiting(input.peek().map { $0.load(as: BatchHeader.self).closedTime })
        let done = sink.doWork(now: ck_monotonic_nanos())
        monitor.setPublisherLoad(ledger.batchesInFlight)
        return work + done
    }

    /// Whether a batch waits that the sink would take, or the sink has something to do.
    public mutating func hasInput() -> Bool { !isBlocked && input.hasInput() || sink.hasInput() }

    /// Until the sink's next deadline.
    public mutating func parkLimit() -> Int64 {
        min(sink.parkLimit(now: ck_monotonic_nanos()), 1_000_000_000)
    }

    /// Waits with the sink.
    public mutating func park(nanos: Int64) { sink.park(nanos: nanos, waker: waker) }
}
