import MarketData

/// The few things of the protobuf encoding that publishing needs (https://protobuf.dev/programming-guides/encoding).
enum Protobuf {
    /// The tag of a length-delimited field with a number below 16.
    static func tag(_ field: UInt8) -> UInt8 { field << 3 | 2 }

    static func varintSize(_ value: Int) -> Int {
        max(1, (Int.bitWidth - value.leadingZeroBitCount + 6) / 7)
    }

    /// Writes and moves `out` on.
    static func writeVarint(_ value: Int, to out: inout UnsafeMutableRawPointer) {
        var rest = UInt(bitPattern: value)
        while rest >= 0x80 {
            out.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, as: UInt8.self)
            out += 1
            rest >>= 7
        }
        out.storeBytes(of: UInt8(rest), as: UInt8.self)
        out += 1
    }

    static func writeHead(_ field: UInt8, count: Int, to out: inout UnsafeMutableRawPointer) {
        out.storeBytes(of: tag(field), as: UInt8.self)
        out += 1
        writeVarint(count, to: &out)
    }

    static func copy(_ bytes: UnsafeRawBufferPointer, to out: inout UnsafeMutableRawPointer) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        out.copyMemory(from: base, byteCount: bytes.count)
        out += bytes.count
    }

    /// A field made once and copied often.
    static func field(_ number: UInt8, _ content: some Collection<UInt8>) -> [UInt8] {
        var head = [UInt8](repeating: 0, count: 11)
        let count = content.count
        let used = head.withUnsafeMutableBytes { bytes in
            guard var out = bytes.baseAddress else { return 0 }
            let start = out
            writeHead(number, count: count, to: &out)
            return out - start
        }
        return Array(head[..<used]) + content
    }

    /// A varint field of a number below 16; `value` at least 0.
    static func number(_ number: UInt8, _ value: Int) -> [UInt8] {
        var bytes = [number << 3]
        var rest = UInt(bitPattern: value)
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    /// An entry of PubsubMessage.attributes, or of another map of strings with that number.
    static func attribute(_ key: String, _ value: String) -> [UInt8] {
        field(2, field(1, key.utf8) + field(2, value.utf8))
    }
}

/// Writes PubsubMessages as fields of a PublishRequest.
struct MessageEncoder: ~Copyable {
    /// What the attributes that differ from message to message take at most: seven with keys of up to 16 and values of
    /// up to 58 bytes, and the writer's slack.
    static let variableLimit = 512
    /// A run's prefix, the batch's number, and the writer's slack.
    private static let batchIDLimit = 48
    private let variable: UnsafeMutableRawPointer
    private var variableCount = 0
    private let batchID: UnsafeMutableRawPointer
    private var batchIDCount = 0
    private let runID: [UInt8]

    /// `runID`: the first half of each batch id.
    init(runID: UInt64) {
        variable = .allocate(byteCount: MessageEncoder.variableLimit, alignment: 8)
        batchID = .allocate(byteCount: MessageEncoder.batchIDLimit, alignment: 8)
        batchID.initializeMemory(as: UInt8.self, repeating: 0, count: MessageEncoder.batchIDLimit)
        self.runID = MessageEncoder.prefix(runID: runID)
    }

    /// What batch ids of that run begin with.
    static func prefix(runID: UInt64) -> [UInt8] {
        let digits = String(runID, radix: 16)
        return Array((String(repeating: "0", count: 16 - digits.count) + digits + "-").utf8)
    }

    deinit {
        variable.deallocate()
        batchID.deallocate()
    }

    /// What a message takes at most: heads of four fields beside their contents.
    static func sizeLimit(data: Int, fixed: Int, key: Int) -> Int { data + fixed + key + variableLimit + 24 }

    /// Adds an attribute whose value `write` writes; the value, to be copied where another attribute has the same.
    @inline(__always) @discardableResult
    private mutating func attribute(_ key: StaticString, _ write: (UnsafeMutablePointer<UInt8>) -> Int)
        -> UnsafeRawBufferPointer
    {
        let keyCount = key.utf8CodeUnitCount
        let entry = variable + variableCount
        let value = entry + keyCount + 6
        let valueCount = write(value.assumingMemoryBound(to: UInt8.self))
        // All lengths are below 128, one byte each.
        entry.storeBytes(of: Protobuf.tag(2), as: UInt8.self)
        entry.storeBytes(of: UInt8(keyCount + valueCount + 4), toByteOffset: 1, as: UInt8.self)
        entry.storeBytes(of: Protobuf.tag(1), toByteOffset: 2, as: UInt8.self)
        entry.storeBytes(of: UInt8(keyCount), toByteOffset: 3, as: UInt8.self)
        (entry + 4).copyMemory(from: key.utf8Start, byteCount: keyCount)
        entry.storeBytes(of: Protobuf.tag(2), toByteOffset: keyCount + 4, as: UInt8.self)
        entry.storeBytes(of: UInt8(valueCount), toByteOffset: keyCount + 5, as: UInt8.self)
        variableCount += keyCount + valueCount + 6
        return UnsafeRawBufferPointer(start: value, count: valueCount)
    }

