import Batching
import Foundation
import Glibc
import Rings
import SyntheticBatches
import Testing

@testable import Publishing

/// What a disk that fails, or gives something else back than was written, may cost, and how it is told.
@Suite struct SpoolDamageTests {
    typealias Publisher = SpoolTests.Publisher

    /// Where the batches of the only segment begin.
    private func batches(_ directory: String) throws -> [Int] {
        let name = try #require(DirectoryListing.names(directory).names.first { $0.hasSuffix(".spool") })
        return SpoolTests.batches(
            in: Array(try Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(name)"))))
    }

    /// Whether the publisher's thread may park.
    private func sleeps(_ publisher: Publisher) -> Bool { !publisher.stage.hasInput() }

    private func drainAll(_ publisher: Publisher) throws {
        repeat {
            try publisher.drain()
        } while publisher.ledger.batchesInFlight > 0
            || publisher.source.storage.recordCount > 0
    }

    @Test func aBatchWhoseSyncFailsStaysInTheRingAlone() throws {
        let directory = try TemporaryDirectory()
        let files = FailingFiles()
        let publisher = try Publisher(directory.path, files: files) { $0.fsync = .each }
        let route = try publisher.source.route("a")
        try publisher.source.write(route)
        _ = publisher.stage.doWork()
        #expect(publisher.ledger.batchesInFlight == 1 && publisher.source.storage.recordCount == 0)
        files.syncError = EIO
        try publisher.source.write(route)
        _ = publisher.stage.doWork()
        #expect(publisher.spool.monitor.hindrance(now: 0)?.contains("sync") == true)
        #expect(publisher.ledger.batchesInFlight == 1 && publisher.source.storage.recordCount == 1)
        files.syncError = 0
        for _ in 0..<100 where publisher.source.storage.recordCount > 0 {
            usleep(30_000)
            _ = publisher.stage.doWork()
        }
        #expect(publisher.spool.monitor.hindrance(now: 0) == nil && publisher.ledger.oldestUnsafe == nil)
        try drainAll(publisher)
        #expect(publisher.delivered.map(\.number) == [1, 2])
        #expect(publisher.ledger.eventsInFlight == 0 && publisher.ledger.eventsPublished == 6)
        #expect(publisher.spool.lanes.allSatisfy { $0.pending == 0 })
    }

    /// Of one cycle some batches go to the sink, others to the disk: those stay in the ring, these are not taken twice.
    @Test func aSyncThatFailsPutsBackOnlyWhatWasSpooled() throws {
        let directory = try TemporaryDirectory()
        let files = FailingFiles()
        let publisher = try Publisher(directory.path, files: files) {
            $0.fsync = .each
            $0.segmentBytes = 1_000
        }
        let routes = try ["a", "b", "c"].map { try publisher.source.route($0, key: $0) }
        (publisher.sink.capacity, publisher.sink.laneCapacity) = (.max, 1)
        try publisher.source.write(routes[0])
        _ = publisher.stage.doWork()
        files.syncError = EIO
        for _ in 0..<10 {
            for route in routes { try publisher.source.write(route, padding: 40) }
        }
        let synced = files.syncs.load(ordering: .sequentiallyConsistent)
        _ = publisher.stage.doWork()
        #expect(files.syncs.load(ordering: .sequentiallyConsistent) > synced)
        #expect(publisher.sink.held == 3 && publisher.source.storage.recordCount == 30)
        #expect(
            publisher.ledger.batchesInFlight == 3 && publisher.spool.lanes.allSatisfy { $0.pending == 0 })
        files.syncError = 0
        for _ in 0..<100 where publisher.source.storage.recordCount > 0 {
            usleep(30_000)
            _ = publisher.stage.doWork()
        }
        publisher.sink.laneCapacity = .max
        try drainAll(publisher)
        #expect(publisher.delivered.count == 31)
        for (index, name) in ["a", "b", "c"].enumerated() {
            let numbers = publisher.source.log.filter { $0.route === routes[index] }.map(\.header.number)
            let came = publisher.delivered.map(\.number).filter(Set(numbers).contains)
            #expect(came == numbers, "\(name)")
        }
        #expect(publisher.spool.lanes.allSatisfy { $0.pending == 0 } && publisher.ledger.eventsInFlight == 0)
    }

    /// Without a thread for it this test would stand still in a sync that does not end.
    @Test(.timeLimit(.minutes(1))) func aSlowDiskHoldsUpNoOtherTopic() throws {
        let directory = try TemporaryDirectory()
        let files = FailingFiles()
        let publisher = try Publisher(directory.path, files: files) {
            $0.fsync = .interval
            $0.syncInterval = 0
            $0.segmentBytes = 2_000
        }
        let (route, other) = (try publisher.source.route("a"), try publisher.source.route("b", key: "other"))
        files.holdsSyncs.store(true, ordering: .sequentiallyConsistent)
        // Several segments end meanwhile.
        for _ in 0..<20 {
            try publisher.source.write(route, padding: 200)
            _ = publisher.stage.doWork()
            usleep(20_000)
        }
        #expect(publisher.spool.store.segments.count > 3)
        #expect(files.syncs.load(ordering: .sequentiallyConsistent) == 1)
        publisher.sink.capacity = .max
        publisher.sink.laneCapacity = 1
        for _ in 0..<3 {
            try publisher.source.write(other)
            _ = publisher.stage.doWork()
            publisher.sink.acknowledge(LaneSink.Name(topic: "b", orderingKey: "other"))
        }
        #expect(publisher.delivered.count == 3)
        files.syncError = EIO
        files.holdsSyncs.store(false, ordering: .sequentiallyConsistent)
        for _ in 0..<500 where publisher.spool.monitor.hindrance(now: 0) == nil {
            usleep(10_000)
            _ = publisher.stage.doWork()
        }
        #expect(publisher.spool.monitor.hindrance(now: 0)?.contains("sync") == true)
        files.syncError = 0
        publisher.sink.laneCapacity = .max
        try drainAll(publisher)
        for _ in 0..<500 where publisher.spool.monitor.hindrance(now: 0) != nil {
            usleep(20_000)
            _ = publisher.stage.doWork()
        }
        #expect(publisher.spool.monitor.hindrance(now: 0) == nil, "nothing waits any more")
        #expect(publisher.delivered.filter { $0.number <= 20 }.map(\.number) == Array(1...20))
    }

    @Test func aThreadThatCanHandNothingOverMaySleep() throws {
        let directory = try TemporaryDirectory()
        let files = FailingFiles()
        let publisher = try Publisher(directory.path, files: files) { $0.deferredLimit = 2 }
        let route = try publisher.source.route("a")
        for _ in 0..<9 { try publisher.source.write(route) }
        files.readError = EIO
        _ = publisher.stage.doWork()
        publisher.sink.capacity = .max
        #expect(publisher.spool.hasInput(now: .max))
        _ = publisher.stage.doWork()
        #expect(publisher.spool.monitor.value(.failures) == 0 && publisher.spool.monitor.problem != nil)
        #expect(sleeps(publisher), "a read that failed rests")
        files.readError = 0
        // One batch with the sink, two remembered, and no room to remember more.
        publisher.sink.laneCapacity = 1
        for _ in 0..<200 where publisher.spool.deferredCount < 2 {
            usleep(20_000)
            _ = publisher.stage.doWork()
        }
        _ = publisher.stage.doWork()
        #expect(publisher.spool.deferredCount == 2 && publisher.spool.store.unread > 0)
        #expect(sleeps(publisher), "nothing can be read on")
        publisher.sink.laneCapacity = .max
        try drainAll(publisher)
        #expect(publisher.delivered.map(\.number) == Array(1...9))
    }

    /// `late`: the batch is read when its lane takes it, after it was passed.
    @Test(arguments: [false, true]) func whatDamageTakesIsDroppedAndCounted(late: Bool) throws {
        let directory = try TemporaryDirectory()
        let files = FailingFiles()
        let publisher = try Publisher(directory.path, files: files)
        let (route, other) = (try publisher.source.route("a"), try publisher.source.route("b", key: "other"))
        if !late { files.damagedWrite = 7 }
        for number in 1...9 { try publisher.source.write(number == 5 ? other : route) }
        _ = publisher.stage.doWork()
        if late {
            (publisher.sink.capacity, publisher.sink.laneCapacity) = (.max, 1)
            for _ in 0..<3 { _ = publisher.stage.doWork() }
            #expect(publisher.spool.deferredCount == 7)
            files.damagedOffset = try batches(directory.path)[6] + 60
        }
        try drainAll(publisher)
        #expect(publisher.delivered.map(\.number).sorted() == [1, 2, 3, 4, 5, 6, 8, 9])
        #expect(publisher.ledger.eventsDropped(market: 0, kind: .trade, policy: .damaged) == 3)
        #expect(publisher.ledger.eventsInFlight == 0 && publisher.ledger.bytesInFlight == 0)
        #expect(publisher.spool.monitor.value(.damagedBatches) == 1)
        #expect(publisher.ledger.fetchNotes().contains { $0.text.contains("spool-damaged") })
        // While another lane has something here, the one that lost a batch goes straight to the sink.
        files.damagedOffset = nil
        publisher.sink.capacity = 0
        try publisher.source.write(other)
        _ = publisher.stage.doWork()
        #expect(!publisher.spool.admits(other) && publisher.spool.admits(route))
    }

    /// Batches that the sink has are passed over in reading: none of the others may be taken for one of them.
    @Test func damageDoesNotHideOtherBatches() throws {
        let directory = try TemporaryDirectory()
        let files = FailingFiles()
        let publisher = try Publisher(directory.path, files: files) { $0.patience = 0 }
        let (held, route) = (try publisher.source.route("held"), try publisher.source.route("a", key: "a"))
        publisher.sink.capacity = 1
        files.damagedWrite = 1
        try publisher.source.write(held)
        for _ in 0..<2 { try publisher.source.write(route) }
        // The last first: what the sink holds is written in the second half of a cycle.
        _ = publisher.stage.doWork()
        for _ in 0..<2 { try publisher.source.write(route) }
        _ = publisher.stage.doWork()
        #expect(publisher.spool.monitor.value(.stored) == 5 && publisher.sink.held == 1)
        try drainAll(publisher)
        #expect(publisher.delivered.map(\.number).sorted() == [1, 3, 4, 5])
    }

    /// The note of how far an earlier run came counts batches that damage has taken since.
    @Test func damageBeforeThePositionCostsNothing() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/spool"
        do {
            let publisher = try Publisher(path)
            let route = try publisher.source.route("a")
            for _ in 0..<10 { try publisher.source.write(route) }
            _ = publisher.stage.doWork()
            publisher.sink.capacity = 5
            _ = publisher.stage.doWork()
            for _ in 0..<5 {
                publisher.sink.acknowledge(LaneSink.Name(topic: "a", orderingKey: route.orderingKey))
            }
            publisher.sink.capacity = 0
            _ = publisher.stage.doWork()
        }
        let victim = try batches(path)[1]
        let name = try #require(DirectoryListing.names(path).names.first { $0.hasSuffix(".spool") })
        let file = URL(fileURLWithPath: "\(path)/\(name)")
        var bytes = Array(try Data(contentsOf: file))
        bytes[victim + 60] ^= 1
        try Data(bytes).write(to: file)
        let second = try Publisher(path, run: 2)
        try second.drain()
        #expect(second.delivered.map(\.number) == Array(6...10))
    }
}
