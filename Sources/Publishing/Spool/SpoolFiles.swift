import CKernel
import Glibc

/// The spool's way to the disk: one open file for each call, so that tests can let any of them fail. Functions return
/// at least 0, or a negative errno, and may be called from any thread.
class SpoolFiles: @unchecked Sendable {
    func create(_ path: String) -> Int32 { ck_create_for_append(path) }

    /// Three parts in one write.
    func write(
        _ file: Int32, _ head: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer,
        _ tail: UnsafeRawBufferPointer
    ) -> Int64 {
        ck_write_parts(
            file, head.baseAddress, head.count, body.baseAddress, body.count, tail.baseAddress, tail.count)
    }

    func truncate(_ file: Int32, _ size: Int) -> Int32 { ck_truncate(file, Int64(size)) }
    func sync(_ file: Int32) -> Int32 { ck_sync_data(file) }
    func read(_ file: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int, at offset: Int) -> Int64 {
        ck_read_at(file, bytes, count, Int64(offset))
    }
    func remove(_ path: String) -> Int32 { ck_unlink(path) }
    func syncDirectory(_ path: String) -> Int32 { ck_sync_directory(path) }
}

/// Names in a directory.
enum DirectoryListing {
    private final class Names {
        var names: [String] = []
    }

    /// Sorted; a negative errno where it cannot be read.
    static func names(_ path: String) -> (names: [String], code: Int32) {
        let found = Names()
        let code = ck_list_directory(
            path,
            { context, name in
                guard let context, let name else { return }
                Unmanaged<Names>.fromOpaque(context).takeUnretainedValue().names.append(String(cString: name))
            }, Unmanaged.passUnretained(found).toOpaque())
        return (found.names.sorted(), code)
    }
}

extension SpoolStore {
    /// What to do about an errno.
    static func remedy(_ code: Int32) -> String {
        switch code {
        case ENOSPC: "free space on that file system or move collector.dataDirectory"
        case EDQUOT: "raise the quota or free space"
        case EFBIG: "raise the limit of file sizes (ulimit -f)"
        case EACCES, EPERM: "let user \(getuid()) write there or move collector.dataDirectory"
        case EROFS: "mount it writable or move collector.dataDirectory"
        case EIO: "look at the disk's state (dmesg)"
        case ENOTDIR, EEXIST: "a file stands in the way; move collector.dataDirectory"
        case EMFILE, ENFILE: "raise the limit of open files (ulimit -n)"
        default: "move collector.dataDirectory if this stays"
        }
    }
}
