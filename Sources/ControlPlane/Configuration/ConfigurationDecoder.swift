import Batching
import ExchangeAdapter
import Logging
import MarketData
import Rings
import Wire
import Yams

/// Makes a ``Configuration`` of a document. One method for each part; all problems go to the reader.
struct ConfigurationDecoder {
    let reader: ConfigurationReader
    var configuration = Configuration()

    /// Decodes what can be decoded; whether it may be used is told by the reader's problems.
    mutating func decode(_ root: Node) {
        guard
            let file = reader.section(
                root, path: "", kind: "a mapping with the keys collector, exchanges, sink, …")
        else { return }
        if let section = file.section("collector") { decodeCollector(section) }
        if let node = file.required("exchanges", remedy: "name at least one exchange with its subscriptions")
        {
            decodeExchanges(node)
        }
        if let section = file.section("batching") { decodeBatching(section) }
        if file.required("sink", remedy: "write for example sink: { type: file, path: ./data/out }") != nil,
            let section = file.section("sink")
        {
            decodeSink(section)
        }
        if let section = file.section("spool") {
            configuration.spool = SpoolDecoder(section: section).decode()
        }
        if let section = file.section("api") { decodeAPI(section) }
        if let section = file.section("log") { decodeLog(section) }
        checkRings(file)
        if file.has("exchanges") { checkPlan(file) }
    }

    /// Whether the subscriptions can be spread over connections at all. Asked only when nothing else is wrong: what
    /// could not be read would be missing in the plan.
    private func checkPlan(_ file: ConfigurationSection) {
        guard !reader.hasErrors, let markets = configuration.plannerMarkets(adapters: reader.context.adapters)
        else { return }
        do {
            let plan = try Planner.plan(markets, lanes: configuration.collector.lanes)
            for warning in PlanCheck.warnings(plan) {
                reader.report(.warning, at: file.mark(of: "exchanges"), "exchanges", warning)
            }
            for warning in configuration.topicWarnings() {
                reader.report(.warning, at: file.mark(of: "sink"), "sink", warning)
            }
        } catch {
            for problem in error.problems {
                reader.report(
                    at: file.mark(of: "exchanges"),
                    problem.market.map { "exchanges[\($0)]" } ?? "exchanges", problem.text)
            }
        }
    }

