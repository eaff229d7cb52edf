import Batching
import CKernel
import Glibc
import MarketData
import Rings

/// The spool's files: batches are appended at the end, read from the beginning, and deleted with their file when all in
/// it are done with. Knows nothing of sinks. Belongs to one thread.
final class SpoolStore {
    /// A batch as it is to be stored.
    struct Entry {
        var form: SpoolFormat.Form
        /// A ``BatchHeader`` and what follows it.
        var payload: UnsafeRawBufferPointer
        var closedTime: Int64
        /// Kept by the segment for reading back; nil where only a later run reads the batch.
        var route: Route?
        /// Tells routes of one segment apart.
        var routeKey: UInt64
        var lane: UInt32
        /// The sink has it.
        var isHeld: Bool
    }

    enum Answer: Equatable {
        case stored(SpoolPlace)
        /// The spool is as large as it may be.
        case full
        /// The disk does not take it.
        case failed
    }

    let settings: SpoolSettings
    let files: SpoolFiles
    let monitor: SpoolMonitor
    /// By number, ascending.
    var segments: [SpoolSegment] = []
    private var byNumber: [UInt32: SpoolSegment] = [:]
    var nextNumber: UInt32 = 1
    /// Bytes of all segments.
    var bytes = 0
    /// Batches that are not done.
    private(set) var undone = 0
    /// Batches that the cursor has not passed.
    var unread = 0

    // Writing.
    private var writer: SpoolSegment?
    private var descriptor: Int32 = -1
    private var routeNumbers: [UInt64: UInt32] = [:]
    /// The number of the route of the batch that was appended last.
    private(set) var lastRoute: UInt32 = 0
    private let head: UnsafeMutableRawPointer
    private var dirtySince: Int64?
    private var syncer: SpoolSyncer?
    /// Of segments, by the other thread.
    private var syncsUnderWay = 0
    /// The last sync failed.
    private var syncFails = false
    /// One has failed since the last ``syncEach(now:)``.
    private var syncHasFailed = false
    private var directoryIsDirty = false
    private var emptySince: Int64?
    private var failures = 0
    private var retryAt: Int64 = 0
    private let backoff = Backoff(initial: 100_000_000, maximum: 5_000_000_000)
    private var random = SplitMix64(seed: UInt64(bitPattern: ck_realtime_nanos()))

    // Reading.
    var cursor = SpoolCursor()
    /// What damage took of segments that are gone, until whoever keeps the books fetches it.
    var losses: [(route: Route, share: SpoolShare)] = []
    let buffer = SpoolBuffer(capacity: 1 << 20)
    let deferredBuffer = SpoolBuffer(capacity: 1 << 16)
    private let position: SpoolPosition
    private let lock: Int32

    /// Room for a route's record and a batch's head.
    static let headRoom = 2 << 20
    /// An empty segment is kept so long for the next batch, ns.
    static let emptyPause: Int64 = 5_000_000_000

    /// Opens the directory and locks it; nothing is read yet.
    init(settings: SpoolSettings, monitor: SpoolMonitor, files: SpoolFiles = SpoolFiles()) throws(SpoolError)
    {
        let directory = settings.directory
        let remedy = "or set spool.enabled: false"
        let made = ck_make_directories(directory)
        guard made >= 0 else {
            throw SpoolError(
                description: "spool: directory \(directory) cannot be made: \(errorText(-made));"
                    + " \(SpoolStore.remedy(-made)), \(remedy)")
        }
        lock = ck_lock_file("\(directory)/lock")
        guard lock >= 0 else {
            let isTaken = lock == -EWOULDBLOCK
            throw SpoolError(
                description: isTaken
                    ? "spool: another process uses \(directory); stop it, or give each collector its own"
                        + " collector.dataDirectory"
                    : "spool: \(directory)/lock cannot be opened: \(errorText(-lock)); \(SpoolStore.remedy(-lock)), \(remedy)"
            )
        }
        position = SpoolPosition(path: "\(directory)/position")
        self.settings = settings
        self.files = files
        self.monitor = monitor
        head = .allocate(byteCount: SpoolStore.headRoom, alignment: 64)
        ck_ignore_file_size_signal()
        guard settings.fsync == .interval else { return }
        // Here and not when it is needed: a thread keeps to the CPUs of the one that starts it.
        do throws(RingError) {
            syncer = try SpoolSyncer(files: files, directory: directory)
        } catch {
            throw SpoolError(description: "spool: \(error.description)")
        }
    }

    deinit {
        syncer?.end()
        if descriptor >= 0 { ck_close(descriptor) }
        head.deallocate()
        ck_close(lock)
    }

