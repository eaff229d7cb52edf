import Synchronization

/// Counters that one thread writes and any thread reads, on cache lines that no other thread writes.
///
/// An increment is a load and a store, no locked instruction.
public final class CounterBlock: @unchecked Sendable {
    /// How many counters there are.
    public let count: Int
    @usableFromInline let cells: UnsafeMutablePointer<Atomic<UInt64>>
    private let memory: UnsafeMutableRawPointer

    /// `count` counters, all 0.
    public init(count: Int) {
        self.count = count
        let bytes = (count * 8 + 127) / 128 * 128 + 128
        memory = .allocate(byteCount: bytes, alignment: 128)
        cells = memory.bindMemory(to: Atomic<UInt64>.self, capacity: count)
        for index in 0..<count { (cells + index).initialize(to: Atomic(0)) }
    }

    deinit { memory.deallocate() }

    /// For the writing thread.
    @inlinable public func add(_ amount: Int, to index: Int) {
        let cell = cells + index
        cell.pointee.store(
            cell.pointee.load(ordering: .relaxed) &+ UInt64(truncatingIfNeeded: amount), ordering: .relaxed)
    }

    /// For the writing thread: a gauge.
    @inlinable public func set(_ value: Int, at index: Int) {
        cells[index].store(UInt64(truncatingIfNeeded: value), ordering: .relaxed)
    }

    /// For any thread.
    @inlinable public func value(_ index: Int) -> Int {
        Int(truncatingIfNeeded: cells[index].load(ordering: .acquiring))
    }
}
