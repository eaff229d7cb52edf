import Batching
import CKernel
import Glibc

/// Reads what an earlier run left: finds whole batches, cuts torn ends.
struct SpoolRecovery {
    /// Called for each batch that is not acknowledged, in order; returns its lane's number.
    typealias Found = (Route, BatchHeader) -> Void

    let store: SpoolStore
    /// Makes a route of this run's table; nil where that is full.
    let makeRoute: (SpoolRoute) -> Route?
    let found: Found
    private var madeRoutes: [SpoolRoute: Route] = [:]
    private(set) var batches = 0
    private(set) var tornBytes = 0

    init(store: SpoolStore, makeRoute: @escaping (SpoolRoute) -> Route?, found: @escaping Found) {
        self.store = store
        self.makeRoute = makeRoute
        self.found = found
    }

    private static func number(_ name: String) -> UInt32? {
        guard name.hasPrefix("segment-"), name.hasSuffix(".spool") else { return nil }
        return UInt32(name.dropFirst(8).dropLast(6))
    }

    /// Once, before anything is appended.
    mutating func run() throws(SpoolError) {
        let directory = store.settings.directory
        let (names, code) = DirectoryListing.names(directory)
        guard code >= 0 else {
            throw SpoolError(
                description:
                    "spool: \(directory) cannot be read: \(errorText(-code)); \(SpoolStore.remedy(-code))")
        }
        let position = store.readPosition() ?? (0, 0)
        store.nextNumber = max(1, position.segment)
        for number in names.compactMap(SpoolRecovery.number).sorted() {
            store.nextNumber = max(store.nextNumber, number + 1)
            let path = store.path(number)
            if number < position.segment {
                _ = store.files.remove(path)
                continue
            }
            let done = number == position.segment ? Int(position.record) : 0
            if let segment = try scan(number, path, done: done), !segment.isDone {
                store.add(segment)
            } else {
                _ = store.files.remove(path)
            }
        }
        if store.settings.fsync != .never { _ = store.files.syncDirectory(directory) }
    }

    /// Nil where the file holds nothing.
    private mutating func scan(_ number: UInt32, _ path: String, done: Int) throws(SpoolError)
        -> SpoolSegment?
    {
        let bytes = try SpoolRecovery.contents(path)
        defer { bytes.deallocate() }
        let content = UnsafeRawBufferPointer(bytes)
        if case .otherVersion(let version) = SpoolFormat.readHeader(content) {
            throw SpoolError(
                description:
                    "spool: \(path) was written by another version of this program (format \(version), this one"
                    + " has \(SpoolFormat.version)); let that version send it, or move the file away")
        }
        let segment = SpoolSegment(number: number, path: path)
        var at = SpoolFormat.headerSize
        while at < content.count {
            let rest = UnsafeRawBufferPointer(rebasing: content[at...])
            guard let record = SpoolRecord(rest) else {
                guard let skipped = SpoolStore.nextRecord(in: rest, from: 8) else { break }
                segment.isDamaged = true
                store.monitor.add(skipped, to: .damagedBytes)
                store.monitor.note(
                    problem:
                        "spool: \(path): \(skipped) bytes from \(at) on are damaged and are skipped; look at the"
                        + " disk's state (dmesg)")
                at += skipped
                continue
            }
            try take(record, in: segment, done: done)
            at += record.size
        }
        at = min(at, content.count)
        segment.size = max(at, SpoolFormat.headerSize)
        if at < content.count || content.count < SpoolFormat.headerSize {
            cut(segment, from: at, to: content.count)
        }
        return segment.records > 0 ? segment : nil
    }

    private mutating func take(_ record: SpoolRecord, in segment: SpoolSegment, done: Int) throws(SpoolError)
    {
        guard record.form == .route else {
            let header = record.header
            // A checksum that fits by chance must not take all memory; no file has room for so many.
            guard record.index >= segment.records, record.index < segment.records + (1 << 24) else { return }
            segment.skip(to: record.index, closedTime: header.closedTime)
            let index = segment.append(closedTime: header.closedTime, isHeld: false)
            guard index >= done else {
                _ = segment.finish(index)
                return
            }
            guard let route = segment.route(record.route) else { return }
            batches += 1
            segment.expect(header, route: record.route)
            found(route, header)
            return
        }
        guard record.route < 1 << 24, let text = SpoolRoute(record.payload) else { return }
        guard text.destination == store.settings.destination else {
            throw SpoolError(
                description:
                    "spool: \(store.settings.directory) holds batches for \(text.destination), and the sink is"
                    + " \(store.settings.destination); let a collector with that sink send them, or move the directory"
                    + " away")
        }
        if let known = madeRoutes[text] {
            segment.setRoute(known, number: record.route)
        } else {
            let made = makeRoute(text)
            madeRoutes[text] = made
            segment.setRoute(made, number: record.route)
        }
    }

    private mutating func cut(_ segment: SpoolSegment, from: Int, to end: Int) {
        tornBytes += end - from
        store.monitor.add(end - from, to: .tornBytes)
        store.monitor.note(
            information:
                "spool: the end of \(segment.path) was torn by the end of the process or the machine;"
                + " \(end - from) bytes of a batch that was not spooled yet were cut off")
        if segment.records > 0 { _ = ck_cut_file(segment.path, Int64(from)) }
    }

    private static func contents(_ path: String) throws(SpoolError) -> UnsafeMutableRawBufferPointer {
        let file = ck_open_read(path)
        let size = file < 0 ? Int64(file) : ck_file_size(file)
        defer { if file >= 0 { ck_close(file) } }
        guard size >= 0 else { throw failure(path, Int32(truncatingIfNeeded: size)) }
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: max(Int(size), 1), alignment: 64)
        let got = bytes.baseAddress.map { ck_read_at(file, $0, Int(size), 0) } ?? 0
        guard got >= 0 else {
            bytes.deallocate()
            throw failure(path, Int32(truncatingIfNeeded: got))
        }
        return UnsafeMutableRawBufferPointer(rebasing: bytes[..<Int(got)])
    }

    private static func failure(_ path: String, _ code: Int32) -> SpoolError {
        SpoolError(
            description:
                "spool: \(path) cannot be read: \(errorText(-code)); \(SpoolStore.remedy(-code)), or move the"
                + " file away, which loses its batches")
    }
}
