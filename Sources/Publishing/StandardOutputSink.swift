import Batching
import CKernel
import Glibc
import Rings

/// Writes batches to a stream, one event a line; a batch is acknowledged when all of it is written. The reader's pace
/// is obeyed without blocking the thread.
///
/// Batches should come uncompressed; a compressed one goes out as it is, a zstd frame.
public final class StandardOutputSink: Sink {
    /// Its books.
    public let ledger: PublishLedger
    private var buffer: OutputBuffer
    private let descriptor: Int32
    private var isWaiting = false
    private var isBroken = false
    private var retryAt: Int64 = 0

    /// How long a write that failed for another reason than a slow or absent reader rests, ns.
    static let retryNanos: Int64 = 1_000_000_000

    /// A sink to an open descriptor, which stays the caller's. `bufferBytes`: memory for what the reader has not
    /// taken yet.
    public init(
        ledger: PublishLedger, descriptor: Int32 = 1, bufferBytes: Int = 1 << 20
    ) throws(PublishError) {
        let own = ck_open_output(descriptor)
        guard own >= 0 else {
            throw PublishError(
                description:
                    "standard output cannot be written: \(errorText(-own)); open it or use another sink")
        }
        self.ledger = ledger
        self.descriptor = own
        buffer = OutputBuffer(capacity: bufferBytes)
    }

    deinit { close() }

    /// Copies the batch into the buffer.
    public func take(_ batch: BatchView) -> SinkAnswer {
        guard !isBroken, buffer.append(batch) else { return .full }
        ledger.take(BatchReceipt(batch))
        return .accepted
    }

    /// Writes as much as the stream takes.
    public func doWork(now: Int64) -> Int {
        guard !isBroken, !buffer.isEmpty, now >= retryAt else { return 0 }
        var work = 0
        isWaiting = false
        retryAt = 0
        while !buffer.isEmpty {
            let pending = buffer.pending
            let written = ck_write_output(descriptor, pending.baseAddress, pending.count)
            guard written > 0 else {
                fail(Int32(truncatingIfNeeded: -written), now: now)
                break
            }
            let time = ck_realtime_nanos()
            buffer.advance(Int(written)) { receipt, _, _ in
                ledger.acknowledge(receipt, now: time)
                work += 1
            }
            ledger.count(.ok)
            ledger.reportRecovery("standard output is written again")
        }
        ledger.set(buffer.held, at: .bytesHeld)
        return work
    }

    private func fail(_ code: Int32, now: Int64) {
        switch code {
        case EAGAIN, 0:
            isWaiting = true
        case EPIPE, ECONNRESET:
            isBroken = true
            ledger.count(.unavailable)
            ledger.reportEnd("standard output: its reader has gone; nothing can be published any more")
        default:
            retryAt = now + StandardOutputSink.retryNanos
            ledger.count(code == ENOSPC ? .resourceExhausted : .internal)
            ledger.report(
                problem: "standard output: \(errorText(code)); the batches are kept and tried again")
        }
    }

    /// False: a write that can be done was done.
    public func hasInput() -> Bool { !isBroken && !isWaiting && retryAt == 0 && !buffer.isEmpty }

    /// A second, or until the next try.
    public func parkLimit(now: Int64) -> Int64 {
        retryAt > now ? min(retryAt - now, 1_000_000_000) : 1_000_000_000
    }

    /// Waits for the waker or for room in the stream.
    public func park(nanos: Int64, waker: Waker) {
        _ = ck_wait_either(waker.descriptor, isWaiting ? descriptor : -1, nanos)
    }

    private var isClosed = false

    /// Writes what can be written at once.
    public func close() {
        guard !isClosed else { return }
        _ = doWork(now: .max)
        isClosed = true
        isBroken = true
        ck_close(descriptor)
    }
}
