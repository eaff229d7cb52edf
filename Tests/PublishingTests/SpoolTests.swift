import Batching
import CKernel
import Foundation
import Glibc
import MarketData
import Rings
import SyntheticBatches
import Testing

@testable import Publishing

@Suite struct SpoolTests {
    /// A stage whose sink takes nothing at first.
    final class Publisher {
        let source: BatchSource
        let ledger = PublishLedger(markets: 2)
        let sink: LaneSink
        let spool: Spool
        var stage: PublisherStage<LaneSink>
        var delivered: [LaneSink.Identity] = []

        init(
            _ directory: String, run: UInt64 = 1, files: SpoolFiles = SpoolFiles(),
            change: (inout SpoolSettings) -> Void = { _ in }
        ) throws {
            var settings = SpoolSettings(
                directory: directory, destination: "test", origin: Route.Origin(runID: run, collector: "unit")
            )
            settings.fsync = .never
            settings.patience = 1 << 50
            change(&settings)
            source = try BatchSource(bytes: 1 << 20)
            sink = LaneSink(ledger: ledger, runID: run)
            sink.capacity = 0
            spool = try Spool(
                settings: settings, routes: source.routes, ledger: ledger,
                market: { $0 == "binance" ? 0 : 1 },
                files: files)
            stage = PublisherStage(
                input: try source.takeConsumer(), routes: source.routes, sink: sink, spool: spool,
                waker: source.waker)
            sink.delivered = { [unowned self] _, held in delivered.append(held.identity) }
        }

        /// Hands over and acknowledges until nothing is in flight.
        func drain() throws {
            sink.capacity = .max
            let begun = ck_monotonic_nanos()
            while ledger.batchesInFlight > 0 {
                _ = stage.doWork()
                for name in sink.lanes.keys.sorted() {
                    while !sink.lanes[name, default: []].isEmpty { sink.acknowledge(name) }
                }
                try #require(ck_monotonic_nanos() - begun < 20_000_000_000)
            }
            _ = stage.doWork()
        }
    }

    /// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
    @Test func theChecksumIsCastagnolis() {
        let zeros = [UInt8](repeating: 0, count: 32)
        #expect(ck_crc32c(0, zeros, 32) == 0x8A91_36AA && ck_crc32c_software(0, zeros, 32) == 0x8A91_36AA)
        let digits = Array("123456789".utf8)
        #expect(ck_crc32c(0, digits, 9) == 0xE306_9283)
        var random = SplitMix64(seed: 1)
        for length in 0..<300 {
            let bytes = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            let whole = ck_crc32c(0, bytes, length)
            #expect(ck_crc32c_software(0, bytes, length) == whole)
            let half = length / 3
            let parts = bytes.withUnsafeBytes { bytes in
                bytes.baseAddress.map { ck_crc32c_software(ck_crc32c(0, $0, half), $0 + half, length - half) }
                    ?? 0
            }
            #expect(parts == whole)
        }
    }

    @Test func aFullDiskHoldsBatchesUpAndRecovers() throws {
        guard getuid() == 0 else {
            print("skipped: mounting a small file system needs root")
            return
        }
        let directory = try TemporaryDirectory()
        guard mount("none", directory.path, "tmpfs", 0, "size=1m") == 0 else {
            print("skipped: a tmpfs cannot be mounted here")
            return
        }
        defer { umount2(directory.path, Int32(MNT_DETACH)) }
        do {
            let publisher = try Publisher("\(directory.path)/spool")
            let route = try publisher.source.route("a")
            let other = try publisher.source.route("b", key: "other")
            var written: UInt64 = 0
            for _ in 0..<2_000 {
                if try publisher.source.write(route, padding: 1_000) { written += 1 }
                _ = publisher.stage.doWork()
                if publisher.spool.monitor.problem != nil { break }
            }
            let problem = try #require(publisher.spool.monitor.problem)
            #expect(problem.recovered == nil && problem.text.contains("No space left on device"))
            #expect(problem.text.contains("free space") && publisher.ledger.oldestUnsafe != nil)
            let inRing = publisher.source.storage.recordCount
            #expect(inRing > 0 && publisher.ledger.batchesInFlight + inRing == Int(written))
            // With the sink back everything comes, in order, and the disk has room again.
            // What is left in the ring may go straight to the sink.
            repeat {
                try publisher.drain()
            } while publisher.source.storage.recordCount
                + publisher.ledger.batchesInFlight > 0
            #expect(publisher.delivered.map(\.number) == Array(1...written))
            publisher.sink.capacity = 0
            try publisher.source.write(other)
            usleep(50_000)
            for _ in 0..<200 where publisher.source.storage.recordCount > 0 {
                _ = publisher.stage.doWork()
                usleep(30_000)
            }
            #expect(publisher.source.storage.recordCount == 0)
            #expect(publisher.spool.monitor.problem?.recovered != nil)
        }
    }

