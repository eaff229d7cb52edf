import Glibc

/// A recorded market: frames of files, played in order.
///
/// All frames are held in memory, in their combined form; a frame that came with its wrapper keeps its bytes.
struct RecordedFeed: ~Copyable, FeedSource {
    /// A frame's place in the memory.
    private struct Entry {
        var offset: Int
        var count: Int32
        var payloadStart: Int32
        var payloadEnd: Int32
        var stream: Int32
        /// ns after the feed's beginning; never falls.
        var due: Int64
    }

    private(set) var streamNames: [[UInt8]] = []
    private var streamIndices: [[UInt8]: Int32] = [:]
    private var entries = ContiguousArray<Entry>()
    private var memory = GrowingMemory()
    private var isSubscribed = ContiguousArray<Bool>()
    private let loops: Bool
    private var position = 0
    /// Added to due times: grows by the feed's duration each time round.
    private var loopStart: Int64 = 0
    /// Lines that hold no market data: answers to requests, empty lines, what is no JSON.
    private(set) var leftOut = 0

    var frameCount: Int { entries.count }

    init(paths: [String], loops: Bool) throws(ReplayerError) {
        self.loops = loops
        for path in paths { try load(path) }
        isSubscribed = ContiguousArray(repeating: false, count: streamNames.count)
    }

    mutating func setSubscribed(stream: Int, _ subscribed: Bool) { isSubscribed[stream] = subscribed }

    mutating func nextDue() -> Int64? {
        position < entries.count ? loopStart.addingCapped(entries[position].due) : nil
    }

    mutating func next(_ frame: inout FeedFrame, now: Int64) -> FeedStep {
        guard position < entries.count else { return .end }
        let entry = entries[position]
        position &+= 1
        if position == entries.count, loops {
            position = 0
            loopStart = loopStart.addingCapped(entry.due).addingCapped(1_000_000)
        }
        guard isSubscribed[Int(entry.stream)] else { return .skipped }
        frame.stream = Int(entry.stream)
        frame.combined = memory.bytes(entry.offset, Int(entry.count))
        frame.payload = Int(entry.payloadStart)..<Int(entry.payloadEnd)
        return .frame
    }
}

// Reading of files.
extension RecordedFeed {
    /// No exchange sends a frame of a gibibyte; offsets in entries have 32 bits.
    private static let lineLimit = 1 << 30
    private static let streamKey = Array("{\"stream\":\"".utf8)
    private static let dataKey = Array("\",\"data\":".utf8)

    private mutating func load(_ path: String) throws(ReplayerError) {
        let file = try FeedFile(path: path)
        let times = try RecordedFeed.readSidecar(of: path)
        var clock = FileClock(start: entries.last?.due ?? 0)
        var number = 0
        try file.forEachLine { line throws(ReplayerError) in
            var time: Int64?
            if let times {
                guard number < times.count else {
                    throw .data("\(path) has more lines than its sidecar of receive times (\(times.count))")
                }
                time = times[number]
            }
            number += 1
            addLine(line, time, &clock)
        }
    }

    private static func readSidecar(of path: String) throws(ReplayerError) -> [Int64]? {
        let plain = FeedTimes.sidecar(of: path)
        let candidates: [String] = [plain, plain + ".zst"]
        guard let found = candidates.first(where: { (path: String) in access(path, R_OK) == 0 }) else {
            return nil
        }
        let file = try FeedFile(path: found)
        var times: [Int64] = []
        try file.forEachLine { line throws(ReplayerError) in
            guard let time = FeedTimes.read(line) else {
                throw .data("\(found):\(times.count + 1) is no time in ns, µs, ms or seconds")
            }
            times.append(time)
        }
        return times
    }

