import CKernel
import Synchronization

/// A single-producer single-consumer ring of variable-size records.
///
/// Full means that ``RingProducer/reserve(_:)`` says no: what then happens is the caller's declared policy. A record
/// is an 8-byte header (its length) and its payload, padded to 8. Records become visible in groups, by
/// ``RingProducer/publish()``, and are given back in groups, by ``RingConsumer/release()``.
///
/// A ring whose consumer keeps up uses its first pages only: where everything has been released the producer begins again
/// at the beginning. So a calm ring stays in the processor's cache, and memory that no backlog ever needed is never
/// touched. Positions go on counting; only where they lie in memory changes, by ``RingStorage/base``.
public enum Ring {
    /// Bytes after which a producer looks whether it may begin again: as much as fits in the first cache.
    @usableFromInline static var lookBytes: UInt64 { 32_768 }

    /// Bytes of a record's header.
    @inlinable public static var recordHeaderSize: Int { 8 }

    /// Bytes that a record of `payload` bytes takes.
    @inlinable public static func recordSize(_ payload: Int) -> Int { (payload &+ 15) & ~7 }

    /// A ring of at least `minimumCapacity` bytes (rounded up to a power of two of pages). Each end belongs to one
    /// thread at a time. `waker` wakes the consumer's thread when it is parked.
    public static func make(
        name: String, minimumCapacity: Int, waker: Waker? = nil
    ) throws(RingError) -> (RingProducerBox, RingConsumerBox, RingStorage) {
        let storage = try RingStorage(name: name, minimumCapacity: minimumCapacity)
        return (
            RingProducerBox(RingProducer(storage: storage, waker: waker)),
            RingConsumerBox(RingConsumer(storage: storage)), storage
        )
    }
}

/// Carries a producer to the thread that will own it.
public final class RingProducerBox: @unchecked Sendable {
    private var end: RingProducer?
    init(_ end: consuming RingProducer) { self.end = consume end }
    /// The producer; the second caller gets nil.
    public func take() -> RingProducer? { end.take() }
}

/// Carries a consumer to the thread that will own it.
public final class RingConsumerBox: @unchecked Sendable {
    private var end: RingConsumer?
    init(_ end: consuming RingConsumer) { self.end = consume end }
    /// The consumer; the second caller gets nil.
    public func take() -> RingConsumer? { end.take() }
}

/// The writing end.
@frozen public struct RingProducer: ~Copyable {
    /// The shared memory.
    public let storage: RingStorage
    @usableFromInline let waker: Waker?
    @usableFromInline let data: UnsafeMutableRawPointer
    @usableFromInline let tailCell: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline let headCell: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline let baseCell: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline let capacity: UInt64
    @usableFromInline var tail: UInt64
    @usableFromInline var published: UInt64
    @usableFromInline var cachedHead: UInt64
    @usableFromInline var base: UInt64
    /// The tail from which on it is looked whether the producer may begin again.
    @usableFromInline var nextLook: UInt64
    @usableFromInline var records: UInt64

    init(storage: RingStorage, waker: Waker?) {
        self.storage = storage
        self.waker = waker
        data = storage.data
        tailCell = storage.tail
        headCell = storage.head
        baseCell = storage.base
        capacity = UInt64(storage.capacity)
        tail = 0
        published = 0
        cachedHead = 0
        base = 0
        nextLook = Ring.lookBytes
        records = 0
    }

    /// Room for a payload of up to `bytes`, contiguous and aligned to 8, or nil where the ring is too full for it.
    /// Nothing is taken until ``commit(_:)``.
    @inlinable public mutating func reserve(_ bytes: Int) -> UnsafeMutableRawPointer? {
        if tail >= nextLook { look() }
        let needed = UInt64(truncatingIfNeeded: Ring.recordSize(bytes))
        if capacity &- (tail &- cachedHead) < needed {
            cachedHead = headCell.pointee.load(ordering: .acquiring)
            if capacity &- (tail &- cachedHead) < needed { return nil }
        }
        return pending
    }

    /// Begins again at the beginning where the consumer has released everything. A place that was reserved stays where it
    /// is: the tail does not move before ``commit(_:)``, and at one tail there is one look.
    @usableFromInline mutating func look() {
        nextLook = tail &+ Ring.lookBytes
        guard isDrained() else { return }
        base = tail
        // Seen with the next tail: whoever has released everything reads nothing before that.
        baseCell.pointee.store(base, ordering: .relaxed)
    }

    /// The reserved place: where the next ``commit(_:)`` ends a record.
    @inlinable public var pending: UnsafeMutableRawPointer { place + Ring.recordHeaderSize }

    @inlinable @inline(__always) var place: UnsafeMutableRawPointer {
        data + Int(truncatingIfNeeded: (tail &- base) & (capacity &- 1))
    }

