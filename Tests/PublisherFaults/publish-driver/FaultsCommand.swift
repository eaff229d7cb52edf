import ArgumentParser
import Batching
import CKernel
import Foundation
import MarketData
import Publishing
import Rings
import SyntheticBatches

/// One sink a seed, many at a time on one thread; the service's scripts are chosen by the project's name.
struct FaultsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "faults",
        abstract: "Publishes to a service that misbehaves; a line of JSON for each seed, in any order.")

    @OptionGroup var service: ServiceOptions
    @Option(help: "First seed.")
    var from = 1
    @Option(help: "Last seed.")
    var to = 10
    @Option(help: "Seeds at a time.")
    var parallel = 16
    @Option(help: "Batches of each.")
    var batches = 120
    @Option(help: "Seconds that one may take.")
    var limit = 90

    func run() throws {
        var next = from
        var running: [FaultRun] = []
        while next <= to || !running.isEmpty {
            while next <= to, running.count < parallel {
                running.append(
                    try FaultRun(
                        seed: next, batches: batches, limit: Int64(limit) * 1_000_000_000, service: service))
                next += 1
            }
            var work = 0
            for run in running { work += try run.step() }
            for run in running where run.isDone { try printJSON(run.report()) }
            running.removeAll(where: \.isDone)
            if work == 0 { usleep(200) }
        }
    }
}

/// The batches, the sink and what is to be told of one seed.
final class FaultRun {
    struct Lane: Encodable {
        var topic: String
        var key: String
        /// Batch ids in the order in which they were handed over; those of single events have a second number.
        var ids: [String]
    }

    struct Report: Encodable {
        var seed: Int
        var isDrained: Bool
        var events: Int
        var published: Int
        var deadLettered: Int
        var inFlight: Int
        var bytesHeld: Int
        var retries: Int
        var reconnects: Int
        var withoutStatus: Int
        var keysPaused: Int
        var problem: String?
        var lanes: [Lane]
    }

    private let seed: Int
    private let source: BatchSource
    private let ledger = PublishLedger(markets: 1)
    private let sink: PubSubSink
    private var consumer: RingConsumer
    private let routes: [Route]
    private var random: UInt64
    private var left: Int
    private let end: Int64
    private var nextBatchAt: Int64 = 0
    private(set) var isDone = false

    init(seed: Int, batches: Int, limit: Int64, service: ServiceOptions) throws {
        self.seed = seed
        left = batches
        random = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1
        end = ck_monotonic_nanos() + limit
        source = try BatchSource(bytes: 1 << 18)
        consumer = try source.takeConsumer()
        var settings = try service.settings(project: "seed-\(seed)", runID: UInt64(seed))
        settings.byteBudget = 1 << 20
        settings.requestBytes = [3_000, 20_000, 200_000][seed % 3]
        settings.connections = 1 + seed % 3
        settings.slowRetry = 150_000_000
        settings.maximumBackoff = 250_000_000
        settings.createsPerMinute = 6_000
        settings.requestTimeout = 1_000_000_000
        sink = try PubSubSink(settings: settings, ledger: ledger, tokens: RenewedToken())
        let source = source
        routes = try (0..<6).map { index in
            try source.route(
                "t-\(seed).\(index / 2)", kind: index == 5 ? .ticker : .trade, symbol: "S\(index)",
                key: index == 4 ? "" : "binance:S\(index)")
        }
        if seed % 4 > 0 { sink.ensureTopics(["t-\(seed).0", "t-\(seed).1", "t-\(seed).2"]) }
    }

    private func roll(_ bound: UInt64) -> Int {
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        return Int(random % bound)
    }

    /// One cycle as the publisher's thread has it.
    func step() throws -> Int {
        let now = ck_monotonic_nanos()
        if left > 0, now >= nextBatchAt {
            let route = routes[roll(6)]
            let isEvents = route.kind == .ticker
            if try source.write(
                route, events: 1 + roll(isEvents ? 30 : 5), compressed: roll(2) == 0 && !isEvents,
                eventMode: isEvents, padding: roll(400))
            {
                left -= 1
                nextBatchAt = now + Int64(roll(8_000_000))
            }
        }
        var work = 0
        while let payload = consumer.peek() {
            guard case .accepted = sink.take(BatchView(payload: payload, routes: source.routes)) else {
                break
            }
            consumer.advance()
            work += 1
        }
        consumer.release()
        work += sink.doWork(now: now)
        if left == 0 && ledger.batchesInFlight == 0 && source.storage.bytesUsed == 0 || now >= end {
            isDone = true
            sink.close()
        }
        return work
    }

    func report() -> Report {
        let run = String(seed, radix: 16)
        let prefix = String(repeating: "0", count: 16 - run.count) + run + "-"
        return Report(
            seed: seed, isDrained: left == 0 && ledger.batchesInFlight == 0,
            events: source.log.reduce(0) { $0 + Int($1.header.count) },
            published: ledger.eventsPublished, deadLettered: ledger.eventsDeadLettered,
            inFlight: ledger.eventsInFlight, bytesHeld: ledger.total(.bytesHeld),
            retries: ledger.total(.retries), reconnects: ledger.total(.reconnects),
            withoutStatus: ledger.total(.answersWithoutStatus), keysPaused: ledger.total(.keysPaused),
            problem: ledger.isHealthy ? nil : ledger.problem?.text,
            lanes: routes.map { route in
                Lane(
                    topic: route.topic, key: route.orderingKey,
                    ids: source.log.filter { $0.route === route }.flatMap { batch in
                        batch.slices.isEmpty
                            ? [prefix + "\(batch.header.number)"]
                            : batch.slices.indices.map { prefix + "\(batch.header.number)-\($0)" }
                    })
            })
    }
}
