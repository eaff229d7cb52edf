import Testing

@testable import Rings

/// What different threads write lies on cache lines of their own, 128 bytes apart: the prefetcher pulls lines in pairs.
@Suite struct LayoutTests {
    private static let line = 128

    private static func address<Value: ~Copyable>(_ pointer: UnsafeMutablePointer<Value>) -> Int {
        Int(bitPattern: pointer)
    }

    @Test func theEndsOfARingShareNoLine() throws {
        let storage = try RingStorage(name: "layout", minimumCapacity: 4_096)
        let ends = [storage.tail, storage.head].map { LayoutTests.address($0) / LayoutTests.line }
        #expect(ends[0] != ends[1])
        // Each end's count lies beside its position: the same thread writes both.
        #expect(LayoutTests.address(storage.pushed) / LayoutTests.line == ends[0])
        #expect(LayoutTests.address(storage.popped) / LayoutTests.line == ends[1])
        #expect(LayoutTests.address(storage.tail) % LayoutTests.line == 0)
    }

    /// Blocks that are made one after the other belong to different threads.
    @Test(arguments: [1, 2, 15, 16, 17, 200]) func counterBlocksShareNoLine(count: Int) {
        let blocks = (0..<64).map { _ in CounterBlock(count: count) }
        var owners: [Int: Int] = [:]
        for (index, block) in blocks.enumerated() {
            let first = LayoutTests.address(block.cells)
            #expect(first % LayoutTests.line == 0)
            for place in first / LayoutTests.line...(first + count * 8 - 1) / LayoutTests.line {
                #expect(owners.updateValue(index, forKey: place) == nil)
            }
        }
    }

    @Test func wakersShareNoLine() throws {
        let wakers = try (0..<64).map { _ in try Waker() }
        #expect(Set(wakers.map { LayoutTests.address($0.parked) / LayoutTests.line }).count == wakers.count)
        #expect(wakers.allSatisfy { LayoutTests.address($0.parked) % LayoutTests.line == 0 })
    }
}
