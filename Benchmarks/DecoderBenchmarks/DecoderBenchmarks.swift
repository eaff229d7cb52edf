import Benchmark
import BinanceAdapter
import ExchangeAdapter
import MarketData
import Rings
import StageGate
import StageSupport
import Wire

private let framesPerRun = 1_000

/// A run of these frames, with what a scanner may read behind it.
private func makeRun(_ frames: [String]) -> UnsafeMutableRawBufferPointer {
    let texts = frames.map { Array($0.utf8) }
    let memory = UnsafeMutableRawBufferPointer.allocate(
        byteCount: FrameRuns.size(of: texts) + 64, alignment: 8)
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    if let room = memory.baseAddress {
        FrameRuns.lay(texts, at: room, receivedTime: 1_790_960_630_914_000_001)
    }
    return memory
}

/// One kind of frame, and what the last of them must read as.
private struct Sample {
    var market = "spot"
    var name: String
    var subscription: Subscription
    var frame: @Sendable (Int) -> String
    /// A field of the last event, as text, and what it must be.
    var probe: @Sendable (UnsafeMutableRawBufferPointer) -> String
    var expected: String
}

private let samples = [
    Sample(
        name: "trade", subscription: Subscription(kind: .trade, symbols: .some(["BTCUSDT"])),
        frame: {
            #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1790960630914,"s":"BTCUSDT","t":\#(6_732_650_448 + $0),"#
                + #""p":"\#(84_000 + $0).04000000","q":"0.00023000","T":1790960630913,"m":true,"M":true}}"#
        },
        probe: { $0.load(as: Trade.self).price.description }, expected: "84999.04000000"),
    Sample(
        name: "bookTicker", subscription: Subscription(kind: .bookTicker, symbols: .some(["BTCUSDT"])),
        frame: {
            #"{"stream":"btcusdt@bookTicker","data":{"u":\#(50_093_421_613 + $0),"s":"BTCUSDT","b":"61685.99000000","#
                + #""B":"\#(1 + $0).25869000","a":"61686.00000000","A":"2.44816000"}}"#
        },
        probe: { $0.load(as: BookTicker.self).bidQuantity.description }, expected: "1000.25869000"),
    Sample(
        name: "kline",
        subscription: Subscription(kind: .kline, symbols: .some(["BTCUSDT"]), interval: .minute1),
        frame: {
            #"{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":\#(1_617_566_591_776 + $0),"s":"BTCUSDT","k":{"t":1617566580000,"#
                + #""T":1617566639999,"s":"BTCUSDT","i":"1m","f":346711017,"L":\#(346_711_087 + $0),"o":"2063.88000000","#
                + #""c":"2064.73000000","h":"2065.00000000","l":"2063.88000000","v":"\#(70 + $0).86425000","n":71,"#
                + #""x":false,"q":"146321.71560700","V":"46.98201000","Q":"97009.77617410","B":"0"}}}"#
        },
        probe: { $0.load(as: Kline.self).volume.description }, expected: "1069.86425000"),
    Sample(
        name: "ticker", subscription: Subscription(kind: .ticker, symbols: .some(["BTCUSDT"])),
        frame: {
            #"{"stream":"btcusdt@ticker","data":{"e":"24hrTicker","E":\#(1_592_593_727_005 + $0),"s":"BTCUSDT","p":"-65.00000000","#
                + #""P":"-0.693","w":"9343.29777965","x":"9383.27000000","c":"9318.48000000","Q":"0.00250000","#
                + #""b":"9318.18000000","B":"0.32000000","a":"9318.47000000","A":"0.35414300","o":"9383.48000000","#
                + #""h":"9438.30000000","l":"9215.79000000","v":"48745.36667100","q":"455442476.18534620","#
                + #""O":1592507327001,"C":1592593727001,"F":343178738,"L":\#(343_729_077 + $0),"n":550340}}"#
        },
        probe: { $0.load(as: Ticker.self).lastTradeID.description }, expected: "343730076"),
    Sample(
        market: "usdm", name: "futures trade",
        subscription: Subscription(kind: .trade, symbols: .some(["BTCUSDT"])),
        frame: {
            #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1790370834849,"T":1790370834848,"s":"BTCUSDT","#
                + #""t":\#(8_121_136_411 + $0),"p":"\#(83_000 + $0).00","q":"0.001","X":"MARKET","m":true,"st":1}}"#
        },
        probe: { $0.load(as: Trade.self).price.description }, expected: "83999.00"),
    Sample(
        market: "usdm", name: "futures bookTicker",
        subscription: Subscription(kind: .bookTicker, symbols: .some(["BTCUSDT"])),
        frame: {
            #"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":\#(11_757_092_630_476 + $0),"s":"BTCUSDT","#
                + #""ps":"BTCUSDT","b":"83091.60","B":"\#(1 + $0).215","a":"83091.70","A":"3.763","T":1791382994657,"#
                + #""E":1791382994658,"st":1}}"#
        },
        probe: { $0.load(as: BookTicker.self).bidQuantity.description }, expected: "1000.215"),
    Sample(
        market: "usdm", name: "futures markPrice",
        subscription: Subscription(kind: .markPrice, symbols: .some(["BTCUSDT"])),
        frame: {
            #"{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":\#(1_791_382_993_000 + $0),"#
                + #""s":"BTCUSDT","p":"83084.30000000","ap":"83084.30000000","P":"\#(83_000 + $0).15881449","#
                + #""i":"83123.65891304","r":"0.00000078","T":1791388800000,"st":1}}"#
        },
        probe: { $0.load(as: MarkPrice.self).settlementPrice.description }, expected: "83999.15881449"),
]

