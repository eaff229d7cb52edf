import Batching
import CKernel
import Glibc

/// Where the spool is read next.
struct SpoolCursor {
    var segment: SpoolSegment?
    /// Of the segment that was read last, where ``segment`` is nil.
    var lastNumber: UInt32 = 0
    var offset = SpoolFormat.headerSize
    /// Batches of the segment before the offset.
    var record = 0
    /// When a read that failed is tried again, monotonic ns, and how often it has failed.
    var retryAt: Int64 = 0
    var failures = 0

    mutating func move(to next: SpoolSegment) {
        self = SpoolCursor(segment: next, lastNumber: next.number)
    }

    mutating func leave(_ gone: SpoolSegment) {
        guard segment === gone else { return }
        self = SpoolCursor(segment: nil, lastNumber: gone.number)
    }
}

/// Memory that a part of a file is read into.
final class SpoolBuffer {
    private var memory: UnsafeMutableRawPointer
    private var capacity: Int
    private var number: UInt32 = 0
    private var start = 0
    private var count = 0

    init(capacity: Int) {
        self.capacity = capacity
        memory = .allocate(byteCount: capacity, alignment: 64)
    }

    deinit { memory.deallocate() }

    /// At least `needed` bytes of a segment from `offset` on, more where they are here; nil with a negative errno where
    /// they cannot be read. Offsets are multiples of 8.
    func bytes(
        of segment: SpoolSegment, at offset: Int, needed: Int, files: SpoolFiles
    ) -> (bytes: UnsafeRawBufferPointer?, code: Int32) {
        if number == segment.number, offset >= start, offset + needed <= start + count {
            return (
                UnsafeRawBufferPointer(start: memory + (offset - start), count: start + count - offset), 0
            )
        }
        if needed > capacity {
            memory.deallocate()
            capacity = needed
            memory = .allocate(byteCount: capacity, alignment: 64)
        }
        number = 0
        if segment.reader < 0 { segment.reader = ck_open_read(segment.path) }
        guard segment.reader >= 0 else {
            let code = segment.reader
            segment.reader = -1
            return (nil, code)
        }
        let wanted = min(capacity, segment.size - offset)
        let got = files.read(segment.reader, memory, wanted, at: offset)
        guard got >= Int64(needed) else { return (nil, got < 0 ? Int32(truncatingIfNeeded: got) : -EIO) }
        (number, start, count) = (segment.number, offset, Int(got))
        return (UnsafeRawBufferPointer(start: memory, count: count), 0)
    }
}

/// A batch that was read back; its bytes stay until the next read.
struct StoredBatch {
    var record: SpoolRecord
    var route: Route
    var segment: SpoolSegment
    var index: Int
    var offset: Int

    func view(lane: UInt32) -> BatchView {
        BatchView(
            payload: record.payload, route: route,
            place: SpoolPlace(segment: segment.number, record: UInt32(index), lane: lane),
            isEncoded: record.form == .encoded)
    }
}

extension SpoolStore {
    /// Tries of a read that fails before its segment is given up, a second apart.
    static let readTries = 5
    static let readPause: Int64 = 1_000_000_000

    /// What a look at a batch that was read past found.
    enum Reading {
        case batch(StoredBatch)
        /// It cannot be read now.
        case later
        /// It is damaged, or its segment is gone.
        case lost
    }

    private enum Loading {
        case record(SpoolRecord)
        case damaged
        /// errno, negative.
        case failed(Int32)
    }

    /// The oldest batch that was not read yet, without passing it; nil where there is none, or none can be read now.
    func next(now: Int64) -> StoredBatch? {
        guard unread > 0, now >= cursor.retryAt else { return nil }
        while let segment = current() {
            if cursor.offset >= segment.size {
                guard leaveEnd(of: segment) else { return nil }
                continue
            }
            guard let record = read(segment, now: now) else {
                guard now >= cursor.retryAt else { return nil }
                continue
            }
            if record.form == .route {
                cursor.offset += record.size
                continue
            }
            // What damage took before it.
            while cursor.segment === segment, cursor.record < min(record.index, segment.records) {
                lostRecord(in: segment)
            }
            guard cursor.segment === segment else { continue }
            if segment.isHeld(cursor.record) || segment.isFinished(cursor.record) {
                cursor.offset += record.size
                cursor.record += 1
            } else if let route = segment.route(record.route) {
                return StoredBatch(
                    record: record, route: route, segment: segment, index: cursor.record,
                    offset: cursor.offset)
            } else {
                // Its route was lost to damage.
                lose(segment, at: cursor.offset, bytes: record.size)
                cursor.offset += record.size
                lostRecord(in: segment)
            }
        }
        return nil
    }

    /// Passes the batch that ``next(now:)`` returned.
    func advance(past batch: StoredBatch) {
        cursor.offset = batch.offset + batch.record.size
        cursor.record += 1
        unread -= 1
    }

