import ExchangeAdapter
import MarketData

/// What a configuration would do, for people.
public enum ConfigurationSummary {
    /// Some lines without a newline at the end. Holds no secrets.
    public static func render(
        _ configuration: Configuration, adapters: [any ExchangeAdapter.Type] = Adapters.all
    )
        -> String
    {
        var lines: [String] = []
        func add(_ key: String, _ value: String) {
            lines.append("  " + key + String(repeating: " ", count: max(1, 12 - key.count)) + value)
        }
        lines.append("collector \(configuration.collector.name): \(ProductVersion.text)")
        for exchange in configuration.exchanges {
            lines.append("exchange \(exchange.exchange) at \(exchange.endpoint)")
            let kinds = Dictionary(grouping: exchange.streams, by: \.kind)
            let parts = kinds.sorted { $0.key.rawValue < $1.key.rawValue }.map {
                "\($0.value.count) \($0.key.name)"
            }
            add("streams", "\(exchange.streams.count): \(parts.joined(separator: ", "))")
            let adapter = adapters.first { $0.name == exchange.adapter }?.init(market: exchange.market)
            if let adapter {
                let plans = adapter.connections(
                    for: exchange.streams, endpoint: exchange.endpoint, market: 0, tls: 0, firstSlot: 0)
                add(
                    "connections",
                    "\(plans.count), each with at most \(plans.map(\.streamCount).max() ?? 0) streams")
            }
            add("TLS", tls(exchange))
        }
        let collector = configuration.collector
        lines.append("threads \(collector.threads.rawValue)")
        add("lanes", "\(collector.lanes)")
        add(
            "CPUs",
            collector.pin.isEmpty ? "not pinned" : collector.pin.map(String.init).joined(separator: ", "))
        add("idle", collector.idle.rawValue)
        let batching = configuration.batching
        lines.append("batches of one topic")
        add(
            "closed at",
            "\(batching.maxEvents) events, \(ConfigurationUnits.text(bytes: batching.maxBytes)) or"
                + " \(ConfigurationUnits.text(nanos: batching.maxDelayNanos))"
                + (batching.closeWhenIdle ? ", sooner when the publisher is idle" : ""))
        add(
            "payload",
            batching.payload == .event
                ? "one message for each event"
                : "one message for each batch, "
                    + (batching.compression == .zstd ? "zstd level \(batching.level)" : "not compressed"))
        addSink(configuration.sink, &lines, add)
        lines.append(
            "API " + (configuration.api.listen.map { "http://\($0)" } ?? "off")
                + (configuration.api.token == nil ? "" : ", with a token"))
        return lines.joined(separator: "\n")
    }

    private static func addSink(
        _ sink: Configuration.Sink, _ lines: inout [String], _ add: (String, String) -> Void
    ) {
        lines.append("sink \(sink.type.rawValue)")
        switch sink.type {
        case .pubsub:
            add("project", sink.project)
            add("at", sink.endpoint ?? "https://pubsub.googleapis.com")
            add("topics", sink.topic + (sink.createTopics ? ", made when missing" : ""))
            add("ordering", sink.orderingKey.isEmpty ? "none" : sink.orderingKey)
        case .file:
            add("directory", sink.path)
            add(
                "segments",
                "of \(ConfigurationUnits.text(bytes: sink.rotateBytes)) or \(sink.rotateSeconds) s at most")
        case .stdout, .null: break
        }
    }

    private static func tls(_ exchange: Configuration.Exchange) -> String {
        guard exchange.endpoint.isTLS else { return "none" }
        guard exchange.tls.verify else { return "not verified" }
        return "verified against " + (exchange.tls.certificateAuthority ?? "the system's trust store")
    }
}
