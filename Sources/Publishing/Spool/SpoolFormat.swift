import Batching
import CKernel
import MarketData

/// The bytes of a segment, little-endian: a header of 64 bytes, then records. A record is a head of 24 bytes and its
/// payload, padded with zeros to a multiple of 8.
///
/// | segment header | | record head | |
/// |---|---|---|---|
/// | 0 | `XCSPOOL` and a newline | 0 | what it is: ``Form`` |
/// | 8 | version, 2 | 4 | bytes of the payload |
/// | 12 | CRC-32C of the other bytes | 8 | the route's number in this segment |
/// | 16 | number of the segment | 12 | batches of the segment before it |
/// | 24 | run id | 16 | 0 |
/// | 32 | when it was begun, ns since the epoch | 20 | CRC-32C of the head before it and of the payload |
///
/// As each batch says which it is, damage between two of them is known to the batch.
///
/// A batch is stored as it lies in the ring, a ``BatchHeader`` and what follows; its route was told by a record before.
enum SpoolFormat {
    static let magic: UInt64 = 0x0A4C_4F4F_5053_4358
    static let version: UInt32 = 2
    static let headerSize = 64
    static let headSize = 24
    /// Bytes of the head that the checksum is about.
    private static let checkedHead = 20
    /// No batch is larger: Pub/Sub takes 10 MB.
    static let payloadLimit = 64 << 20

    enum Form: UInt32 {
        /// A route, and the number that stands for it.
        case route = 0x5258_4358
        /// A batch.
        case batch = 0x4258_4358
        /// A batch as the sink had encoded it.
        case encoded = 0x4558_4358
    }

    /// Bytes that a record takes.
    static func size(payload: Int) -> Int { (headSize + payload + 7) & ~7 }

    /// Writes a record's head.
    static func writeHead(
        _ form: Form, route: UInt32, index: Int, payload: UnsafeRawBufferPointer,
        to head: UnsafeMutableRawPointer
    ) {
        head.storeBytes(of: form.rawValue, as: UInt32.self)
        head.storeBytes(of: UInt32(payload.count), toByteOffset: 4, as: UInt32.self)
        head.storeBytes(of: route, toByteOffset: 8, as: UInt32.self)
        head.storeBytes(of: UInt32(truncatingIfNeeded: index), toByteOffset: 12, as: UInt32.self)
        head.storeBytes(of: 0, toByteOffset: 16, as: UInt32.self)
        head.storeBytes(of: checksum(head: head, payload: payload), toByteOffset: 20, as: UInt32.self)
    }

    static func checksum(head: UnsafeRawPointer, payload: UnsafeRawBufferPointer) -> UInt32 {
        ck_crc32c(ck_crc32c(0, head, checkedHead), payload.baseAddress, payload.count)
    }

    static func writeHeader(number: UInt32, runID: UInt64, time: Int64, to header: UnsafeMutableRawPointer) {
        header.initializeMemory(as: UInt8.self, repeating: 0, count: headerSize)
        header.storeBytes(of: magic, as: UInt64.self)
        header.storeBytes(of: version, toByteOffset: 8, as: UInt32.self)
        header.storeBytes(of: number, toByteOffset: 16, as: UInt32.self)
        header.storeBytes(of: runID, toByteOffset: 24, as: UInt64.self)
        header.storeBytes(of: time, toByteOffset: 32, as: Int64.self)
        header.storeBytes(of: headerChecksum(header), toByteOffset: 12, as: UInt32.self)
    }

    private static func headerChecksum(_ header: UnsafeRawPointer) -> UInt32 {
        ck_crc32c(ck_crc32c(0, header, 12), header + 16, headerSize - 16)
    }

    enum HeaderState: Equatable {
        case good(number: UInt32)
        case otherVersion(UInt32)
        case damaged
    }

    static func readHeader(_ header: UnsafeRawBufferPointer) -> HeaderState {
        guard header.count >= headerSize, let base = header.baseAddress,
            header.loadUnaligned(as: UInt64.self) == magic,
            header.loadUnaligned(fromByteOffset: 12, as: UInt32.self) == headerChecksum(base)
        else { return .damaged }
        let version = header.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
        guard version == SpoolFormat.version else { return .otherVersion(version) }
        return .good(number: header.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
    }
}

/// A whole record, its checksum verified.
struct SpoolRecord {
    var form: SpoolFormat.Form
    var route: UInt32
    /// Batches of the segment before it.
    var index: Int
    var payload: UnsafeRawBufferPointer
    /// Bytes that it takes.
    var size: Int