    // MARK: Segments

    func path(_ number: UInt32) -> String {
        let digits = String(number)
        return
            "\(settings.directory)/segment-\(String(repeating: "0", count: max(0, 10 - digits.count)))\(digits).spool"
    }

    func segment(_ number: UInt32) -> SpoolSegment? { byNumber[number] }

    func add(_ segment: SpoolSegment) {
        segments.append(segment)
        byNumber[segment.number] = segment
        nextNumber = max(nextNumber, segment.number + 1)
        bytes += segment.size
        undone += segment.records - segment.done
        unread += segment.records - segment.done
        tell()
    }

    /// For recovery: where reading ended before.
    func readPosition() -> (segment: UInt32, record: UInt32)? { position.read() }

    func tell() {
        monitor.set(undone == 0 ? 0 : bytes, at: .bytes)
        monitor.set(undone, at: .batches)
        monitor.set(undone == 0 ? 0 : segments.count, at: .segments)
        monitor.setOldest(oldestTime)
    }

    /// When the oldest batch that is not done was closed, ns since the epoch.
    var oldestTime: Int64? {
        for segment in segments { if let time = segment.oldestTime { return time } }
        return nil
    }

    /// Whether nothing waits for the sink or for its acknowledgement.
    var isEmpty: Bool { undone == 0 }

    /// Whether the disk refused the last write and is to be left alone for a while.
    func isResting(now: Int64) -> Bool { failures > 0 && now < retryAt }

    // MARK: Writing

    /// Writes a batch behind all others. When it returns the batch outlasts the process.
    func append(_ entry: Entry, now: Int64) -> Answer {
        guard !isResting(now: now) else { return .failed }
        let size = SpoolFormat.size(payload: entry.payload.count)
        guard bytes + size + SpoolFormat.headerSize <= settings.maxBytes else { return .full }
        do throws(SegmentFailure) {
            if let writer, writer.size + size > settings.segmentBytes, writer.records > 0 {
                try end()
                if writer.isDone { remove(writer) }
            }
            let segment = try open()
            let (number, headBytes) = describe(entry, in: segment)
            lastRoute = number
            try write(headBytes, entry.payload, to: segment, size: size)
            if headBytes > SpoolFormat.headSize {
                routeNumbers[entry.routeKey] = number
                segment.setRoute(entry.route, number: number)
            }
            let index = segment.append(closedTime: entry.closedTime, isHeld: entry.isHeld)
            undone += 1
            if !entry.isHeld {
                unread += 1
                segment.expect(entry.payload.load(as: BatchHeader.self), route: number)
            }
            emptySince = nil
            monitor.add(1, to: .stored)
            if dirtySince == nil, settings.fsync != .never { dirtySince = now }
            recovered()
            tell()
            return .stored(SpoolPlace(segment: segment.number, record: UInt32(index), lane: entry.lane))
        } catch {
            report(error, now: now)
            return .failed
        }
    }

    /// Writes the heads: that of the batch, and before it the route where it is new to the segment.
    private func describe(_ entry: Entry, in segment: SpoolSegment) -> (number: UInt32, headBytes: Int) {
        var at = 0
        let number: UInt32
        if let known = routeNumbers[entry.routeKey] {
            number = known
        } else {
            number = UInt32(segment.routes.count)
            let text = pendingRoute?.encoded() ?? []
            text.withUnsafeBytes { text in
                SpoolFormat.writeHead(
                    .route, route: number, index: segment.records, payload: text, to: head)
                let size = SpoolFormat.size(payload: text.count)
                (head + SpoolFormat.headSize).initializeMemory(
                    as: UInt8.self, repeating: 0, count: size - SpoolFormat.headSize)
                if let base = text.baseAddress {
                    (head + SpoolFormat.headSize).copyMemory(from: base, byteCount: text.count)
                }
                at = size
            }
        }
        SpoolFormat.writeHead(
            entry.form, route: number, index: segment.records, payload: entry.payload, to: head + at)
        return (number, at + SpoolFormat.headSize)
    }

    /// The text of the next batch's route, asked for only where a segment does not know it yet.
    var pendingRoute: SpoolRoute?

    /// Whether the next batch with this key needs ``pendingRoute``.
    func needsRoute(_ key: UInt64, payload: Int) -> Bool {
        guard let writer, routeNumbers[key] != nil else { return true }
        return writer.size + SpoolFormat.size(payload: payload) > settings.segmentBytes
    }

