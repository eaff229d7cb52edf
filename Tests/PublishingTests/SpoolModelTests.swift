import Batching
import CKernel
import Foundation
import MarketData
import Rings
import SyntheticBatches
import Testing

@testable import Publishing

/// Random lives of a spool against what must be true of them: whatever was on disk or acknowledged arrives, each lane in
/// the order in which it was closed; what comes twice is the same.
@Suite struct SpoolModelTests {
    /// `SPOOL_SEEDS` asks for more.
    static var seeds: Range<UInt64> {
        0..<(ProcessInfo.processInfo.environment["SPOOL_SEEDS"].flatMap(UInt64.init) ?? 120)
    }

    @Test func livesOfManySeedsLoseNothingAndKeepTheOrder() throws {
        for seed in SpoolModelTests.seeds {
            var life = try SpoolLife(seed: seed)
            try life.run()
            guard life.problems.isEmpty else {
                Issue.record("seed \(seed): \(life.problems.joined(separator: "\n"))")
                return
            }
        }
    }
}

/// One collector's data directory through several runs.
private struct SpoolLife {
    private struct Sent {
        var lane: LaneSink.Name
        var identity: LaneSink.Identity
        var data: [UInt8]
    }

    private var random: SplitMix64
    private let directory: TemporaryDirectory
    private var settings: SpoolSettings
    private var generation = 0
    /// What was closed, by lane in order.
    private var sent: [LaneSink.Name: [Sent]] = [:]
    /// What may be missing: it was in memory alone when the process died.
    private var excused: Set<LaneSink.Identity> = []
    private let record = Record()
    private(set) var problems: [String] = []

    private final class Record {
        var delivered: [LaneSink.Name: [LaneSink.Held]] = [:]
    }

    private final class Run {
        let source: BatchSource
        let ledger: PublishLedger
        let sink: LaneSink
        let spool: Spool
        var stage: PublisherStage<LaneSink>
        var routes: [Route] = []

        init(settings: SpoolSettings, record: Record) throws {
            source = try BatchSource(bytes: 1 << 16)
            ledger = PublishLedger(markets: 2)
            sink = LaneSink(ledger: ledger, runID: settings.origin.runID)
            spool = try Spool(settings: settings, routes: source.routes, ledger: ledger) {
                $0 == "binance" ? 0 : 1
            }
            stage = PublisherStage(
                input: try source.takeConsumer(), routes: source.routes, sink: sink, spool: spool,
                waker: source.waker)
            sink.delivered = { name, held in record.delivered[name, default: []].append(held) }
        }
    }

    init(seed: UInt64) throws {
        random = SplitMix64(seed: seed)
        directory = try TemporaryDirectory()
        settings = SpoolSettings(
            directory: "", destination: "test", origin: Route.Origin(runID: 0, collector: "model"))
        settings.segmentBytes = 1 << (9 + Int(random.next() % 5))
        settings.fsync = [.never, .never, .never, .never, .interval, .each][Int(random.next() % 6)]
        settings.syncInterval = 0
        settings.patience = [0, 100_000, 1 << 50][Int(random.next() % 3)]
        settings.window = [1 << 10, 1 << 14, 4 << 20][Int(random.next() % 3)]
        settings.deferredLimit = [3, 1 << 20][Int(random.next() % 2)]
    }

    private mutating func chance(_ percent: UInt64) -> Bool { random.next() % 100 < percent }

    mutating func run() throws {
        settings.directory = "\(directory.path)/0"
        for _ in 0..<(1 + random.next() % 4) {
            let run = try start()
            try live(run)
            if chance(70) { try die(run) } else { end(run) }
        }
        let last = try start()
        drain(last)
        end(last)
        check()
    }

    private mutating func start() throws -> Run {
        settings.origin.runID += 1
        let run = try Run(settings: settings, record: record)
        for lane in 0..<4 {
            run.routes.append(try run.source.route("topic-\(lane % 2)", key: "key-\(lane)"))
        }
        // Of another kind, to the same topic and key.
        run.routes.append(try run.source.route("topic-0", kind: .kline, key: "key-0"))
        return run
    }

    private mutating func live(_ run: Run) throws {
        for _ in 0..<(20 + random.next() % 150) {
            if chance(10) { run.sink.capacity = chance(50) ? .max : Int(random.next() % 8) }
            if chance(10) { run.sink.laneCapacity = chance(50) ? .max : Int(random.next() % 4) }
            if chance(60) {
                for _ in 0..<random.next() % 4 {
                    let route = run.routes[Int(random.next() % 5)]
                    let written = try run.source.write(
                        route, events: 1 + Int(random.next() % 3), eventMode: chance(20),
                        padding: Int(random.next() % 120))
                    if written, let batch = run.source.log.last {
                        let name = LaneSink.Name(topic: route.topic, orderingKey: route.orderingKey)
                        let identity = LaneSink.Identity(run: run.sink.runID, number: batch.header.number)
                        sent[name, default: []].append(Sent(lane: name, identity: identity, data: batch.data))
                    }
                }
            }
            _ = run.stage.doWork()
            if chance(50) { acknowledge(run, atMost: random.next() % 6) }
            if let oldest = run.ledger.oldestUnsafe, run.source.log.isEmpty || oldest == 0 {
                problems.append("a batch is unsafe that nobody wrote")
            }
        }
    }

