import Batching
import CKernel
import ExchangeAdapter
import MarketData
import Parsing
import Rings
import Wire

/// Runs recorded frames, one a line, through an adapter, the parser stage and the serialiser, without a network: what
/// comes out is what the collector would have published.
final class RecordedFeed {
    private static let framesPerRun = 256
    private let adapter: any ExchangeAdapter
    private let frames: [ArraySlice<UInt8>]
    /// Frames that could not be read.
    private(set) var deadLetters = 0

    /// `text`: frames as they came off a WebSocket, each with its newline.
    init(text: [UInt8], adapter: any ExchangeAdapter) {
        self.adapter = adapter
        frames = text.split(separator: UInt8(ascii: "\n"))
    }

    /// Everything that the market could send of the symbols that occur.
    private func streams() -> [StreamPlan] {
        var symbols: Set<String> = []
        for frame in frames {
            if let symbol = RecordedFeed.value(
                of: Array("\"s\":\"".utf8), in: frame, until: UInt8(ascii: "\""))
            {
                symbols.insert(String(decoding: symbol, as: UTF8.self))
            }
        }
        var streams: [StreamPlan] = []
        for symbol in symbols.sorted() {
            for subscription in RecordedFeed.subscriptions(symbol) {
                var warnings: [String] = []
                // Not every market has everything.
                streams += (try? adapter.streams(for: [subscription], warnings: &warnings)) ?? []
            }
        }
        return streams
    }

    private static func subscriptions(_ symbol: String) -> [Subscription] {
        let kinds: [EventKind] = [.trade, .aggTrade, .miniTicker, .bookTicker, .averagePrice, .markPrice]
        return kinds.map { Subscription(kind: $0, symbols: .some([symbol])) }
            + Interval.allCases.map { Subscription(kind: .kline, symbols: .some([symbol]), interval: $0) }
            + TickerWindow.allCases.map { Subscription(kind: .ticker, symbols: .some([symbol]), window: $0) }
    }

    private static func value(
        of key: [UInt8], in frame: ArraySlice<UInt8>, until end: UInt8
    ) -> ArraySlice<UInt8>? {
        guard let place = frame.firstRange(of: key)?.upperBound,
            let close = frame[place...].firstIndex(of: end)
        else { return nil }
        return frame[place..<close]
    }

    /// Hands over the JSON of each event, in the order of the frames.
    func serialize(_ take: (ArraySlice<UInt8>) -> Void) throws {
        let lane = try OfflineLane(adapter: adapter, streams: streams())
        var received: Int64 = 1_700_000_000_000_000_000
        var random: UInt64 = 0x9E37_79B9_7F4A_7C15
        var rest = frames[...]
        while !rest.isEmpty {
            // Recordings seldom tell when frames were received to the ns, and the digits matter for compression: some
            // 100 µs after the exchange's own time, as on the exchange's doorstep.
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            if let text = RecordedFeed.value(of: Array("\"E\":".utf8), in: rest.first ?? [], until: 0x2C),
                let millis = Int64(String(decoding: text, as: UTF8.self)), millis < 10_000_000_000_000
            {
                received = millis * 1_000_000
            }
            received += Int64(random >> 44)
            // Of one read, which shares its time, there are few frames: as many as bring a busy market's packet.
            let count = min(rest.count, 1 + Int(random >> 40 & 3))
            lane.put(rest.prefix(count), receivedTime: received)
            rest = rest.dropFirst(count)
            lane.work(take)
        }
        lane.finish(take)
        deadLetters = (EventKind.allCases.map(Optional.some) + [nil]).reduce(0) {
            $0 + lane.counters.counts($1, market: 0).deadLettered
        }
    }
}

/// The stages from frames to JSON, called in turn on this thread.
private final class OfflineLane {
    let counters = ParserCounters(marketCount: 1)
    private let routes = RouteTable(capacity: 1 << 16)
    private let monitor = BatchMonitor()
    private var frames: RingProducer
    private var parser: ParserStage
    private var batching: BatchStage
    private var batches: RingConsumer

