import CZstd
import MarketData
import Testing

@testable import Batching
@testable import Rings

struct AlreadyTaken: Error {}

/// A batch as a consumer would see it.
struct Seen: Equatable {
    var topic: String
    var orderingKey: String
    var symbol: String?
    var header: BatchHeaderValues
    var lines: [String]
    var events: [EventSliceValues]
}

struct BatchHeaderValues: Equatable {
    var count: Int
    var number: UInt64
    var firstSequence: UInt64
    var lastSequence: UInt64
    var firstEventTime: Int64
    var lastEventTime: Int64
    var isCompressed: Bool
    var dictionary: UInt32 = 0
}

struct EventSliceValues: Equatable {
    var json: String
    var sequence: UInt64
    var eventTime: Int64
}

/// A batch stage with its rings, driven by hand.
final class BatchBench {
    let instruments = InstrumentTable(exchanges: ["binance"])
    let monitor = BatchMonitor()
    let routes = RouteTable(capacity: 1_000)
    var events: RingProducer
    var stage: BatchStage
    var batches: RingConsumer
    private let dictionaries: [CompressionDictionary]

    init(ringBytes: Int = 1 << 20, _ change: (inout BatchSettings) -> Void = { _ in }) throws {
        var settings = BatchSettings(
            topic: try TopicTemplate("market.{type}.{exchange}.{symbol}"),
            orderingKey: try TopicTemplate("{exchange}:{symbol}"),
            markets: [.init(exchange: "binance", market: "spot")])
        settings.maxDelayNanos = 3_600_000_000_000
        settings.closeWhenIdle = false
        change(&settings)
        dictionaries = settings.dictionaries
        let (eventProducer, eventConsumer, _) = try Ring.make(name: "events", minimumCapacity: 1 << 20)
        let (batchProducer, batchConsumer, _) = try Ring.make(name: "batches", minimumCapacity: ringBytes)
        let waker = try Waker()
        events = try eventProducer.taken()
        batches = try batchConsumer.taken()
        stage = BatchStage(
            settings: settings, inputs: [(eventConsumer, instruments)], output: try batchProducer.taken(),
            routes: routes,
            monitor: monitor, waker: waker)
    }

    func put<Event: BitwiseCopyable>(_ event: Event) throws {
        let room = events.reserve(MemoryLayout<Event>.size)
        try #require(room).storeBytes(of: event, as: Event.self)
        events.commit(MemoryLayout<Event>.size)
        events.publish()
    }

    func putTrade(_ symbol: String = "BTCUSDT", id: Int64, receivedTime: Int64 = 7) throws {
        let index = instruments.intern(symbol, market: 0)
        var trade = Trade(
            header: EventHeader(
                kind: .trade, instrument: try #require(index), eventTime: id * 10, receivedTime: receivedTime)
        )
        trade.tradeID = id
        trade.price = Decimal(magnitude: 123, scale: 2)
        trade.quantity = Decimal(magnitude: 5, scale: 0)
        try put(trade)
    }

    /// Works until nothing changes.
    func work() {
        for _ in 0..<1_000 where stage.doWork() == 0 { return }
    }

    func flush() {
        monitor.requestFlush()
        work()
    }

    /// Takes all closed batches.
    func take() throws -> [Seen] {
        var seen: [Seen] = []
        while let record = batches.next() {
            let batch = BatchView(payload: record, routes: routes)
            let text = batch.header.isCompressed ? try decompress(batch.data) : Array(batch.data)
            #expect(text.count == Int(batch.header.rawBytes))
            seen.append(
                Seen(
                    topic: batch.route.topic, orderingKey: batch.route.orderingKey,
                    symbol: batch.route.symbol,
                    header: BatchHeaderValues(
                        count: Int(batch.header.count), number: batch.header.number,
                        firstSequence: batch.header.firstSequence, lastSequence: batch.header.lastSequence,
                        firstEventTime: batch.header.firstEventTime,
                        lastEventTime: batch.header.lastEventTime,
                        isCompressed: batch.header.isCompressed, dictionary: batch.header.dictionary),
                    lines: String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init),
                    events: batch.isEventMode
                        ? (0..<Int(batch.header.count)).map {
                            EventSliceValues(
                                json: String(decoding: batch.event($0), as: UTF8.self),
                                sequence: batch.slice($0).sequence, eventTime: batch.slice($0).eventTime)
                        } : []))
        }
        batches.release()
        return seen
    }

    private func decompress(_ data: UnsafeRawBufferPointer) throws -> [UInt8] {
        let decompressor = try #require(cz_decompressor_new())
        defer { cz_decompressor_free(decompressor) }
        for dictionary in dictionaries {
            try #require(cz_decompressor_add(decompressor, dictionary.bytes, dictionary.bytes.count) == 0)
        }
        var out = [UInt8](repeating: 0, count: 1 << 20)
        var used = 0
        var read = 0
        let left = cz_decompress(decompressor, &out, out.count, &used, data.baseAddress, data.count, &read)
        #expect(left == 0)
        #expect(read == data.count)
        return Array(out[..<used])
    }
}

extension RingProducerBox {
    func taken() throws -> RingProducer {
        guard let end = take() else { throw AlreadyTaken() }
        return end
    }
}

extension RingConsumerBox {
    func taken() throws -> RingConsumer {
        guard let end = take() else { throw AlreadyTaken() }
        return end
    }
}
