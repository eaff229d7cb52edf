import ArgumentParser
import Batching
import CKernel
import Foundation
import MarketData
import Publishing
import Rings
import SyntheticBatches

/// So many batches, or as many as go in a time, over one publisher thread.
struct DeliverCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deliver", abstract: "Delivers equal batches and tells how fast and at what cost.")

    @OptionGroup var service: ServiceOptions
    @Option(help: "Project.")
    var project = "test"
    @Option(help: "Topics.")
    var topics = 1
    @Option(help: "Ordering keys of each topic.")
    var keys = 1
    @Option(help: "Events of a batch.")
    var events = 100
    @Option(help: "Bytes of an event, about.")
    var eventBytes = 200
    @Flag(help: "One message an event rather than one a batch.")
    var eventMode = false
    @Option(help: "Batches; 0: as many as go in --seconds.")
    var batches = 0
    @Option(help: "Seconds at most.")
    var seconds = 30.0
    @Option(help: "Batches a second; 0: as fast as they are taken.")
    var rate = 0.0
    @Option(help: "Seconds of the beginning that do not count.")
    var warmUp = 0.0
    @Flag(help: "Begin once all topics have been made.")
    var awaitTopics = false
    @Flag(inversion: .prefixedNo, help: "Ask for the topics beforehand, as the collector does.")
    var announceTopics = true
    @Option(help: "Seconds at the end for what is still in flight; default: as --seconds.")
    var drain: Double?

    struct Paused: Encodable {
        var topic: String
        var key: String
        var reason: String
        var batches: Int
    }

    struct Report: Encodable {
        var batches: UInt64
        var published: Int
        var inFlight: Int
        var deadLettered: Int
        var seconds: Double
        var processorSeconds: Double
        var messagesPerSecond: Double
        /// Of the whole process.
        var microsecondsPerMessage: Double
        /// Of the publisher's thread alone.
        var publisherMicrosecondsPerMessage: Double
        /// Memory that was added since before topics and routes were known, without the driver's own batches.
        var residentBytes: Int
        /// Until all topics were there, s; 0 where that was not waited for.
        var topicSeconds: Double
        var connections: Int
        var reconnects: Int
        var retries: Int
        var withoutStatus: Int
        var polls: Int
        var requests: [String: Int]
        var p50: Double
        var p99: Double
        var keysPaused: Int
        var paused: [Paused]
        var problem: String?
    }

    func run() throws {
        let control = try StageControl(name: "publisher")
        let source = try BatchSource(bytes: 16 << 20, waker: control.waker)
        let ledger = PublishLedger(markets: 1)
        let settings = try service.settings(project: project, runID: UInt64(getpid()))
        let sink = try PubSubSink(
            settings: settings, ledger: ledger,
            tokens: settings.endpoint.isSecure ? RenewedToken() : nil)
        let residentBefore = residentBytes()
        let routes = try makeRoutes(source)
        let residentRoutes = residentBytes()
        let all = try routes.map { try makeBatch(source, $0) }
        let residentOwn = residentBytes() - residentRoutes
        if announceTopics { sink.ensureTopics((0..<topics).map(topic)) }
        let box = StageBox(
            PublisherStage(
                input: try source.takeConsumer(), routes: source.routes, sink: sink, waker: control.waker))
        let thread = try StageThread(control: control, idle: .park) {
            guard let stage = box.take() else { preconditionFailure("taken twice") }
            return stage
        }
        let topicSeconds = awaitTopics ? waitForTopics(ledger) : 0
        var began = ck_monotonic_nanos()
        let limit = began + Int64((seconds + warmUp) * 1e9)
        var processor = processorSeconds()
        var publisher = threadSeconds("publisher")
        var before = 0
        var latencyBefore = LatencySnapshot()
        var isWarm = warmUp == 0
        var next = 0
        while ck_monotonic_nanos() < limit, batches == 0 || next < batches {
            let now = ck_monotonic_nanos()
            if !isWarm, now - began >= Int64(warmUp * 1e9) {
                (isWarm, began, processor, before) = (true, now, processorSeconds(), ledger.eventsPublished)
                publisher = threadSeconds("publisher")
                latencyBefore = ledger.latency(kind: .trade)
            }
            let due = rate == 0 ? Int.max : Int(Double(now - limit) / 1e9 * rate + (seconds + warmUp) * rate)
            if next >= due {
                usleep(1000)
            } else if source.put(all[next % all.count]) {
                next += 1
            } else {
                usleep(200)
            }
        }
        let counted = ledger.eventsPublished - before
        let span = Double(ck_monotonic_nanos() - began) / 1e9
        let used = processorSeconds() - processor
        let publisherUsed = threadSeconds("publisher") - publisher
        let resident = residentBytes()
        let drained = ck_monotonic_nanos() + Int64((drain ?? seconds) * 1e9)
        while ledger.batchesInFlight > 0 || source.storage.bytesUsed > 0, ck_monotonic_nanos() < drained {
            usleep(1000)
        }
        let total = Double(ck_monotonic_nanos() - began) / 1e9
        let publisherTotal = threadSeconds("publisher") - publisher
        control.stop()
        thread.join()
        let isCounted = batches > 0
        let time = isCounted ? total : span
        let messages = isCounted ? ledger.eventsPublished - before : counted
        let latency = ledger.latency(kind: .trade).since(latencyBefore)
        let publisherTime = isCounted ? publisherTotal : publisherUsed
        let processors = isCounted ? processorSeconds() - processor : used
        try printJSON(
            Report(
                batches: source.number, published: ledger.eventsPublished, inFlight: ledger.eventsInFlight,
                deadLettered: ledger.eventsDeadLettered, seconds: time, processorSeconds: processors,
                messagesPerSecond: Double(messages) / time,
                microsecondsPerMessage: processors * 1e6 / Double(max(messages, 1)),
                publisherMicrosecondsPerMessage: publisherTime * 1e6 / Double(max(messages, 1)),
                residentBytes: resident - residentBefore - residentOwn, topicSeconds: topicSeconds,
                connections: ledger.total(.connections), reconnects: ledger.total(.reconnects),
                retries: ledger.total(.retries), withoutStatus: ledger.total(.answersWithoutStatus),
                polls: sink.polls,
                requests: Dictionary(
                    uniqueKeysWithValues: PublishCode.allCases.filter { ledger.requests($0) > 0 }
                        .map { ($0.name, ledger.requests($0)) }),
                p50: Double(latency.quantile(0.5)) / 1e6, p99: Double(latency.quantile(0.99)) / 1e6,
                keysPaused: ledger.total(.keysPaused),
                paused: ledger.paused.map {
                    Paused(topic: $0.topic, key: $0.orderingKey, reason: $0.reason, batches: $0.batches)
                },
                problem: ledger.isHealthy ? nil : ledger.problem?.text))
    }

    private func topic(_ index: Int) -> String { "market.trade.binance.S\(index)" }

    /// s; two minutes at most.
    private func waitForTopics(_ ledger: PublishLedger) -> Double {
        let began = ck_monotonic_nanos()
        while ledger.total(.topicsReady) < topics, ck_monotonic_nanos() - began < 120_000_000_000 {
            usleep(10_000)
        }
        return Double(ck_monotonic_nanos() - began) / 1e9
    }

    private func makeRoutes(_ source: BatchSource) throws -> [Route] {
        try (0..<topics).flatMap { topic in
            try (0..<keys).map { key in
                try source.route(
                    self.topic(topic), symbol: "S\(topic)",
                    key: keys == 1 ? "binance:S\(topic)" : "binance:S\(topic)-\(key)")
            }
        }
    }

    private func makeBatch(_ source: BatchSource, _ route: Route) throws -> BatchSource.Written {
        let bare = BatchSource.line(route, sequence: 1).utf8.count + 9
        return try source.make(
            route, events: events, eventMode: eventMode, padding: max(0, eventBytes - bare))
    }
}

/// Carries a stage to the thread that will own it.
final class StageBox: @unchecked Sendable {
    private var stage: PublisherStage<PubSubSink>?
    init(_ stage: consuming PublisherStage<PubSubSink>) { self.stage = consume stage }
    func take() -> PublisherStage<PubSubSink>? { stage.take() }
}
