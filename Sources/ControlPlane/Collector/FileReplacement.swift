import CKernel
import Glibc

/// Replaces a file: written beside it piece by piece, synced, renamed, the directory synced. What is not finished leaves the
/// file as it was.
struct FileReplacement: ~Copyable {
    /// What could not be done, with the path and the system's reason.
    struct Failure: Error, CustomStringConvertible {
        let description: String

        init(_ action: String, _ path: String, code: Int) {
            description = "cannot \(action) \(path): \(String(cString: strerror(Int32(clamping: code))))"
        }
    }

    /// Collected before it is written, bytes.
    private static let pieceSize = 65_536

    private let path: String
    private let new: String
    private let descriptor: Int32
    private var piece: [UInt8] = []

    init(_ path: String) throws(Failure) {
        self.path = path
        new = path + ".new"
        _ = unlink(new)
        descriptor = ck_create_for_append(new)
        guard descriptor >= 0 else { throw Failure("make", new, code: Int(-descriptor)) }
        piece.reserveCapacity(FileReplacement.pieceSize)
    }

    deinit { ck_close(descriptor) }

    /// Writes behind what was written.
    mutating func append(_ bytes: some Sequence<UInt8>) throws(Failure) {
        piece.append(contentsOf: bytes)
        if piece.count >= FileReplacement.pieceSize { try flush() }
    }

    /// Puts it into the file's place.
    consuming func finish() throws(Failure) {
        try flush()
        let synced = ck_sync_data(descriptor)
        guard synced == 0 else { throw Failure("sync", new, code: Int(-synced)) }
        guard rename(new, path) == 0 else { throw Failure("rename", new, code: Int(errno)) }
        let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let directory = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if directory >= 0 {
            _ = fsync(directory)
            close(directory)
        }
    }

    private mutating func flush() throws(Failure) {
        var at = 0
        while at < piece.count {
            let written = piece[at...].withUnsafeBytes { ck_write(descriptor, $0.baseAddress, $0.count) }
            guard written > 0 else { throw Failure("write", new, code: Int(-written)) }
            at += Int(written)
        }
        piece.removeAll(keepingCapacity: true)
    }
}
