/// Blocks of memory in powers of two, kept for the next taker; so nothing is allocated in steady state.
struct BufferPool: ~Copyable {
    struct Block {
        var base: UnsafeMutableRawPointer
        var size: Int
    }

    private static let smallestBits = 10
    private var free: [[UnsafeMutableRawPointer]] = Array(repeating: [], count: 48)
    private var idle = 0
    private let limit: Int
    /// Bytes of all blocks that are out.
    private(set) var inUse = 0

    /// A pool that keeps idle blocks as long as it and its takers have at most `limit` bytes.
    init(limit: Int) { self.limit = limit }

    deinit {
        for blocks in free {
            for block in blocks { block.deallocate() }
        }
    }

    private static func bits(_ bytes: Int) -> Int {
        max(smallestBits, Int.bitWidth - (max(bytes, 1) - 1).leadingZeroBitCount)
    }

    /// The size of the block that `take` gives for so many bytes.
    static func size(_ bytes: Int) -> Int { 1 << bits(bytes) }

    mutating func take(_ bytes: Int) -> Block {
        let bits = BufferPool.bits(bytes)
        let size = 1 << bits
        inUse += size
        if let block = free[bits].popLast() {
            idle -= size
            return Block(base: block, size: size)
        }
        return Block(base: .allocate(byteCount: size, alignment: 64), size: size)
    }

    mutating func give(_ block: Block) {
        inUse -= block.size
        if inUse + idle + block.size <= limit {
            idle += block.size
            free[BufferPool.bits(block.size)].append(block.base)
        } else {
            block.base.deallocate()
        }
    }
}
