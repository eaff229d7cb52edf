import ExchangeAdapter
import MarketData
import Yams

/// What the body of a request to `/v1/subscriptions` asks for: an entry as under `subscriptions:` in a configuration, or
/// a list of them, each with `exchange` (the market's name, as in topics) where several markets are collected.
struct SubscriptionRequest {
    /// One subscription.
    struct Entry: Sendable {
        var market: Int
        /// The streams that the adapter makes of it.
        var streams: [StreamPlan]
    }

    static let keys = ["exchange", "type", "symbols", "interval", "window", "updateSpeed"]
    static let example = "write for example [{\"type\": \"trade\", \"symbols\": [\"BTCUSDT\"]}]"

    private(set) var entries: [Entry] = []
    /// What its author should know.
    private(set) var warnings: [String] = []

    /// - Parameters:
    ///   - body: JSON. Nothing of the environment is put into it.
    ///   - adapters: by market.
    /// - Throws: every problem, in the order of the body.
    init(_ body: [UInt8], adapters: [any ExchangeAdapter]) throws(ConfigurationErrors) {
        guard let text = String(validating: body, as: UTF8.self), !text.isEmpty else {
            throw SubscriptionRequest.error("is no JSON text; \(SubscriptionRequest.example)")
        }
        // JSON is YAML; a reader without an environment substitutes nothing.
        let context = ConfigurationContext(
            environment: [:], adapters: [], allowedCPUs: [], unreadable: { _ in nil })
        let node: Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch {
            throw SubscriptionRequest.error("is no JSON: \(error); \(SubscriptionRequest.example)")
        }
        guard let node else { throw SubscriptionRequest.error("is empty; \(SubscriptionRequest.example)") }
        let reader = ConfigurationReader(file: "body", context: context, hiddenKeys: [:])
        read(node, reader: reader, adapters: adapters)
        if reader.hasErrors { throw ConfigurationErrors(problems: reader.sortedProblems()) }
        warnings = reader.sortedProblems().map(\.message)
    }

    private static func error(_ text: String) -> ConfigurationErrors {
        ConfigurationErrors(problems: [
            ConfigurationProblem(
                severity: .error, file: "body", line: 1, column: 1, keyPath: "", message: text)
        ])
    }

    private mutating func read(
        _ node: Node, reader: ConfigurationReader, adapters: [any ExchangeAdapter]
    ) {
        var nodes = [(node, "subscription")]
        if case .sequence(let sequence) = node {
            nodes = sequence.enumerated().map { ($1, "subscriptions[\($0)]") }
            if nodes.isEmpty {
                reader.report(at: node.mark, "", "is an empty list; \(SubscriptionRequest.example)")
            }
        }
        for (node, path) in nodes {
            guard let section = reader.section(node, path: path, known: SubscriptionRequest.keys) else {
                continue
            }
            let market = SubscriptionRequest.market(section, adapters: adapters)
            guard let subscription = SubscriptionDecoder(section: section).decode(), let market else {
                continue
            }
            var warnings: [String] = []
            do {
                let streams = try adapters[market].streams(for: [subscription], warnings: &warnings)
                entries.append(Entry(market: market, streams: streams))
            } catch {
                reader.report(at: section.mark, path, error.description)
            }
            for warning in warnings { reader.report(.warning, at: section.mark, path, warning) }
        }
    }

    private static func market(
        _ section: ConfigurationSection, adapters: [any ExchangeAdapter]
    ) -> Int? {
        let names = adapters.map(\.exchange)
        guard section.has("exchange") || names.count != 1 else { return 0 }
        return section.word("exchange", among: names, default: nil).flatMap(names.firstIndex)
    }
}
