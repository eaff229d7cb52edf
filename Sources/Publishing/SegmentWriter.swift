import CKernel
import Glibc

/// A file operation that failed.
struct SegmentFailure: Error {
    var action: String
    var path: String
    var code: Int32
}

/// One row of segment files and the batches that wait to be written to it.
struct SegmentWriter: ~Copyable {
    var buffer: OutputBuffer
    private let suffix: String
    private let settings: FileSettings
    private var descriptor: Int32 = -1
    private var path = ""
    private var number = 0
    private var size = 0
    private var openedAt: Int64 = 0
    private var dirtySince: Int64?
    private var index = SegmentIndex()

    init(suffix: String, settings: FileSettings) {
        self.suffix = suffix
        self.settings = settings
        buffer = OutputBuffer(capacity: settings.bufferBytes)
    }

    deinit { if descriptor >= 0 { ck_close(descriptor) } }

    /// Writes all waiting batches, in as few writes as segments allow. `now`: monotonic ns; `.max` at the very end.
    mutating func write(now: Int64, ledger: PublishLedger, acknowledged: inout Int) throws(SegmentFailure) {
        while !buffer.isEmpty {
            let room = descriptor < 0 ? settings.segmentBytes : settings.segmentBytes - size
            let count = buffer.wholeBatches(room: room, atLeastOne: size == 0 || descriptor < 0)
            if count == 0 {
                try end()
                continue
            }
            if descriptor < 0 { try begin(now: now) }
            var left = count
            while left > 0 {
                let written = ck_write(descriptor, buffer.pending.baseAddress, left)
                guard written > 0 else {
                    let code = written < 0 ? Int32(truncatingIfNeeded: -written) : ENOSPC
                    try cutBack(code)
                    throw SegmentFailure(action: "write to", path: path, code: code)
                }
                left -= Int(written)
                size += Int(written)
                if dirtySince == nil { dirtySince = now == .max ? 0 : now }
                let time = ck_realtime_nanos()
                var batches = 0
                let segmentBytes = settings.segmentBytes
                buffer.advance(Int(written)) { receipt, bytes, span in
                    ledger.acknowledge(receipt, now: time)
                    index.append(bytes: bytes, span: span, segmentBytes: segmentBytes)
                    batches += 1
                }
                acknowledged += batches
            }
            ledger.count(.ok)
        }
    }

    /// Cuts a batch that was written in part off the file, so that readers never see half a frame.
    private mutating func cutBack(_ code: Int32) throws(SegmentFailure) {
        let torn = buffer.torn
        if torn > 0 {
            size -= torn
            buffer.restoreTorn()
            let cut = ck_truncate(descriptor, Int64(size))
            if cut < 0 {
                // The torn end stays in that file, whose batches before it are whole; the batch goes to a new one.
                abandon()
                throw SegmentFailure(action: "cut back", path: path, code: -cut)
            }
        }
        // A full disk may get room again; with any other fault a fresh file has the better chance.
        if code != ENOSPC, code != EDQUOT { abandon() }
    }

    private mutating func begin(now: Int64) throws(SegmentFailure) {
        let time = ck_realtime_nanos() / 1_000_000_000
        let stamp = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 17) { text in
            guard let base = text.baseAddress else { return "" }
            ck_utc_text(time, base)
            return String(cString: base)
        }
        var opened: Int32 = -EEXIST
        while opened == -EEXIST {
            number += 1
            let digits = String(number)
            let padded = String(repeating: "0", count: max(0, 6 - digits.count)) + digits
            path = "\(settings.directory)/segment-\(stamp)-\(padded)\(suffix)"
            opened = ck_create_for_append(path)
            // The directory may have been taken away under us.
            if opened == -ENOENT, ck_make_directories(settings.directory) == 0 {
                opened = ck_create_for_append(path)
            }
        }
        guard opened >= 0 else { throw SegmentFailure(action: "open", path: path, code: -opened) }
        descriptor = opened
        size = 0
        openedAt = now == .max ? 0 : now
        dirtySince = nil
    }

    private mutating func abandon() {
        if descriptor >= 0 { ck_close(descriptor) }
        descriptor = -1
        size = 0
        dirtySince = nil
        index.removeAll()
    }

    private mutating func sync() throws(SegmentFailure) {
        guard dirtySince != nil else { return }
        dirtySince = nil
        let synced = ck_sync_data(descriptor)
        guard synced >= 0 else {
            // After a failed sync the kernel may hold pages clean that never reached the disk: a further sync of this
            // file proves nothing.
            abandon()
            throw SegmentFailure(action: "sync", path: path, code: -synced)
        }
    }

    /// Ends the segment: all of it is on the disk.
    private mutating func end() throws(SegmentFailure) {
        try sync()
        // A segment whose torn end could not be cut off is longer: it gets none.
        if index.size == size { index.write(for: path) }
        abandon()
    }

    /// Syncs, and ends a segment that is old enough.
    mutating func keepTime(now: Int64, ledger: PublishLedger) -> SegmentFailure? {
        guard descriptor >= 0 else { return nil }
        do throws(SegmentFailure) {
            if now - openedAt >= settings.segmentAge {
                try end()
            } else if let since = dirtySince, now - since >= settings.syncInterval {
                try sync()
                if ck_link_count(descriptor) == 0 {
                    ledger.report(
                        information:
                            "file sink: \(path) was deleted while it was written; a new segment is begun")
                    abandon()
                }
            }
            return nil
        } catch {
            return error
        }
    }

    /// Until the next sync or rotation, ns.
    func timeLeft(now: Int64) -> Int64 {
        guard descriptor >= 0 else { return .max }
        let rotation = openedAt + settings.segmentAge - now
        guard let dirtySince else { return rotation }
        return min(rotation, dirtySince + settings.syncInterval - now)
    }

    /// Ends the segment for good.
    mutating func close() -> SegmentFailure? {
        guard descriptor >= 0 else { return nil }
        do throws(SegmentFailure) {
            try end()
            return nil
        } catch {
            return error
        }
    }
}
