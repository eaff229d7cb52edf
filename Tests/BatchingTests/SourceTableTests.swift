import Testing

@testable import Batching

struct SourceTableTests {
    /// Prefixes behind their source, and those that find no room there.
    @Test func prefixesOfAnyLength() {
        var table = SourceTable(capacity: 300)
        let prefixes = (0..<300).map { length in (0..<length).map { UInt8(truncatingIfNeeded: length &+ $0) }
        }
        for (index, prefix) in prefixes.enumerated() {
            let isFull = table.isFull
            #expect(!isFull)
            let place = table.append(prefix: prefix, batch: Int32(index * 3))
            #expect(place == Int32(index))
        }
        let isFull = table.isFull
        #expect(isFull)
        for (index, prefix) in prefixes.enumerated() {
            let source = table.source(Int32(index))
            let text = UnsafeBufferPointer(start: source.prefix, count: Int(source.prefixLength))
            #expect(Array(text) == prefix)
            #expect(source.batch == Int32(index * 3))
        }
    }
}
