import CKernel

/// Remembers up to where all batches are acknowledged, so that a later run sends few of them again. Without it, or where
/// it is late, the batches after it are sent again with the same ids.
final class SpoolPosition {
    private let path: String
    private var descriptor: Int32 = -1
    private var saved: (segment: UInt32, record: UInt32) = (0, 0)
    private var savedAt = Int64.min
    private static let magic: UInt64 = 0x0A53_4F50_5053_4358
    private static let size = 24
    /// Least time between two writes, ns.
    static let pause: Int64 = 100_000_000

    init(path: String) { self.path = path }

    deinit { if descriptor >= 0 { ck_close(descriptor) } }

    /// Nil where there is none, or it is damaged.
    func read() -> (segment: UInt32, record: UInt32)? {
        let file = ck_open_read(path)
        guard file >= 0 else { return nil }
        defer { ck_close(file) }
        return withUnsafeTemporaryAllocation(byteCount: SpoolPosition.size, alignment: 8) { bytes in
            guard let base = bytes.baseAddress,
                ck_read_at(file, base, SpoolPosition.size, 0) == Int64(SpoolPosition.size),
                bytes.load(as: UInt64.self) == SpoolPosition.magic,
                bytes.load(fromByteOffset: 16, as: UInt32.self) == ck_crc32c(0, base, 16)
            else { return nil }
            saved = (
                bytes.load(fromByteOffset: 8, as: UInt32.self),
                bytes.load(fromByteOffset: 12, as: UInt32.self)
            )
            return saved
        }
    }

    /// Writes it where it has changed and the last time is a while ago. What fails is tried again with the next.
    func save(_ position: (segment: UInt32, record: UInt32), now: Int64) {
        guard position != saved, now == .max || savedAt == .min || now - savedAt >= SpoolPosition.pause else {
            return
        }
        savedAt = now == .max ? savedAt : now
        if descriptor < 0 { descriptor = ck_open_update(path) }
        guard descriptor >= 0 else { return }
        let done = withUnsafeTemporaryAllocation(byteCount: SpoolPosition.size, alignment: 8) { bytes in
            guard let base = bytes.baseAddress else { return false }
            bytes.storeBytes(of: SpoolPosition.magic, as: UInt64.self)
            bytes.storeBytes(of: position.segment, toByteOffset: 8, as: UInt32.self)
            bytes.storeBytes(of: position.record, toByteOffset: 12, as: UInt32.self)
            bytes.storeBytes(of: UInt64(ck_crc32c(0, base, 16)), toByteOffset: 16, as: UInt64.self)
            return ck_write_at(descriptor, base, SpoolPosition.size, 0) == Int64(SpoolPosition.size)
        }
        if done { saved = position }
    }
}
