import CKernel
import MarketData

/// When an event was received, and when it happened (`absentInteger` where the exchange does not say); ns since the epoch.
struct EventTimes: BitwiseCopyable {
    var received: Int64
    var event: Int64
}

/// A batch that is being filled; one for each route, its memory kept from batch to batch.
struct OpenBatch {
    let route: UInt32
    let kind: EventKind
    /// The topic's event count so far; routes of one topic share it.
    let sequence: UnsafeMutablePointer<UInt64>
    /// Lines of JSON.
    var text: UnsafeMutablePointer<UInt8>
    var textCapacity: Int
    var textLength = 0
    /// Times of the events, for their latency.
    var times: UnsafeMutablePointer<EventTimes>
    /// In `event` mode.
    var slices: UnsafeMutablePointer<EventSlice>?
    var eventCapacity: Int
    var count = 0
    var firstSequence: UInt64 = 0
    var lastSequence: UInt64 = 0
    var firstEventTime: Int64 = 0
    var lastEventTime: Int64 = 0
    /// When the first event was put in.
    var openedTime: Int64 = 0
    /// Which one it is of all, in the order of opening and from 1.
    var openedNumber = 0
    /// Neighbours in its list of open batches, oldest first; -1: none.
    var previous: Int32 = -1
    var next: Int32 = -1
    /// In the list of those that may grow older than others, as their route waits on disk.
    var isPatient = false

    init(route: Int, kind: EventKind, sequence: UnsafeMutablePointer<UInt64>, hasSlices: Bool) {
        self.route = UInt32(route)
        self.kind = kind
        self.sequence = sequence
        textCapacity = 4_096
        eventCapacity = 16
        text = .allocate(capacity: textCapacity)
        times = .allocate(capacity: eventCapacity)
        slices = hasSlices ? .allocate(capacity: eventCapacity) : nil
    }

    func deallocate() {
        text.deallocate()
        times.deallocate()
        slices?.deallocate()
    }

    /// Doubles what is too small, until the batch has had its largest size once.
    @inline(never) mutating func grow(text needed: Int, events: Int) {
        if needed > textCapacity {
            var capacity = textCapacity
            while capacity < needed { capacity *= 2 }
            let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
            larger.update(from: text, count: textLength)
            text.deallocate()
            text = larger
            textCapacity = capacity
        }
        guard events > eventCapacity else { return }
        let capacity = max(events, eventCapacity * 2)
        let more = UnsafeMutablePointer<EventTimes>.allocate(capacity: capacity)
        more.update(from: times, count: count)
        times.deallocate()
        times = more
        if let old = slices {
            let larger = UnsafeMutablePointer<EventSlice>.allocate(capacity: capacity)
            larger.update(from: old, count: count)
            old.deallocate()
            slices = larger
        }
        eventCapacity = capacity
    }
}

/// Open batches, oldest first, linked through the batches themselves.
struct OpenList {
    private(set) var oldest: Int32 = -1
    private var newest: Int32 = -1

    mutating func append(_ index: Int32, _ batches: UnsafeMutablePointer<OpenBatch>) {
        let batch = batches + Int(index)
        batch.pointee.previous = newest
        batch.pointee.next = -1
        if newest >= 0 { (batches + Int(newest)).pointee.next = index } else { oldest = index }
        newest = index
    }

    mutating func remove(_ index: Int32, _ batches: UnsafeMutablePointer<OpenBatch>) {
        let (previous, next) = ((batches + Int(index)).pointee.previous, (batches + Int(index)).pointee.next)
        if previous >= 0 { (batches + Int(previous)).pointee.next = next } else { oldest = next }
        if next >= 0 { (batches + Int(next)).pointee.previous = previous } else { newest = previous }
    }
}

/// Tables that are large but sparsely used: zeroed pages that cost memory only once touched.
enum ZeroedPages {
    static func allocate<Element: BitwiseCopyable>(
        _ type: Element.Type, count: Int
    ) -> UnsafeMutablePointer<Element> {
        guard let memory = ck_zeroed(count, MemoryLayout<Element>.stride) else {
            preconditionFailure("no address space for a table of \(count) entries")
        }
        return memory.bindMemory(to: type, capacity: count)
    }

    static func deallocate<Element>(_ table: UnsafeMutablePointer<Element>) { ck_zeroed_free(table) }
}
