/// Batches that a sink holds and that nothing but memory has, in the order in which they came. Their numbers rise.
///
/// Acknowledgements come in any order; what is done lies here until all before it is done, or until there is more of it
/// than of the others. Memory is twice what the sink holds at most, and is kept. It is memory of its own and no array,
/// which would be asked with every batch whether it is shared.
struct UnsafeBatches: ~Copyable {
    private struct Entry: BitwiseCopyable {
        var number: UInt64
        /// ns since the epoch; ``done`` once it is safe.
        var closedTime: Int64
    }

    private static let done = Int64.min
    private var entries = UnsafeMutablePointer<Entry>.allocate(capacity: 64)
    private var capacity = 64
    /// The places from `head` to `end` are in use.
    private var head = 0
    private var end = 0
    private var doneCount = 0

    deinit { entries.deallocate() }

    /// How many there are.
    var count: Int { end - head - doneCount }

    /// When the oldest was closed, ns since the epoch.
    var oldest: Int64? { head < end ? entries[head].closedTime : nil }

    /// Its number.
    var oldestNumber: UInt64? { head < end ? entries[head].number : nil }

    mutating func append(number: UInt64, closedTime: Int64) {
        if end == capacity { makeRoom() }
        // A batch without a time must not pass for one that is done.
        entries[end] = Entry(number: number, closedTime: max(closedTime, 1))
        end += 1
    }

    /// The batch is safe. One that is not here is nothing new.
    mutating func remove(number: UInt64) {
        guard let index = index(of: number), entries[index].closedTime != UnsafeBatches.done else { return }
        entries[index].closedTime = UnsafeBatches.done
        doneCount += 1
        while head < end, entries[head].closedTime == UnsafeBatches.done {
            head += 1
            doneCount -= 1
        }
        if head == end {
            head = 0
            end = 0
        }
    }

    private func index(of number: UInt64) -> Int? {
        guard head < end, number >= entries[head].number else { return nil }
        // Without holes it is where it would be counted to.
        let guess = head + Int(min(number - entries[head].number, UInt64(end - head - 1)))
        if entries[guess].number == number { return guess }
        var (low, high) = (head, end)
        while low < high {
            let middle = low + (high - low) / 2
            if entries[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low < end && entries[low].number == number ? low : nil
    }

    /// Throws out what is done, where that is worth it; else twice the memory.
    private mutating func makeRoom() {
        var kept = entries
        if head + doneCount <= end / 2 {
            capacity *= 2
            kept = .allocate(capacity: capacity)
        }
        var count = 0
        for index in head..<end where entries[index].closedTime != UnsafeBatches.done {
            kept[count] = entries[index]
            count += 1
        }
        if kept != entries { entries.deallocate() }
        entries = kept
        head = 0
        end = count
        doneCount = 0
    }
}
