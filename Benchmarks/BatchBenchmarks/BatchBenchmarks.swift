import Batching
import Benchmark
import MarketData
import Rings
import StageGate
import StageSupport

private let events = 10_000
private let symbols = 50

/// The batch stage with trades of 50 symbols before it and nobody behind it.
private struct Bench: ~Copyable {
    var producer: RingProducer
    var consumer: RingConsumer
    var stage: BatchStage
    let routes = RouteTable(capacity: 1_024)
    let instruments = InstrumentTable(exchanges: ["binance"], capacity: 1_024)
    let indices: [UInt32]

    init(level: Int?) throws {
        let instruments = instruments
        var indices: [UInt32] = []
        for number in 0..<symbols {
            let name = Array("S\(number)USDT".utf8)
            guard let index = name.withUnsafeBytes({ instruments.intern($0, market: 0) }) else {
                preconditionFailure("the table is full")
            }
            indices.append(index)
        }
        let (eventProducer, eventConsumer, _) = try Ring.make(name: "events", minimumCapacity: 4 << 20)
        let (batchProducer, batchConsumer, _) = try Ring.make(name: "batches", minimumCapacity: 8 << 20)
        var settings = BatchSettings(
            topic: try TopicTemplate("market.{type}.{exchange}.{symbol}"),
            orderingKey: try TopicTemplate("{exchange}:{symbol}"),
            markets: [BatchSettings.Market(exchange: "binance", market: "spot")])
        settings.compressionLevel = level
        // Each filling closes one batch for each symbol.
        settings.maxEvents = events / symbols
        settings.maxDelayNanos = 60_000_000_000
        settings.closeWhenIdle = false
        let waker = try Waker()
        stage = BatchStage(
            settings: settings, inputs: [(events: eventConsumer, instruments: instruments)],
            output: taken(batchProducer.take()),
            routes: routes, monitor: BatchMonitor(), waker: waker)
        producer = taken(eventProducer.take())
        consumer = taken(batchConsumer.take())
        self.indices = indices
    }

    mutating func fill() {
        for number in 0..<events {
            guard let room = producer.reserve(MemoryLayout<Trade>.size) else {
                preconditionFailure("the event ring is too small")
            }
            var trade = Trade(
                header: EventHeader(
                    kind: .trade, instrument: indices[number % symbols], eventTime: 1_790_960_630_914_000_000,
                    receivedTime: 1_790_960_630_914_000_001))
            trade.tradeID = Int64(6_732_650_448 + number / symbols)
            trade.tradeTime = 1_790_960_630_913_000_000
            trade.price = Decimal(magnitude: 8_492_204_000_000 + UInt64(number % 977) * 1_000_000, scale: 8)
            trade.quantity = Decimal(magnitude: 23_000 + UInt64(number % 131) * 1_000, scale: 8)
            trade.aggressor = number % 3 == 0 ? .buy : .sell
            room.storeBytes(of: trade, as: Trade.self)
            producer.commit(MemoryLayout<Trade>.size)
        }
        producer.publish()
    }

    /// Works until no event waits; returns the batches that came out, each seen by `look`.
    mutating func drain(_ look: (BatchView) -> Void = { _ in }) -> Int {
        var batches = 0
        while stage.hasInput() {
            _ = stage.doWork()
            while let payload = consumer.next() {
                look(BatchView(payload: payload, routes: routes))
                batches += 1
            }
            consumer.release()
        }
        return batches
    }
}

private func register(_ name: String, level: Int?) {
    Benchmark(name) { benchmark in
        var bench = try Bench(level: level)
        var text = ""
        var count = 0
        bench.fill()
        _ = bench.drain { batch in
            count += Int(batch.header.count)
            if level == nil, text.isEmpty { text = String(decoding: batch.data, as: UTF8.self) }
        }
        precondition(count == events, "\(count) events came out in closed batches")
        if level == nil {
            let first = text.prefix { $0 != "\n" }
            let expected =
                #"{"type":"trade","exchange":"binance","symbol":"S0USDT","sequence":1,"eventTime":1790960630914000000,"#
                + #""receivedTime":1790960630914000001,"tradeId":6732650448,"price":"84922.04000000","#
                + #""quantity":"0.00023000","tradeTime":1790960630913000000,"aggressor":"buy"}"#
            precondition(first == expected, "wrote \(first)")
        }
        bench.fill()
        _ = bench.drain()
        bench.fill()
        StageGate.check(name, items: events) { blackHole(bench.drain()) }
        for _ in benchmark.scaledIterations {
            bench.fill()
            benchmark.startMeasurement()
            blackHole(bench.drain())
            benchmark.stopMeasurement()
        }
    }
}

@main
enum Stages: BenchmarkRunnerHooks {
    static func registerBenchmarks() {
        StageGate.begin()
        Benchmark.defaultConfiguration = .init(
            metrics: [.wallClock, .throughput], maxDuration: .seconds(3), maxIterations: 300)
        // An iteration is 10,000 trades: divide the time by that.
        register("10,000 trades of 50 symbols to JSON, in batches of 200", level: nil)
        register("The same with zstd level 1", level: 1)
    }
}
