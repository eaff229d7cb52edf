import Batching
import CKernel
import Glibc
import Publishing

/// Reads the segments of a file sink in the order of their names, and what is appended to them later.
final class SegmentReader {
    private struct Progress {
        /// Bytes read.
        var offset = 0
        /// Bytes from here on are of no interest.
        var limit = Int.max
        /// Bytes up to the end of the last whole zstd frame or line.
        var boundary = 0
        var zstd: ZstdReader?
        /// The begin of a line whose end was not there yet (plain segments).
        var line: [UInt8] = []
    }

    private let path: String
    private let dictionaries: [CompressionDictionary]
    private let times: (from: Int64, to: Int64)?
    private var progress: [String: Progress] = [:]
    /// Bytes that were read of segments.
    private(set) var bytesRead = 0

    /// How far events in the middle of a batch may lie outside of the times of its first and last, ns.
    private static let slack: Int64 = 10_000_000_000

    /// `dictionaries`: see ``ZstdReader``. `times`: nothing outside of them is wanted; where a segment has an index,
    /// little of it is read then.
    init(
        path: String, dictionaries: [CompressionDictionary] = [], times: (from: Int64, to: Int64)? = nil
    ) throws(TailError) {
        self.path = path
        self.times = times
        self.dictionaries = dictionaries
        guard access(path, R_OK) == 0 else {
            throw TailError(
                .noInput,
                "\(path): \(SegmentReader.reason(errno)); name a directory that a file sink writes (sink.path)"
            )
        }
    }

    private static func reason(_ code: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 128)
        ck_error_text(code, &buffer, buffer.count)
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            .lowercased()
    }

    /// Files that hold events, by name: `….ndjson.zst` and `….ndjson`; the path itself where it is a file.
    func segments() throws(TailError) -> [String] {
        guard let directory = opendir(path) else {
            guard errno == ENOTDIR else { throw TailError(.io, "\(path): \(SegmentReader.reason(errno))") }
            return [path]
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix("."), name.hasSuffix(".ndjson") || name.hasSuffix(".ndjson.zst") {
                names.append("\(path)/\(name)")
            }
        }
        return names.sorted()
    }

    /// Bytes at the end of segments that belong to no whole frame or line, by segment.
    var leftovers: [(segment: String, bytes: Int)] {
        progress.sorted { $0.key < $1.key }.compactMap { segment, progress in
            progress.offset > progress.boundary ? (segment, progress.offset - progress.boundary) : nil
        }
    }

    /// Reads all that is new and hands it over in pieces of whole lines. `take` returns false to stop. Returns whether
    /// there was something new.
    func readNew(_ take: (ArraySlice<UInt8>) throws(TailError) -> Bool) throws(TailError) -> Bool {
        var isNew = false
        for segment in try segments() {
            while let piece = try readPiece(segment) {
                isNew = true
                if piece.isEmpty { continue }
                guard try take(piece[...]) else { return true }
            }
        }
        return isNew
    }

    /// Where to begin: at the front, or by its index at the times that are wanted.
    private func start(of segment: String, size: Int) -> Progress {
        guard let times, case .success(let bytes) = FileReading.read(SegmentIndex.path(of: segment)),
            let index = SegmentIndex(text: String(decoding: bytes, as: UTF8.self)), index.size == size
        else { return Progress() }
        let range = index.range(from: times.from, to: times.to, slack: SegmentReader.slack)
        return Progress(offset: range.lowerBound, limit: range.upperBound, boundary: range.lowerBound)
    }

    /// Whole lines of the segment's next bytes; nil at its end.
    private func readPiece(_ segment: String) throws(TailError) -> [UInt8]? {
        let file = open(segment, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return nil }  // Removed in between.
            throw TailError(.io, "\(segment): \(SegmentReader.reason(errno))")
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else {
            throw TailError(.io, "\(segment): \(SegmentReader.reason(errno))")
        }
        var state = progress[segment] ?? start(of: segment, size: Int(status.st_size))
        if Int(status.st_size) < state.offset {
            // Its writer took back what it had not finished; or it is another file of that name.
            state = Progress(offset: 0, boundary: 0)
            if let boundary = progress[segment]?.boundary, boundary <= Int(status.st_size) {
                state = Progress(offset: boundary, boundary: boundary)
            }
        }
        defer { progress[segment] = state }
        var buffer = [UInt8](
            repeating: 0, count: min(1 << 20, max(0, min(Int(status.st_size), state.limit) - state.offset)))
        guard !buffer.isEmpty else { return nil }
        let count = pread(file, &buffer, buffer.count, off_t(state.offset))
        guard count >= 0 else { throw TailError(.io, "\(segment): \(SegmentReader.reason(errno))") }
        guard count > 0 else { return nil }
        bytesRead += count
        let place = "\(segment), byte \(state.offset)"
        state.offset += count
        if segment.hasSuffix(".zst") {
            if state.zstd == nil { state.zstd = try ZstdReader(dictionaries: dictionaries) }
            guard let zstd = state.zstd else { return nil }
            state.boundary = state.offset
            let whole = try zstd.read(buffer[..<count], place: place)
            state.boundary = state.offset - zstd.pendingBytes
            return whole
        }
        state.line += buffer[..<count]
        guard let end = state.line.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
        let whole = Array(state.line[...end])
        state.line.removeFirst(end + 1)
        state.boundary = state.offset - state.line.count
        return whole
    }
}