/// Decodes the sample's frames again and again; the first time its answers are checked.
private func register(_ sample: Sample) {
    Benchmark("Decode a \(sample.name)") { benchmark in
        let run = makeRun((0..<framesPerRun).map(sample.frame))
        defer { run.deallocate() }
        let instruments = InstrumentTable(exchanges: ["binance"], capacity: 1_024)
        guard let adapter = BinanceAdapter(market: sample.market) else {
            preconditionFailure("no market \(sample.market)")
        }
        var warnings: [String] = []
        let streams = try adapter.streams(for: [sample.subscription], warnings: &warnings)
        let decoder = adapter.makeDecoder(market: 0, instruments: instruments, streams: streams)
        let (producerBox, consumerBox, _) = try Ring.make(name: "events", minimumCapacity: 1 << 22)
        guard let producer = producerBox.take(), var consumer = consumerBox.take() else {
            preconditionFailure("a fresh ring has both ends")
        }
        var writer = EventWriter(
            producer: producer, counters: ParserCounters(marketCount: 1), instrumentCapacity: 1_024,
            gapNotices: CommandQueue(capacity: 1))
        let frames = FrameRun(payload: run)
        let variant = streams[0].variant

        var last = ""
        var count = 0
        precondition(decoder.decode(frames, from: 0, into: &writer) == framesPerRun)
        writer.publish()
        while let record = consumer.next() {
            count += 1
            last = sample.probe(record)
        }
        consumer.release()
        precondition(count == framesPerRun, "\(count) events from \(framesPerRun) frames")
        precondition(last == sample.expected, "\(sample.name): read \(last), not \(sample.expected)")

        func again() {
            // The same frames come again: to be read again, not to be dropped as repeats.
            writer.forget(sample.subscription.kind, variant: variant, instrument: 1)
            blackHole(decoder.decode(frames, from: 0, into: &writer))
            writer.publish()
            while consumer.next() != nil {}
            consumer.release()
        }
        again()
        StageGate.check("Decode a \(sample.name)", items: framesPerRun) { again() }
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations { again() }
        benchmark.stopMeasurement()
    }
}

@main
enum Stages: BenchmarkRunnerHooks {
    static func registerBenchmarks() {
        StageGate.begin()
        // An iteration is 1,000 frames: µs an iteration are ns a frame.
        Benchmark.defaultConfiguration = .init(
            metrics: [.wallClock, .throughput], timeUnits: .microseconds, scalingFactor: .kilo,
            maxDuration: .seconds(3),
            maxIterations: 30)
        for sample in samples { register(sample) }
    }
}
