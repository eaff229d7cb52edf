import Batching
import CKernel
import Glibc
import Rings
import SyntheticBatches
import Testing

@testable import Publishing

@Suite struct StandardOutputSinkTests {
    private func pipe() throws -> (reader: Int32, writer: Int32) {
        var ends: [Int32] = [0, 0]
        try #require(Glibc.pipe(&ends) == 0)
        return (ends[0], ends[1])
    }

    private func read(_ descriptor: Int32, _ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = Glibc.read(descriptor, &bytes, count)
        return Array(bytes[..<max(0, got)])
    }

    @Test func aSlowReaderGetsEveryByteAndNeverBlocksTheThread() throws {
        let (reader, writer) = try pipe()
        let source = try BatchSource()
        let trade = try source.route("a")
        let ledger = PublishLedger(markets: 1)
        let sink = try StandardOutputSink(ledger: ledger, descriptor: writer, bufferBytes: 8192)
        close(writer)
        var stage = PublisherStage(
            input: try source.takeConsumer(), routes: source.routes, sink: sink, waker: source.waker)
        for _ in 0..<500 { try source.write(trade, events: 5, padding: 50) }
        while stage.doWork() > 0 {}
        // The pipe holds 64 KiB, the batches are 210 KB.
        #expect(ledger.eventsPublished > 0 && ledger.eventsPublished < 2500)
        #expect(ledger.isHealthy)
        var text: [UInt8] = []
        while ledger.eventsPublished < 2500 {
            text += read(reader, 1000)
            _ = stage.doWork()
        }
        sink.close()
        while true {
            let more = read(reader, 65536)
            if more.isEmpty { break }
            text += more
        }
        close(reader)
        let wanted = (1...2500).map { BatchSource.line(trade, sequence: $0, padding: 50) + "\n" }.joined()
        #expect(String(decoding: text, as: UTF8.self) == wanted)
    }

    @Test func aReaderThatLeavesIsAProblemAndNotTheEndOfTheProcess() throws {
        let (reader, writer) = try pipe()
        let source = try BatchSource()
        let trade = try source.route("a")
        let ledger = PublishLedger(markets: 1)
        let sink = try StandardOutputSink(ledger: ledger, descriptor: writer)
        close(writer)
        close(reader)
        var stage = PublisherStage(
            input: try source.takeConsumer(), routes: source.routes, sink: sink, waker: source.waker)
        try source.write(trade)
        _ = stage.doWork()
        #expect(sink.ledger.hasEnded)
        #expect(!ledger.isHealthy)
        #expect(ledger.eventsInFlight == 3)
        try source.write(trade)
        #expect(stage.doWork() == 0)
        #expect(stage.hasInput() == false)
    }

    @Test func aDescriptorThatIsNotOpenIsAClearError() {
        #expect(throws: PublishError.self) {
            try StandardOutputSink(ledger: PublishLedger(markets: 1), descriptor: 987)
        }
    }
}
