import Batching
import CKernel

/// Batches on their way to a byte stream: their bytes in a row, and where each ends. Memory is taken once and grows
/// only for a batch that is larger than all of it.
struct OutputBuffer: ~Copyable {
    private struct Entry {
        var end: Int
        var receipt: BatchReceipt
        var span: TimeSpan
    }

    private var memory: UnsafeMutableRawPointer
    private var capacity: Int
    private var entries: [Entry] = []
    private var firstEntry = 0
    /// End of the bytes that are here.
    private var used = 0
    /// End of those that went out.
    private var out = 0
    /// End of the last whole batch that went out.
    private var whole = 0

    init(capacity: Int) {
        self.capacity = max(capacity, 4096)
        memory = .allocate(byteCount: self.capacity, alignment: 64)
        entries.reserveCapacity(1024)
    }

    deinit { memory.deallocate() }

    /// Whether nothing waits to go out.
    var isEmpty: Bool { out == used }
    /// Bytes that wait, those of a batch that went out in part included.
    var held: Int { used - whole }
    /// Bytes of the first waiting batch that went out already.
    var torn: Int { out - whole }
    /// What waits to go out.
    var pending: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory + out, count: used - out) }

    /// Copies the batch; false where there is no room and something waits.
    mutating func append(_ batch: BatchView) -> Bool {
        let data = batch.data
        if capacity - used < data.count {
            compact()
            if capacity - used < data.count {
                guard used == 0 else { return false }
                memory.deallocate()
                capacity = data.count
                memory = .allocate(byteCount: capacity, alignment: 64)
            }
        }
        if let base = data.baseAddress { (memory + used).copyMemory(from: base, byteCount: data.count) }
        used += data.count
        let span = TimeSpan(batch.header.firstEventTime, batch.header.lastEventTime)
        entries.append(Entry(end: used, receipt: BatchReceipt(batch), span: span))
        return true
    }

    /// Bytes of the waiting batches that fit into `room` as a whole; those of the first where not even it does and
    /// `atLeastOne`.
    func wholeBatches(room: Int, atLeastOne: Bool) -> Int {
        var end = out
        for entry in entries[firstEntry...] {
            if entry.end - out > room, end != out || !atLeastOne { break }
            end = entry.end
        }
        return end - out
    }

    /// Notes that `count` of the pending bytes went out; calls `done` for each batch that is out as a whole, with its
    /// bytes and the times of its events.
    mutating func advance(_ count: Int, done: (BatchReceipt, Int, TimeSpan) -> Void) {
        out += count
        while firstEntry < entries.count, entries[firstEntry].end <= out {
            let entry = entries[firstEntry]
            let bytes = entry.end - whole
            whole = entry.end
            done(entry.receipt, bytes, entry.span)
            firstEntry += 1
        }
        guard out == used else { return }
        entries.removeAll(keepingCapacity: true)
        (firstEntry, used, out, whole) = (0, 0, 0, 0)
    }

    /// Takes the part of a batch that went out back: it will go out again from its beginning.
    mutating func restoreTorn() { out = whole }

    private mutating func compact() {
        guard whole > 0 else { return }
        memory.copyMemory(from: memory + whole, byteCount: used - whole)
        entries.removeFirst(firstEntry)
        for index in entries.indices { entries[index].end -= whole }
        (firstEntry, used, out, whole) = (0, used - whole, out - whole, 0)
    }
}

/// The system's text for an errno.
func errorText(_ code: Int32) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { text in
        guard let base = text.baseAddress else { return "errno \(code)" }
        ck_error_text(code, base, text.count)
        return "\(String(cString: base)) (errno \(code))"
    }
}
