import Batching
import Rings
import SyntheticBatches
import Testing

@testable import Publishing

/// What is billed, against the messages themselves.
@Suite struct BilledBytesTests {
    private func settings() -> PubSubSettings {
        PubSubSettings(project: "test", collector: "a-collector", runID: 7)
    }

    /// A batch as the scheduler would send it.
    private func request(
        _ scheduler: PublishScheduler, symbol: String?, events: Int, compressed: Bool = false,
        eventMode: Bool = false
    ) throws -> (Route, PublishScheduler.Request, [PublishedRequest.Message]) {
        let source = try BatchSource(bytes: 4 << 20)
        var consumer = try source.takeConsumer()
        let route = try source.route(
            "market.trade.binance", symbol: symbol, key: "binance:\(symbol ?? "trade")")
        try source.write(route, events: events, compressed: compressed, eventMode: eventMode, padding: 90)
        #expect(scheduler.take(try nextBatch(&consumer, source.routes)) == .accepted)
        let request = try #require(scheduler.nextRequest(now: 0))
        return (route, request, try #require(PublishedRequest.read(request.body)).messages)
    }

    private func content(_ message: PublishedRequest.Message) -> Int {
        message.attributes.reduce(message.key.utf8.count) { $0 + $1.key.utf8.count + $1.value.utf8.count }
    }

    @Test(
        arguments: [MessageContent.Form.event, .lines, .compressed(dictionary: false)], ["BTCUSDT", "市", nil])
    func theEstimatesAttributesAreThoseOfMessages(form: MessageContent.Form, symbol: String?) throws {
        let scheduler = PublishScheduler(settings: settings(), ledger: PublishLedger(markets: 1), seed: 1)
        let (route, request, messages) = try request(
            scheduler, symbol: symbol, events: form == .event ? 1 : 40,
            compressed: form == .compressed(dictionary: false), eventMode: form == .event)
        let message = try #require(messages.first)
        // The estimate is for sequences and batches of seven digits.
        var typical = message
        for name in ["first_sequence", "last_sequence"] { typical.attributes[name] = "1000000" }
        typical.attributes["batch_id"] = "0000000000000007-1000000" + (form == .event ? "-0" : "")
        #expect(
            MessageContent.attributeBytes(
                of: route, collector: "a-collector", form: form, events: form == .event ? 1 : 40)
                == content(typical))
        scheduler.finish(request, RequestOutcome(.ok), now: 1)
    }

    @Test func aDictionarysIDIsBilledToo() throws {
        let source = try BatchSource()
        let route = try source.route("t")
        func bytes(_ dictionary: Bool) -> Int {
            MessageContent.attributeBytes(
                of: route, collector: "c", form: .compressed(dictionary: dictionary), events: 1)
        }
        #expect(bytes(true) - bytes(false) == "dictionary".utf8.count + 10)
    }

    @Test(arguments: [(1, false), (50, false), (30, true), (1_000, true)], ["BTCUSDT", nil])
    func whatIsCountedIsWhatTheRequestHolds(_ batch: (events: Int, eventMode: Bool), symbol: String?) throws {
        let ledger = PublishLedger(markets: 1)
        let scheduler = PublishScheduler(settings: settings(), ledger: ledger, seed: 1)
        let (_, request, messages) = try request(
            scheduler, symbol: symbol, events: batch.events, eventMode: batch.eventMode)
        // https://cloud.google.com/pubsub/pricing: data, attributes, key, a timestamp of 20 bytes and an id.
        let exact = messages.reduce(0) { $0 + $1.data.count + content($1) + 20 + 16 }
        scheduler.finish(request, RequestOutcome(.ok), now: 1)
        let counted = ledger.total(.billedBytes)
        #expect(abs(counted - max(1_000, exact)) <= 2 * (messages.count - 1), "\(counted), not \(exact)")
    }
}
