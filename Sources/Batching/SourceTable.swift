/// Where events of one kind and variant of one instrument go, and what their JSON begins with.
struct Source: BitwiseCopyable {
    let prefix: UnsafeMutablePointer<UInt8>
    let prefixLength: Int32
    /// Index of the open batch, which is the route's.
    let batch: Int32
}

/// The sources, each in two cache lines of its own, so that all an event needs of its source can be asked for by the
/// index alone. A prefix that finds no room behind its source stands elsewhere.
struct SourceTable: ~Copyable {
    /// Bytes of an entry.
    static var stride: Int { 128 }
    private static var roomForPrefix: Int { stride - MemoryLayout<Source>.stride }

    private let entries: UnsafeMutableRawPointer
    private let capacity: Int
    private(set) var count: Int32 = 0

    /// Touched only as it is used.
    init(capacity: Int) {
        self.capacity = capacity
        entries = .allocate(byteCount: max(1, capacity) * SourceTable.stride, alignment: SourceTable.stride)
    }

    deinit {
        for index in 0..<count {
            let source = source(index)
            if source.prefixLength > SourceTable.roomForPrefix { source.prefix.deallocate() }
        }
        entries.deallocate()
    }

    /// Where a source and, as a rule, its prefix stand.
    @inline(__always)
    func entry(_ index: Int32) -> UnsafeMutableRawPointer { entries + Int(index) &* SourceTable.stride }

    @inline(__always)
    func source(_ index: Int32) -> Source { entry(index).load(as: Source.self) }

    var isFull: Bool { Int(count) >= capacity }

    /// The index of a new source. The table must not be full.
    mutating func append(prefix text: [UInt8], batch: Int32) -> Int32 {
        let entry = entry(count)
        let prefix: UnsafeMutablePointer<UInt8> =
            text.count > SourceTable.roomForPrefix
            ? .allocate(capacity: text.count)
            : (entry + MemoryLayout<Source>.stride).bindMemory(
                to: UInt8.self, capacity: SourceTable.roomForPrefix)
        prefix.update(from: text, count: text.count)
        entry.storeBytes(
            of: Source(prefix: prefix, prefixLength: Int32(text.count), batch: batch), as: Source.self)
        count += 1
        return count - 1
    }
}
