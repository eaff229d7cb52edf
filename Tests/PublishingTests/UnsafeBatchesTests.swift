import Batching
import MarketData
import Rings
import SyntheticBatches
import Testing

@testable import Publishing

@Suite struct UnsafeBatchesTests {
    @Test(arguments: 0..<200 as Range<UInt64>) func followAPlainModel(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var batches = UnsafeBatches()
        var model: [UInt64: Int64] = [:]
        var number: UInt64 = 0
        for _ in 0..<2_000 {
            if random.next() % 100 < 45 + random.next() % 20 {
                number += 1 + (random.next() % 8 == 0 ? random.next() % 1_000 : 0)
                let time = Int64(number) * 10
                batches.append(number: number, closedTime: time)
                model[number] = time
            } else {
                // Mostly the oldest, sometimes any, sometimes one that is not there.
                let oldest = model.keys.min() ?? 0
                let any = model.keys.sorted()[safe: Int(random.next() % UInt64(max(model.count, 1)))] ?? 7
                let victim = [oldest, oldest, any, number + 5, 0][Int(random.next() % 5)]
                batches.remove(number: victim)
                model[victim] = nil
            }
            #expect(batches.oldest == model.values.min() && batches.count == model.count)
        }
    }

    @Test func aBatchIsUnsafeInTheRingAndWithTheSinkUntilItIsAcknowledged() throws {
        let source = try BatchSource()
        let trade = try source.route("a")
        let ledger = PublishLedger(markets: 1)
        let sink = HoldingSink(ledger: ledger)
        var stage = PublisherStage(
            input: try source.takeConsumer(), routes: source.routes, sink: sink, waker: source.waker)
        #expect(ledger.oldestUnsafe == nil)
        for _ in 0..<4 { try source.write(trade) }
        let times = source.log.map(\.header.closedTime)
        sink.room = 2
        _ = stage.doWork()
        #expect(ledger.oldestUnsafe == times[0] && sink.held.count == 2)
        sink.acknowledge(1)
        #expect(ledger.oldestUnsafe == times[0])
        sink.acknowledge(0)
        #expect(ledger.oldestUnsafe == times[2])
        sink.room = 2
        _ = stage.doWork()
        #expect(ledger.oldestUnsafe == times[2])
        sink.acknowledge(0)
        sink.acknowledge(0)
        #expect(ledger.oldestUnsafe == nil && ledger.eventsInFlight == 0)
    }
}

/// Takes batches while it may, acknowledges those that it is told.
private final class HoldingSink: Sink {
    let ledger: PublishLedger
    var room = 0
    var held: [BatchReceipt] = []
    init(ledger: PublishLedger) { self.ledger = ledger }
    func take(_ batch: BatchView) -> SinkAnswer {
        guard held.count < room else { return .laneFull }
        let receipt = BatchReceipt(batch)
        ledger.take(receipt)
        held.append(receipt)
        return .accepted
    }
    func acknowledge(_ index: Int) { ledger.acknowledge(held.remove(at: index), now: 0) }
    func doWork(now: Int64) -> Int { 0 }
    func hasInput() -> Bool { false }
    func parkLimit(now: Int64) -> Int64 { 5_000_000_000 }
    func park(nanos: Int64, waker: Waker) {}
    func close() {}
}

extension Array {
    fileprivate subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