    /// What one message says about itself.
    struct Extent {
        var count: UInt64
        var firstSequence: UInt64
        var lastSequence: UInt64
        var firstEventTime: Int64
        var lastEventTime: Int64
        var batch: UInt64
        /// The id of the data's zstd dictionary; 0: none.
        var dictionary: UInt32 = 0
        /// In `event` mode, the position in the batch.
        var index: Int?
        /// What the batch ids of an earlier run begin with; nil: it is this one's.
        var run: [UInt8]?
    }

    /// Sets the attributes of the next ``write(data:fixed:form:key:to:)``.
    mutating func describe(_ extent: borrowing Extent) {
        setBatch(extent.batch, run: extent.run)
        describe(extent, index: extent.index)
        if extent.dictionary != 0 {
            attribute("dictionary") { DigitWriter.write(UInt64(extent.dictionary), to: $0) }
        }
    }

    /// Sets the batch of the messages that ``describeEvent(sequence:time:index:)`` describes.
    mutating func setBatch(_ number: UInt64, run: [UInt8]?) {
        let prefix = run ?? runID
        prefix.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { batchID.copyMemory(from: base, byteCount: bytes.count) }
        }
        batchIDCount =
            prefix.count
            + DigitWriter.write(number, to: (batchID + prefix.count).assumingMemoryBound(to: UInt8.self))
    }

    /// Sets the attributes of the next message: that of the event at `index` of the batch.
    mutating func describeEvent(sequence: UInt64, time: Int64, index: Int) {
        describe(
            Extent(
                count: 1, firstSequence: sequence, lastSequence: sequence, firstEventTime: time,
                lastEventTime: time, batch: 0), index: index)
    }

    @inline(__always)
    private mutating func describe(_ extent: borrowing Extent, index: Int?) {
        variableCount = 0
        attribute("count") { DigitWriter.write(extent.count, to: $0) }
        let sequence = attribute("first_sequence") { DigitWriter.write(extent.firstSequence, to: $0) }
        attribute("last_sequence") {
            extent.lastSequence == extent.firstSequence
                ? MessageEncoder.copy(sequence, to: $0) : DigitWriter.write(extent.lastSequence, to: $0)
        }
        let time = attribute("first_event_time") { DigitWriter.write(extent.firstEventTime, to: $0) }
        attribute("last_event_time") {
            extent.lastEventTime == extent.firstEventTime
                ? MessageEncoder.copy(time, to: $0) : DigitWriter.write(extent.lastEventTime, to: $0)
        }
        let (batchID, batchIDCount) = (batchID, batchIDCount)
        attribute("batch_id") { out in
            UnsafeMutableRawPointer(out).copyMemory(
                from: batchID, byteCount: MessageEncoder.batchIDLimit)
            guard let index else { return batchIDCount }
            out[batchIDCount] = UInt8(ascii: "-")
            return batchIDCount + 1 + DigitWriter.write(UInt64(index), to: out + batchIDCount + 1)
        }
    }

    /// A number that was written before: cheaper than dividing again, and in a message of one event two of them are the
    /// same. Copies as many bytes as the longest has, all within the buffer.
    @inline(__always)
    private static func copy(_ digits: UnsafeRawBufferPointer, to out: UnsafeMutablePointer<UInt8>) -> Int {
        guard let base = digits.baseAddress else { return 0 }
        UnsafeMutableRawPointer(out).copyMemory(from: base, byteCount: 24)
        return digits.count
    }

    /// No attributes but the fixed ones.
    mutating func describeNothing() { variableCount = 0 }

    /// Writes a message as field 2 of a PublishRequest and returns its size, which is at most
    /// ``sizeLimit(data:fixed:key:)``. `fixed`: encoded attributes of the route; `form`: those of the payload's form;
    /// `key`: the encoded ordering key field.
    func write(
        data: UnsafeRawBufferPointer, fixed: [UInt8], form: [UInt8] = [], key: [UInt8],
        to start: UnsafeMutableRawPointer
    ) -> Int {
        let content =
            1 + Protobuf.varintSize(data.count) + data.count + fixed.count + form.count + variableCount
            + key.count
        var out = start
        Protobuf.writeHead(2, count: content, to: &out)
        Protobuf.writeHead(1, count: data.count, to: &out)
        Protobuf.copy(data, to: &out)
        fixed.withUnsafeBytes { Protobuf.copy($0, to: &out) }
        form.withUnsafeBytes { Protobuf.copy($0, to: &out) }
        Protobuf.copy(UnsafeRawBufferPointer(start: variable, count: variableCount), to: &out)
        key.withUnsafeBytes { Protobuf.copy($0, to: &out) }
        return out - start
    }
}
