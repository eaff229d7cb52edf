import MarketData

/// Events of recordings, as lines of JSON, grouped as batches would hold them: by what stands before the sequence (type,
/// exchange, symbol).
struct EventSamples {
    /// Bytes that are kept of a type: zstd's training wants some hundred times a dictionary's size.
    static let bytesPerKind = 8 << 20
    /// Every so many-th run of ``runLength`` events is kept for measuring and not trained on.
    private static let heldOut = 4
    /// Events of one topic that follow each other and stay together.
    private static let runLength = 100

    struct Group {
        var training: [ArraySlice<UInt8>] = []
        var measuring: [ArraySlice<UInt8>] = []
        fileprivate var count = 0
    }

    /// By type, then by topic.
    private(set) var kinds: [EventKind: [ArraySlice<UInt8>: Group]] = [:]
    private var bytes: [EventKind: Int] = [:]
    /// Lines that are no events of ours.
    private(set) var strange = 0
    private(set) var count = 0

    private static let head = Array("{\"type\":\"".utf8)
    private static let sequence = Array(",\"sequence\":".utf8)

    /// Takes a line without its newline.
    mutating func add(_ line: ArraySlice<UInt8>) {
        guard line.starts(with: EventSamples.head),
            let nameEnd = line.dropFirst(EventSamples.head.count).firstIndex(of: UInt8(ascii: "\"")),
            let kind = EventKind(
                name: String(
                    decoding: line[(line.startIndex + EventSamples.head.count)..<nameEnd], as: UTF8.self)),
            let keyEnd = line.firstRange(of: EventSamples.sequence)?.lowerBound
        else {
            strange += 1
            return
        }
        count += 1
        guard bytes[kind, default: 0] < EventSamples.bytesPerKind else { return }
        bytes[kind, default: 0] += line.count
        let key = Array(line[..<keyEnd])[...]
        // A copy of its own: the piece that it was read with goes.
        let line = Array(line)[...]
        var group = kinds[kind, default: [:]].removeValue(forKey: key) ?? Group()
        if group.count / EventSamples.runLength % EventSamples.heldOut == EventSamples.heldOut - 1 {
            group.measuring.append(line)
        } else {
            group.training.append(line)
        }
        group.count += 1
        kinds[kind, default: [:]][key] = group
    }
}
