import CKernel
import Foundation
import Logging
import MarketData
import Parsing
import Rings
import Testing

@testable import Batching
@testable import ControlPlane
@testable import ExchangeAdapter
@testable import Publishing

/// A parser, a batch thread and a publisher, driven by hand, under a keeper's eyes.
@Suite struct CheckpointKeeperTests {
    private struct AlreadyTaken: Error {}

    /// Holds every batch until it is told that they are safe.
    private final class HoldingSink: Sink {
        let ledger: PublishLedger
        var held: [BatchReceipt] = []
        init(ledger: PublishLedger) { self.ledger = ledger }
        func take(_ batch: BatchView) -> SinkAnswer {
            held.append(BatchReceipt(batch))
            ledger.take(BatchReceipt(batch))
            return .accepted
        }
        func acknowledge() {
            for receipt in held { ledger.acknowledge(receipt, now: ck_realtime_nanos()) }
            held = []
        }
        func doWork(now: Int64) -> Int { 0 }
        func hasInput() -> Bool { false }
        func parkLimit(now: Int64) -> Int64 { 5_000_000_000 }
        func park(nanos: Int64, waker: Waker) {}
        func close() {}
    }

    private final class Bench {
        let directory = NSTemporaryDirectory() + "keeper-\(UUID().uuidString)"
        let instruments = InstrumentTable(exchanges: ["binance"])
        let commands = CommandQueue<ParserCommand>(capacity: 8)
        let monitor = BatchMonitor()
        let sink: HoldingSink
        let keeper: CheckpointKeeper
        var writer: EventWriter
        var batching: BatchStage
        var publisher: PublisherStage<HoldingSink>
        private let instrument: UInt32

        init() throws {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            instrument = try #require(instruments.intern("BTCUSDT", market: 0))
            let (eventsIn, eventsOut, eventRing) = try Ring.make(name: "events", minimumCapacity: 1 << 20)
            let (batchesIn, batchesOut, batchRing) = try Ring.make(name: "batches", minimumCapacity: 1 << 20)
            guard let events = eventsIn.take(), let output = batchesIn.take(), let input = batchesOut.take()
            else { throw AlreadyTaken() }
            writer = EventWriter(
                producer: events, counters: ParserCounters(marketCount: 1), instrumentCapacity: 10,
                gapNotices: CommandQueue(capacity: 100))
            writer.setLinks([ParserLink(market: 0, shard: 0, member: 0, isPaired: false)])
            var settings = BatchSettings(
                topic: try TopicTemplate("market.{type}.{exchange}.{symbol}"), orderingKey: nil,
                markets: [.init(exchange: "binance", market: "spot")])
            settings.maxDelayNanos = 3_600_000_000_000
            settings.closeWhenIdle = false
            let routes = RouteTable()
            let waker = try Waker()
            batching = BatchStage(
                settings: settings, inputs: [(eventsOut, instruments)], output: output, routes: routes,
                monitor: monitor, waker: waker)
            sink = HoldingSink(ledger: PublishLedger(markets: 1))
            publisher = PublisherStage(input: input, routes: routes, sink: sink, waker: waker)
            keeper = CheckpointKeeper(
                path: directory + "/checkpoint",
                lanes: [.init(commands: commands, instruments: instruments, eventRing: eventRing)],
                markets: [0], batchRing: batchRing, batches: monitor, ledger: sink.ledger, repairs: [],
                resumed: Checkpoint(), logger: Logger(label: "test"))
        }

        deinit {
            keeper.stop()
            try? FileManager.default.removeItem(atPath: directory)
        }

        /// A trade comes.
        func trade(_ id: Int64) {
            writer.beginRun(link: 0, generation: 1, receivedTime: 1, now: 1)
            let hasRoom = writer.hasRoom(forFrameOf: 200)
            #expect(hasRoom)
            var trade = Trade(header: EventHeader(kind: .trade, instrument: instrument, receivedTime: 1))
            trade.tradeID = id
            trade.tradeTime = id
            writer.begin(Trade.self).initialize(to: trade)
            writer.end(Trade.self, kind: .trade)
            writer.publish()
        }

        /// The parser obeys what the keeper has asked for.
        func obey() -> Bool {
            let some = commands.drain()
            for case .snapshot(let copy) in some {
                writer.snapshot(into: copy, instruments: instruments.count)
            }
            return !some.isEmpty
        }

        /// Waits for something to happen.
        func wait(_ what: String, _ condition: () -> Bool) {
            for _ in 0..<1_000 {
                if condition() { return }
                usleep(10_000)
            }
            Issue.record("there was no \(what)")
        }

        /// What is written now; given time to be.
        func written() throws -> Int64? {
            usleep(150_000)
            return try Checkpoint.read(from: directory + "/checkpoint")?.sequences.first?.expected
        }
    }

    @Test func nothingIsWrittenBeforeItIsSafe() throws {
        let bench = try Bench()
        bench.keeper.start()
        for id: Int64 in 1...10 { bench.trade(id) }
        bench.wait("round", bench.obey)
        #expect(try bench.written() == 1, "in the event ring: only that it began")
        // What comes now is not of this round, and does not hold it up.
        bench.trade(11)
        _ = bench.batching.doWork()
        #expect(try bench.written() == 1, "in an open batch")
        bench.monitor.requestFlush()
        while bench.batching.doWork() > 0 {}
        #expect(try bench.written() == 1, "in the publisher's ring")
        _ = bench.publisher.doWork()
        #expect(try bench.written() == 1, "with the sink")
        bench.sink.acknowledge()
        #expect(try bench.written() == 11, "acknowledged, as of the copy")

        // The last round: the parsers may go once they have copied.
        bench.trade(12)
        bench.keeper.requestLast()
        bench.wait("copy for the last one") {
            _ = bench.obey()
            return bench.keeper.hasCopiedLast
        }
        #expect(!bench.keeper.hasWrittenLast)
        while bench.batching.doWork() > 0 {}
        _ = bench.publisher.doWork()
        bench.sink.acknowledge()
        bench.wait("last one") { bench.keeper.hasWrittenLast && bench.keeper.isStopped }
        #expect(try bench.written() == 13)
    }

    /// A copy without room for everything says so, and is made again.
    @Test func aCopyThatIsTooSmallIsNotComplete() throws {
        let bench = try Bench()
        bench.trade(1)
        let copy = SequenceSnapshot(capacity: 1)
        bench.writer.snapshot(into: copy, instruments: 1)
        #expect(copy.isDone && copy.isComplete && copy.entries.count == 1)
        bench.writer.resume(
            .kline, variant: Interval.minute1.rawValue, instrument: 1, expected: 100, newest: 0)
        let small = SequenceSnapshot(capacity: 1)
        bench.writer.snapshot(into: small, instruments: 1)
        #expect(!small.isComplete && small.entries.count == 1 && small.count == 2)
    }
}
