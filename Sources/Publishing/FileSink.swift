import Batching
import CKernel
import Glibc
import MarketData
import Rings

/// Where and how files are written.
public struct FileSettings: Sendable, Equatable {
    /// Made where it is missing.
    public var directory: String
    /// A segment ends before it would grow beyond so many bytes; a single larger batch gets one of its own.
    public var segmentBytes = 64 << 20
    /// A segment ends after so many ns.
    public var segmentAge: Int64 = 600_000_000_000
    /// Written bytes are on the disk (fdatasync) after so many ns at most; 0: after each write.
    public var syncInterval: Int64 = 1_000_000_000
    /// Batches are collected up to so many bytes for one write.
    public var bufferBytes = 1 << 20

    /// The defaults, for that directory.
    public init(directory: String) { self.directory = directory }
}

/// Appends batches to segment files, `segment-20261122T173000Z-000001.ndjson.zst`: the zstd frames of the batches one
/// after the other, which zstdcat reads as one stream (`.ndjson` where batches are not compressed).
///
/// A batch is acknowledged when the write returned. After a write that failed or was cut short the file is cut back to
/// the last whole batch, the batches are kept, and the write is tried again until it works.
public final class FileSink: Sink {
    /// Its books.
    public let ledger: PublishLedger
    private let settings: FileSettings
    // Compressed and plain batches never share a segment.
    private var plain: SegmentWriter
    private var compressed: SegmentWriter
    private let backoff = Backoff(initial: 100_000_000, maximum: 5_000_000_000)
    private var random = SplitMix64(seed: UInt64(bitPattern: ck_realtime_nanos()))
    private var failures = 0
    private var hasProblem = false
    private var retryAt: Int64 = 0
    private var isClosed = false

    /// Makes the directory and tries whether it can be written.
    public init(settings: FileSettings, ledger: PublishLedger) throws(PublishError) {
        guard settings.segmentBytes > 0, settings.segmentAge > 0, settings.syncInterval >= 0 else {
            throw PublishError(
                description: "file sink: segment size and age must be above 0, the sync interval not below 0")
        }
        ck_ignore_file_size_signal()
        let directory = settings.directory
        let made = ck_make_directories(directory)
        guard made >= 0 else {
            throw PublishError(
                description: "file sink: directory \(directory) cannot be made: \(errorText(-made));"
                    + " \(FileSink.remedy(-made))")
        }
        let probe = "\(directory)/.probe-\(ck_realtime_nanos())"
        let descriptor = ck_create_for_append(probe)
        if descriptor >= 0 {
            ck_close(descriptor)
            _ = ck_unlink(probe)
        } else if -descriptor != ENOSPC, -descriptor != EDQUOT {
            throw PublishError(
                description: "file sink: directory \(directory) cannot be written: \(errorText(-descriptor));"
                    + " \(FileSink.remedy(-descriptor))")
        }
        self.settings = settings
        self.ledger = ledger
        plain = SegmentWriter(suffix: ".ndjson", settings: settings)
        compressed = SegmentWriter(suffix: ".ndjson.zst", settings: settings)
    }

    deinit { close() }

    /// Copies the batch into the buffer; where that is full, writes it first.
    public func take(_ batch: BatchView) -> SinkAnswer {
        guard failures == 0, !isClosed else { return .full }
        var taken = append(batch)
        if !taken {
            _ = write(now: ck_monotonic_nanos())
            taken = failures == 0 && append(batch)
        }
        guard taken else { return .full }
        ledger.take(BatchReceipt(batch))
        return .accepted
    }

    private func append(_ batch: BatchView) -> Bool {
        batch.header.isCompressed ? compressed.buffer.append(batch) : plain.buffer.append(batch)
    }

    /// Writes what is buffered; rotates and syncs where it is time.
    public func doWork(now: Int64) -> Int {
        guard !isClosed else { return 0 }
        var work = write(now: now)
        if let problem = plain.keepTime(now: now, ledger: ledger) { report(problem, now: now) }
        if let problem = compressed.keepTime(now: now, ledger: ledger) { report(problem, now: now) }
        if work > 0, hasProblem {
            hasProblem = false
            ledger.reportRecovery("file sink: \(settings.directory) is written again, nothing was lost")
        }
        if failures > 0, now >= retryAt, work > 0 || isEmpty {
            failures = 0
            work += 1
        }
        return work
    }

    private func write(now: Int64) -> Int {
        guard now >= retryAt, !isEmpty else { return 0 }
        var work = 0
        do throws(SegmentFailure) {
            try compressed.write(now: now, ledger: ledger, acknowledged: &work)
            try plain.write(now: now, ledger: ledger, acknowledged: &work)
        } catch {
            report(error, now: now)
            work = 0
        }
        ledger.set(plain.buffer.held + compressed.buffer.held, at: .bytesHeld)
        return work
    }

    private func report(_ failure: SegmentFailure, now: Int64) {
        failures += 1
        hasProblem = true
        retryAt = now == .max ? 0 : now + max(backoff.wait(attempt: failures, random: &random), 20_000_000)
        let isFull = failure.code == ENOSPC || failure.code == EDQUOT
        ledger.count(isFull ? .resourceExhausted : .internal)
        if failures > 1 { ledger.add(to: .retries) }
        ledger.report(
            problem: "file sink: \(failure.action) \(failure.path): \(errorText(failure.code));"
                + " \(FileSink.remedy(failure.code)); the batches are kept and tried again")
    }

    /// What to do about an errno.
    static func remedy(_ code: Int32) -> String {
        switch code {
        case ENOSPC: "free space on that file system or set another sink.path"
        case EDQUOT: "raise the quota or free space"
        case EFBIG: "raise the limit of file sizes (ulimit -f)"
        case EACCES, EPERM: "let user \(getuid()) write there or set another sink.path"
        case EROFS: "mount it writable or set another sink.path"
        case EIO: "look at the disk's state (dmesg)"
        case ENOTDIR, EEXIST: "a file stands in the way; set another sink.path"
        case EMFILE, ENFILE: "raise the limit of open files (ulimit -n)"
        default: "set another sink.path if this stays"
        }
    }

    /// Whether a write is due at once.
    public func hasInput() -> Bool {
        failures == 0 && !isEmpty
    }

    private var isEmpty: Bool { plain.buffer.isEmpty && compressed.buffer.isEmpty }

    /// Until the next try, sync or rotation.
    public func parkLimit(now: Int64) -> Int64 {
        var limit: Int64 = 1_000_000_000
        if failures > 0 { limit = min(limit, retryAt - now) }
        limit = min(limit, plain.timeLeft(now: now), compressed.timeLeft(now: now))
        return max(limit, 0)
    }

    /// Waits for the waker.
    public func park(nanos: Int64, waker: Waker) { waker.wait(nanos: nanos) }

    /// Writes what is buffered, syncs, and closes the segments.
    public func close() {
        guard !isClosed else { return }
        retryAt = 0
        _ = write(now: .max)
        isClosed = true
        let now = ck_monotonic_nanos()
        for failure in [plain.close(), compressed.close()] {
            if let failure { report(failure, now: now) }
        }
    }
}
