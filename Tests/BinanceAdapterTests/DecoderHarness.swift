import BinanceAdapter
import ExchangeAdapter
import MarketData
import Rings
import Testing
import Wire

/// What one event or dead letter says, as text: field by field, absent ones absent.
struct Reading: Equatable, CustomStringConvertible {
    var kind: EventKind
    var symbol: String
    var fields: [String: String]
    /// Of a dead letter.
    var bytes: [UInt8] = []

    var description: String {
        let list = fields.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
        return "\(kind.name) \(symbol) \(list) \(String(decoding: bytes, as: UTF8.self))"
    }
}

struct RingTaken: Error {}

/// A decoder between a made-up frame run and an event ring of its own.
final class DecoderHarness {
    static let receivedTime: Int64 = 1_700_000_000_000_000_123
    let instruments: InstrumentTable
    let counters = ParserCounters(marketCount: 1)
    let decoder: any FrameDecoder
    private var writer: EventWriter
    private var consumer: RingConsumer

    init(
        _ streams: [StreamPlan], market: String = "spot", timeUnit: BinanceAdapter.TimeUnit = .milliseconds,
        ringBytes: Int = 1 << 22, instrumentCapacity: Int = 4_096
    ) throws {
        var adapter = try #require(BinanceAdapter(market: market))
        instruments = InstrumentTable(exchanges: [adapter.exchange], capacity: instrumentCapacity)
        adapter.timeUnit = timeUnit
        decoder = adapter.makeDecoder(market: 0, instruments: instruments, streams: streams)
        let (producer, consumer, _) = try Ring.make(name: "test", minimumCapacity: ringBytes)
        guard let writing = producer.take(), let reading = consumer.take() else { throw RingTaken() }
        writer = EventWriter(
            producer: writing, counters: counters, instrumentCapacity: instrumentCapacity,
            gapNotices: CommandQueue(capacity: 1))
        writer.receivedTime = DecoderHarness.receivedTime
        self.consumer = reading
    }

    convenience init(
        _ subscriptions: [Subscription], market: String = "spot",
        timeUnit: BinanceAdapter.TimeUnit = .milliseconds,
        ringBytes: Int = 1 << 22
    ) throws {
        var warnings: [String] = []
        let streams = try #require(BinanceAdapter(market: market))
            .streams(for: subscriptions, warnings: &warnings)
        try self.init(streams, market: market, timeUnit: timeUnit, ringBytes: ringBytes)
    }

    /// Decodes frames that lie one behind the other in one run, with `padding` everywhere around them. Each stands for
    /// itself: what the writer would drop as a repeat is here too.
    func decode(_ frames: [[UInt8]], padding: UInt8 = 0, isBinary: Bool = false) -> [Reading] {
        var readings: [Reading] = []
        DecoderHarness.withRun(of: frames, padding: padding, isBinary: isBinary) { run in
            var done = 0
            while done < frames.count {
                let step = decoder.decode(run.upTo(done + 1), from: done, into: &writer)
                writer.publish()
                drain(&readings)
                done += step
                if step == 0 { break }
            }
            #expect(done == frames.count, "the decoder stopped")
        }
        return readings
    }

    func decode(_ frame: String, padding: UInt8 = 0) -> [Reading] {
        decode([Array(frame.utf8)], padding: padding)
    }

    /// One call of the decoder, and what it returned; nothing is drained.
    func decodeOnce(_ frames: [[UInt8]], from first: Int) -> Int {
        var count = 0
        DecoderHarness.withRun(of: frames, padding: 0, isBinary: false) { run in
            count = decoder.decode(run.upTo(frames.count), from: first, into: &writer)
        }
        writer.publish()
        return count
    }

    func drain(_ readings: inout [Reading]) {
        while let record = consumer.next() {
            // Gaps and repeats are the writer's, not the decoder's.
            let header = record.load(as: EventHeader.self)
            if header.kind == .gap { continue }
            writer.forget(header.kind, variant: header.variant, instrument: header.instrument)
            readings.append(Reading(record, instruments))
        }
        consumer.release()
    }

    /// Signals since the last call.
    func takeSignals() -> [ControlSignal] {
        defer { writer.signals = [] }
        return writer.signals
    }

    /// A run in memory that can be cut behind any of its frames.
    struct MadeRun {
        let memory: UnsafeMutableRawBufferPointer

        func upTo(_ count: Int) -> FrameRun {
            var header = memory.load(as: FrameRunHeader.self)
            header.frameCount = UInt32(count)
            memory.storeBytes(of: header, as: FrameRunHeader.self)
            return FrameRun(payload: memory)
        }
    }

    static func withRun(
        of frames: [[UInt8]], padding: UInt8, isBinary: Bool, _ body: (MadeRun) -> Void
    ) {
        let gap = 67
        let bytes = frames.reduce(FrameRunHeader.size) { $0 + $1.count + gap }
        let table = (bytes + 7) / 8 * 8
        let size = table + frames.count * MemoryLayout<FrameSlice>.size + 64
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
        defer { memory.deallocate() }
        for index in memory.indices { memory[index] = padding }
        memory.storeBytes(
            of: FrameRunHeader(
                connection: 0, generation: 1, receivedTime: receivedTime, kind: .frames,
                frameCount: frames.count, tableOffset: table),
            as: FrameRunHeader.self)
        var offset = FrameRunHeader.size
        for (index, frame) in frames.enumerated() {
            for (position, byte) in frame.enumerated() { memory[offset + position] = byte }
            memory.storeBytes(
                of: FrameSlice(offset: offset, length: frame.count, isBinary: isBinary),
                toByteOffset: table + index * MemoryLayout<FrameSlice>.size, as: FrameSlice.self)
            offset += frame.count + gap
        }
        body(MadeRun(memory: memory))
    }
}