    /// Nil where there is no whole, undamaged record at the beginning of the bytes.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= SpoolFormat.headSize, let base = bytes.baseAddress,
            let form = SpoolFormat.Form(rawValue: bytes.load(as: UInt32.self))
        else { return nil }
        let count = Int(bytes.load(fromByteOffset: 4, as: UInt32.self))
        let size = SpoolFormat.size(payload: count)
        guard count <= SpoolFormat.payloadLimit, size <= bytes.count else { return nil }
        payload = UnsafeRawBufferPointer(start: base + SpoolFormat.headSize, count: count)
        guard
            bytes.load(fromByteOffset: 20, as: UInt32.self)
                == SpoolFormat.checksum(head: base, payload: payload)
        else { return nil }
        self.form = form
        self.size = size
        route = bytes.load(fromByteOffset: 8, as: UInt32.self)
        index = Int(bytes.load(fromByteOffset: 12, as: UInt32.self))
        guard form == .route || isBatch else { return nil }
    }

    /// Bytes that the record at the beginning of these claims to take; nil where that is no head.
    static func claim(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard bytes.count >= SpoolFormat.headSize,
            SpoolFormat.Form(rawValue: bytes.load(as: UInt32.self)) != nil
        else { return nil }
        let count = Int(bytes.load(fromByteOffset: 4, as: UInt32.self))
        return count <= SpoolFormat.payloadLimit ? SpoolFormat.size(payload: count) : nil
    }

    /// Whether the payload holds what a view of a batch relies on.
    private var isBatch: Bool {
        let flag = MemoryLayout<BatchHeader>.offset(of: \.isCompressed) ?? 0
        guard payload.count >= BatchHeader.size, payload[flag] <= 1 else { return false }
        guard form == .batch else { return true }
        let header = payload.load(as: BatchHeader.self)
        let end = BatchHeader.size + Int(header.dataBytes)
        guard header.tableOffset != 0 else { return payload.count >= end }
        let stride = MemoryLayout<EventSlice>.stride
        let table = Int(header.tableOffset)
        guard table >= end, table % 8 == 0, payload.count >= table + Int(header.count) * stride else {
            return false
        }
        for index in 0..<Int(header.count) {
            let slice = payload.load(fromByteOffset: table + index * stride, as: EventSlice.self)
            guard slice.length <= slice.end, slice.end <= header.dataBytes else { return false }
        }
        return true
    }

    /// The description of a batch.
    var header: BatchHeader { payload.load(as: BatchHeader.self) }
}

/// A route as a segment tells it.
struct SpoolRoute: Hashable {
    var destination: String
    var runID: UInt64
    var collector: String
    var kind: EventKind
    var exchange: String
    var symbol: String?
    var topic: String
    var orderingKey: String

    /// Its payload in a segment: the run id, whether there is a symbol, then texts, each after its length (2 bytes).
    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        for shift in stride(from: UInt64(0), to: 64, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: runID >> shift))
        }
        bytes.append(symbol == nil ? 0 : 1)
        for text in [destination, collector, kind.name, exchange, symbol ?? "", topic, orderingKey] {
            // No name is as long as that; one that is would be cut, not lost.
            let text = text.utf8.prefix(Int(UInt16.max))
            bytes.append(UInt8(truncatingIfNeeded: text.count))
            bytes.append(UInt8(truncatingIfNeeded: text.count >> 8))
            bytes += text
        }
        return bytes
    }

    /// Nil where the bytes are no route that this version knows.
    init?(_ payload: UnsafeRawBufferPointer) {
        guard payload.count >= 9 else { return nil }
        runID = payload.loadUnaligned(as: UInt64.self)
        var texts: [String] = []
        var at = 9
        for _ in 0..<7 {
            guard at + 2 <= payload.count else { return nil }
            let count = Int(payload[at]) | Int(payload[at + 1]) << 8
            guard at + 2 + count <= payload.count else { return nil }
            texts.append(String(decoding: payload[(at + 2)..<(at + 2 + count)], as: UTF8.self))
            at += 2 + count
        }
        guard let kind = EventKind(name: texts[2]) else { return nil }
        (destination, collector, self.kind, exchange) = (texts[0], texts[1], kind, texts[3])
        symbol = payload[8] == 1 ? texts[4] : nil
        (topic, orderingKey) = (texts[5], texts[6])
    }

    init(
        destination: String, runID: UInt64, collector: String, kind: EventKind, exchange: String,
        symbol: String?,
        topic: String, orderingKey: String
    ) {
        self.destination = destination
        self.runID = runID
        self.collector = collector
        self.kind = kind
        self.exchange = exchange
        self.symbol = symbol
        self.topic = topic
        self.orderingKey = orderingKey
    }
}