    private mutating func decodeCollector(_ section: ConfigurationSection) {
        var collector = Configuration.Collector()
        if let name = section.scalar("name") {
            let isPlain = name.text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C }
            if name.text.isEmpty || name.text.utf8.count > 63 || !isPlain {
                section.error(
                    "name",
                    "\(name.shown) is not a name; write 1 to 63 printable ASCII characters without spaces, quotes and backslashes"
                )
            }
            collector.name = name.text
        }
        collector.lanes = section.integer("lanes", default: collector.lanes, in: 1...64)
        collector.pinsByCpuset = isWord("auto", section, "pin")
        if !collector.pinsByCpuset { collector.pin = decodePin(section) }
        collector.idle = section.choice("idle", default: collector.idle)
        collector.backend = section.choice("backend", default: collector.backend)
        collector.threads = section.choice("threads", default: collector.threads)
        if collector.threads == .single, collector.lanes > 1 {
            section.error("threads", "single goes with one lane, not \(collector.lanes); write lane or stage")
        }
        collector.dataDirectory = nonEmpty(section, "dataDirectory", default: collector.dataDirectory)
        let rings = 64 << 10...4 << 30
        collector.frameRingBytes = section.bytes(
            "frameRingBytes", default: collector.frameRingBytes, in: rings)
        collector.eventRingBytes = section.bytes(
            "eventRingBytes", default: collector.eventRingBytes, in: rings)
        collector.batchRingBytes = section.bytes(
            "batchRingBytes", default: collector.batchRingBytes, in: rings)
        if let section = section.section("connectionAttempts") {
            var attempts = Configuration.ConnectionAttempts()
            attempts.perWindow = section.integer("perWindow", default: attempts.perWindow, in: 1...1_000_000)
            attempts.windowNanos = section.duration(
                "window", default: attempts.windowNanos, in: 1_000_000_000...86_400_000_000_000)
            collector.connectionAttempts = attempts
        }
        configuration.collector = collector
    }

    /// Whether the key's value is this word, where it might also be a list.
    private func isWord(_ word: String, _ section: ConfigurationSection, _ key: String) -> Bool {
        guard case .scalar? = section.entries[key]?.value else { return false }
        return section.entries[key]?.value.string == word
    }

    private func decodePin(_ section: ConfigurationSection) -> [Int] {
        let path = section.path(of: "pin")
        guard let entry = section.entries["pin"],
            let nodes = reader.list(entry.value, path: path, remedy: "write for example [0, 1], or auto")
        else { return [] }
        var cpus: [Int] = []
        for (index, node) in nodes.enumerated() {
            guard let scalar = reader.scalar(node, path: "\(path)[\(index)]"),
                let cpu = section.integer(scalar, in: 0...1023)
            else { continue }
            if !reader.context.allowedCPUs.contains(cpu) {
                let allowed = reader.context.allowedCPUs.map(String.init).joined(separator: ", ")
                reader.report(
                    at: scalar.mark, scalar.path, "this process may not use CPU \(cpu); it may use \(allowed)"
                )
            } else if cpus.contains(cpu) {
                reader.report(at: scalar.mark, scalar.path, "CPU \(cpu) is named twice; name each once")
            }
            cpus.append(cpu)
        }
        return cpus
    }

    private mutating func decodeExchanges(_ node: Node) {
        guard
            let nodes = reader.list(
                node, path: "exchanges", remedy: "write one \"- adapter: …\" for each market")
        else { return }
        if nodes.isEmpty {
            reader.report(
                at: node.mark, "exchanges", "is empty; name at least one exchange with its subscriptions")
        }
        for (index, node) in nodes.enumerated() {
            guard let section = reader.section(node, path: "exchanges[\(index)]"),
                let exchange = ExchangeDecoder(section: section).decode()
            else { continue }
            if let earlier = configuration.exchanges.firstIndex(where: { $0.exchange == exchange.exchange }) {
                section.error(
                    "adapter",
                    "market \(exchange.exchange) is configured in exchanges[\(earlier)] already; put all its subscriptions there"
                )
            }
            var made = exchange
            if let attempts = configuration.collector.connectionAttempts {
                made.limits.attemptsPerWindow = attempts.perWindow
                made.limits.attemptWindowNanos = attempts.windowNanos
            }
            configuration.exchanges.append(made)
        }
    }

    private mutating func decodeBatching(_ section: ConfigurationSection) {
        var batching = Configuration.Batching()
        batching.maxEvents = section.integer("maxEvents", default: batching.maxEvents, in: 1...100_000)
        // Pub/Sub takes requests of 10 MB: https://cloud.google.com/pubsub/quotas#resource_limits.
        batching.maxBytes = section.bytes("maxBytes", default: batching.maxBytes, in: 1 << 10...8 << 20)
        batching.maxDelayNanos = section.duration(
            "maxDelay", default: batching.maxDelayNanos, in: 0...60_000_000_000)
        batching.compression = section.choice("compression", default: batching.compression)
        batching.compressMinBytes = section.bytes(
            "compressMinBytes", default: batching.compressMinBytes, in: 0...8 << 20)
        batching.level = section.integer("level", default: batching.level, in: -7...19)
        batching.windowBytes = decodeWindow(section)
        batching.dictionary = decodeDictionary(section)
        batching.payload = section.choice("payload", default: batching.payload)
        batching.closeWhenIdle = section.bool("closeWhenIdle", default: batching.closeWhenIdle)
        configuration.batching = batching
    }

    private mutating func decodeSink(_ section: ConfigurationSection) {
        let word = section.word("type", among: Configuration.SinkType.allCases.map(\.rawValue), default: nil)
        var sink = Configuration.Sink(type: word.flatMap(Configuration.SinkType.init(rawValue:)) ?? .null)
        sink.topic = template(section, "topic", default: sink.topic, isTopic: true)
        sink.orderingKey = template(section, "orderingKey", default: sink.orderingKey, isTopic: false)
        sink.createTopics = section.bool("createTopics", default: sink.createTopics)
        sink.rotateBytes = section.bytes("rotateBytes", default: sink.rotateBytes, in: 64 << 10...64 << 30)
        sink.rotateSeconds = section.integer("rotateSeconds", default: sink.rotateSeconds, in: 1...86_400)
        sink.maxInFlightBytes = section.bytes(
            "maxInFlightBytes", default: sink.maxInFlightBytes, in: 64 << 10...4 << 30)
        sink.connections = section.integer("connections", default: sink.connections, in: 1...8)
        // Pub/Sub allows 6,000 administrative calls a minute.
        sink.createsPerMinute = section.integer(
            "createsPerMinute", default: sink.createsPerMinute, in: 1...6_000)
        if let topics = section.section("topics") { sink.topics = TopicDecoder(section: topics).decode() }
        if let project = section.scalar("project") {
            sink.project = project.text
            if !isProject(project.text) {
                section.error(
                    "project",
                    "\(project.shown) is no project id; write lower-case letters, digits and hyphens, a letter first"
                )
            }
        } else if sink.type == .pubsub, !section.has("project") {
            section.error("project", "is missing; Pub/Sub needs a project: write its id")
        }
        if let path = section.scalar("path") {
            sink.path = path.text
            if path.text.isEmpty { section.error("path", "is empty; write a directory such as ./data/out") }
        } else if sink.type == .file, !section.has("path") {
            section.error("path", "is missing; the file sink needs a directory: write for example ./data/out")
        }
        if sink.type != .nats { refuseNATSKeys(section, type: sink.type) }
        if sink.type == .nats {
            decodeNATS(section, into: &sink)
        } else if let endpoint = section.scalar("endpoint") {
            if let problem = HTTPAddress.problem(endpoint.text, shown: endpoint.shown) {
                section.error("endpoint", problem)
            }
            sink.endpoint = endpoint.text
        } else if sink.type == .pubsub, let host = reader.context.environment["PUBSUB_EMULATOR_HOST"],
            !host.isEmpty
        {
            if HTTPAddress.problem("http://\(host)", shown: host) != nil {
                section.error(
                    "type", "PUBSUB_EMULATOR_HOST is \"\(host)\", which is not HOST:PORT; correct or unset it"
                )
            }
            sink.endpoint = "http://\(host)"
        }
        configuration.sink = sink
    }

    private mutating func decodeAPI(_ section: ConfigurationSection) {
        var api = Configuration.API()
        if let listen = section.scalar("listen") {
            if listen.text == "off" {
                api.listen = nil
            } else if let address = ListenAddress(listen.text) {
                api.listen = address
            } else {
                section.error(
                    "listen",
                    "\(listen.shown) is not an address to listen on; write IP:PORT such as 127.0.0.1:8080 or [::1]:8080, or off"
                )
            }
        }
        if let token = section.scalar("token") {
            api.token = token.text
            if token.text.utf8.count < 16 || !token.text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
                section.error(
                    "token", "is too weak; use at least 16 printable ASCII characters without spaces")
            }
        } else if let listen = api.listen, !listen.isLoopback, !section.has("token") {
            section.error(
                "listen",
                "\(listen) can be reached from other machines; set api.token too, or listen on 127.0.0.1")
        }
        configuration.api = api
    }

    private mutating func decodeLog(_ section: ConfigurationSection) {
        configuration.log.level = section.choice("level", default: configuration.log.level)
        configuration.log.format = section.choice("format", default: configuration.log.format)
    }

    /// Rings must hold what is put into them: a ring that is too small would stand still for ever.
    private func checkRings(_ file: ConfigurationSection) {
        let collector = configuration.collector
        let mark = { (key: String) in file.section("collector")?.mark(of: key) ?? file.mark }
        func demand(_ key: String, _ bytes: Int, _ least: Int, _ why: String) {
            guard bytes < least else { return }
            reader.report(
                at: file.entries["collector"] == nil ? file.mark : mark(key), "collector.\(key)",
                "\(ConfigurationUnits.text(bytes: bytes)) is too little for \(why); write at least \(ConfigurationUnits.text(bytes: least))"
            )
        }
        let message = configuration.exchanges.map(\.maxMessageBytes).max() ?? 0
        demand(
            "frameRingBytes", collector.frameRingBytes, 2 * message,
            "messages of \(ConfigurationUnits.text(bytes: message)) (exchanges[].maxMessageBytes)")
        demand(
            "eventRingBytes", collector.eventRingBytes, 2 * message,
            "dead letters of \(ConfigurationUnits.text(bytes: message)) (exchanges[].maxMessageBytes)")
        let batch = configuration.batching.maxBytes
        demand(
            "batchRingBytes", collector.batchRingBytes, 4 * batch,
            "batches of \(ConfigurationUnits.text(bytes: batch)) (batching.maxBytes)")
    }

    private func template(
        _ section: ConfigurationSection, _ key: String, default fallback: String, isTopic: Bool
    ) -> String {
        guard let scalar = section.scalar(key) else { return fallback }
        let problems = TemplateCheck.problems(scalar.text, isTopic: isTopic)
        for problem in problems { section.error(key, problem) }
        return problems.isEmpty ? scalar.text : fallback
    }

    private func nonEmpty(_ section: ConfigurationSection, _ key: String, default fallback: String) -> String
    {
        guard let scalar = section.scalar(key) else { return fallback }
        if scalar.text.isEmpty { section.error(key, "is empty; write a directory such as \(fallback)") }
        return scalar.text
    }

    /// Letters, digits, hyphens; domain-scoped ids hold a dot and a colon.
    private func isProject(_ text: String) -> Bool {
        guard let first = text.utf8.first, (97...122).contains(first), text.utf8.count <= 63 else {
            return false
        }
        return text.utf8.allSatisfy {
            (97...122).contains($0) || (48...57).contains($0) || $0 == 0x2D || $0 == 0x2E || $0 == 0x3A
        }
    }
}

/// `http://` and `https://` addresses.
enum HTTPAddress {
    /// Why a text is not such an address, nil where it is.
    static func problem(_ text: String, shown: String) -> String? {
        let remedy = "write http://HOST:PORT or https://HOST:PORT"
        guard text.hasPrefix("http://") || text.hasPrefix("https://") else {
            return "\(shown) is not an HTTP address; \(remedy)"
        }
        // The same grammar as a WebSocket address but for the scheme.
        do {
            _ = try Endpoint("ws" + text.dropFirst(4))
            return nil
        } catch {
            return "\(shown) has no usable host or port; \(remedy)"
        }
    }
}
