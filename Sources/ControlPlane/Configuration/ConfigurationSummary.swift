import ExchangeAdapter
import MarketData
import Telemetry
import Wire

/// What a configuration would do, for people.
public struct ConfigurationSummary {
    private var lines: [String] = []

    /// Some lines without a newline at the end. Holds no secrets; `secrets` are named.
    public static func render(
        _ configuration: Configuration, secrets: [SecretUse] = [],
        adapters: [any ExchangeAdapter.Type] = Adapters.all
    ) -> String {
        var summary = ConfigurationSummary()
        summary.title("collector \(configuration.collector.name), version \(ProductVersion.text)")
        let plan = try? configuration.plan(adapters: adapters)
        for (index, exchange) in configuration.exchanges.enumerated() {
            summary.add(exchange, market: index, plan: plan)
        }
        summary.add(configuration.collector)
        summary.add(configuration.batching)
        summary.add(configuration.sink)
        if configuration.sink.type == .pubsub { summary.add(configuration.spool, configuration.collector) }
        summary.title(
            "API " + (configuration.api.listen.map { "http://\($0)" } ?? "off")
                + (configuration.api.token == nil ? "" : ", with a token"))
        summary.add(secrets)
        return SecretValues.shared.redact(summary.lines.joined(separator: "\n"))
    }

    private mutating func title(_ text: String) { lines.append(text) }

    private mutating func entry(_ key: String, _ value: String) {
        lines.append("  " + key + String(repeating: " ", count: max(1, 12 - key.count)) + value)
    }

    private mutating func add(_ secrets: [SecretUse]) {
        if !secrets.isEmpty { title("secrets") }
        for secret in secrets {
            let state = secret.isRead ? "read" : "not read; check --resolve-secrets reads it"
            entry(secret.keyPath, "\(secret.reference), \(state)")
        }
    }

