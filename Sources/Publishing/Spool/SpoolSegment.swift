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

/// What of a route's batches in a segment was not handed over yet.
struct SpoolShare {
    var batches = 0
    var events = 0
    var bytes = 0

    static func += (share: inout SpoolShare, header: BatchHeader) {
        share.batches += 1
        share.events += Int(header.count)
        share.bytes += Int(header.dataBytes)
    }

    static func -= (share: inout SpoolShare, header: BatchHeader) {
        share.batches -= 1
        share.events -= Int(header.count)
        share.bytes -= Int(header.dataBytes)
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
    private(set) var routes: [Route?] = []
    /// By the same numbers. What is left when the segment is done was taken by damage.
    private(set) var shares: [SpoolShare] = []
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

    /// Numbers as far as these are known from now on.
    func makeRoutes(upTo number: UInt32) {
        while routes.count <= Int(number) {
            routes.append(nil)
            shares.append(SpoolShare())
        }
    }

    func setRoute(_ route: Route?, number: UInt32) {
        makeRoutes(upTo: number)
        routes[Int(number)] = route
    }

    /// A batch of that route waits for being handed over.
    func expect(_ header: BatchHeader, route number: UInt32) { shares[Int(number)] += header }

    /// It was handed over, or dropped.
    func settle(_ header: BatchHeader, route number: UInt32) { shares[Int(number)] -= header }

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

    /// Batches up to that position are gone; `closedTime`: of the one that follows them.
    func skip(to index: Int, closedTime: Int64) {
        while records < index { _ = finish(append(closedTime: closedTime, isHeld: false)) }
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