    private func write(
        _ headBytes: Int, _ payload: UnsafeRawBufferPointer, to segment: SpoolSegment, size: Int
    ) throws(SegmentFailure) {
        let padding = size - SpoolFormat.headSize - payload.count
        let total = headBytes + payload.count + padding
        let zeros: UInt64 = 0
        let written = withUnsafeBytes(of: zeros) { zeros in
            files.write(
                descriptor, UnsafeRawBufferPointer(start: head, count: headBytes), payload,
                UnsafeRawBufferPointer(rebasing: zeros[..<padding]))
        }
        guard written == Int64(total) else {
            let code = written < 0 ? Int32(truncatingIfNeeded: -written) : ENOSPC
            let failure = SegmentFailure(action: "write to", path: segment.path, code: code)
            // What was written in part is cut off. Where that fails the next run does it, and this file gets no more.
            let cut = written > 0 ? files.truncate(descriptor, segment.size) : 0
            // A full disk may get room again; with any other fault a fresh file has the better chance.
            if cut < 0 || (code != ENOSPC && code != EDQUOT) { abandon() }
            throw failure
        }
        segment.size += total
        bytes += total
    }

    private func open() throws(SegmentFailure) -> SpoolSegment {
        if let writer { return writer }
        var opened: Int32 = -EEXIST
        var number = nextNumber
        for _ in 0..<1_000 where opened == -EEXIST {
            number = nextNumber
            nextNumber += 1
            opened = files.create(path(number))
            // The directory may have been taken away under us.
            if opened == -ENOENT, ck_make_directories(settings.directory) == 0 {
                opened = files.create(path(number))
            }
        }
        let segment = SpoolSegment(number: number, path: path(number))
        guard opened >= 0 else { throw SegmentFailure(action: "make", path: segment.path, code: -opened) }
        let header = UnsafeRawBufferPointer(start: head, count: SpoolFormat.headerSize)
        SpoolFormat.writeHeader(
            number: number, runID: settings.origin.runID, time: ck_realtime_nanos(), to: head)
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        let written = files.write(opened, header, none, none)
        let isSynced = settings.fsync == .never || written < 0 || delegate(.directory)
        let synced = isSynced ? 0 : files.syncDirectory(settings.directory)
        guard written == Int64(SpoolFormat.headerSize), synced >= 0 else {
            ck_close(opened)
            _ = files.remove(segment.path)
            let code = synced < 0 ? -synced : written < 0 ? Int32(truncatingIfNeeded: -written) : ENOSPC
            throw SegmentFailure(action: "begin", path: segment.path, code: code)
        }
        descriptor = opened
        writer = segment
        routeNumbers.removeAll(keepingCapacity: true)
        segments.append(segment)
        byNumber[number] = segment
        bytes += segment.size
        return segment
    }

    /// Appends nothing more to the segment that is written.
    private func abandon() {
        if let writer, dirtySince != nil, delegate(.data(segment: writer.number, file: descriptor)) {
            descriptor = -1
        }
        if descriptor >= 0 { ck_close(descriptor) }
        descriptor = -1
        writer = nil
        dirtySince = nil
    }

    /// Ends the segment that is written.
    private func end() throws(SegmentFailure) {
        if let writer, dirtySince != nil, delegate(.data(segment: writer.number, file: descriptor)) {
            (descriptor, dirtySince) = (-1, nil)
        } else {
            try sync()
        }
        abandon()
    }

    /// Has the other thread do it, where the policy lets it take its time. False where it does not, or has no room.
    private func delegate(_ job: SpoolSyncer.Job) -> Bool {
        guard let syncer, syncer.send(job) else { return false }
        if case .data = job { syncsUnderWay += 1 }
        return true
    }

    private func beginSync(now: Int64) {
        // A slow disk is not given more than it gets done.
        guard let writer, syncsUnderWay < 2 else { return }
        let file = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        if file >= 0, delegate(.data(segment: writer.number, file: file)) {
            dirtySince = nil
            return
        }
        if file >= 0 { ck_close(file) }
        _ = sync(now: now)
    }

    private func takeOutcomes(now: Int64) {
        guard let syncer else { return }
        for outcome in syncer.takeOutcomes() {
            var path = settings.directory
            if case .data(let segment, _) = outcome.job {
                syncsUnderWay -= 1
                path = self.path(segment)
                if outcome.code >= 0 { synced() }
                // See sync().
                if outcome.code < 0, segment == writer?.number {
                    dirtySince = nil
                    abandon()
                }
            }
            guard outcome.code < 0 else { continue }
            syncFails = true
            report(SegmentFailure(action: "sync", path: path, code: -outcome.code), now: now)
        }
    }

    private func synced() {
        syncFails = false
        recovered()
    }