    /// A batch that was passed before. `tries`: how often it could not be read.
    func read(_ place: SpoolLane.Deferred, tries: Int) -> Reading {
        guard let segment = segment(place.segment) else { return .lost }
        let offset = Int(place.offset)
        switch load(segment, at: offset, from: deferredBuffer) {
        case .record(let record):
            guard let route = segment.route(record.route) else { break }
            return .batch(
                StoredBatch(
                    record: record, route: route, segment: segment, index: Int(place.record), offset: offset))
        case .failed(let code):
            report(code, segment, at: offset)
            if tries < SpoolStore.readTries { return .later }
        case .damaged: break
        }
        lose(segment, at: offset, bytes: SpoolFormat.headSize)
        monitor.add(1, to: .damagedBatches)
        finish(SpoolPlace(segment: segment.number, record: place.record, lane: 0))
        return .lost
    }

    private func current() -> SpoolSegment? {
        if let segment = cursor.segment { return segment }
        guard let next = segments.first(where: { $0.number > cursor.lastNumber }) else { return nil }
        cursor.move(to: next)
        return next
    }

    /// At the end of a segment: goes to the next. False where there is none, or the segment still grows.
    private func leaveEnd(of segment: SpoolSegment) -> Bool {
        // What damage took at its end is counted here, so that the segment can be done.
        while cursor.segment === segment, cursor.record < segment.records { lostRecord(in: segment) }
        guard cursor.segment === segment else { return true }
        guard !isWritten(segment),
            let next = segments.first(where: { $0.number > segment.number })
        else { return false }
        cursor.move(to: next)
        return true
    }

    private func lostRecord(in segment: SpoolSegment) {
        let index = cursor.record
        cursor.record += 1
        guard index < segment.records, !segment.isHeld(index), !segment.isFinished(index) else { return }
        unread -= 1
        monitor.add(1, to: .damagedBatches)
        finish(SpoolPlace(segment: segment.number, record: UInt32(index), lane: 0))
    }

    private func lose(_ segment: SpoolSegment, at offset: Int, bytes: Int) {
        segment.isDamaged = true
        monitor.add(bytes, to: .damagedBytes)
        monitor.note(
            problem:
                "spool: \(segment.path): \(bytes) bytes from \(offset) on are damaged and were skipped; the file is"
                + " kept as \(segment.path).damaged; look at the disk's state (dmesg)")
    }

    private func load(_ segment: SpoolSegment, at offset: Int, from buffer: SpoolBuffer) -> Loading {
        let left = segment.size - offset
        var (bytes, code) = buffer.bytes(
            of: segment, at: offset, needed: min(SpoolFormat.headSize, left), files: files)
        if let found = bytes, let claim = SpoolRecord.claim(found), claim > found.count, claim <= left {
            (bytes, code) = buffer.bytes(of: segment, at: offset, needed: claim, files: files)
        }
        guard let bytes else { return .failed(code) }
        return SpoolRecord(bytes).map(Loading.record) ?? .damaged
    }

    private func report(_ code: Int32, _ segment: SpoolSegment, at offset: Int) {
        monitor.report(
            problem: "spool: read \(segment.path) at \(offset): \(errorText(-code));"
                + " \(SpoolStore.remedy(-code)); it is tried again")
    }

    /// The record at the cursor. Where it is damaged, the cursor goes to the next that is not; where it cannot be read, it
    /// rests.
    private func read(_ segment: SpoolSegment, now: Int64) -> SpoolRecord? {
        switch load(segment, at: cursor.offset, from: buffer) {
        case .record(let record):
            if cursor.failures > 0 {
                cursor.failures = 0
                monitor.reportRecovery("spool: \(segment.path) is read again")
            }
            return record
        case .damaged: skipDamage(segment, from: cursor.offset)
        case .failed(let code):
            cursor.failures += 1
            cursor.retryAt = now + SpoolStore.readPause
            report(code, segment, at: cursor.offset)
            guard cursor.failures > SpoolStore.readTries else { break }
            cursor.retryAt = 0
            cursor.failures = 0
            lose(segment, at: cursor.offset, bytes: segment.size - cursor.offset)
            cursor.offset = segment.size
        }
        return nil
    }

    /// Looks for the next whole record behind a damaged one.
    private func skipDamage(_ segment: SpoolSegment, from offset: Int) {
        let left = segment.size - offset
        let whole = SpoolBuffer(capacity: left)
        let (bytes, _) = whole.bytes(of: segment, at: offset, needed: left, files: files)
        let skipped = bytes.flatMap { SpoolStore.nextRecord(in: $0, from: 8) } ?? left
        lose(segment, at: offset, bytes: skipped)
        cursor.offset = offset + skipped
    }

    /// Where the first whole record begins, at `from` or behind it.
    static func nextRecord(in bytes: UnsafeRawBufferPointer, from: Int) -> Int? {
        var at = from
        while at + SpoolFormat.headSize <= bytes.count {
            if SpoolRecord(UnsafeRawBufferPointer(rebasing: bytes[at...])) != nil { return at }
            at += 8
        }
        return nil
    }
}
