import Foundation
import MarketData
import Publishing
import Testing
import Wire

@testable import ControlPlane

@Suite struct ConfigurationTests {
    static let minimal = """
        exchanges:
          - adapter: fake
            subscriptions:
              - { type: trade, symbols: [BTCUSDT] }
        sink: { type: null }

        """

    static func parse(_ yaml: String) throws(ConfigurationErrors) -> Configuration.Loaded {
        try Configuration.parse(yaml: yaml, file: "f.yaml", context: .forTests)
    }

    static func problems(_ yaml: String) -> [String] {
        do {
            let loaded = try parse(yaml)
            return ["no error"] + loaded.warnings.map(\.description)
        } catch {
            return error.problems.map(\.description)
        }
    }

    @Test func everyWrongConfigurationGetsItsMessages() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "wrong-configurations.txt")
        let cases = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\n### ")
            .dropFirst()
        #expect(cases.count >= 100)
        for text in cases {
            let parts = text.components(separatedBy: "\n>>>\n")
            try #require(parts.count == 2, "\(text)")
            let head = parts[0].split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
            let expected = parts[1].split(separator: "\n").map { "f.yaml:\($0)" }
            let yaml = head.count > 1 ? String(head[1]) + "\n" : ""
            #expect(ConfigurationTests.problems(yaml) == expected, "\(head[0])")
        }
    }

    @Test func emptyAndBinaryFiles() throws {
        #expect(
            ConfigurationTests.problems("") == [
                "f.yaml:1:1: error: is empty; see config/ for annotated examples"
            ])
        let control = ConfigurationTests.problems("sink: \"\u{7}\"\n")
        #expect(
            control.count == 1
                && control[0].hasPrefix("f.yaml:1:8: error: control characters are not allowed"))
        let file = FileManager.default.temporaryDirectory.appending(path: "collector-\(UUID()).yaml")
        try Data([0xFF, 0xFE, 0x00]).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        #expect(throws: ConfigurationErrors.self) {
            try Configuration.load(file: file.path, context: .forTests)
        }
        do {
            _ = try Configuration.load(file: file.path, context: .forTests)
        } catch {
            #expect(error.description == "\(file.path): error: is not UTF-8; save it as UTF-8")
            #expect(!error.isUnreadableFile)
        }
    }

    @Test func filesThatCannotBeRead() {
        for (path, why) in [
            ("/nonexistent/c.yaml", "no such file or directory"), ("/", "is a directory"),
            ("/dev/zero", "it has more than 16 MiB"),
        ] {
            do {
                _ = try Configuration.load(file: path, context: .forTests)
                Issue.record("\(path) was read")
            } catch {
                #expect(error.isUnreadableFile)
                #expect(error.description == "\(path): error: cannot be read: \(why); name a YAML file")
            }
        }
    }

    /// Whatever stands in a file: an answer, never a crash.
    @Test func mutatedFilesAreAnswered() throws {
        let file = ExamplesTests.directory.appending(path: "production.yaml")
        let original = Array(try String(contentsOf: file, encoding: .utf8).unicodeScalars)
        let pieces = Array("{}[]:,#&*!|>'\"%@`-?\n\t \\$~<0a\u{0}\u{FEFF}\u{2028}é".unicodeScalars)
        var state: UInt64 = 42
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        var wrong = 0
        for _ in 0..<1_500 {
            var scalars = original
            for _ in 0...random(4) {
                let index = random(scalars.count)
                switch random(4) {
                case 0: scalars.remove(at: index)
                case 1: scalars.insert(pieces[random(pieces.count)], at: index)
                case 2: scalars[index] = pieces[random(pieces.count)]
                default: scalars.removeSubrange(index..<min(scalars.count, index + random(200) + 1))
                }
            }
            var text = String.UnicodeScalarView()
            text.append(contentsOf: scalars)
            do {
                _ = try Configuration.parse(yaml: String(text), file: "f", context: ExamplesTests.context)
            } catch {
                wrong += 1
                #expect(
                    error.problems.contains { $0.severity == .error && $0.line > 0 && !$0.message.isEmpty })
            }
        }
        #expect(wrong > 500)
    }

    @Test(arguments: [
        "a: " + String(repeating: "[", count: 100_000), String(repeating: "a: 1\n", count: 100),
        "exchanges: &x\n  - subscriptions: *x\n", "\u{FEFF}sink: {type: null}\n",
        "!!binary \"abc\": 1\n? \n: 2\n<<: {a: 1}\n",
        "sink: {type: null}\r\nexchanges: []\r\n", "---\n...\n---\n", "%YAML 9.9\n---\na: b\n",
    ])
    func strangeFilesAreAnswered(yaml: String) {
        #expect(ConfigurationTests.problems(yaml).contains { $0.contains("error: ") })
    }

    @Test func defaults() throws {
        let configuration = try ConfigurationTests.parse(ConfigurationTests.minimal).configuration
        #expect(configuration.collector.lanes == 1)
        #expect(configuration.collector.idle == .adaptive)
        #expect(configuration.collector.threads == .auto)
        #expect(configuration.batching.maxEvents == 500)
        #expect(configuration.batching.maxBytes == 65_536)
        #expect(configuration.batching.maxDelayNanos == 1_000_000)
        #expect(configuration.batching.compression == .zstd)
        #expect(configuration.batching.payload == .batch)
        #expect(configuration.batching.closeWhenIdle)
        #expect(configuration.sink.type == .null)
        #expect(configuration.sink.topic == "market.{type}.{exchange}.{symbol}")
        #expect(configuration.sink.orderingKey == "{exchange}:{symbol}")
        #expect(configuration.api.listen == ListenAddress(host: "127.0.0.1", port: 8080))
        #expect(configuration.log.level == .info)
        let exchange = try #require(configuration.exchanges.first)
        #expect(exchange.exchange == "fake")
        #expect(exchange.market == "spot")
        #expect(exchange.endpoints.map(\.description) == ["wss://stream.fake.example:9443"])
        #expect(exchange.limits == ConnectionLimits())
        #expect(configuration.collector.connectionAttempts == nil)
        #expect(exchange.tls == Configuration.TLS())
        #expect(exchange.maxMessageBytes == 1 << 20)
        #expect(exchange.streams.map(\.name) == ["BTCUSDT@trade"])
    }

    @Test func shortLivesAreRenewedInProportion() throws {
        let loaded = try ConfigurationTests.parse(
            ConfigurationTests.minimal.replacing(
                "adapter: fake", with: "adapter: fake\n    limits: { connectionLifetime: 48s }"))
        let limits = try #require(loaded.configuration.exchanges.first?.limits)
        #expect(limits.rolloverAfterNanos == 46_000_000_000)
        #expect(limits.rolloverJitterNanos == 1_000_000_000)
    }

    @Test func aTimeOfDayIsWaitedFor() throws {
        let loaded = try ConfigurationTests.parse(
            ConfigurationTests.minimal.replacing(
                "adapter: fake", with: "adapter: fake\n    rollover: { at: \"03:00-05:00\" }"))
        let limits = try #require(loaded.configuration.exchanges.first?.limits)
        // 23:45 h: the time of the next day is reached by nearly all that were replaced in it.
        #expect(limits.rolloverAfterNanos == 85_500_000_000_000)
        #expect(limits.rolloverJitterNanos == 1_800_000_000_000)
        #expect(limits.rolloverWindow == DayWindow(begin: 10_800, end: 18_000))
    }

    @Test func whatIsRiskyIsSaid() throws {
        let risky = try ConfigurationTests.parse(
            ConfigurationTests.minimal.replacing(
                "adapter: fake",
                with: """
                    adapter: fake
                        legs: 2
                        endpoint: [wss://one.example:1, wss://one.example:2]
                        rollover: { after: 0 }
                        limits: { connectionLifetime: 48h, messagesPerSecond: 50, streamsPerConnection: 2000 }
                    """))
        #expect(
            risky.warnings.map(\.keyPath) == [
                "exchanges", "exchanges[0].rollover.after", "exchanges[0].limits.connectionLifetime",
                "exchanges[0].limits.messagesPerSecond", "exchanges[0].limits.streamsPerConnection",
            ])
        #expect(risky.warnings.first?.message.contains("both legs connect to one.example") == true)
        let fine = try ConfigurationTests.parse(
            ConfigurationTests.minimal.replacing(
                "adapter: fake",
                with: "adapter: fake\n    legs: 2\n    endpoint: [wss://one.example, wss://two.example]"))
        #expect(fine.warnings.isEmpty)
    }

    @Test func everyKey() throws {
        let loaded = try ConfigurationTests.parse(
            """
            collector:
              name: tokyo-1
              lanes: "${LANES}"
              pin: [0, 1]
              idle: spin
              backend: io_uring
              threads: lane
              dataDirectory: /var/lib/collector
              frameRingBytes: 4MiB
              eventRingBytes: 3145728
              batchRingBytes: 1GiB
              connectionAttempts: { perWindow: 100, window: 1m }
            exchanges:
              - adapter: fake
                market: futures
                endpoint: [ "wss://${HOST}:${PORT:-9443}/prefix/", wss://other.example ]
                tls: { certificateAuthority: ca.pem, verify: true }
                legs: 2
                deflate: true
                maxMessageBytes: 512KiB
                rollover: { after: 20h, window: 10m, at: "23:30-01:00" }
                watchdog: { silence: 2m, probe: 1m, answer: 2s, streamSilence: 20m, streamFloor: 30s }
                limits:
                  { connectionLifetime: 24h, openTimeout: 3s, answerTimeout: 4s, messagesPerSecond: 2, streamsPerConnection: 10 }
                subscriptions:
                  - { type: trade, symbols: [BTCUSDT, NO] }
                  - { type: kline, interval: 1M, symbols: ["1INCHUSDT"] }
                  - { type: ticker, window: 4h, symbols: [BTCUSDT] }
            batching:
              { maxEvents: 1, maxBytes: 1KiB, maxDelay: 250us, compression: none, compressMinBytes: 2KiB, level: -5, payload: event, closeWhenIdle: false }
            sink:
              type: pubsub
              project: test
              topic: "market.{type}.{exchange}"
              orderingKey: ""
              createTopics: false
              path: ./data/out
              rotateBytes: 1MiB
              rotateSeconds: 60
              maxInFlightBytes: 1MiB
              connections: 2
              createsPerMinute: 60
              topics:
                labels: { team: md, shard: 1 }
                retention: 24h
                storageRegions: [europe-west1, us-central1]
                enforceInTransit: true
                kmsKey: projects/P/locations/L/keyRings/R/cryptoKeys/K
                schema: { name: projects/P/schemas/S, encoding: binary, firstRevision: a, lastRevision: b }
              endpoint: http://127.0.0.1:8085
            api: { listen: "[::]:0", token: "${GOOD_TOKEN}" }
            log: { level: debug, format: json }
            """)
        #expect(loaded.warnings.isEmpty)
        let configuration = loaded.configuration
        #expect(configuration.collector.name == "tokyo-1")
        #expect(configuration.collector.lanes == 2)
        #expect(configuration.collector.pin == [0, 1])
        #expect(configuration.collector.idle == .spin)
        #expect(configuration.collector.backend == .uring)
        #expect(configuration.collector.threads == .lane)
        #expect(configuration.collector.dataDirectory == "/var/lib/collector")
        #expect(configuration.collector.frameRingBytes == 4 << 20)
        #expect(configuration.collector.eventRingBytes == 3 << 20)
        #expect(configuration.collector.batchRingBytes == 1 << 30)
        let exchange = try #require(configuration.exchanges.first)
        #expect(exchange.exchange == "fake-futures")
        #expect(exchange.endpoints.map(\.description) == ["wss://h:9443/prefix", "wss://other.example:443"])
        #expect(exchange.legs == 2)
        #expect(exchange.deflate)
        var limits = ConnectionLimits()
        limits.messageBytes = 512 << 10
        limits.attemptsPerWindow = 100
        limits.attemptWindowNanos = 60_000_000_000
        limits.rolloverAfterNanos = 72_000_000_000_000
        limits.rolloverJitterNanos = 600_000_000_000
        limits.rolloverWindow = DayWindow(begin: 84_600, end: 3_600)
        limits.silenceNanos = 120_000_000_000
        limits.probeAfterNanos = 60_000_000_000
        limits.probeAnswerNanos = 2_000_000_000
        limits.streamSilenceNanos = 1_200_000_000_000
        limits.streamSilenceFloorNanos = 30_000_000_000
        limits.openNanos = 3_000_000_000
        limits.acknowledgementNanos = 4_000_000_000
        limits.frameSpacingNanos = 500_000_000
        limits.streamsPerConnection = 10
        #expect(exchange.limits == limits)
        #expect(exchange.tls.certificateAuthority == "ca.pem")
        #expect(exchange.maxMessageBytes == 512 << 10)
        #expect(
            exchange.subscriptions == [
                Subscription(kind: .trade, symbols: .some(["BTCUSDT", "NO"])),
                Subscription(kind: .kline, symbols: .some(["1INCHUSDT"]), interval: .month1),
                Subscription(kind: .ticker, symbols: .some(["BTCUSDT"]), window: .hours4),
            ])
        #expect(configuration.batching.maxEvents == 1)
        #expect(configuration.batching.maxBytes == 1024)
        #expect(configuration.batching.maxDelayNanos == 250_000)
        #expect(configuration.batching.compression == .none)
        #expect(configuration.batching.compressMinBytes == 2_048)
        #expect(configuration.batching.level == -5)
        #expect(configuration.batching.payload == .event)
        #expect(!configuration.batching.closeWhenIdle)
        #expect(configuration.sink.type == .pubsub)
        #expect(configuration.sink.topic == "market.{type}.{exchange}")
        #expect(configuration.sink.orderingKey.isEmpty)
        #expect(!configuration.sink.createTopics)
        #expect(configuration.sink.createsPerMinute == 60)
        var topics = TopicSettings()
        topics.labels = ["team": "md", "shard": "1"]
        topics.retentionSeconds = 86_400
        topics.storageRegions = ["europe-west1", "us-central1"]
        topics.enforceInTransit = true
        topics.kmsKey = "projects/P/locations/L/keyRings/R/cryptoKeys/K"
        topics.schema = TopicSettings.Schema(name: "projects/P/schemas/S", encoding: .binary)
        topics.schema?.firstRevision = "a"
        topics.schema?.lastRevision = "b"
        #expect(configuration.sink.topics == topics)
        #expect(configuration.sink.rotateBytes == 1 << 20)
        #expect(configuration.sink.rotateSeconds == 60)
        #expect(configuration.sink.maxInFlightBytes == 1 << 20)
        #expect(configuration.sink.connections == 2)
        #expect(configuration.sink.endpoint == "http://127.0.0.1:8085")
        #expect(configuration.api.listen == ListenAddress(host: "::", port: 0))
        #expect(configuration.api.token == "0123456789abcdef")
        #expect(configuration.log.level == .debug)
        #expect(configuration.log.format == .json)
    }

    @Test func warnings() throws {
        let loaded = try ConfigurationTests.parse(
            """
            exchanges:
              - adapter: fake
                restEndpoint: https://localhost:9444
                tls: { verify: false }
                subscriptions:
                  - { type: trade, symbols: [OLDUSDT] }
            sink: { type: stdout }
            """)
        #expect(
            loaded.warnings.map(\.description) == [
                "f.yaml:4:10: warning: exchanges[0].tls: verify is false: anybody between here and the exchange can alter the data; name a certificateAuthority instead",
                "f.yaml:6:9: warning: exchanges[0].subscriptions[0]: OLDUSDT is not traded any more",
            ])
    }

    @Test func emulatorIsTakenFromTheEnvironment() throws {
        var context = ConfigurationContext.forTests
        let yaml = ConfigurationTests.minimal.replacing("type: null", with: "type: pubsub, project: test")
        context.environment["PUBSUB_EMULATOR_HOST"] = "localhost:8085"
        let endpoint = try Configuration.parse(yaml: yaml, file: "f.yaml", context: context).configuration
            .sink.endpoint
        #expect(endpoint == "http://localhost:8085")
        context.environment["PUBSUB_EMULATOR_HOST"] = "http://x"
        do {
            _ = try Configuration.parse(yaml: yaml, file: "f.yaml", context: context)
            Issue.record("accepted")
        } catch {
            #expect(
                error.description
                    == "f.yaml:5:15: error: sink.type: PUBSUB_EMULATOR_HOST is \"http://x\", which is not HOST:PORT; correct or unset it"
            )
        }
    }

    @Test func secretsAreNeverShown() {
        var context = ConfigurationContext.forTests
        context.environment["MY_SECRET"] = "swordfish"
        for key in [
            "collector: { name: \"a ${MY_SECRET}\" }", "api: { listen: \"${MY_SECRET}\" }",
            "collector: { idle: \"${MY_SECRET}\" }",
            "batching: { maxDelay: \"${MY_SECRET}\", maxBytes: \"${MY_SECRET}\" }",
            "collector: { pin: [\"${MY_SECRET}\"] }", "api: { token: \"${MY_SECRET}\" }",
        ] {
            do {
                _ = try Configuration.parse(
                    yaml: ConfigurationTests.minimal + key, file: "f", context: context)
                Issue.record("accepted: \(key)")
            } catch {
                #expect(!error.description.contains("swordfish"), "\(error)")
            }
        }
        let endpoint = ConfigurationTests.minimal.replacing(
            "adapter: fake", with: "adapter: fake\n    endpoint: ${MY_SECRET}")
        do {
            _ = try Configuration.parse(yaml: endpoint, file: "f", context: context)
            Issue.record("accepted")
        } catch {
            #expect(!error.description.contains("swordfish"), "\(error)")
        }
    }

    @Test(
        arguments: [
            ("0", 0), ("1ms", 1_000_000), ("250us", 250_000), ("250µs", 250_000), ("2s", 2_000_000_000),
            ("7ns", 7),
            ("5m", 300_000_000_000), ("1h", 3_600_000_000_000), ("1_000 us", 1_000_000), ("1", nil),
            ("ms", nil),
            ("1.5s", nil), ("-1s", nil), ("", nil), ("99999999999h", nil), ("1 parsec", nil),
        ] as [(String, Int64?)])
    func durations(text: String, nanos: Int64?) { #expect(ConfigurationUnits.duration(text) == nanos) }

    @Test(
        arguments: [
            ("0", 0), ("65536", 65_536), ("64KiB", 65_536), ("1MiB", 1 << 20), ("2 GiB", 2 << 30),
            ("10B", 10),
            ("64KB", nil), ("KiB", nil), ("", nil), ("1e3", nil), ("99999999999GiB", nil),
            ("1_048_576", 1 << 20), ("_1", nil),
        ] as [(String, Int?)])
    func sizes(text: String, bytes: Int?) { #expect(ConfigurationUnits.bytes(text) == bytes) }

    @Test func substitution() throws {
        var context = ConfigurationContext.forTests
        context.environment = ["A": "x", "E": ""]
        func name(_ text: String) throws -> String {
            try Configuration.parse(
                yaml: ConfigurationTests.minimal + "collector: { name: '\(text)' }", file: "f",
                context: context
            ).configuration.collector.name
        }
        #expect(try name("${A}-${B:-y}${E:-z}") == "x-yz")
        #expect(try name("a$${A}b$c$") == "a${A}b$c$")
        #expect(try name("${B:-}-") == "-")
        // A value is data: what it holds is neither YAML nor substituted again.
        context.environment["A"] = "${A}{:"
        #expect(try name("${A}") == "${A}{:")
    }

    @Test func summaryTellsWhatWouldBeDone() throws {
        let loaded = try ConfigurationTests.parse(
            ConfigurationTests.minimal + "api: { listen: \"0.0.0.0:80\", token: \"${GOOD_TOKEN}\" }\n")
        let text = ConfigurationSummary.render(loaded.configuration, adapters: [FakeAdapter.self])
        #expect(text.contains("exchange fake at wss://stream.fake.example:9443"))
        #expect(text.contains("  streams     1: 1 trade"))
        #expect(text.contains("  connections 1, at most 1 streams each; `plan` shows more"))
        #expect(text.contains("  records     of TLS 1.3 opened directly, by \(TLSContext.Records.engine)"))
        #expect(text.contains("sink null"))
        #expect(!text.contains("0123456789abcdef"))
    }
}
