import CKernel
import Synchronization

/// Why a ring could not be made.
public struct RingError: Error, CustomStringConvertible {
    /// What failed, of which ring, and the remedy.
    public let description: String
}

/// The memory that the two ends of a ring share, and what others may read of it.
///
/// The data lie on memory that is mapped twice, back to back: every record is contiguous, and a scanner may read past
/// its end. Positions are byte counts since the beginning and never wrap. Either end's position and count lie on
/// cache lines of their own.
public final class RingStorage: @unchecked Sendable {
    /// Names the ring in metrics and errors.
    public let name: String
    /// Bytes, a power of two.
    public let capacity: Int
    @usableFromInline let data: UnsafeMutableRawPointer
    @usableFromInline let lines: UnsafeMutableRawPointer

    /// Adjacent-line prefetch pulls lines in pairs, so ends stay 128 bytes apart.
    @usableFromInline static var lineSize: Int { 128 }

    @usableFromInline var tail: UnsafeMutablePointer<Atomic<UInt64>> { line(0) }
    @usableFromInline var pushed: UnsafeMutablePointer<Atomic<UInt64>> { line(0) + 1 }
    /// The position that lies at the beginning of the memory: the producer's, read after `tail`.
    @usableFromInline var base: UnsafeMutablePointer<Atomic<UInt64>> { line(0) + 2 }
    @usableFromInline var head: UnsafeMutablePointer<Atomic<UInt64>> { line(1) }
    @usableFromInline var popped: UnsafeMutablePointer<Atomic<UInt64>> { line(1) + 1 }

    @usableFromInline func line(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (lines + index * RingStorage.lineSize).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    init(name: String, minimumCapacity: Int) throws(RingError) {
        let page = Int(ck_page_size())
        guard minimumCapacity > 0, minimumCapacity <= 1 << 40 else {
            throw RingError(
                description: "ring \(name): \(minimumCapacity) bytes is not a size; use 1 to 2^40")
        }
        var size = page
        while size < minimumCapacity { size *= 2 }
        var base: UnsafeMutableRawPointer?
        let code = ck_mirror_map(size, &base)
        guard code == 0, let base else {
            throw RingError(
                description:
                    "ring \(name): \(size) bytes could not be mapped (errno \(-code)); give it fewer bytes"
                    + " or the process more memory and file descriptors")
        }
        self.name = name
        capacity = size
        data = base
        lines = .allocate(byteCount: 3 * RingStorage.lineSize, alignment: RingStorage.lineSize)
        for index in 0..<2 {
            line(index).initialize(to: Atomic(0))
            (line(index) + 1).initialize(to: Atomic(0))
        }
        self.base.initialize(to: Atomic(0))
    }

    deinit {
        ck_mirror_unmap(data, capacity)
        lines.deallocate()
    }

    /// Bytes that are published and not yet released. Any thread may ask; the answer is a moment old.
    public var bytesUsed: Int {
        let head = head.pointee.load(ordering: .acquiring)
        return Int(truncatingIfNeeded: tail.pointee.load(ordering: .acquiring) &- head)
    }

    /// Bytes that were published since the beginning. Any thread may ask.
    public var writtenPosition: UInt64 { tail.pointee.load(ordering: .acquiring) }

    /// Bytes that were released since the beginning: what the consumer did with them before can be seen.
    public var readPosition: UInt64 { head.pointee.load(ordering: .acquiring) }

    /// Records that are published and not yet released.
    public var recordCount: Int {
        let popped = popped.pointee.load(ordering: .relaxed)
        return max(0, Int(truncatingIfNeeded: pushed.pointee.load(ordering: .relaxed) &- popped))
    }
}