    /// Ends the record at the reserved place with `bytes` of payload, at most what was reserved. The consumer sees it
    /// after the next ``publish()``.
    @inlinable public mutating func commit(_ bytes: Int) {
        place.storeBytes(of: UInt64(bytes), as: UInt64.self)
        tail &+= UInt64(truncatingIfNeeded: Ring.recordSize(bytes))
        records &+= 1
    }

    /// Hands all committed records over, and wakes the consumer where it is parked.
    @inlinable public mutating func publish() {
        guard tail != published else { return }
        published = tail
        storage.pushed.pointee.store(records, ordering: .relaxed)
        if let waker {
            // Sequentially consistent, so that it cannot pass the waker's load of the parked flag.
            tailCell.pointee.store(tail, ordering: .sequentiallyConsistent)
            waker.wakeIfParked()
        } else {
            tailCell.pointee.store(tail, ordering: .releasing)
        }
    }

    /// Whether the consumer has released everything that was published.
    @inlinable public mutating func isDrained() -> Bool {
        cachedHead = headCell.pointee.load(ordering: .acquiring)
        return cachedHead == tail
    }

    /// Bytes that were committed since the start.
    public var position: UInt64 { tail }

    /// Bytes of them that the consumer has released.
    public var consumed: UInt64 { headCell.pointee.load(ordering: .acquiring) }

    /// The largest payload that ``reserve(_:)`` can ever grant.
    @inlinable public var payloadMax: Int { Int(capacity) - Ring.recordHeaderSize }
}

/// The reading end.
@frozen public struct RingConsumer: ~Copyable {
    /// The shared memory.
    public let storage: RingStorage
    @usableFromInline let data: UnsafeMutableRawPointer
    @usableFromInline let tailCell: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline let headCell: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline let baseCell: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline let mask: UInt64
    @usableFromInline var head: UInt64
    @usableFromInline var released: UInt64
    @usableFromInline var cachedTail: UInt64
    @usableFromInline var base: UInt64
    @usableFromInline var records: UInt64

    init(storage: RingStorage) {
        self.storage = storage
        data = storage.data
        tailCell = storage.tail
        headCell = storage.head
        baseCell = storage.base
        mask = UInt64(storage.capacity - 1)
        head = 0
        released = 0
        cachedTail = 0
        base = 0
        records = 0
    }

    /// The next record's payload without taking it, or nil where there is none. The bytes stay valid until
    /// ``release()`` follows ``advance()``.
    @inlinable public mutating func peek() -> UnsafeMutableRawBufferPointer? {
        if head == cachedTail {
            cachedTail = tailCell.pointee.load(ordering: .acquiring)
            if head == cachedTail { return nil }
            // It changes only while everything is released; see ``RingProducer/look()``.
            base = baseCell.pointee.load(ordering: .relaxed)
        }
        let record = place(head)
        return UnsafeMutableRawBufferPointer(
            start: record + Ring.recordHeaderSize,
            count: Int(truncatingIfNeeded: record.load(as: UInt64.self)))
    }

    @inlinable @inline(__always) func place(_ position: UInt64) -> UnsafeMutableRawPointer {
        data + Int(truncatingIfNeeded: (position &- base) & mask)
    }

    /// Where the record that ``peek()`` shows begins, for ``payload(at:)``.
    @inlinable public var position: UInt64 { head }

    /// The payload of a record further on that was published when ``peek()`` last looked, without taking anything; nil
    /// behind the last of them. The next one begins ``Ring/recordSize(_:)`` further on.
    @inlinable public func payload(at position: UInt64) -> UnsafeRawBufferPointer? {
        guard position != cachedTail else { return nil }
        let record = place(position)
        return UnsafeRawBufferPointer(
            start: record + Ring.recordHeaderSize,
            count: Int(truncatingIfNeeded: record.load(as: UInt64.self)))
    }

    /// Takes the record that ``peek()`` showed.
    @inlinable public mutating func advance() {
        let record = place(head)
        head &+= UInt64(
            truncatingIfNeeded: Ring.recordSize(Int(truncatingIfNeeded: record.load(as: UInt64.self))))
        records &+= 1
    }

    /// Takes and returns the next record.
    @inlinable public mutating func next() -> UnsafeMutableRawBufferPointer? {
        guard let payload = peek() else { return nil }
        advance()
        return payload
    }

    /// Gives the memory of all records taken so far back to the producer.
    @inlinable public mutating func release() {
        guard head != released else { return }
        released = head
        storage.popped.pointee.store(records, ordering: .relaxed)
        headCell.pointee.store(head, ordering: .releasing)
    }

    /// Puts the records that were taken since the last ``release()`` back, to be taken again.
    public mutating func takeBack() {
        head = released
        records = storage.popped.pointee.load(ordering: .relaxed)
    }

    /// Whether a record waits. Sequentially consistent: for the check between announcing to park and parking.
    @inlinable public func hasInput() -> Bool {
        tailCell.pointee.load(ordering: .sequentiallyConsistent) != head
    }
}
