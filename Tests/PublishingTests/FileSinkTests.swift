import Batching
import CKernel
import Foundation
import Glibc
import MarketData
import Rings
import SyntheticBatches
import Testing

@testable import Publishing

@Suite struct FileSinkTests {
    private let second: Int64 = 1_000_000_000

    @Test func batchesLandWholeAndInOrderInSegmentsOfLimitedSize() throws {
        let directory = try TemporaryDirectory()
        let source = try BatchSource()
        let trade = try source.route("market.trade.binance.BTCUSDT")
        let ledger = PublishLedger(markets: 1)
        var settings = FileSettings(directory: directory.path + "/a/b")
        settings.segmentBytes = 2000
        let sink = try FileSink(settings: settings, ledger: ledger)
        var stage = PublisherStage(
            input: try source.takeConsumer(), routes: source.routes, sink: sink, waker: source.waker)
        for _ in 0..<100 { try source.write(trade, events: 5, compressed: true) }
        while stage.doWork() > 0 {}
        #expect(ledger.eventsPublished(market: 0, kind: .trade) == 500)
        #expect(ledger.batchesInFlight == 0)
        #expect(ledger.total(.batchesPublished) == 100)
        #expect(ledger.latency(kind: .trade).count == 500)
        sink.close()

        let names = try FileManager.default.contentsOfDirectory(atPath: settings.directory)
            .filter { !$0.hasPrefix(".") }.sorted()
        #expect(names.count > 1)
        var text: [UInt8] = []
        for (index, name) in names.enumerated() {
            let wanted = /segment-\d{8}T\d{6}Z-(\d{6})\.ndjson\.zst/
            let match = try #require(try wanted.wholeMatch(in: name))
            #expect(Int(match.1) == index + 1)
            let data = try Data(contentsOf: URL(fileURLWithPath: "\(settings.directory)/\(name)"))
            #expect(data.count <= 2000)
            text += try decompress(Array(data))
        }
        let wanted = (1...500).map { BatchSource.line(trade, sequence: UInt64($0)) + "\n" }.joined()
        #expect(String(decoding: text, as: UTF8.self) == wanted)
        #expect(ledger.total(.rawBytesPublished) == wanted.utf8.count)
    }

    @Test func plainAndCompressedBatchesNeverShareASegment() throws {
        let directory = try TemporaryDirectory()
        let source = try BatchSource()
        let trade = try source.route("t1")
        let kline = try source.route("t2", kind: .kline)
        let sink = try FileSink(
            settings: FileSettings(directory: directory.path), ledger: PublishLedger(markets: 1))
        var stage = PublisherStage(
            input: try source.takeConsumer(), routes: source.routes, sink: sink, waker: source.waker)
        for _ in 0..<3 {
            try source.write(trade, compressed: true)
            try source.write(kline, eventMode: true)
        }
        while stage.doWork() > 0 {}
        sink.close()
        let names = try directory.files()
        #expect(names.count == 2)
        let plain = try #require(names.first { $0.hasSuffix(".ndjson") })
        let packed = try #require(names.first { $0.hasSuffix(".zst") })
        let lines = (1...9).map { BatchSource.line(kline, sequence: $0) + "\n" }.joined()
        #expect(String(decoding: try directory.read(plain), as: UTF8.self) == lines)
        #expect(try decompress(try directory.read(packed)).split(separator: 10).count == 9)
    }

    @Test func aSegmentEndsByAgeAndEachStartBeginsANewOne() throws {
        let directory = try TemporaryDirectory()
        let source = try BatchSource()
        let trade = try source.route("t")
        var settings = FileSettings(directory: directory.path)
        settings.segmentAge = 10 * second
        let sink = try FileSink(settings: settings, ledger: PublishLedger(markets: 1))
        var consumer = try source.takeConsumer()
        func take() throws {
            #expect(sink.take(try nextBatch(&consumer, source.routes)) == .accepted)
        }
        try source.write(trade)
        try take()
        #expect(sink.doWork(now: 100 * second) == 1)
        #expect(sink.parkLimit(now: 100 * second) == second)
        _ = sink.doWork(now: 109 * second)
        try source.write(trade)
        try take()
        #expect(sink.doWork(now: 109 * second) == 1)
        #expect(try directory.files().count == 1)
        _ = sink.doWork(now: 110 * second)
        try source.write(trade)
        try take()
        _ = sink.doWork(now: 110 * second)
        #expect(try directory.files().count == 2)
        sink.close()

        let again = try FileSink(settings: settings, ledger: PublishLedger(markets: 1))
        try source.write(trade)
        #expect(again.take(try nextBatch(&consumer, source.routes)) == .accepted)
        again.close()
        #expect(try directory.files().count == 3)
    }

