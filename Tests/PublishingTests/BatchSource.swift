import Batching
import CKernel
import CZstd
import Foundation
import MarketData
import Rings

@testable import Publishing

/// Writes batches into a ring as the batch thread does.
final class BatchSource {
    let routes = RouteTable(capacity: 4096)
    let waker: Waker
    private var producer: RingProducer
    private let consumer: RingConsumerBox
    let storage: RingStorage
    private(set) var number: UInt64 = 0
    private var sequences: [Int: UInt64] = [:]

    /// What was written, for comparing.
    struct Written {
        var route: Route
        var header: BatchHeader
        var data: [UInt8]
        var slices: [EventSlice]
    }

    private(set) var log: [Written] = []

    struct Missing: Error {}

    init(bytes: Int = 4 << 20, waker: Waker? = nil) throws {
        let waker = try waker ?? Waker()
        self.waker = waker
        let (producer, consumer, storage) = try Ring.make(
            name: "batches", minimumCapacity: bytes, waker: waker)
        guard let end = producer.take() else { throw Missing() }
        self.producer = end
        self.consumer = consumer
        self.storage = storage
    }

    func takeConsumer() throws -> RingConsumer {
        guard let consumer = consumer.take() else { throw Missing() }
        return consumer
    }

    func route(
        _ topic: String, kind: EventKind = .trade, symbol: String? = "BTCUSDT", key: String? = nil,
        market: Int = 0
    ) throws -> Route {
        let route = routes.append(
            kind: kind, market: market, exchange: "binance", symbol: symbol, topic: topic,
            orderingKey: key ?? "binance:\(symbol ?? "")")
        guard let route else { throw Missing() }
        return route
    }

    static func line(_ route: Route, sequence: UInt64, padding: Int = 0) -> String {
        "{\"type\":\"\(route.kind.name)\",\"symbol\":\"\(route.symbol ?? "")\",\"sequence\":\(sequence)"
            + (padding > 0 ? ",\"pad\":\"\(String(repeating: "x", count: padding))\"" : "") + "}"
    }

    /// Writes a batch of `events` lines; false where the ring is full.
    @discardableResult
    func write(
        _ route: Route, events: Int = 3, compressed: Bool = false, eventMode: Bool = false, padding: Int = 0
    ) throws -> Bool {
        let first = (sequences[route.index] ?? 0) + 1
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
        header.number = number + 1
        header.firstSequence = first
        header.lastSequence = first + UInt64(events) - 1
        header.firstEventTime = 1_672_515_782_000_000_000 + Int64(header.firstSequence)
        header.lastEventTime = 1_672_515_782_000_000_000 + Int64(header.lastSequence)
        header.closedTime = ck_realtime_nanos()
        header.isCompressed = compressed
        let table = (BatchHeader.size + data.count + 7) & ~7
        let stride = MemoryLayout<EventSlice>.stride
        let size = eventMode ? table + events * stride : BatchHeader.size + data.count
        if eventMode { header.tableOffset = UInt32(table) }
        guard let room = producer.reserve(size) else { return false }
        room.storeBytes(of: header, as: BatchHeader.self)
        data.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress {
                (room + BatchHeader.size).copyMemory(from: base, byteCount: bytes.count)
            }
        }
        if eventMode {
            for (index, slice) in slices.enumerated() {
                room.storeBytes(of: slice, toByteOffset: table + index * stride, as: EventSlice.self)
            }
        }
        producer.commit(size)
        producer.publish()
        number += 1
        log.append(Written(route: route, header: header, data: data, slices: eventMode ? slices : []))
        sequences[route.index] = header.lastSequence
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

/// Takes the next batch, whose memory stays its own until the consumer releases it.
func nextBatch(_ consumer: inout RingConsumer, _ routes: RouteTable) throws -> BatchView {
    guard let payload = consumer.next() else { throw BatchSource.Missing() }
    return BatchView(payload: payload, routes: routes)
}

/// The plain text of concatenated zstd frames.
func decompress(_ data: [UInt8]) throws -> [UInt8] {
    guard let decompressor = cz_decompressor_new() else { throw BatchSource.Missing() }
    defer { cz_decompressor_free(decompressor) }
    var result: [UInt8] = []
    var from = 0
    var out = [UInt8](repeating: 0, count: 1 << 16)
    var left: Int64 = 0
    while from < data.count || left > 0 {
        var used = 0
        let before = from
        left = cz_decompress(decompressor, &out, out.count, &used, data, data.count, &from)
        if left < 0 || (used == 0 && from == before) { throw BatchSource.Missing() }
        result += out[..<used]
    }
    return result
}

/// A directory of its own, removed at the end.
final class TemporaryDirectory {
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "/publishing-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Files by name, hidden ones left out.
    func files() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path).filter { !$0.hasPrefix(".") }.sorted()
    }

    func read(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
    }
}

/// Carries a stage to the thread that will own it.
final class PublisherStageBox<S: Sink>: @unchecked Sendable {
    private var stage: PublisherStage<S>?
    init(_ stage: consuming PublisherStage<S>) { self.stage = consume stage }
    func take() -> PublisherStage<S>? { stage.take() }
}