    private mutating func addLine(
        _ line: UnsafeRawBufferPointer, _ sidecarTime: Int64?, _ clock: inout FileClock
    ) {
        var line = line
        var time = sidecarTime
        // A receive time may stand in front of the frame.
        if let first = line.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first),
            let space = line.prefix(40).firstIndex(of: 32),
            let inline = FeedTimes.read(UnsafeRawBufferPointer(rebasing: line[..<space]))
        {
            time = time ?? inline
            line = UnsafeRawBufferPointer(rebasing: line[(space + 1)...])
        }
        if let last = line.last, last == 13 { line = UnsafeRawBufferPointer(rebasing: line.dropLast()) }
        guard line.count < RecordedFeed.lineLimit, let entry = makeEntry(line) else {
            leftOut += 1
            return
        }
        entries.append(entry)
        let payload = memory.bytes(entry.offset, Int(entry.count))
        entries[entries.count - 1].due = clock.due(time ?? RecordedFeed.eventTime(payload))
    }

    private mutating func makeEntry(_ line: UnsafeRawBufferPointer) -> Entry? {
        guard let wrapped = RecordedFeed.unwrap(line) else {
            guard let name = StreamNaming.name(of: line) else { return nil }
            let head = RecordedFeed.streamKey + name + RecordedFeed.dataKey
            let offset = memory.append(head)
            _ = memory.append(line)
            _ = memory.append([UInt8(ascii: "}")])
            return Entry(
                offset: offset, count: Int32(head.count + line.count + 1), payloadStart: Int32(head.count),
                payloadEnd: Int32(head.count + line.count), stream: stream(name), due: 0)
        }
        return Entry(
            offset: memory.append(line), count: Int32(line.count),
            payloadStart: Int32(wrapped.payload.lowerBound), payloadEnd: Int32(wrapped.payload.upperBound),
            stream: stream(Array(line[wrapped.name])), due: 0)
    }

    /// Where a combined frame keeps its stream's name and its payload; nil for other frames.
    static func unwrap(_ line: UnsafeRawBufferPointer) -> (name: Range<Int>, payload: Range<Int>)? {
        guard let base = line.baseAddress, line.count > streamKey.count + dataKey.count,
            line[line.count - 1] == UInt8(ascii: "}") || line[line.count - 1] <= 32
        else { return nil }
        if memcmp(base, streamKey, streamKey.count) == 0, line[line.count - 1] == UInt8(ascii: "}"),
            let quote = memchr(base + streamKey.count, 0x22, line.count - streamKey.count)
        {
            let nameEnd = UnsafeRawPointer(quote) - base
            let payloadStart = nameEnd + dataKey.count
            if payloadStart < line.count - 1, memcmp(base + nameEnd, dataKey, dataKey.count) == 0 {
                return (streamKey.count..<nameEnd, payloadStart..<(line.count - 1))
            }
        }
        let scanner = FrameScanner(bytes: line)
        let start = scanner.skipSpace(0)
        guard let name = scanner.member("stream", of: start), let data = scanner.member("data", of: start),
            line[name.lowerBound] == UInt8(ascii: "\"")
        else { return nil }
        return ((name.lowerBound + 1)..<(name.upperBound - 1), data)
    }

    /// `E` of a frame as nanoseconds, nil where it has none.
    static func eventTime(_ frame: UnsafeRawBufferPointer) -> Int64? {
        guard var start = firstEventTime(frame) else { return nil }
        while start < frame.count, frame[start] == 32 { start += 1 }
        var end = start
        while end < frame.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(frame[end]) { end += 1 }
        return FeedTimes.read(UnsafeRawBufferPointer(rebasing: frame[start..<end]))
    }

    /// The index after the first `"E":`.
    private static func firstEventTime(_ frame: UnsafeRawBufferPointer) -> Int? {
        guard let base = frame.baseAddress else { return nil }
        var index = 1
        while index + 3 < frame.count, let found = memchr(base + index, 0x45, frame.count - index - 2) {
            index = UnsafeRawPointer(found) - base
            if frame[index - 1] == 0x22, frame[index + 1] == 0x22, frame[index + 2] == 0x3A {
                return index + 3
            }
            index += 1
        }
        return nil
    }

    private mutating func stream(_ name: [UInt8]) -> Int32 {
        if let known = streamIndices[name] { return known }
        let index = Int32(streamNames.count)
        streamNames.append(name)
        streamIndices[name] = index
        return index
    }
}

/// Turns a file's times into offsets that never fall.
private struct FileClock {
    let start: Int64
    private var first: Int64?
    private var latest: Int64

    init(start: Int64) {
        self.start = start
        latest = start
    }

    /// A frame without a time is due with the one before it.
    mutating func due(_ time: Int64?) -> Int64 {
        guard let time else { return latest }
        let first = first ?? time
        self.first = first
        latest = max(latest, start.addingCapped(time - first))
        return latest
    }
}

extension Int64 {
    /// The sum, or the largest number where that is none.
    fileprivate func addingCapped(_ other: Int64) -> Int64 {
        let (sum, isBeyond) = addingReportingOverflow(other)
        return isBeyond ? .max : sum
    }
}

/// One block of memory for all frames of a feed.
private struct GrowingMemory: ~Copyable {
    private var base: UnsafeMutableRawPointer
    private var count = 0
    private var capacity = 1 << 20

    init() { base = .allocate(byteCount: capacity, alignment: 16) }

    deinit { base.deallocate() }

    func bytes(_ offset: Int, _ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + offset, count: count)
    }

    /// Returns where the bytes were put.
    mutating func append(_ bytes: UnsafeRawBufferPointer) -> Int {
        if count + bytes.count > capacity {
            while count + bytes.count > capacity { capacity *= 2 }
            let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
            memcpy(larger, base, count)
            base.deallocate()
            base = larger
        }
        let offset = count
        if let from = bytes.baseAddress { memcpy(base + offset, from, bytes.count) }
        count += bytes.count
        return offset
    }

    mutating func append(_ bytes: [UInt8]) -> Int { bytes.withUnsafeBytes { append($0) } }
}
