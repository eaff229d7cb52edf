import Batching
import CKernel
import CZstd
import MarketData
import Rings

/// Writes batches into a ring as the batch thread does.
public final class BatchSource {
    /// All routes that were made.
    public let routes = RouteTable(capacity: 4096)
    /// The ring's.
    public let waker: Waker
    private var producer: RingProducer
    private let consumer: RingConsumerBox
    /// The ring, for looking at it.
    public let storage: RingStorage
    /// Batches written.
    public private(set) var number: UInt64 = 0
    private var sequences: [Int: UInt64] = [:]
    private var lastClosedTime: Int64 = 0

    /// What was written, for comparing.
    public struct Written {
        /// Where it goes.
        public var route: Route
        /// As it stood in the ring.
        public var header: BatchHeader
        /// See ``header``.
        public var data: [UInt8]
        /// One an event in `event` mode, else none.
        public var slices: [EventSlice]
    }

    /// All that was written with ``write(_:events:compressed:eventMode:padding:)``.
    public private(set) var log: [Written] = []

    /// Something that should be there is not.
    public struct Missing: Error {
        /// An error.
        public init() {}
    }

    /// A ring of so many bytes.
    public init(bytes: Int = 4 << 20, waker: Waker? = nil) throws {
        let waker = try waker ?? Waker()
        self.waker = waker
        let (producer, consumer, storage) = try Ring.make(
            name: "batches", minimumCapacity: bytes, waker: waker)
        guard let end = producer.take() else { throw Missing() }
        self.producer = end
        self.consumer = consumer
        self.storage = storage
    }

    /// The ring's other end, once.
    public func takeConsumer() throws -> RingConsumer {
        guard let consumer = consumer.take() else { throw Missing() }
        return consumer
    }

    /// A new route.
    public func route(
        _ topic: String, kind: EventKind = .trade, symbol: String? = "BTCUSDT", key: String? = nil,
        market: Int = 0
    ) throws -> Route {
        let route = routes.append(
            kind: kind, market: market, exchange: "binance", symbol: symbol, topic: topic,
            orderingKey: key ?? "binance:\(symbol ?? "")")
        guard let route else { throw Missing() }
        return route
    }

    /// One event.
    public static func line(_ route: Route, sequence: UInt64, padding: Int = 0) -> String {
        "{\"type\":\"\(route.kind.name)\",\"symbol\":\"\(route.symbol ?? "")\",\"sequence\":\(sequence)"
            + (padding > 0 ? ",\"pad\":\"\(String(repeating: "x", count: padding))\"" : "") + "}"
    }

    /// Writes a batch of `events` lines; false where the ring is full.
    @discardableResult
    public func write(
        _ route: Route, events: Int = 3, compressed: Bool = false, eventMode: Bool = false, padding: Int = 0
    ) throws -> Bool {
        let first = (sequences[route.index] ?? 0) + 1
        let batch = try make(
            route, first: first, events: events, compressed: compressed, eventMode: eventMode,
            padding: padding)
        guard put(batch) else { return false }
        var written = batch
        written.header.number = number
        written.header.closedTime = lastClosedTime
        log.append(written)
        sequences[route.index] = written.header.lastSequence
        return true
    }

    /// A batch that is not in the ring.
    public func make(
        _ route: Route, first: UInt64 = 1, events: Int, compressed: Bool = false, eventMode: Bool = false,
        padding: Int = 0
    ) throws -> Written {
        var text: [UInt8] = []
        var slices: [EventSlice] = []
        for sequence in first..<first + UInt64(events) {
            let line = Array(BatchSource.line(route, sequence: sequence, padding: padding).utf8)
            text += line
            var slice = withUnsafeTemporaryAllocation(of: EventSlice.self, capacity: 1) { memory in
                memory.withMemoryRebound(to: UInt8.self) { $0.update(repeating: 0) }
                return memory[0]
            }
            slice.end = UInt32(text.count)
            slice.length = UInt32(line.count)
            slice.sequence = sequence
            slice.eventTime = Int64(1_672_515_782_000_000_000 + Int(sequence))
            slices.append(slice)
            text.append(10)
        }
        let data = compressed ? try compress(text) : text
        var header = BatchHeader()
        header.route = UInt32(route.index)
        header.count = UInt32(events)
        header.dataBytes = UInt32(data.count)
        header.rawBytes = UInt32(text.count)
        header.firstSequence = first
        header.lastSequence = first + UInt64(events) - 1
        header.firstEventTime = 1_672_515_782_000_000_000 + Int64(header.firstSequence)
        header.lastEventTime = 1_672_515_782_000_000_000 + Int64(header.lastSequence)
        header.isCompressed = compressed
        if eventMode { header.tableOffset = UInt32((BatchHeader.size + data.count + 7) & ~7) }
        return Written(route: route, header: header, data: data, slices: eventMode ? slices : [])
    }

    /// Writes that batch under the next number, closed now; false where the ring is full.
    public func put(_ batch: Written) -> Bool {
        let stride = MemoryLayout<EventSlice>.stride
        let table = Int(batch.header.tableOffset)
        let isEvents = !batch.slices.isEmpty
        let size = isEvents ? table + batch.slices.count * stride : BatchHeader.size + batch.data.count
        guard let room = producer.reserve(size) else { return false }
        var header = batch.header
        header.number = number + 1
        header.closedTime = ck_realtime_nanos()
        lastClosedTime = header.closedTime
        room.storeBytes(of: header, as: BatchHeader.self)
        batch.data.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress {
                (room + BatchHeader.size).copyMemory(from: base, byteCount: bytes.count)
            }
        }
        if isEvents {
            batch.slices.withUnsafeBytes { bytes in
                if let base = bytes.baseAddress {
                    (room + table).copyMemory(from: base, byteCount: bytes.count)
                }
            }
        }
        producer.commit(size)
        producer.publish()
        number += 1
        return true
    }

    private func compress(_ text: [UInt8]) throws -> [UInt8] {
        guard let compressor = cz_compressor_new(1, 0) else { throw Missing() }
        defer { cz_compressor_free(compressor) }
        var out = [UInt8](repeating: 0, count: cz_bound(text.count))
        let count = cz_compress(compressor, nil, &out, out.count, text, text.count)
        guard count > 0 else { throw Missing() }
        return Array(out[..<Int(count)])
    }
}
