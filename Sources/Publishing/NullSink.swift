import Batching
import CKernel
import Rings

/// Acknowledges at once and keeps nothing: for measuring what stands before it.
public final class NullSink: Sink {
    /// Its books.
    public let ledger: PublishLedger

    /// A sink that writes to `ledger`.
    public init(ledger: PublishLedger) { self.ledger = ledger }

    /// Counts the batch as published.
    public func take(_ batch: BatchView) -> SinkAnswer {
        let receipt = BatchReceipt(batch)
        ledger.take(receipt)
        ledger.acknowledge(receipt, now: ck_realtime_nanos())
        return .accepted
    }

    /// Nothing is ever left to do.
    public func doWork(now: Int64) -> Int { 0 }
    /// False.
    public func hasInput() -> Bool { false }
    /// A second.
    public func parkLimit(now: Int64) -> Int64 { 1_000_000_000 }
    /// Waits for the waker.
    public func park(nanos: Int64, waker: Waker) { waker.wait(nanos: nanos) }
    /// Nothing to close.
    public func close() {}
}
