import Batching
import CKernel
import Foundation
import Glibc
import MarketData
import Rings
import Synchronization
import SyntheticBatches
import Testing

@testable import Publishing

/// Against the real emulator, where it is installed.
@Suite(.serialized) struct EmulatorTests {
    /// A publisher thread and what feeds it.
    private final class Publisher {
        let source: BatchSource
        let ledger = PublishLedger(markets: 1)
        let settings: PubSubSettings
        private let control: StageControl
        private let thread: StageThread

        init(
            _ emulator: Emulator, topics: [String], idle: IdleStrategy = .adaptive,
            tokens: (any TokenSource)? = nil,
            change: (inout PubSubSettings) -> Void = { _ in }
        ) throws {
            control = try StageControl(name: "publisher")
            source = try BatchSource(waker: control.waker)
            var settings = PubSubSettings(project: emulator.project, collector: "ünit-test", runID: 0xABC)
            settings.endpoint = try PubSubEndpoint("127.0.0.1:\(emulator.port)", source: "test")
            change(&settings)
            self.settings = settings
            let sink = try PubSubSink(settings: settings, ledger: ledger, tokens: tokens)
            sink.ensureTopics(topics)
            let box = PublisherStageBox(
                PublisherStage(
                    input: try source.takeConsumer(), routes: source.routes, sink: sink, waker: control.waker)
            )
            thread = try StageThread(control: control, idle: idle) {
                guard let stage = box.take() else { preconditionFailure("taken twice") }
                return stage
            }
        }

        func wait(_ what: String, seconds: Int = 60, until done: () -> Bool) throws {
            for _ in 0..<seconds * 100 {
                if done() { return }
                usleep(10_000)
            }
            throw Emulator.Failure(
                description:
                    "\(what): not within \(seconds) s; \(ledger.problem?.text ?? "no problem known"),"
                    + " \(ledger.batchesInFlight) batches in flight, \(ledger.eventsPublished) events published"
            )
        }

        func write(_ write: () throws -> Bool) throws {
            while try !write() { usleep(1000) }
        }

        var isDrained: Bool { source.storage.bytesUsed == 0 && ledger.batchesInFlight == 0 }

        func stop() {
            control.stop()
            thread.join()
        }
    }

    /// What should have arrived, from the batches that were written.
    private func expected(_ batch: BatchSource.Written) -> [(data: [UInt8], attributes: [String: String])] {
        var common = [
            "schema": "market.\(batch.route.kind.name)/1", "type": batch.route.kind.name,
            "exchange": "binance",
            "collector": "ünit-test",
        ]
        common["symbol"] = batch.route.symbol
        let id = "0000000000000abc-\(batch.header.number)"
        guard !batch.slices.isEmpty else {
            let more = [
                "content_type": "application/x-ndjson",
                "content_encoding": batch.header.isCompressed ? "zstd" : "identity",
                "count": "\(batch.header.count)", "first_sequence": "\(batch.header.firstSequence)",
                "last_sequence": "\(batch.header.lastSequence)",
                "first_event_time": "\(batch.header.firstEventTime)",
                "last_event_time": "\(batch.header.lastEventTime)", "batch_id": id,
            ]
            return [(batch.data, common.merging(more) { $1 })]
        }
        return batch.slices.enumerated().map { index, slice in
            let more = [
                "content_type": "application/json", "content_encoding": "identity", "count": "1",
                "first_sequence": "\(slice.sequence)", "last_sequence": "\(slice.sequence)",
                "first_event_time": "\(slice.eventTime)", "last_event_time": "\(slice.eventTime)",
                "batch_id": "\(id)-\(index)",
            ]
            return (
                Array(batch.data[Int(slice.end - slice.length)..<Int(slice.end)]), common.merging(more) { $1 }
            )
        }
    }

    private func compare(_ publisher: Publisher, _ emulator: Emulator, topics: [String]) throws {
        for topic in topics {
            let batches = publisher.source.log.filter { $0.route.topic == topic }
            let keys = Set(batches.map(\.route.orderingKey))
            let total = batches.reduce(0) { $0 + max(1, $1.slices.count) }
            let messages = try emulator.pull(topic, count: total)
            #expect(messages.count == total)
            for key in keys {
                let received = messages.filter { $0.orderingKey == key }
                let wanted = batches.filter { $0.route.orderingKey == key }.flatMap(expected)
                try #require(received.count == wanted.count, "\(topic) \(key)")
                for (message, wanted) in zip(received, wanted) {
                    try #require(message.attributes == wanted.attributes)
                    try #require(message.data == wanted.data)
                }
            }
        }
    }

