/// Who listens to which of the source's streams.
struct StreamRegistry: ~Copyable {
    private let indices: [[UInt8]: Int]
    /// A list of subscribers for each stream, at a fixed address for the sending loop.
    private let lists: UnsafeMutablePointer<SubscriberList>
    let streamCount: Int

    init(names: [[UInt8]]) {
        indices = Dictionary(zip(names, names.indices), uniquingKeysWith: { first, _ in first })
        streamCount = names.count
        lists = .allocate(capacity: max(1, names.count))
        lists.initialize(repeating: SubscriberList(), count: names.count)
    }

    deinit {
        for index in 0..<streamCount { lists[index].free() }
        lists.deallocate()
    }

    /// The stream's index, nil where the source does not have it.
    func index(of name: [UInt8]) -> Int? { indices[name] }

    /// Outboxes that a stream's frames go to.
    func subscribers(of stream: Int) -> UnsafeMutableBufferPointer<UnsafeMutablePointer<Outbox>> {
        lists[stream].all
    }

    /// Returns whether this was the first subscriber.
    mutating func add(_ outbox: UnsafeMutablePointer<Outbox>, to stream: Int) -> Bool {
        lists[stream].append(outbox)
        return lists[stream].all.count == 1
    }

    /// Returns whether this was the last subscriber.
    mutating func remove(_ outbox: UnsafeMutablePointer<Outbox>, from stream: Int) -> Bool {
        lists[stream].remove(outbox) && lists[stream].all.isEmpty
    }
}

/// A small growing list without reference counts.
private struct SubscriberList {
    private var base: UnsafeMutablePointer<UnsafeMutablePointer<Outbox>>?
    private var count = 0
    private var capacity = 0

    var all: UnsafeMutableBufferPointer<UnsafeMutablePointer<Outbox>> {
        UnsafeMutableBufferPointer(start: base, count: count)
    }

    mutating func append(_ outbox: UnsafeMutablePointer<Outbox>) {
        if count == capacity {
            let larger = UnsafeMutablePointer<UnsafeMutablePointer<Outbox>>.allocate(
                capacity: max(4, capacity * 2))
            if let base {
                larger.moveInitialize(from: base, count: count)
                base.deallocate()
            }
            base = larger
            capacity = max(4, capacity * 2)
        }
        (base.map { $0 + count })?.initialize(to: outbox)
        count += 1
    }

    mutating func remove(_ outbox: UnsafeMutablePointer<Outbox>) -> Bool {
        guard let base, let index = all.firstIndex(of: outbox) else { return false }
        for later in index..<(count - 1) { base[later] = base[later + 1] }
        count -= 1
        return true
    }

    mutating func free() {
        base?.deallocate()
        self = SubscriberList()
    }
}
