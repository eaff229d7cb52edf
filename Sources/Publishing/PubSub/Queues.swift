/// First in, first out, without moving what is left.
struct Queue<Element> {
    private var elements: [Element?] = []
    private var head = 0

    var isEmpty: Bool { head == elements.count }
    var first: Element? { head < elements.count ? elements[head] : nil }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func popFirst() -> Element? {
        guard head < elements.count else { return nil }
        let element = elements[head]
        elements[head] = nil
        head += 1
        if head == elements.count {
            elements.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 1024, head * 2 > elements.count {
            elements.removeFirst(head)
            head = 0
        }
        return element
    }
}

/// Who waits until when: a binary heap, earliest first.
struct Deadlines<Element> {
    private var heap: [(time: Int64, element: Element)] = []

    /// The earliest time, `.max` where nobody waits.
    var next: Int64 { heap.first?.time ?? .max }

    mutating func add(_ element: Element, at time: Int64) {
        heap.append((time, element))
        var child = heap.count - 1
        while child > 0, heap[(child - 1) / 2].time > heap[child].time {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// One whose time has come.
    mutating func popDue(_ now: Int64) -> Element? {
        guard next <= now else { return nil }
        heap.swapAt(0, heap.count - 1)
        let element = heap.removeLast().element
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[child].time < heap[least].time { least = child }
            }
            guard least != parent else { return element }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
