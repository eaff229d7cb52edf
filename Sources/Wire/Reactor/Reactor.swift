import CKernel
import CURing
import Rings

/// Waits for the descriptors of one I/O thread and for its waker. Made, used and destroyed on that thread.
///
/// A descriptor is watched from ``add(_:_:token:)`` until ``remove(_:)``, which must come before it is closed. What is
/// reported for it carries the token that it was given last; events that ``wait(nanos:)`` had already found may carry
/// an older one, so a token must tell connections of the same slot apart. Events are level-triggered: what was not
/// read or written is reported again.
///
/// Bytes of a watched descriptor are read through its ``source(of:)`` and in no other way: io_uring may have taken
/// them from the socket already. `CK_READ` may be asked for only once the socket is connected.
struct Reactor: ~Copyable {
    private static let wakerToken = UInt64.max
    private static let eventLimit = 256

    /// -errno where io_uring serves, or where there is neither.
    private let epoll: Int32
    /// Nil where epoll serves.
    private let ring: OpaquePointer?
    private let events: UnsafeMutablePointer<ck_event>
    /// Events that the last wait found, the waker's not counted.
    private(set) var eventCount = 0
    /// Descriptors that are watched.
    private(set) var watched = 0
    /// Counts what was added, modified and removed.
    private(set) var changes = 0
    /// Why this is not the backend that was asked for, or why nothing works, with the remedy; nil where all is well.
    let problem: String?

    /// A reactor that wakes up when `waker` is signalled. Where a ring cannot be made, epoll serves instead. `rings`:
    /// sizes, for tests.
    init(backend: ReactorBackend, waker: Waker, rings: cu_settings = cu_settings()) {
        events = .allocate(capacity: Reactor.eventLimit)
        var words: String?
        if backend == .uring {
            var failure = cu_failure()
            if let ring = cu_ring_new(rings, waker.descriptor, &failure) {
                self.ring = ring
                epoll = -1
                problem = nil
                return
            }
            words = "epoll instead of io_uring: \(URing.words(step: failure.step, code: failure.code))"
        }
        ring = nil
        epoll = ck_epoll_create()
        if epoll >= 0 {
            _ = ck_epoll_add(epoll, waker.descriptor, UInt32(CK_READ), Reactor.wakerToken)
        } else {
            words = "no epoll (errno \(-epoll)); raise the limit of open files (ulimit -n)"
        }
        problem = words
    }

    deinit {
        events.deallocate()
        cu_ring_free(ring)
        if epoll >= 0 { ck_close(epoll) }
    }

    /// Whether anything serves.
    var works: Bool { ring != nil || epoll >= 0 }

    /// What serves.
    var backend: ReactorBackend { ring == nil ? .epoll : .uring }

    /// Watches `fd` for `events` (`CK_READ | CK_WRITE`). 0 or -errno.
    @discardableResult
    mutating func add(_ fd: Int32, _ events: Int, token: UInt64) -> Int32 {
        changes += 1
        let code =
            ring.map { cu_add($0, fd, UInt32(events), token) }
            ?? ck_epoll_add(epoll, fd, UInt32(events), token)
        if code == 0 { watched += 1 }
        return code
    }

    /// Watches `fd` for other events, or with another token. 0 or -errno.
    @discardableResult
    mutating func modify(_ fd: Int32, _ events: Int, token: UInt64) -> Int32 {
        changes += 1
        if let ring { return cu_modify(ring, fd, UInt32(events), token) }
        return ck_epoll_modify(epoll, fd, UInt32(events), token)
    }

    /// No longer watches `fd`; bytes that were not read are lost with it.
    mutating func remove(_ fd: Int32) {
        changes += 1
        watched -= 1
        if let ring { cu_remove(ring, fd) } else { _ = ck_epoll_remove(epoll, fd) }
    }

    /// Where the bytes of `fd`, which is watched, are to be read.
    func source(of fd: Int32) -> ReceiveSource {
        ReceiveSource(fd: fd, ring: ring, name: ring.map { cu_source($0, fd) } ?? 0)
    }

    /// Waits for events, at most so long; 0 only looks. Replaces the events of the wait before.
    mutating func wait(nanos: Int64) {
        if let ring {
            eventCount = Int(cu_wait(ring, events, Int32(Reactor.eventLimit), nanos))
            return
        }
        let found = Int(max(0, ck_epoll_wait(epoll, events, Int32(Reactor.eventLimit), nanos)))
        eventCount = 0
        for index in 0..<found where events[index].token != Reactor.wakerToken {
            events[eventCount] = events[index]
            eventCount &+= 1
        }
    }

    /// One of the ``eventCount`` events: its token, and what of `CK_READ | CK_WRITE | CK_HANGUP` holds.
    func event(_ index: Int) -> ck_event { events[index] }

    /// The events were handled.
    mutating func clear() { eventCount = 0 }

    /// What the ring has seen; nil where epoll serves.
    var ringCounts: cu_counts? { ring.map { cu_ring_counts($0) } }
}
