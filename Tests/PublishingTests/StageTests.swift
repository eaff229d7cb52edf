import Batching
import CKernel
import Foundation
import Glibc
import MarketData
import Rings
import SyntheticBatches
import Testing

@testable import Publishing

@Suite struct StageTests {
    /// Takes batches while it may, acknowledges when told.
    private final class SlowSink: Sink {
        let ledger: PublishLedger
        var room = 0
        var taken: [UInt64] = []
        var isClosed = false
        init(ledger: PublishLedger) { self.ledger = ledger }
        func take(_ batch: BatchView) -> SinkAnswer {
            guard taken.count < room else { return .full }
            taken.append(batch.header.number)
            ledger.take(BatchReceipt(batch))
            return .accepted
        }
        func doWork(now: Int64) -> Int { 0 }
        func hasInput() -> Bool { false }
        func parkLimit(now: Int64) -> Int64 { 5_000_000_000 }
        func park(nanos: Int64, waker: Waker) {}
        func close() { isClosed = true }
    }

    @Test func theNullSinkCountsEverythingAsPublished() throws {
        let source = try BatchSource()
        let trade = try source.route("a", market: 1)
        let kline = try source.route("b", kind: .kline)
        let ledger = PublishLedger(markets: 2)
        var stage = PublisherStage(
            input: try source.takeConsumer(), routes: source.routes, sink: NullSink(ledger: ledger),
            waker: source.waker)
        for _ in 0..<100 {
            try source.write(trade, events: 7)
            try source.write(kline, events: 2)
        }
        while stage.doWork() > 0 {}
        #expect(ledger.eventsPublished(market: 1, kind: .trade) == 700)
        #expect(ledger.eventsPublished(market: 0, kind: .kline) == 200)
        #expect(ledger.eventsPublished == 900)
        #expect(ledger.eventsInFlight == 0 && ledger.bytesInFlight == 0 && ledger.batchesInFlight == 0)
        #expect(ledger.latency(kind: .trade).count == 700)
        #expect(source.storage.bytesUsed == 0)
    }

    @Test func aFullSinkLeavesBatchesInTheRing() throws {
        let source = try BatchSource(bytes: 4096)
        let trade = try source.route("a")
        let ledger = PublishLedger(markets: 1)
        let sink = SlowSink(ledger: ledger)
        var stage = PublisherStage(
            input: try source.takeConsumer(), routes: source.routes, sink: sink, waker: source.waker)
        sink.room = 2
        while try source.write(trade) {}
        let written = source.number
        #expect(stage.doWork() == 2)
        #expect(stage.doWork() == 0)
        #expect(stage.hasInput() == false)
        #expect(stage.parkLimit() == 1_000_000_000)
        #expect(ledger.eventsInFlight == 6)
        sink.room = .max
        while stage.doWork() > 0 {}
        #expect(sink.taken == Array(1...written))
        #expect(source.storage.bytesUsed == 0)
    }

    @Test func theSinkIsClosedWithItsStage() throws {
        let source = try BatchSource()
        let sink = SlowSink(ledger: PublishLedger(markets: 1))
        do {
            let stage = PublisherStage(
                input: try source.takeConsumer(), routes: source.routes, sink: sink, waker: source.waker)
            _ = consume stage
        }
        #expect(sink.isClosed)
    }

    @Test func aThreadDrainsWhatAnotherWrites() throws {
        let control = try StageControl(name: "publisher")
        let source = try BatchSource(bytes: 1 << 16, waker: control.waker)
        let trade = try source.route("a")
        let ledger = PublishLedger(markets: 1)
        let consumer = RingHandOver(try source.takeConsumer())
        let routes = source.routes
        let waker = source.waker
        let thread = try StageThread(control: control, idle: .park) {
            PublisherStage(
                input: consumer.take(), routes: routes, sink: NullSink(ledger: ledger), waker: waker)
        }
        var written = 0
        while written < 20_000 {
            if try source.write(trade, events: 1) { written += 1 } else { ck_yield() }
        }
        while ledger.eventsPublished < written { ck_yield() }
        control.stop()
        thread.join()
        #expect(ledger.eventsPublished == 20_000)
    }

    @Test func problemsAreToldOnceAndSoIsTheirEnd() {
        let ledger = PublishLedger(markets: 1)
        #expect(ledger.isHealthy)
        ledger.reportRecovery("never")
        for _ in 0..<3 { ledger.report(problem: "down") }
        #expect(!ledger.isHealthy)
        #expect(ledger.problem?.text == "down")
        ledger.reportRecovery("up")
        ledger.reportRecovery("up")
        #expect(ledger.isHealthy)
        let notes = ledger.fetchNotes()
        #expect(notes.map(\.isProblem) == [true, false])
        #expect(notes[1].text.hasPrefix("up, after "))
        #expect(ledger.fetchNotes().isEmpty)
        // Changing words within one trouble do not flood the log.
        for index in 0..<100 { ledger.report(problem: "\(index)") }
        #expect(ledger.fetchNotes().count < 10)
        #expect(ledger.problem?.text == "99")
        for index in 0..<100 { ledger.report(information: "\(index)") }
        #expect(ledger.fetchNotes().map(\.text) == (36..<100).map { "\($0)" })
        #expect(ledger.total(.notesDropped) == 100 - PublishLedger.noteLimit)
    }
}

/// Carries a consumer into a thread.
final class RingHandOver: @unchecked Sendable {
    private var consumer: RingConsumer?
    init(_ consumer: consuming RingConsumer) { self.consumer = consume consumer }
    func take() -> RingConsumer {
        guard let consumer = consumer.take() else { preconditionFailure("taken twice") }
        return consumer
    }
}