    private mutating func add(_ exchange: Configuration.Exchange, market: Int, plan: FleetPlan?) {
        title(
            "exchange \(exchange.exchange) at \(exchange.endpoints.first?.description ?? "no endpoint")")
        let kinds = Dictionary(grouping: exchange.streams, by: \.kind)
        let parts = kinds.sorted { $0.key.rawValue < $1.key.rawValue }.map {
            "\($0.value.count) \($0.key.name)"
        }
        entry("streams", "\(exchange.streams.count): \(parts.joined(separator: ", "))")
        if let plan {
            let slots = plan.lanes.flatMap(\.slots).filter { $0.market == market }
            entry(
                "connections",
                "\(slots.count)\(exchange.legs > 1 ? ", \(exchange.legs) for each stream" : ""), at most"
                    + " \(slots.map(\.streams.count).max() ?? 0) streams each; `plan` shows more")
        }
        entry(
            "repair",
            exchange.repair.isEnabled
                ? "of gaps over REST, for a weight of \(exchange.repair.weightPerMinute) a minute at most"
                : "none: gaps are told, not filled")
        if !exchange.endpoints.contains(where: \.isTLS) {
            entry("TLS", "none")
        } else if !exchange.tls.verify {
            entry("TLS", "not verified")
        } else {
            entry(
                "TLS", "verified against \(exchange.tls.certificateAuthority ?? "the system's trust store")")
        }
        if exchange.endpoints.contains(where: \.isTLS), exchange.tls.records == .direct {
            entry("records", "of TLS 1.3 opened directly, by \(TLSContext.Records.engine)")
        }
        switch exchange.network.proxy {
        case .none: break
        case .always(let proxy): entry("proxy", "\(proxy)")
        case .environment(let proxy, let exceptions):
            if exchange.endpoints.contains(where: {
                ProxySettings.usesEnvironment(for: $0, except: exceptions)
            }) {
                entry("proxy", "\(proxy), from the environment")
            }
        }
    }

    private mutating func add(_ collector: Configuration.Collector) {
        title("threads \(collector.threads.rawValue)")
        entry("lanes", "\(collector.lanes)")
        let backend = ReactorBackend.choose(collector.backend.reactor)
        entry(
            "backend", backend.choice.rawValue + (backend.problem.map { " instead of io_uring: \($0)" } ?? "")
        )
        entry(
            "CPUs",
            collector.pinsByCpuset
                ? "by the cpuset"
                : collector.pin.isEmpty
                    ? "not pinned" : collector.pin.map(String.init).joined(separator: ", "))
        entry("idle", collector.idle.rawValue)
        let rings = [collector.frameRingBytes, collector.eventRingBytes, collector.batchRingBytes]
        entry(
            "rings",
            rings.map(ConfigurationUnits.text(bytes:)).joined(separator: ", ") + " (frames, events, batches)")
    }

    private mutating func add(_ batching: Configuration.Batching) {
        title("batches of one topic")
        entry(
            "closed at",
            "\(batching.maxEvents) events, \(ConfigurationUnits.text(bytes: batching.maxBytes)) or"
                + " \(ConfigurationUnits.text(nanos: batching.maxDelayNanos))"
                + (batching.closeWhenIdle ? ", sooner when the publisher is idle" : ""))
        let compression = batching.compression == .zstd ? compression(batching) : "not compressed"
        entry(
            "payload",
            batching.payload == .event
                ? "one message for each event" : "one message for each batch, \(compression)")
    }

    private func compression(_ batching: Configuration.Batching) -> String {
        var text = "zstd level \(batching.level)"
        if batching.compressMinBytes > 0 {
            text += " from \(ConfigurationUnits.text(bytes: batching.compressMinBytes)) of JSON on"
        }
        if batching.windowBytes > 0 {
            text += ", window \(ConfigurationUnits.text(bytes: batching.windowBytes))"
        }
        guard batching.dictionary != .none, let dictionaries = try? batching.dictionary.load() else {
            return text
        }
        let list = dictionaries.map { "\($0.kind.name) \($0.id)" }.joined(separator: ", ")
        return text + ", dictionaries \(list)"
    }

    private mutating func add(_ spool: Configuration.Spool, _ collector: Configuration.Collector) {
        guard spool.isEnabled else {
            title("spool off: while Pub/Sub is away, the exchange is held up")
            return
        }
        title("spool in \(collector.dataDirectory)/spool")
        let sync =
            spool.fsync == .interval
            ? "every \(ConfigurationUnits.text(nanos: spool.fsyncInterval))" : spool.fsync.rawValue
        entry(
            "takes",
            "what is not acknowledged after \(ConfigurationUnits.text(nanos: spool.after)); fsync \(sync);"
                + " batches of up to \(ConfigurationUnits.text(nanos: spool.batchDelay)) behind it")
        entry(
            "at most",
            ConfigurationUnits.text(bytes: spool.maxBytes)
                + (spool.whenFull == .block
                    ? ", then the exchange is held up" : ", then the oldest are dropped")
                + (spool.maxAge > 0
                    ? "; dropped when older than \(ConfigurationUnits.text(nanos: spool.maxAge))" : ""))
    }

    private mutating func add(_ sink: Configuration.Sink) {
        title("sink \(sink.type.rawValue)")
        switch sink.type {
        case .pubsub:
            entry("project", sink.project)
            entry("at", sink.endpoint ?? "https://pubsub.googleapis.com")
            entry("topics", sink.topic + (sink.createTopics ? ", made when missing" : ""))
            if sink.createTopics {
                let labels = sink.topics.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
                var parts = ["at most \(sink.createsPerMinute) a minute"]
                if !labels.isEmpty { parts.append(labels.joined(separator: " ")) }
                if let seconds = sink.topics.retentionSeconds {
                    parts.append("kept for \(ConfigurationUnits.text(nanos: Int64(seconds) * 1_000_000_000))")
                }
                if !sink.topics.storageRegions.isEmpty {
                    parts.append("stored in \(sink.topics.storageRegions.joined(separator: ", "))")
                }
                if let schema = sink.topics.schema { parts.append("checked by \(schema.name)") }
                if !sink.topics.kmsKey.isEmpty { parts.append("encrypted with \(sink.topics.kmsKey)") }
                entry("new topics", parts.joined(separator: ", "))
            }
            entry("ordering", sink.orderingKey.isEmpty ? "none" : sink.orderingKey)
        case .nats:
            entry("at", sink.endpoint ?? "")
            entry("stream", sink.stream + (sink.createTopics ? ", made when missing" : ""))
            entry("subjects", sink.topic)
            entry("in flight", ConfigurationUnits.text(bytes: sink.maxInFlightBytes) + " at most")
        case .file:
            entry("directory", sink.path)
            entry(
                "segments",
                "of \(ConfigurationUnits.text(bytes: sink.rotateBytes)) or \(sink.rotateSeconds) s at most")
        case .stdout, .null: break
        }
    }
}
