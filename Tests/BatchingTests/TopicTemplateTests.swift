import Testing

@testable import Batching

@Suite struct TopicTemplateTests {
    private let values = TopicTemplate.Values(
        type: "kline", exchange: "binance", symbol: "币安人生USDT", interval: "1M", market: "spot")

    @Test func rendersAllVariables() throws {
        let template = try TopicTemplate("a.{type}.{exchange}.{symbol}.{interval}.{market}-z")
        #expect(template.render(values) == "a.kline.binance.币安人生USDT.1M.spot-z")
        #expect(template.contains(.symbol))
        #expect(template.literals == ["a.", ".", ".", ".", ".", "-z"])
    }

    @Test func topicIDsHoldOnlyWhatPubSubAllows() throws {
        let template = try TopicTemplate("market.{type}.{exchange}.{symbol}")
        #expect(
            template.renderTopicID(values) == "market.kline.binance.%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT")
        var pair = values
        pair.symbol = "XBT/USD"
        #expect(template.renderTopicID(pair) == "market.kline.binance.XBT%2FUSD")
    }

    @Test(arguments: [
        ("a.{typ}", "unknown variable {typ}"), ("a.{type", "a { without a }"),
        ("a}.{type}", "a } without a {"),
    ]) func saysWhatIsWrong(text: String, why: String) {
        let error = #expect(throws: TopicTemplate.Malformed.self) { try TopicTemplate(text) }
        #expect(error?.description.contains(why) == true)
        #expect(error?.description.contains("{symbol}") == true)
    }
}
