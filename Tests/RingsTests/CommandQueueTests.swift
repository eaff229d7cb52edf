import Testing

@testable import Rings

@Suite struct CommandQueueTests {
    @Test func keepsOrderAndItsBound() {
        let queue = CommandQueue<Int>(capacity: 3)
        #expect(queue.isEmpty)
        #expect(queue.drain().isEmpty)
        for number in 1...3 { #expect(queue.send(number)) }
        #expect(!queue.send(4))
        #expect(queue.drain(limit: 2) == [1, 2])
        #expect(!queue.isEmpty)
        #expect(queue.drain() == [3])
        #expect(queue.isEmpty)
    }
}

@Suite struct CounterBlockTests {
    @Test func countsAndSets() {
        let counters = CounterBlock(count: 40)
        for index in 0..<40 { counters.add(index, to: index) }
        counters.add(-1, to: 39)
        counters.set(7, at: 0)
        #expect((0..<40).map { counters.value($0) } == [7] + Array(1..<39) + [38])
    }
}
