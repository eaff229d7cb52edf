/// Batches that a sink holds and that nothing but memory has, in the order in which they came. Their numbers rise.
///
/// Acknowledgements come in any order; what is done lies here until all before it is done, or until there is more of it
/// than of the others. Memory is twice what the sink holds at most, and is kept.
struct UnsafeBatches {
    private struct Entry {
        var number: UInt64
        /// ns since the epoch; ``done`` once it is safe.
        var closedTime: Int64
    }

    private static let done = Int64.min
    private var entries: [Entry] = []
    private var head = 0
    private var doneCount = 0

    /// How many there are.
    var count: Int { entries.count - head - doneCount }

    /// When the oldest was closed, ns since the epoch.
    var oldest: Int64? { head < entries.count ? entries[head].closedTime : nil }

    /// Its number.
    var oldestNumber: UInt64? { head < entries.count ? entries[head].number : nil }

    mutating func append(number: UInt64, closedTime: Int64) {
        if entries.count == entries.capacity { compact() }
        // A batch without a time must not pass for one that is done.
        entries.append(Entry(number: number, closedTime: max(closedTime, 1)))
    }

    /// The batch is safe. One that is not here is nothing new.
    mutating func remove(number: UInt64) {
        guard let index = index(of: number), entries[index].closedTime != UnsafeBatches.done else { return }
        entries[index].closedTime = UnsafeBatches.done
        doneCount += 1
        while head < entries.count, entries[head].closedTime == UnsafeBatches.done {
            head += 1
            doneCount -= 1
        }
        if head == entries.count {
            entries.removeAll(keepingCapacity: true)
            head = 0
        }
    }

    private func index(of number: UInt64) -> Int? {
        guard head < entries.count, number >= entries[head].number else { return nil }
        // Without holes it is where it would be counted to.
        let guess = head + Int(min(number - entries[head].number, UInt64(entries.count - head - 1)))
        if entries[guess].number == number { return guess }
        var (low, high) = (head, entries.count)
        while low < high {
            let middle = low + (high - low) / 2
            if entries[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low < entries.count && entries[low].number == number ? low : nil
    }

    /// Makes room by throwing out what is done, where that is worth it; else the array grows.
    private mutating func compact() {
        guard head + doneCount > entries.count / 2 else { return }
        entries.removeSubrange(..<head)
        head = 0
        entries.removeAll { $0.closedTime == UnsafeBatches.done }
        doneCount = 0
    }
}