extension Reading {
    /// The record of one event, as it lies in the ring.
    init(_ record: UnsafeMutableRawBufferPointer, _ instruments: InstrumentTable) {
        let header = record.load(as: EventHeader.self)
        #expect(header.receivedTime == DecoderHarness.receivedTime)
        kind = header.kind
        symbol = header.instrument == 0 ? "" : instruments.instrument(at: header.instrument).symbol
        fields = [:]
        set("eventTime", header.eventTime)
        switch header.kind {
        case .trade:
            let event = record.load(as: Trade.self)
            set("tradeId", event.tradeID)
            set("tradeTime", event.tradeTime)
            set("price", event.price)
            set("quantity", event.quantity)
            fields["aggressor"] = event.aggressor.name
            if event.execution.isPresent { fields["execution"] = event.execution.description }
        case .aggTrade:
            let event = record.load(as: AggTrade.self)
            set("aggregateId", event.aggregateID)
            set("firstTradeId", event.firstTradeID)
            set("lastTradeId", event.lastTradeID)
            set("tradeTime", event.tradeTime)
            set("price", event.price)
            set("quantity", event.quantity)
            fields["aggressor"] = event.aggressor.name
        case .kline: setKline(record.load(as: Kline.self))
        case .ticker: setTicker(record.load(as: Ticker.self))
        case .miniTicker:
            let event = record.load(as: MiniTicker.self)
            set("open", event.open)
            set("high", event.high)
            set("low", event.low)
            set("last", event.last)
            set("volume", event.volume)
            set("quoteVolume", event.quoteVolume)
        case .bookTicker:
            let event = record.load(as: BookTicker.self)
            set("updateId", event.updateID)
            set("bid", event.bid)
            set("bidQuantity", event.bidQuantity)
            set("ask", event.ask)
            set("askQuantity", event.askQuantity)
        case .averagePrice:
            let event = record.load(as: AveragePrice.self)
            if event.interval != 0 {
                let bytes = (0..<8).map { UInt8(truncatingIfNeeded: event.interval >> (8 * $0)) }
                fields["interval"] = String(decoding: bytes.filter { $0 != 0 }, as: UTF8.self)
            }
            set("tradeTime", event.tradeTime)
            set("price", event.price)
        case .deadLetter:
            let letter = record.load(as: DeadLetter.self)
            fields["reason"] = "\(letter.reason)"
            fields["offset"] = "\(letter.offset)"
            bytes = Array(record.dropFirst(MemoryLayout<DeadLetter>.stride))
            #expect(bytes.count == Int(letter.frameLength))
        case .markPrice:
            let event = record.load(as: MarkPrice.self)
            set("markPrice", event.markPrice)
            set("indexPrice", event.indexPrice)
            set("settlementPrice", event.settlementPrice)
            set("fundingRate", event.fundingRate)
            set("nextFundingTime", event.nextFundingTime)
            set("averageMarkPrice", event.averageMarkPrice)
        case .depth, .gap: Issue.record("an event of kind \(header.kind.name)")
        }
    }

    private mutating func setKline(_ event: Kline) {
        fields["interval"] = Interval(rawValue: event.header.variant)?.name
        set("openTime", event.openTime)
        set("closeTime", event.closeTime)
        set("firstTradeId", event.firstTradeID)
        set("lastTradeId", event.lastTradeID)
        set("tradeCount", event.tradeCount)
        set("open", event.open)
        set("high", event.high)
        set("low", event.low)
        set("close", event.close)
        set("volume", event.volume)
        set("quoteVolume", event.quoteVolume)
        set("takerBuyVolume", event.takerBuyVolume)
        set("takerBuyQuoteVolume", event.takerBuyQuoteVolume)
        fields["closed"] = "\(event.isClosed)"
    }

    private mutating func setTicker(_ event: Ticker) {
        fields["window"] = TickerWindow(rawValue: event.header.variant)?.name
        set("openTime", event.openTime)
        set("closeTime", event.closeTime)
        set("tradeCount", event.tradeCount)
        set("firstTradeId", event.firstTradeID)
        set("lastTradeId", event.lastTradeID)
        set("open", event.open)
        set("high", event.high)
        set("low", event.low)
        set("last", event.last)
        set("lastQuantity", event.lastQuantity)
        set("previousClose", event.previousClose)
        set("change", event.change)
        set("changePercent", event.changePercent)
        set("weightedAverage", event.weightedAverage)
        set("bid", event.bid)
        set("bidQuantity", event.bidQuantity)
        set("ask", event.ask)
        set("askQuantity", event.askQuantity)
        set("volume", event.volume)
        set("quoteVolume", event.quoteVolume)
    }

    private mutating func set(_ name: String, _ value: Int64) {
        if value != absentInteger { fields[name] = "\(value)" }
    }

    private mutating func set(_ name: String, _ value: Decimal) {
        if value.isPresent { fields[name] = value.description }
    }
}