    init(adapter: any ExchangeAdapter, streams: [StreamPlan]) throws {
        let instruments = InstrumentTable(exchanges: [adapter.exchange])
        let waker = try Waker()
        let frameRing = try Ring.make(name: "frames", minimumCapacity: 64 << 20)
        let eventRing = try Ring.make(name: "events", minimumCapacity: 64 << 20)
        let batchRing = try Ring.make(name: "batches", minimumCapacity: 64 << 20)
        guard let frames = frameRing.0.take(), let toParse = frameRing.1.take(),
            let events = eventRing.0.take(),
            let closed = batchRing.0.take(), let batches = batchRing.1.take()
        else { preconditionFailure("a ring's end was taken before") }
        parser = ParserStage(
            frames: toParse,
            events: EventWriter(
                producer: events, counters: counters, instrumentCapacity: instruments.capacity,
                gapNotices: CommandQueue(capacity: 1)),
            decoders: [adapter.makeDecoder(market: 0, instruments: instruments, streams: streams)],
            streams: [streams], links: [ParserLink(market: 0, shard: 0, member: 0, isPaired: false)],
            instruments: instruments, commands: CommandQueue(capacity: 1),
            requests: CommandQueue(capacity: 1),
            waker: waker)
        var settings = BatchSettings(
            topic: try TopicTemplate("market.{type}.{exchange}.{symbol}"), orderingKey: nil,
            markets: [.init(exchange: adapter.exchange, market: "")])
        // One event, one line, in the order of the frames.
        settings.payload = .event
        settings.maxEvents = 1
        batching = BatchStage(
            settings: settings, inputs: [(eventRing.1, instruments)], output: closed, routes: routes,
            monitor: monitor, waker: waker)
        self.frames = frames
        self.batches = batches
        put([], receivedTime: 0, kind: .opened)
    }

    /// Puts frames in as one read would have brought them.
    func put(_ run: ArraySlice<ArraySlice<UInt8>>, receivedTime: Int64, kind: FrameRunKind = .frames) {
        let table = (run.reduce(FrameRunHeader.size) { $0 + $1.count } + 7) & ~7
        let size = table + run.count * MemoryLayout<FrameSlice>.size
        guard let room = frames.reserve(size) else {
            preconditionFailure("the offline lane was not worked off")
        }
        room.storeBytes(
            of: FrameRunHeader(
                connection: 0, generation: 1, receivedTime: receivedTime, kind: kind, frameCount: run.count,
                tableOffset: table), as: FrameRunHeader.self)
        var offset = FrameRunHeader.size
        for (index, frame) in run.enumerated() {
            frame.withUnsafeBytes {
                if let from = $0.baseAddress { (room + offset).copyMemory(from: from, byteCount: $0.count) }
            }
            room.storeBytes(
                of: FrameSlice(offset: offset, length: frame.count, isBinary: false),
                toByteOffset: table + index * MemoryLayout<FrameSlice>.size, as: FrameSlice.self)
            offset += frame.count
        }
        frames.commit(size)
        frames.publish()
    }

    /// Works until nothing changes.
    func work(_ take: (ArraySlice<UInt8>) -> Void) {
        while true {
            let work = parser.doWork() + batching.doWork()
            while let record = batches.next() {
                let batch = BatchView(payload: record, routes: routes)
                // What could not be read is counted; its bytes are no events.
                guard batch.route.kind != .deadLetter else { continue }
                for index in 0..<Int(batch.header.count) { take(Array(batch.event(index))[...]) }
            }
            batches.release()
            if work == 0 { return }
        }
    }

    /// Brings out what is still held.
    func finish(_ take: (ArraySlice<UInt8>) -> Void) {
        put([], receivedTime: 0, kind: .closed)
        work(take)
        monitor.requestFlush()
        work(take)
    }
}
