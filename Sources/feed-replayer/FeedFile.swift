import CZstd
import Glibc

/// The whole content of a file, decompressed where its name ends in `.zst`.
struct FeedFile: ~Copyable {
    let path: String
    private let base: UnsafeMutableRawPointer
    /// Length in bytes.
    let count: Int

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    init(path: String) throws(ReplayerError) {
        self.path = path
        let stored = try FeedFile.readAll(path)
        guard path.hasSuffix(".zst") else {
            (base, count) = stored
            return
        }
        defer { free(stored.base) }
        (base, count) = try FeedFile.decompress(stored.base, stored.count, path)
    }

    deinit { free(base) }

    /// Calls `body` with every line, without its end; a last line need not have one.
    func forEachLine<Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        var start = 0
        while start < count {
            let found = memchr(base + start, 10, count - start)
            let end = found.map { UnsafeMutableRawPointer($0) - base } ?? count
            try body(UnsafeRawBufferPointer(start: base + start, count: end - start))
            start = end + 1
        }
    }

    private typealias Memory = (base: UnsafeMutableRawPointer, count: Int)

    private static func memory(_ size: Int, _ path: String) throws(ReplayerError) -> UnsafeMutableRawPointer {
        guard let base = malloc(max(1, size)) else {
            throw .system("\(path): out of memory for \(size) bytes; a feed is held in memory, split it")
        }
        return base
    }

    private static func larger(
        _ base: UnsafeMutableRawPointer, _ size: Int, _ path: String
    ) throws(ReplayerError) -> UnsafeMutableRawPointer {
        guard let moved = realloc(base, size) else {
            free(base)
            throw .system("\(path): out of memory for \(size) bytes; a feed is held in memory, split it")
        }
        return moved
    }

    private static func readAll(_ path: String) throws(ReplayerError) -> Memory {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .input("\(path) cannot be read: \(errorText(Int(errno)))") }
        defer { close(descriptor) }
        var size = 1 << 20
        var base = try memory(size, path)
        var count = 0
        while true {
            if count == size {
                size *= 2
                base = try larger(base, size, path)
            }
            let got = read(descriptor, base + count, size - count)
            if got == 0 { return (base, count) }
            if got < 0 {
                let code = errno
                if code == EINTR { continue }
                free(base)
                throw .input("\(path) cannot be read: \(errorText(Int(code)))")
            }
            count += got
        }
    }

    private static func decompress(
        _ from: UnsafeMutableRawPointer, _ length: Int, _ path: String
    ) throws(ReplayerError) -> Memory {
        guard let context = cz_decompressor_new() else { throw .system("\(path): zstd is out of memory") }
        defer { cz_decompressor_free(context) }
        var size = max(1 << 20, length * 8)
        var base = try memory(size, path)
        var count = 0
        var used = 0
        var state: Int64 = 0
        while used < length || state > 0 {
            if count == size {
                size *= 2
                base = try larger(base, size, path)
            }
            let before = (count, used)
            state = cz_decompress(context, base, size, &count, from, length, &used)
            guard state >= 0 else {
                free(base)
                throw .data(
                    "\(path) is no valid zstd file at byte \(used): \(String(cString: cz_error_text(state)))")
            }
            guard before != (count, used) else {
                free(base)
                throw .data("\(path) ends in the middle of a zstd frame; copy it again")
            }
        }
        return (base, count)
    }
}
