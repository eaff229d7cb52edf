import CKernel
import Glibc

/// The span of event times in some bytes: those of the first and last event of each batch, ns since the epoch.
struct TimeSpan: Equatable {
    var earliest: Int64
    var latest: Int64

    init(_ first: Int64, _ last: Int64) { (earliest, latest) = (min(first, last), max(first, last)) }

    mutating func widen(_ other: TimeSpan) {
        earliest = min(earliest, other.earliest)
        latest = max(latest, other.latest)
    }
}

/// Where in a segment which times lie, so that a reader can begin in the middle of it. A file beside the segment, hidden:
/// `.segment-….ndjson.zst.index`, written when the segment ends. Its lines are
///
///     exchange-collector segment index 1
///     OFFSET EARLIEST LATEST        (for each block of whole batches)
///     end BYTES                     (of the segment)
///
/// One that is missing, torn, or of a segment of another size is worth nothing: the segment is then read as a whole.
public struct SegmentIndex: Equatable, Sendable {
    /// Whole batches that lie together.
    public struct Block: Equatable, Sendable {
        /// Where they begin.
        public var offset: Int
        /// The least event time of a first or last event of a batch.
        public var earliest: Int64
        /// The greatest.
        public var latest: Int64
    }

    /// In the order of the segment.
    public private(set) var blocks: [Block] = []
    /// Bytes of the segment.
    public private(set) var size = 0

    private static let title = "exchange-collector segment index 1"
    /// Blocks that one segment has, about.
    private static let blockLimit = 1024
    private static let leastBlock = 256 << 10

    init() {}

    /// The index of a segment: `dir/.NAME.index` of `dir/NAME`.
    public static func path(of segment: String) -> String {
        guard let slash = segment.lastIndex(of: "/") else { return ".\(segment).index" }
        return "\(segment[...slash]).\(segment[segment.index(after: slash)...]).index"
    }

    /// A batch of so many bytes was appended.
    mutating func append(bytes: Int, span: TimeSpan, segmentBytes: Int) {
        let blockBytes = max(SegmentIndex.leastBlock, segmentBytes / SegmentIndex.blockLimit)
        if let last = blocks.indices.last, size - blocks[last].offset < blockBytes {
            blocks[last].earliest = min(blocks[last].earliest, span.earliest)
            blocks[last].latest = max(blocks[last].latest, span.latest)
        } else {
            blocks.append(Block(offset: size, earliest: span.earliest, latest: span.latest))
        }
        size += bytes
    }

    mutating func removeAll() {
        blocks.removeAll(keepingCapacity: true)
        size = 0
    }

    /// The file's text.
    var text: String {
        var text = SegmentIndex.title + "\n"
        for block in blocks { text += "\(block.offset) \(block.earliest) \(block.latest)\n" }
        return text + "end \(size)\n"
    }

    /// Reads a file's text; nil where it is no whole index.
    public init?(text: some StringProtocol) {
        guard text.hasPrefix(SegmentIndex.title + "\nend ") || text.hasPrefix(SegmentIndex.title + "\n0 "),
            text.hasSuffix("\n")
        else { return nil }
        var isEnded = false
        for line in text.split(separator: "\n").dropFirst() {
            let words = line.split(separator: " ")
            guard !isEnded else { return nil }
            if words.count == 2, words[0] == "end", let bytes = Int(words[1]), bytes >= 0 {
                size = bytes
                isEnded = true
            } else if words.count == 3, let offset = Int(words[0]), let earliest = Int64(words[1]),
                let latest = Int64(words[2]), offset > blocks.last?.offset ?? -1, earliest <= latest
            {
                blocks.append(Block(offset: offset, earliest: earliest, latest: latest))
            } else {
                return nil
            }
        }
        guard isEnded, blocks.last.map({ $0.offset < size }) ?? true else { return nil }
    }

    /// The bytes in which events of those times lie; empty where there are none. An event in the middle of a batch may
    /// have a time a little outside of those of its first and last: `slack`, ns.
    public func range(from: Int64, to: Int64, slack: Int64) -> Range<Int> {
        let overlapping = blocks.indices.filter {
            blocks[$0].latest.addingReportingOverflow(slack).partialValue >= from
                && blocks[$0].earliest.subtractingReportingOverflow(slack).partialValue <= to
        }
        guard let first = overlapping.first, let last = overlapping.last else { return size..<size }
        return blocks[first].offset..<(last + 1 < blocks.count ? blocks[last + 1].offset : size)
    }

    /// Writes the index of a segment. A failure is none of the segment's: without an index it is read as a whole.
    func write(for segment: String) {
        let path = SegmentIndex.path(of: segment)
        let descriptor = ck_create_for_append(path)
        guard descriptor >= 0 else { return }
        defer { ck_close(descriptor) }
        let bytes = Array(text.utf8)
        if ck_write(descriptor, bytes, bytes.count) != Int64(bytes.count) { _ = ck_unlink(path) }
    }
}
