import ExchangeAdapter
import MarketData
import Publishing
import Testing

@testable import ControlPlane

@Suite struct CostTests {
    private func configuration(
        symbols: Int, delayNanos: Int64 = 10_000_000, payload: String = "batch", topic: String? = nil
    ) throws -> Configuration {
        let names = (0..<symbols).map { "S\($0)USDT" }.joined(separator: ", ")
        let text = """
            exchanges:
              - adapter: binance
                subscriptions:
                  - { type: trade, symbols: [\(names)] }
            batching: { maxDelay: \(delayNanos / 1_000_000)ms, payload: \(payload) }
            sink: { type: pubsub, project: test\(topic.map { ", topic: \"\($0)\", orderingKey: \"{exchange}\"" } ?? "") }
            """
        let context = ExamplesTests.context
        return try Configuration.parse(yaml: text, file: "test.yaml", context: context).configuration
    }

    private func row(_ estimate: CostEstimate, _ layout: CostEstimate.Layout, _ delay: Int64) throws
        -> CostEstimate.Row
    {
        try #require(estimate.rows.first { $0.layout == layout && $0.delayNanos == delay })
    }

    @Test func aRequestIsBilledAsAThousandBytesAtLeast() {
        #expect(PublishPrice.billed(messages: 1, contentBytes: 300) == 1_000)
        #expect(PublishPrice.billed(messages: 2, contentBytes: 3_000) == 3_072)
        #expect(PublishPrice.dollars(bytes: 1_099_511_627_776) == 40)
    }

    /// One trade a second and topic: each alone in its batch and request, so each is billed as 1,000 bytes.
    @Test func quietTopicsCostAThousandBytesAnEvent() throws {
        let estimate = CostEstimate(try configuration(symbols: 10), rates: [.trade: 1])
        #expect(estimate.eventsPerSecond == 10)
        let row = try row(estimate, .configured, 10_000_000)
        #expect(row.topics == 10)
        #expect(abs(row.eventsPerBatch - 1.01) < 1e-9)
        // 1 / 1.01 batches a second and topic; of these 1 in 51 goes with the one before it.
        let perTopic = 1 / 1.01 / (1 + 0.02 / 1.01)
        #expect(abs(row.billedBytesPerSecond - 10 * 1_000 * perTopic) < 1e-6)
        #expect(abs(row.dollarsPerDay - row.billedBytesPerSecond * 86_400 * 40 / 1_099_511_627_776) < 1e-9)
    }

    @Test func coarserTopicsAndLongerDelaysCostLess() throws {
        let estimate = CostEstimate(try configuration(symbols: 50), rates: [.trade: 20])
        for delay: Int64 in [1_000_000, 10_000_000, 100_000_000] {
            let symbol = try row(estimate, .symbol, delay)
            let type = try row(estimate, .type, delay)
            #expect(symbol.topics == 50 && type.topics == 1)
            #expect(type.dollarsPerDay < symbol.dollarsPerDay)
        }
        let delays = try [1_000_000, 10_000_000, 100_000_000].map {
            try row(estimate, .type, $0).dollarsPerDay
        }
        #expect(delays[0] > delays[1] && delays[1] > delays[2])
    }

    @Test func oneMessageAnEventCostsMost() throws {
        let event = CostEstimate(try configuration(symbols: 5, payload: "event"), rates: [.trade: 500])
        let batch = CostEstimate(try configuration(symbols: 5), rates: [.trade: 500])
        let ratio =
            try row(event, .type, 10_000_000).dollarsPerDay / row(batch, .type, 10_000_000).dollarsPerDay
        #expect(ratio > 5)
    }

    /// An event of some 250 bytes stays as it is, twenty of them are compressed.
    @Test func smallBatchesAreReckonedAsTheyAre() {
        var batching = Configuration.Batching()
        batching.compression = .none
        var plain = BatchSizes(batching)
        batching.compression = .zstd
        var all = BatchSizes(batching)
        batching.compressMinBytes = 1_000
        var large = BatchSizes(batching)
        defer {
            for sizes in [plain, all, large] { sizes.free() }
        }
        #expect(large.bytes(.trade, events: 1) == plain.bytes(.trade, events: 1))
        #expect(all.bytes(.trade, events: 1) < plain.bytes(.trade, events: 1))
        #expect(large.bytes(.trade, events: 20) == all.bytes(.trade, events: 20))
    }

    @Test func theTextNamesRatesLayoutsAndTheLimitOfAKey() throws {
        let configuration = try configuration(symbols: 100, topic: "all")
        let text = CostText.render(CostEstimate(configuration, rates: [.trade: 3_000])).joined(
            separator: "\n")
        for words in ["300,000 events/s", "trade 3000.00", "as configured", "$ a day", "limit: 1 MB/s"] {
            #expect(text.contains(words), "\(words) is not in:\n\(text)")
        }
    }

    @Test func theRateIsThatOfTheLastMinute() {
        let rate = BilledRate()
        #expect(rate.note(0, now: 0) == 0)
        #expect(rate.note(10_000, now: 10_000_000_000) == 1_000)
        for second in 11...200 { _ = rate.note(10_000, now: Int64(second) * 1_000_000_000) }
        #expect(rate.note(10_000, now: 201_000_000_000) == 0)
    }
}