    @Test func thousandsOfBatchesArriveExactOnceAndInOrder() throws {
        guard let emulator = try Emulator.start() else { return }
        let topics = [
            "market.trade.binance.BTCUSDT", "market.kline.binance", "market.ticker.binance.%E5%B8%82USDT",
            "percent%2Fslash",
        ]
        // Of a symbol that a topic id cannot hold as it is.
        let template = try TopicTemplate("market.{type}.{exchange}.{symbol}")
        let values = TopicTemplate.Values(
            type: "ticker", exchange: "binance", symbol: "市USDT", interval: "", market: "")
        #expect(template.renderTopicID(values) == topics[2])
        let publisher = try Publisher(emulator, topics: topics)
        try publisher.wait("topics") { publisher.ledger.total(.topicsPending) == 0 }
        #expect(try emulator.topics() == topics.map { "projects/test/topics/\($0)" }.sorted())
        for topic in topics { try emulator.subscribe(to: topic) }

        let source = publisher.source
        let trade = try source.route(topics[0])
        let klines = try (0..<5).map { index in
            try source.route(topics[1], kind: .kline, symbol: "S\(index)", key: "binance:S\(index)")
        }
        let several = try source.route(topics[1], kind: .kline, symbol: nil, key: "")
        let single = try source.route(topics[2], kind: .ticker, symbol: "市USDT", key: "binance:市USDT")
        let odd = try source.route(topics[3], kind: .bookTicker, symbol: "A/B")
        for round in 0..<400 {
            try publisher.write { try source.write(trade, events: 1 + round % 50, compressed: true) }
            for route in klines {
                try publisher.write { try source.write(route, events: 2, compressed: true) }
            }
            try publisher.write { try source.write(several, events: 3) }
            try publisher.write { try source.write(single, events: 3, eventMode: true) }
            try publisher.write { try source.write(odd, compressed: true, padding: round * 10) }
        }
        // More events than one request may have messages.
        try publisher.write { try source.write(single, events: 2345, eventMode: true) }
        try publisher.wait("drain") { publisher.isDrained }
        let ledger = publisher.ledger
        let events = source.log.reduce(0) { $0 + Int($1.header.count) }
        #expect(ledger.eventsPublished == events && ledger.eventsInFlight == 0)
        #expect(ledger.total(.batchesPublished) == source.log.count)
        #expect(ledger.total(.bytesPublished) == source.log.reduce(0) { $0 + Int($1.header.dataBytes) })
        #expect(ledger.total(.rawBytesPublished) == source.log.reduce(0) { $0 + Int($1.header.rawBytes) })
        #expect(ledger.bytesInFlight == 0 && ledger.total(.bytesHeld) == 0)
        #expect(ledger.latency(kind: .kline).count == 400 * 13)
        #expect(ledger.total(.connections) == 1 && ledger.total(.reconnects) == 0)
        #expect(ledger.total(.retries) == 0 && ledger.total(.answersWithoutStatus) == 0)
        #expect(
            ledger.requests(.ok) > 0
                && PublishCode.allCases.allSatisfy { $0 == .ok || ledger.requests($0) == 0 })
        #expect(ledger.isHealthy)
        publisher.stop()
        try compare(publisher, emulator, topics: topics)
    }

    @Test func missingTopicsAreCreatedAndAFrozenServiceCausesNoDuplicate() throws {
        guard let emulator = try Emulator.start() else { return }
        let topics = (0..<20).map { "market.trade.binance.S\($0)" }
        let publisher = try Publisher(emulator, topics: [], idle: .park) { $0.byteBudget = 1 << 20 }
        let source = publisher.source
        let routes = try topics.map { try source.route($0, key: "binance:\($0)") }
        for route in routes { try publisher.write { try source.write(route, compressed: true) } }
        try publisher.wait("first batches") { publisher.isDrained }
        #expect(publisher.ledger.total(.topicsReady) == 20 && publisher.ledger.total(.topicsPending) == 0)
        #expect(publisher.ledger.requests(.notFound) == 20)
        #expect(publisher.ledger.isHealthy)
        #expect(try emulator.topics().count == 20)
        for topic in topics { try emulator.subscribe(to: topic) }
        let before = source.log.count

        for round in 0..<300 {
            if round == 100 { emulator.freeze() }
            if round == 200 {
                usleep(3_000_000)
                emulator.thaw()
            }
            for route in routes {
                // A full ring while it is frozen is what should happen; the rest is written afterwards.
                if round < 100 || round >= 200 {
                    try publisher.write { try source.write(route, padding: 300) }
                } else {
                    try source.write(route, padding: 300)
                }
            }
        }
        #expect(publisher.ledger.total(.bytesHeld) <= 2 << 20)
        try publisher.wait("drain") { publisher.isDrained }
        #expect(publisher.ledger.total(.retries) == 0)
        publisher.stop()
        var skipped: [String: Int] = [:]
        for batch in source.log[..<before] { skipped[batch.route.topic, default: 0] += 1 }
        for topic in topics {
            let wanted = source.log.filter { $0.route.topic == topic }.dropFirst(skipped[topic] ?? 0)
            let received = try emulator.pull(topic, count: wanted.count)
            let ids = received.map { $0.attributes["batch_id"] ?? "" }
            try #require(ids == wanted.map { "0000000000000abc-\($0.header.number)" })
        }
    }

    @Test func aServiceThatDiesAndComesBackEmptyGetsEverything() throws {
        guard var emulator = try Emulator.start() else { return }
        let publisher = try Publisher(emulator, topics: ["t-one", "t-two"])
        let source = publisher.source
        let one = try source.route("t-one")
        let two = try source.route("t-two")
        for _ in 0..<50 {
            try source.write(one)
            try source.write(two)
        }
        try publisher.wait("drain") { publisher.isDrained }
        let port = emulator.port
        emulator.stop()
        for _ in 0..<50 {
            try source.write(one)
            try source.write(two)
        }
        try publisher.wait("the problem to show") { !publisher.ledger.isHealthy }
        #expect(publisher.ledger.problem?.text.contains("127.0.0.1:\(port)") == true)
        // The problem may show before all have been taken from the ring.
        try publisher.wait("all to be taken") { publisher.ledger.eventsInFlight == 300 }
        guard let again = try Emulator.start(port: port) else { return }
        emulator = again
        try publisher.wait("drain after the restart") { publisher.isDrained }
        #expect(publisher.ledger.eventsPublished == 600)
        #expect(publisher.ledger.isHealthy)
        #expect(try emulator.topics().count == 2)
        publisher.stop()
    }

    private final class Tokens: TokenSource {
        let asked = Atomic<Int>(0)
        /// None at first.
        func token() -> String? { asked.add(1, ordering: .relaxed).newValue > 3 ? "token" : nil }
        func refuse(_ token: String) {}
    }

    @Test func theSameWorksOverTLSWithTokens() throws {
        let directory = try TemporaryDirectory()
        guard let emulator = try Emulator.start(),
            let front = try TLSFront.start(before: emulator.port, in: directory)
        else { return }
        let topics = (0..<10).map { "market.trade.binance.S\($0)" }
        let tokens = Tokens()
        let publisher = try Publisher(emulator, topics: topics, tokens: tokens) {
            $0.endpoint = PubSubEndpoint(isSecure: true, host: "localhost", port: front.port)
            $0.certificateAuthority = front.certificate
            $0.connections = 1
        }
        try publisher.wait("topics") { publisher.ledger.total(.topicsPending) == 0 }
        for topic in topics { try emulator.subscribe(to: topic) }
        let source = publisher.source
        let routes = try topics.map { try source.route($0, key: "binance:\($0)") }
        for _ in 0..<200 {
            for route in routes {
                try publisher.write { try source.write(route, events: 20, compressed: true) }
            }
        }
        // Answers of 1,000 ids each: larger than libcurl's own receive buffer, with which it loses trailers.
        for route in routes { try publisher.write { try source.write(route, events: 1000, eventMode: true) } }
        try publisher.wait("drain") { publisher.isDrained }
        #expect(publisher.ledger.total(.connections) == 1 && publisher.ledger.total(.retries) == 0)
        #expect(publisher.ledger.total(.answersWithoutStatus) == 0)
        #expect(publisher.ledger.isHealthy && tokens.asked.load(ordering: .relaxed) > 3)
        publisher.stop()
        try compare(publisher, emulator, topics: topics)
    }

    @Test func aCertificateThatIsNotTrustedIsSaidAndNothingIsSent() throws {
        let directory = try TemporaryDirectory()
        guard let front = try TLSFront.start(before: 1, in: directory), let emulator = try Emulator.start()
        else {
            return
        }
        let publisher = try Publisher(emulator, topics: []) {
            $0.endpoint = PubSubEndpoint(isSecure: true, host: "localhost", port: front.port)
        }
        try publisher.source.write(try publisher.source.route("ttt"))
        try publisher.wait("the problem") { !publisher.ledger.isHealthy }
        #expect(publisher.ledger.problem?.text.contains("certificate") == true)
        #expect(publisher.ledger.eventsInFlight == 3 && publisher.ledger.eventsPublished == 0)
        publisher.stop()
    }
}
