import Batching
import Benchmark
import BinanceAdapter
import ExchangeAdapter
import MarketData
import Parsing
import Rings
import StageGate
import StageSupport
import Wire

private let framesPerRun = 1_000
private let symbols = 50

/// A lane behind its I/O thread: frames in the frame ring, parser, batch stage, and nobody behind it but the count.
private struct Lane: ~Copyable {
    private var frames: RingProducer
    private var parser: ParserStage
    private var batches: BatchStage
    private var output: RingConsumer
    private var nextTrade = 0

    init() throws {
        let names = (0..<symbols).map { "S\($0)USDT" }
        guard let adapter = BinanceAdapter(market: "spot") else { preconditionFailure("no market spot") }
        var warnings: [String] = []
        let streams = try adapter.streams(
            for: [Subscription(kind: .trade, symbols: .some(names))], warnings: &warnings)
        let instruments = InstrumentTable(exchanges: ["binance"], capacity: 1_024)
        let (frameProducer, frameConsumer, _) = try Ring.make(name: "frames", minimumCapacity: 8 << 20)
        let (eventProducer, eventConsumer, _) = try Ring.make(name: "events", minimumCapacity: 8 << 20)
        let (batchProducer, batchConsumer, _) = try Ring.make(name: "batches", minimumCapacity: 8 << 20)
        let waker = try Waker()
        let commands = CommandQueue<WireCommand>(capacity: 64)
        var plan = ConnectionPlan(
            slot: 0, market: 0, endpoint: try Endpoint("wss://localhost:1"),
            target: adapter.target(of: streams[0]))
        plan.streams = streams.map { SlotStream(id: $0.id, name: $0.name, period: $0.period) }
        var settings = BatchSettings(
            topic: try TopicTemplate("market.{type}.{exchange}"),
            orderingKey: try TopicTemplate("{exchange}:{type}"),
            markets: [BatchSettings.Market(exchange: "binance", market: "spot")])
        settings.compressionLevel = 1
        settings.maxEvents = framesPerRun / 4
        settings.maxDelayNanos = 60_000_000_000
        settings.closeWhenIdle = false
        frames = taken(frameProducer.take())
        output = taken(batchConsumer.take())
        parser = ParserStage(
            frames: taken(frameConsumer.take()),
            events: EventWriter(
                producer: taken(eventProducer.take()), counters: ParserCounters(marketCount: 1),
                instrumentCapacity: 1_024, gapNotices: CommandQueue(capacity: 1_024),
                activity: StreamActivity(capacity: streams.count)
            ),
            decoders: [adapter.makeDecoder(market: 0, instruments: instruments, streams: streams)],
            streams: [streams], links: ParserLink.table(of: [plan], sides: LinkIndex.sides),
            instruments: instruments, commands: commands, requests: CommandQueue(capacity: 16), waker: waker)
        batches = BatchStage(
            settings: settings, inputs: [(events: eventConsumer, instruments: instruments)],
            output: taken(batchProducer.take()), routes: RouteTable(capacity: 64),
            monitor: BatchMonitor(),
            waker: waker)
    }

    /// The connection that brings the frames is open.
    mutating func open() {
        guard let room = frames.reserve(FrameRunHeader.size) else {
            preconditionFailure("the frame ring is too small")
        }
        room.storeBytes(
            of: FrameRunHeader(
                connection: 0, generation: 1, receivedTime: 1_790_960_630_914_000_000, kind: .opened),
            as: FrameRunHeader.self)
        frames.commit(FrameRunHeader.size)
        frames.publish()
    }

    /// A run of trades as the I/O thread leaves it; their ids go on from run to run, so that none is a repeat.
    mutating func fill() {
        let texts = (0..<framesPerRun).map { index in
            let symbol = index % symbols
            let id = nextTrade + index / symbols
            return Array(
                (#"{"stream":"s\#(symbol)usdt@trade","data":{"e":"trade","E":1790960630914,"s":"S\#(symbol)USDT","#
                    + #""t":\#(6_732_650_448 + id),"p":"\#(84_000 + index).04000000","q":"0.00023000","#
                    + #""T":1790960630913,"m":true,"M":true}}"#).utf8)
        }
        nextTrade += framesPerRun / symbols
        let size = FrameRuns.size(of: texts)
        guard let room = frames.reserve(size) else { preconditionFailure("the frame ring is too small") }
        FrameRuns.lay(texts, at: room, receivedTime: 1_790_960_630_914_000_001)
        frames.commit(size)
        frames.publish()
    }

    /// Works until nothing waits; the events in the batches that came out.
    mutating func drain() -> Int {
        var events = 0
        while parser.doWork() + batches.doWork() > 0 {
            while let payload = output.next() { events += Int(payload.load(as: BatchHeader.self).count) }
            output.release()
        }
        return events
    }
}

@main
enum Stages: BenchmarkRunnerHooks {
    static func registerBenchmarks() {
        StageGate.begin()
        // An iteration is 1,000 frames: µs an iteration are ns a message.
        Benchmark.defaultConfiguration = .init(
            metrics: [.wallClock, .throughput], timeUnits: .microseconds, scalingFactor: .kilo,
            maxDuration: .seconds(3), maxIterations: 300)
        let name = "A lane: a trade's frame to JSON in a batch, zstd level 1"
        Benchmark(name) { benchmark in
            var lane = try Lane()
            lane.open()
            for _ in 0..<4 {
                lane.fill()
                let events = lane.drain()
                precondition(events == framesPerRun, "\(events) events came out for \(framesPerRun) frames")
            }
            lane.fill()
            StageGate.check(name, items: framesPerRun) { blackHole(lane.drain()) }
            for _ in benchmark.scaledIterations {
                lane.fill()
                benchmark.startMeasurement()
                blackHole(lane.drain())
                benchmark.stopMeasurement()
            }
        }
    }
}
