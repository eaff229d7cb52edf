import CKernel
import Synchronization

/// Wakes one thread that parks. Any thread may wake it; a system call is made only where it really is parked.
public final class Waker: @unchecked Sendable {
    /// Becomes readable on a wake-up; for a thread that parks in epoll or in libcurl.
    public let descriptor: Int32
    /// On a cache line of its own: producers look at it with every hand-over.
    @usableFromInline let parked: UnsafeMutablePointer<Atomic<UInt32>>

    /// Takes one file descriptor.
    public init() throws(RingError) {
        let fd = ck_eventfd()
        guard fd >= 0 else {
            throw RingError(
                description:
                    "no eventfd could be made (errno \(-fd)); raise the limit of open files (ulimit -n)")
        }
        descriptor = fd
        let line = UnsafeMutableRawPointer.allocate(
            byteCount: RingStorage.lineSize, alignment: RingStorage.lineSize)
        parked = line.bindMemory(to: Atomic<UInt32>.self, capacity: 1)
        parked.initialize(to: Atomic(0))
    }

    deinit {
        parked.deallocate()
        ck_close(descriptor)
    }

    /// Says that the thread is about to park. The thread then looks at its inputs once more, parks by waiting for
    /// ``descriptor``, and calls ``endPark()``.
    @inlinable public func beginPark() { parked.pointee.store(1, ordering: .sequentiallyConsistent) }

    /// The thread goes on. A wake-up that came meanwhile is taken off the descriptor.
    public func endPark() {
        // The exchange tells whether somebody has signalled: whoever wakes takes the flag down.
        if parked.pointee.exchange(0, ordering: .sequentiallyConsistent) == 0 { ck_eventfd_drain(descriptor) }
    }

    /// For producers, after the store that the thread should see.
    @inlinable public func wakeIfParked() {
        if parked.pointee.load(ordering: .sequentiallyConsistent) != 0 { wake() }
    }

    /// Signals the thread if it is parked.
    @usableFromInline @inline(never) func wake() {
        if parked.pointee.exchange(0, ordering: .sequentiallyConsistent) != 0 {
            ck_eventfd_signal(descriptor)
        }
    }

    /// Waits for a wake-up, at most so long.
    public func wait(nanos: Int64) { _ = ck_wait_readable(descriptor, nanos) }
}