    private func sync() throws(SegmentFailure) {
        guard dirtySince != nil, let writer else { return }
        dirtySince = nil
        let code = files.sync(descriptor)
        guard code < 0 else {
            synced()
            return
        }
        (syncFails, syncHasFailed) = (true, true)
        // After a failed sync the kernel may hold pages clean that never reached the disk: a further sync of this file
        // proves nothing.
        abandon()
        throw SegmentFailure(action: "sync", path: writer.path, code: -code)
    }

    private func report(_ failure: SegmentFailure, now: Int64) {
        failures += 1
        retryAt = now + max(backoff.wait(attempt: failures, random: &random), 20_000_000)
        monitor.add(1, to: .failures)
        monitor.report(
            problem: "spool: \(failure.action) \(failure.path): \(errorText(failure.code));"
                + " \(SpoolStore.remedy(failure.code)); batches stay in memory and the exchange is held up until it"
                + " works, nothing is lost")
    }

    private func recovered() {
        guard failures > 0, !syncFails else { return }
        failures = 0
        monitor.reportRecovery("spool: \(settings.directory) is written again, nothing was lost")
    }

    /// Makes what was appended outlast the machine, where the policy wants it at once. False where that failed.
    func syncEach(now: Int64) -> Bool {
        guard settings.fsync == .each else { return true }
        defer { syncHasFailed = false }
        return sync(now: now) && !syncHasFailed
    }

    private func sync(now: Int64) -> Bool {
        do throws(SegmentFailure) {
            try sync()
            return true
        } catch {
            report(error, now: now)
            return false
        }
    }

    /// Syncs, saves the position, and gives up a segment that has been empty for a while.
    func keepTime(now: Int64) {
        takeOutcomes(now: now)
        if let since = dirtySince, settings.fsync == .interval, now - since >= settings.syncInterval {
            beginSync(now: now)
        }
        if directoryIsDirty, settings.fsync != .never, dirtySince == nil {
            directoryIsDirty = false
            if !delegate(.directory) { _ = files.syncDirectory(settings.directory) }
        }
        // Where nothing waits, nothing hinders; the next batch that comes here shows whether the disk works.
        if undone == 0, failures > 0, !isResting(now: now) { synced() }
        position.save(segments.first.map { ($0.number, UInt32($0.firstUndone)) } ?? (nextNumber, 0), now: now)
        while let first = segments.first, first.isDone, first !== writer { remove(first) }
        guard undone == 0, let writer else { return }
        let since = emptySince ?? now
        emptySince = since
        guard now - since >= SpoolStore.emptyPause else { return }
        abandon()
        remove(writer)
    }

    // MARK: Done

    /// A batch is acknowledged or dropped. False where it was so already.
    @discardableResult
    func finish(_ place: SpoolPlace) -> Bool {
        guard let segment = byNumber[place.segment], segment.finish(Int(place.record)) else { return false }
        undone -= 1
        guard segment.isDone else { return true }
        // What damage took of a segment is known when it ends.
        if segment === writer, segment.isDamaged { abandon() }
        if segment !== writer { remove(segment) }
        return true
    }

    /// A batch that was appended since the last sync is not to be there. A later run may find it all the same, and sends it
    /// again under its own id.
    func withdraw(_ place: SpoolPlace, _ header: BatchHeader, route: UInt32) {
        guard let segment = byNumber[place.segment] else { return }
        segment.settle(header, route: route)
        unread -= 1
        finish(place)
    }

    private func remove(_ segment: SpoolSegment) {
        cursor.leave(segment)
        if segment.isDamaged {
            for (route, share) in zip(segment.routes, segment.shares) where share.batches > 0 {
                if let route { losses.append((route, share)) }
            }
            _ = ck_rename(segment.path, segment.path + ".damaged")
        } else {
            _ = files.remove(segment.path)
        }
        directoryIsDirty = true
        bytes -= segment.size
        byNumber[segment.number] = nil
        segments.removeAll { $0 === segment }
        tell()
    }

    /// Whether the segment is the one that is written.
    func isWritten(_ segment: SpoolSegment) -> Bool { segment === writer }

    /// Ends writing: whatever is in the spool is on the disk.
    func close() {
        let now = ck_monotonic_nanos()
        if settings.fsync != .never { _ = sync(now: now) }
        syncer?.end()
        takeOutcomes(now: now)
        syncer = nil
        let last = writer
        abandon()
        if let last, last.isDone { remove(last) }
        position.save(
            segments.first.map { ($0.number, UInt32($0.firstUndone)) } ?? (nextNumber, 0), now: .max)
        if directoryIsDirty, settings.fsync != .never { _ = files.syncDirectory(settings.directory) }
        tell()
    }
}