    @Test(arguments: [EIO, ENOSPC, EROFS]) func writesThatFailLoseNothing(code: Int32) throws {
        let directory = try TemporaryDirectory()
        let files = FailingFiles()
        let publisher = try Publisher(directory.path, files: files)
        let route = try publisher.source.route("a")
        for _ in 0..<5 { try publisher.source.write(route) }
        _ = publisher.stage.doWork()
        #expect(publisher.source.storage.recordCount == 0)
        files.writeError = code
        for _ in 0..<5 { try publisher.source.write(route) }
        _ = publisher.stage.doWork()
        #expect(publisher.source.storage.recordCount == 5)
        #expect(publisher.spool.monitor.hindrance(now: 0)?.contains("errno \(code)") == true)
        (files.writeError, files.shortWrite) = (0, 30)
        usleep(150_000)
        _ = publisher.stage.doWork()
        #expect(publisher.source.storage.recordCount == 5)
        files.shortWrite = nil
        for _ in 0..<100 where publisher.source.storage.recordCount > 0 {
            usleep(30_000)
            _ = publisher.stage.doWork()
        }
        #expect(publisher.spool.monitor.hindrance(now: 0) == nil && publisher.ledger.oldestUnsafe == nil)
        try publisher.drain()
        #expect(publisher.delivered.map(\.number) == Array(1...10))
    }

