import Batching
import CKernel

/// A set of small numbers, its memory taken when the first comes.
struct BitSet {
    private var words: [UInt64] = []

    func contains(_ index: Int) -> Bool {
        let word = index >> 6
        return word < words.count && words[word] >> UInt64(index & 63) & 1 == 1
    }

    /// Whether it is new.
    mutating func insert(_ index: Int) -> Bool {
        let word = index >> 6
        while words.count <= word { words.append(0) }
        let bit = UInt64(1) << UInt64(index & 63)
        guard words[word] & bit == 0 else { return false }
        words[word] |= bit
        return true
    }
}

/// A file of the spool, and which of its batches are done with. A batch costs two bits here, and 8 bytes for every
/// ``stride`` of them.
final class SpoolSegment {
    let number: UInt32
    let path: String
    /// Bytes up to the end of the last whole record.
    var size = SpoolFormat.headerSize
    /// Batches.
    private(set) var records = 0
    /// Of these, how many are acknowledged, or dropped.
    private(set) var done = 0
    /// Batches before this one are all done.
    private(set) var firstUndone = 0
    private var doneSet = BitSet()
    /// Batches that the sink had before they were stored: nobody reads them back as long as the process lives.
    private var heldSet = BitSet()
    /// When every ``stride``th batch was closed, and the newest.
    private var times: [Int64] = []
    private(set) var newestTime: Int64 = 0
    /// By the numbers that stand for them in the file; nil where nobody needs it again.
    var routes: [Route?] = []
    /// For reading; opened when first needed.
    var reader: Int32 = -1
    /// Bytes were skipped as damaged: the file is kept beside the others when it is done.
    var isDamaged = false

    static let stride = 128

    init(number: UInt32, path: String) {
        self.number = number
        self.path = path
    }

    deinit { if reader >= 0 { ck_close(reader) } }

    /// The route of that number.
    func route(_ number: UInt32) -> Route? { Int(number) < routes.count ? routes[Int(number)] : nil }

    /// All batches are acknowledged.
    var isDone: Bool { done == records }

    /// When its oldest batch that is not done was closed, to ``stride`` batches; nil where all are done.
    var oldestTime: Int64? { isDone ? nil : times[firstUndone / SpoolSegment.stride] }

    /// Counts a batch, and returns its position.
    func append(closedTime: Int64, isHeld: Bool) -> Int {
        let index = records
        if index % SpoolSegment.stride == 0 { times.append(closedTime) }
        newestTime = max(newestTime, closedTime)
        records += 1
        if isHeld { _ = heldSet.insert(index) }
        return index
    }

    /// A batch is done with. False where it was so already.
    func finish(_ index: Int) -> Bool {
        guard index < records, doneSet.insert(index) else { return false }
        done += 1
        while firstUndone < records, doneSet.contains(firstUndone) { firstUndone += 1 }
        return true
    }

    func isHeld(_ index: Int) -> Bool { heldSet.contains(index) }
    func isFinished(_ index: Int) -> Bool { doneSet.contains(index) }
}