    private mutating func acknowledge(_ run: Run, atMost count: UInt64) {
        let names = run.sink.lanes.filter { !$0.value.isEmpty }.keys.sorted()
        guard !names.isEmpty else { return }
        for _ in 0..<count { run.sink.acknowledge(names[Int(random.next() % UInt64(names.count))]) }
    }

    /// kill -9: what is on disk is all that is left; perhaps a write was in the middle.
    private mutating func die(_ run: Run) throws {
        for batches in run.sink.lanes.values {
            for batch in batches where !batch.receipt.place.isSomewhere { excused.insert(batch.identity) }
        }
        // What is still in the ring.
        let inRing = run.source.storage.recordCount
        for batch in run.source.log.suffix(inRing) {
            excused.insert(LaneSink.Identity(run: run.sink.runID, number: batch.header.number))
        }
        let old = settings.directory
        generation += 1
        settings.directory = "\(directory.path)/\(generation)"
        try FileManager.default.copyItem(atPath: old, toPath: settings.directory)
        let names = DirectoryListing.names(settings.directory).names.filter { $0.hasSuffix(".spool") }
        if let last = names.last, chance(60) { try tear(last) }
        if chance(10) { try? FileManager.default.removeItem(atPath: "\(settings.directory)/position") }
    }

    /// Leaves the beginning of a record, or rubbish, at the end of a file.
    private mutating func tear(_ name: String) throws {
        let path = "\(settings.directory)/\(name)"
        var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
        let whole = bytes.count
        if chance(50), whole > 64 {
            bytes += bytes[64..<min(whole, 64 + 8 + Int(random.next() % 40))].map { $0 &+ 1 }
        } else {
            let payload = [UInt8](repeating: 7, count: 200)
            var head = [UInt8](repeating: 0, count: SpoolFormat.headSize)
            head.withUnsafeMutableBytes { head in
                payload.withUnsafeBytes { payload in
                    guard let base = head.baseAddress else { return }
                    SpoolFormat.writeHead(.batch, route: 0, index: 0, payload: payload, to: base)
                }
            }
            bytes += (head + payload).prefix(1 + Int(random.next() % 180))
        }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }

    /// SIGTERM: the stage is given up.
    private mutating func end(_ run: Run) {
        let inRing = run.source.storage.recordCount
        for batch in run.source.log.suffix(inRing) {
            excused.insert(LaneSink.Identity(run: run.sink.runID, number: batch.header.number))
        }
        run.spool.close(run.sink)
        if run.ledger.oldestUnsafe != nil, inRing == 0 {
            problems.append("something is unsafe after the end")
        }
    }

    private mutating func drain(_ run: Run) {
        let begun = ck_monotonic_nanos()
        while run.ledger.batchesInFlight > 0 {
            _ = run.stage.doWork()
            let names = run.sink.lanes.filter { !$0.value.isEmpty }.keys.sorted()
            for name in names { run.sink.acknowledge(name) }
            if names.isEmpty { usleep(100) }
            if ck_monotonic_nanos() - begun > 20_000_000_000 {
                problems.append("the spool does not run dry: \(run.ledger.batchesInFlight) batches are left")
                return
            }
        }
        _ = run.stage.doWork()
        if !run.spool.store.isEmpty || run.ledger.eventsInFlight != 0 { problems.append("something is left") }
        let lanes = run.spool.lanes
        if lanes.contains(where: { $0.pending != 0 || $0.held != 0 || $0.handed != 0 || $0.handedBytes != 0 })
        {
            problems.append("lanes are not balanced: \(lanes)")
        }
        if run.spool.windowBytes != 0 || run.spool.handedCount != 0 || run.spool.deferredCount != 0 {
            problems.append("the window is not balanced")
        }
        // The direct path is in force again.
        let stored = run.spool.monitor.value(.stored)
        run.sink.capacity = .max
        run.sink.laneCapacity = .max
        for route in run.routes { _ = try? run.source.write(route) }
        _ = run.stage.doWork()
        let isDirect = settings.patience < 1 << 40 || run.spool.monitor.value(.stored) == stored
        if run.sink.held != run.routes.count || !isDirect {
            problems.append("an empty spool is still used")
        }
    }

    private mutating func check() {
        for (name, batches) in sent {
            let delivered = record.delivered[name] ?? []
            var seen: [LaneSink.Identity: [UInt8]] = [:]
            var order: [LaneSink.Identity] = []
            for held in delivered {
                if let known = seen[held.identity] {
                    if known != held.data { problems.append("\(held.identity) came twice and differs") }
                } else {
                    seen[held.identity] = held.data
                    order.append(held.identity)
                }
            }
            if order != order.sorted() { problems.append("\(name): the order is \(order)") }
            for batch in batches {
                guard let data = seen[batch.identity] else {
                    if !excused.contains(batch.identity) {
                        problems.append("\(name): \(batch.identity) is missing")
                    }
                    continue
                }
                if data != batch.data { problems.append("\(name): \(batch.identity) differs") }
            }
        }
    }
}