    @Test func readsThatFailAreTriedAgain() throws {
        let directory = try TemporaryDirectory()
        let files = FailingFiles()
        let publisher = try Publisher(directory.path, files: files)
        let route = try publisher.source.route("a")
        // From the beginning: what was read once is offered from memory.
        files.readError = EIO
        for _ in 0..<5 { try publisher.source.write(route) }
        _ = publisher.stage.doWork()
        publisher.sink.capacity = .max
        for _ in 0..<100 where publisher.spool.monitor.hindrance(now: 0) == nil {
            _ = publisher.stage.doWork()
            usleep(10_000)
        }
        #expect(
            publisher.sink.held == 0 && publisher.spool.monitor.hindrance(now: 0)?.contains("read") == true)
        files.readError = 0
        try publisher.drain()
        #expect(publisher.delivered.map(\.number) == Array(1...5))
        #expect(publisher.spool.monitor.hindrance(now: 0) == nil)
    }

    /// Any byte of a batch, its head included.
    @Test func aDamagedByteCostsOneBatchAndIsTold() throws {
        var random = SplitMix64(seed: 3)
        for _ in 0..<100 {
            let directory = try TemporaryDirectory()
            let path = directory.path + "/spool"
            do {
                let first = try Publisher(path)
                let route = try first.source.route("a")
                for _ in 0..<20 { try first.source.write(route, padding: Int(random.next() % 200)) }
                _ = first.stage.doWork()
            }
            let file = try #require(
                DirectoryListing.names(path).names.first { $0.hasSuffix(".spool") }.map { "\(path)/\($0)" })
            var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: file)))
            let starts = Self.batches(in: bytes)
            try #require(starts.count == 20)
            let victim = Int(random.next() % 20)
            let end = victim + 1 < 20 ? starts[victim + 1] : bytes.count
            // The padding is no part of the record, and worth nothing.
            let at = starts[victim] + Int(random.next() % UInt64(end - starts[victim] - 8))
            bytes[at] ^= UInt8(1 << (random.next() % 8))
            try Data(bytes).write(to: URL(fileURLWithPath: file))
            let second = try Publisher(path, run: 2)
            // At the end it cannot be told from a torn write.
            let isLast = victim == 19
            #expect((second.spool.monitor.value(.damagedBytes) > 0) == !isLast)
            #expect((second.spool.monitor.value(.tornBytes) > 0) == isLast)
            try second.drain()
            let wanted = (1...20).map(UInt64.init).filter { $0 != UInt64(victim + 1) }
            #expect(second.delivered.map(\.number) == wanted)
            #expect(second.delivered.allSatisfy { $0.run == 1 })
        }
    }

    /// Where batches begin.
    static func batches(in bytes: [UInt8]) -> [Int] {
        bytes.withUnsafeBytes { bytes in
            var starts: [Int] = []
            var at = SpoolFormat.headerSize
            while let record = SpoolRecord(UnsafeRawBufferPointer(rebasing: bytes[at...])) {
                if record.form != .route { starts.append(at) }
                at += record.size
                if at >= bytes.count { break }
            }
            return starts
        }
    }

    @Test func aLimitBlocksOrDropsAsDeclared() throws {
        for policy in SpoolLimitPolicy.allCases {
            let directory = try TemporaryDirectory()
            let publisher = try Publisher(directory.path) {
                $0.maxBytes = 40_000
                $0.segmentBytes = 8_000
                $0.whenFull = policy
            }
            let route = try publisher.source.route("a")
            for _ in 0..<100 {
                try publisher.source.write(route, padding: 200)
                _ = publisher.stage.doWork()
            }
            #expect(publisher.spool.store.bytes <= 40_000)
            let dropped = publisher.ledger.eventsDropped(market: 0, kind: .trade, policy: .oldest)
            let waiting = publisher.source.storage.recordCount
            switch policy {
            case .block:
                #expect(dropped == 0 && waiting > 0)
                #expect(publisher.spool.monitor.hindrance(now: 0)?.contains("spool.maxBytes") == true)
            case .dropOldest: #expect(dropped > 0 && waiting == 0)
            }
            while publisher.ledger.batchesInFlight > 0 || publisher.source.storage.recordCount > 0 {
                try publisher.drain()
            }
            let first = UInt64(dropped / 3 + 1)
            #expect(publisher.delivered.map(\.number) == Array(first...100))
            #expect(publisher.ledger.eventsInFlight == 0)
        }
    }

    @Test func whatIsTooOldIsDropped() throws {
        let directory = try TemporaryDirectory()
        let publisher = try Publisher(directory.path) { $0.maxAge = 1_000_000 }
        let route = try publisher.source.route("a")
        for _ in 0..<10 { try publisher.source.write(route) }
        for _ in 0..<100 where publisher.ledger.eventsInFlight > 0 || publisher.source.storage.recordCount > 0
        {
            _ = publisher.stage.doWork()
            usleep(20_000)
        }
        #expect(publisher.ledger.eventsDropped(market: 0, kind: .trade, policy: .aged) == 30)
        #expect(publisher.delivered.isEmpty && publisher.spool.store.isEmpty)
    }

    @Test func oneProcessUsesItAndForOneDestination() throws {
        let directory = try TemporaryDirectory()
        do {
            let publisher = try Publisher(directory.path)
            let error = #expect(throws: SpoolError.self) { try Publisher(directory.path, run: 2) }
            #expect(error?.description.contains("another process uses") == true)
            try publisher.source.write(try publisher.source.route("a"))
            _ = publisher.stage.doWork()
        }
        let error = #expect(throws: SpoolError.self) {
            try Publisher(directory.path, run: 2) { $0.destination = "elsewhere" }
        }
        #expect(error?.description.contains("holds batches for test, and the sink is elsewhere") == true)
        let again = try Publisher(directory.path, run: 3)
        try again.drain()
        #expect(again.delivered == [LaneSink.Identity(run: 1, number: 1)])
    }

    @Test func aLaneThatStandsStillHoldsNobodyUp() throws {
        let directory = try TemporaryDirectory()
        let publisher = try Publisher(directory.path)
        let still = try publisher.source.route("still", key: "still")
        let others = try (0..<3).map { try publisher.source.route("moves", key: "\($0)") }
        for _ in 0..<50 {
            try publisher.source.write(still)
            for route in others { try publisher.source.write(route) }
        }
        for _ in 0..<10 { _ = publisher.stage.doWork() }
        (publisher.sink.capacity, publisher.sink.laneCapacity) = (.max, 2)
        let stillName = LaneSink.Name(topic: "still", orderingKey: "still")
        let begun = ck_monotonic_nanos()
        while publisher.delivered.count < 150, ck_monotonic_nanos() - begun < 20_000_000_000 {
            _ = publisher.stage.doWork()
            for name in publisher.sink.lanes.keys.sorted() where name != stillName {
                while !publisher.sink.lanes[name, default: []].isEmpty { publisher.sink.acknowledge(name) }
            }
        }
        #expect(publisher.delivered.count == 150 && publisher.spool.deferredCount == 48)
        // What is new of the others goes straight, what is new of the one behind the rest.
        let stored = publisher.spool.monitor.value(.stored)
        for route in others { try publisher.source.write(route) }
        _ = publisher.stage.doWork()
        #expect(publisher.spool.monitor.value(.stored) == stored)
        try publisher.source.write(still)
        _ = publisher.stage.doWork()
        #expect(publisher.spool.monitor.value(.stored) == stored + 1)
        publisher.sink.laneCapacity = .max
        try publisher.drain()
        #expect(publisher.ledger.eventsInFlight == 0)
    }
}