    @Test func aFullDiskLosesNothing() throws {
        guard getuid() == 0 else {
            print("skipped: mounting a small file system needs root")
            return
        }
        let directory = try TemporaryDirectory()
        guard mount("tmpfs", directory.path, "tmpfs", 0, "size=64k") == 0 else {
            print("skipped: a small file system cannot be mounted here")
            return
        }
        defer { umount2(directory.path, Int32(MNT_DETACH)) }
        let source = try BatchSource()
        let trade = try source.route("t")
        let ledger = PublishLedger(markets: 1)
        let sink = try FileSink(settings: FileSettings(directory: directory.path), ledger: ledger)
        var consumer = try source.takeConsumer()
        var now = 100 * second
        // 40 batches of 3 KB: more than fits, and 3,000 does not divide a page, so that a batch is cut by the end.
        for _ in 0..<40 {
            try source.write(trade, events: 3, padding: 950)
            #expect(sink.take(try nextBatch(&consumer, source.routes)) == .accepted)
        }
        _ = sink.doWork(now: now)
        let before = ledger.eventsPublished
        #expect(before > 0 && before < 120)
        #expect(ledger.eventsInFlight == 120 - before)
        #expect(!ledger.isHealthy)
        #expect(ledger.requests(.resourceExhausted) == 1)
        let problem = try #require(ledger.problem)
        #expect(problem.text.contains(directory.path) && problem.text.contains("No space left on device"))
        #expect(problem.text.contains("free space"))
        let name = try #require(try directory.files().first)
        let cut = try directory.read(name)
        #expect(cut.last == 10)
        #expect(cut.split(separator: 10).count == before)
        // While it fails nothing more is taken, and the batch stays in the ring.
        try source.write(trade)
        let waiting = try nextBatch(&consumer, source.routes)
        #expect(sink.take(waiting) == .full)
        for _ in 0..<5 {
            now += 6 * second
            _ = sink.doWork(now: now)
        }
        #expect(ledger.eventsPublished == before)

        #expect(mount("tmpfs", directory.path, "tmpfs", UInt(MS_REMOUNT), "size=1m") == 0)
        now += 6 * second
        _ = sink.doWork(now: now)
        #expect(ledger.eventsPublished == 120)
        #expect(ledger.isHealthy)
        #expect(sink.take(waiting) == .accepted)
        sink.close()
        #expect(ledger.eventsPublished == 123)
        let notes = ledger.fetchNotes()
        #expect(notes.count == 2)
        #expect(notes.first?.isProblem == true)
        #expect(notes.last?.text.contains("written again") == true)
        var text: [UInt8] = []
        for name in try directory.files() { text += try directory.read(name) }
        let sequences = text.split(separator: 10).map { line -> Int in
            let match = String(decoding: line, as: UTF8.self).firstMatch(of: /"sequence":(\d+)/)
            return match.flatMap { Int($0.1) } ?? -1
        }
        #expect(sequences == Array(1...123))
    }

    @Test func aDirectoryThatCannotBeUsedIsAClearError() throws {
        let directory = try TemporaryDirectory()
        let file = directory.path + "/file"
        #expect(FileManager.default.createFile(atPath: file, contents: nil))
        let error = #expect(throws: PublishError.self) {
            try FileSink(settings: FileSettings(directory: file), ledger: PublishLedger(markets: 1))
        }
        #expect(error?.description.contains(file) == true)
        #expect(error?.description.contains("Not a directory") == true)
        #expect(error?.description.contains("sink.path") == true)
        #expect(throws: PublishError.self) {
            try FileSink(
                settings: FileSettings(directory: "/proc/nowhere"), ledger: PublishLedger(markets: 1))
        }
    }

    @Test func aDeletedSegmentIsReplaced() throws {
        let directory = try TemporaryDirectory()
        let source = try BatchSource()
        let trade = try source.route("t")
        let ledger = PublishLedger(markets: 1)
        let sink = try FileSink(settings: FileSettings(directory: directory.path + "/out"), ledger: ledger)
        var consumer = try source.takeConsumer()
        for round in 1...2 {
            try source.write(trade)
            #expect(sink.take(try nextBatch(&consumer, source.routes)) == .accepted)
            _ = sink.doWork(now: Int64(round) * 100 * second)
            if round == 1 { try FileManager.default.removeItem(atPath: directory.path + "/out") }
            _ = sink.doWork(now: Int64(round) * 100 * second + 2 * second)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path + "/out").count == 1)
        #expect(ledger.fetchNotes().contains { $0.text.contains("was deleted") })
    }
}
