import BinanceAdapter
import ExchangeAdapter
import MarketData
import Rings
import Wire

/// The streams of the comparison: trades, klines of a minute and tickers of every symbol.
enum ComparedStreams {
    /// Their plans, with ids from 0 on.
    static func plans(of symbols: [String], adapter: BinanceAdapter) throws -> [StreamPlan] {
        var warnings: [String] = []
        var plans = try adapter.streams(
            for: [
                Subscription(kind: .trade, symbols: .some(symbols)),
                Subscription(kind: .kline, symbols: .some(symbols), interval: .minute1),
                Subscription(kind: .ticker, symbols: .some(symbols)),
            ], warnings: &warnings)
        for index in plans.indices { plans[index].id = UInt32(index) }
        return plans
    }

    /// An adapter for spot.
    static func adapter() throws -> BinanceAdapter {
        guard let adapter = BinanceAdapter(market: "spot") else {
            throw ComparisonFailure(description: "there is no adapter for spot")
        }
        return adapter
    }
}

/// The collector's decoder with all that it does for a frame: repeats dropped, ids followed, counters, the ring.
final class Ours {
    private let decoder: any FrameDecoder
    private var writer: EventWriter
    private var consumer: RingConsumer
    private let streams: [StreamPlan]
    private let instruments: InstrumentTable

    init(symbols: [String]) throws {
        let adapter = try ComparedStreams.adapter()
        streams = try ComparedStreams.plans(of: symbols, adapter: adapter)
        instruments = InstrumentTable(exchanges: [adapter.exchange])
        // As the rivals have it: symbol i is instrument i + 1.
        for symbol in symbols { _ = instruments.intern(symbol, market: 0) }
        decoder = adapter.makeDecoder(market: 0, instruments: instruments, streams: streams)
        let (producer, consumer, _) = try Ring.make(name: "events", minimumCapacity: 1 << 20)
        guard let producer = producer.take(), let consumer = consumer.take() else {
            throw ComparisonFailure(description: "a fresh ring has both ends")
        }
        self.consumer = consumer
        writer = EventWriter(
            producer: producer, counters: ParserCounters(marketCount: 1),
            instrumentCapacity: instruments.capacity,
            gapNotices: CommandQueue(capacity: 1), activity: StreamActivity(capacity: streams.count))
    }

    /// Decodes a run and hands its events over. False where a frame was left.
    @inline(__always)
    func decode(_ run: UnsafeMutableRawBufferPointer) -> Bool {
        let frames = FrameRun(payload: run)
        writer.receivedTime = frames.header.receivedTime
        let count = decoder.decode(frames, from: 0, into: &writer)
        writer.publish()
        return count == Int(frames.header.frameCount)
    }

    /// Takes the events of the last run.
    func drain(_ each: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        while let record = consumer.next() { try each(record) }
        consumer.release()
    }

    /// What was read will come again: not to be dropped as repeats.
    func forget() {
        for stream in streams {
            guard let symbol = stream.symbol, let instrument = instruments.intern(symbol, market: 0) else {
                continue
            }
            writer.forget(stream.kind, variant: stream.variant, instrument: instrument)
        }
    }
}
