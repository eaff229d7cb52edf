import Foundation
import Logging
import MarketData
import Rings
import Testing
import Wire

@testable import ControlPlane

/// The files in config/.
@Suite struct ExamplesTests {
    static let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "config")

    static let context = ConfigurationContext(
        environment: ["COLLECTOR_PROJECT": "test", "COLLECTOR_API_TOKEN": "0123456789abcdef"],
        adapters: Adapters.all, allowedCPUs: [0, 1], unreadable: { _ in nil })

    @Test(arguments: ["demo", "file", "futures", "pubsub-emulator", "production"])
    func exampleIsUsable(name: String) throws {
        let file = ExamplesTests.directory.appending(path: "\(name).yaml").path
        let loaded = try Configuration.load(file: file, context: ExamplesTests.context)
        #expect(loaded.warnings.isEmpty, "\(loaded.warnings)")
        #expect(loaded.configuration.exchanges.allSatisfy { !$0.streams.isEmpty })
        #expect(ConfigurationSummary.render(loaded.configuration).contains("exchange binance"))
    }

    @Test func thereAreNoOtherExamples() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: ExamplesTests.directory.path)
        #expect(
            files.filter { $0.hasSuffix(".yaml") }.sorted() == [
                "demo.yaml", "file.yaml", "futures.yaml", "production.yaml", "pubsub-emulator.yaml",
            ])
    }

    /// The production example is the reference of all keys: each stands there, used or in a comment.
    @Test func productionNamesEveryKey() throws {
        let file = ExamplesTests.directory.appending(path: "production.yaml")
        let text = try String(contentsOf: file, encoding: .utf8)
        for key in ConfigurationKeys.all.values.joined() { #expect(text.contains(key), "\(key)") }
    }

    private static func schema() throws -> [String: Any] {
        let data = try Data(contentsOf: directory.appending(path: "exchange-collector.schema.json"))
        return try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    /// Objects of the schema by their path, as ``ConfigurationKeys/all`` writes it.
    private static func objects(_ node: [String: Any], path: String) -> [String: [String: Any]] {
        var found: [String: [String: Any]] = [:]
        if let properties = node["properties"] as? [String: Any], node["type"] as? String == "object" {
            found[path] = node
            for (key, value) in properties {
                guard let value = value as? [String: Any] else { continue }
                let inner = path.isEmpty ? key : "\(path).\(key)"
                found.merge(objects(value, path: inner)) { $1 }
            }
        }
        if let items = node["items"] as? [String: Any] {
            found.merge(objects(items, path: path + "[]")) { $1 }
        }
        return found
    }

    @Test func schemaKnowsTheSameKeys() throws {
        let objects = ExamplesTests.objects(try ExamplesTests.schema(), path: "")
        #expect(Set(objects.keys) == Set(ConfigurationKeys.all.keys))
        for (path, keys) in ConfigurationKeys.all {
            let properties = try #require(objects[path]?["properties"] as? [String: Any], "\(path)")
            #expect(Set(properties.keys) == Set(keys), "\(path)")
            #expect(objects[path]?["additionalProperties"] as? Bool == false, "\(path)")
        }
    }

    private static func property(_ path: String, _ key: String) throws -> [String: Any] {
        let object = try #require(objects(try schema(), path: "")[path])
        let properties = try #require(object["properties"] as? [String: Any])
        return try #require(properties[key] as? [String: Any], "\(path).\(key)")
    }

    @Test func schemaKnowsTheSameWords() throws {
        func words(_ path: String, _ key: String) throws -> [String] {
            let any = try #require(try ExamplesTests.property(path, key)["anyOf"] as? [[String: Any]])
            return try #require(any.first?["enum"] as? [Any]).compactMap { $0 as? String }
        }
        #expect(try words("collector", "idle") == IdleStrategy.allCases.map(\.rawValue))
        #expect(try words("collector", "backend") == Configuration.Backend.allCases.map(\.rawValue))
        #expect(try words("collector", "threads") == Configuration.Threads.allCases.map(\.rawValue))
        #expect(try words("batching", "compression") == Configuration.Compression.allCases.map(\.rawValue))
        #expect(try words("sink", "type") == Configuration.SinkType.allCases.map(\.rawValue))
        #expect(try words("log", "level") == Logger.Level.allCases.map(\.rawValue))
        #expect(try words("log", "format") == Configuration.LogFormat.allCases.map(\.rawValue))
        #expect(try words("exchanges[].tls", "minimum") == TLSContext.Version.allCases.map(\.rawValue))
        #expect(try words("exchanges[].tls", "records") == TLSContext.Records.allCases.map(\.rawValue))
        #expect(try words("exchanges[].network", "ipFamily") == IPFamilyChoice.allCases.map(\.rawValue))
        let subscription = "exchanges[].subscriptions[]"
        #expect(try words(subscription, "interval") == Interval.names)
        #expect(try words(subscription, "window") == TickerWindow.names)
        let kinds = EventKind.allCases.filter { $0 != .gap && $0 != .deadLetter }.map(\.name)
        #expect(try words(subscription, "type") == kinds)
    }

    @Test func schemaNamesTheSameDefaults() throws {
        let loaded = try Configuration.parse(
            yaml: ConfigurationTests.minimal, file: "f", context: .forTests
        ).configuration
        func integer(_ path: String, _ key: String) throws -> Int {
            let value = try ExamplesTests.property(path, key)["default"]
            if let text = value as? String {
                return try #require(ConfigurationUnits.bytes(text), "\(path).\(key)")
            }
            return try #require(value as? Int, "\(path).\(key)")
        }
        func text(_ path: String, _ key: String) throws -> String {
            try #require(try ExamplesTests.property(path, key)["default"] as? String, "\(path).\(key)")
        }
        #expect(try text("collector", "name") == loaded.collector.name)
        #expect(try integer("collector", "lanes") == loaded.collector.lanes)
        #expect(try text("collector", "idle") == loaded.collector.idle.rawValue)
        #expect(try text("collector", "backend") == loaded.collector.backend.rawValue)
        #expect(try text("collector", "threads") == loaded.collector.threads.rawValue)
        #expect(try text("collector", "dataDirectory") == loaded.collector.dataDirectory)
        #expect(try integer("collector", "frameRingBytes") == loaded.collector.frameRingBytes)
        #expect(try integer("collector", "eventRingBytes") == loaded.collector.eventRingBytes)
        #expect(try integer("collector", "batchRingBytes") == loaded.collector.batchRingBytes)
        #expect(try integer("exchanges[]", "maxMessageBytes") == loaded.exchanges[0].maxMessageBytes)
        #expect(
            try ExamplesTests.property("exchanges[]", "deflate")["default"] as? Bool
                == loaded.exchanges[0].deflate)
        #expect(try text("exchanges[]", "timeUnit") == loaded.exchanges[0].timeUnit.rawValue)
        #expect(try integer("exchanges[]", "legs") == loaded.exchanges[0].legs)
        let attempts = Configuration.ConnectionAttempts()
        #expect(try integer("collector.connectionAttempts", "perWindow") == attempts.perWindow)
        func nanos(_ path: String, _ key: String) throws -> Int64? {
            ConfigurationUnits.duration(try text(path, key))
        }
        #expect(try nanos("collector.connectionAttempts", "window") == attempts.windowNanos)
        let limits = loaded.exchanges[0].limits
        #expect(try nanos("exchanges[].rollover", "after") == limits.rolloverAfterNanos)
        #expect(try nanos("exchanges[].rollover", "window") == limits.rolloverJitterNanos)
        #expect(try nanos("exchanges[].watchdog", "silence") == limits.silenceNanos)
        #expect(try nanos("exchanges[].watchdog", "probe") == limits.probeAfterNanos)
        #expect(try nanos("exchanges[].watchdog", "answer") == limits.probeAnswerNanos)
        #expect(try nanos("exchanges[].watchdog", "streamSilence") == limits.streamSilenceNanos)
        #expect(try nanos("exchanges[].watchdog", "streamFloor") == limits.streamSilenceFloorNanos)
        #expect(try nanos("exchanges[].limits", "connectionLifetime") == limits.lifetimeNanos)
        #expect(try nanos("exchanges[].limits", "openTimeout") == limits.openNanos)
        #expect(try nanos("exchanges[].limits", "answerTimeout") == limits.acknowledgementNanos)
        func duration(_ path: String, _ key: String) throws -> Int64 {
            let value = try ExamplesTests.property(path, key)["default"]
            return try #require(ConfigurationUnits.duration("\(value ?? "")"), "\(path).\(key)")
        }
        let network = loaded.exchanges[0].network
        #expect(try text("exchanges[].tls", "minimum") == loaded.exchanges[0].tls.minimum.rawValue)
        #expect(try text("exchanges[].tls", "records") == loaded.exchanges[0].tls.records.rawValue)
        #expect(try text("exchanges[].network", "ipFamily") == network.ipFamily.rawValue)
        #expect(try duration("exchanges[].network", "keepaliveIdle") == network.keepaliveIdleNanos)
        #expect(try duration("exchanges[].network", "keepaliveInterval") == network.keepaliveIntervalNanos)
        #expect(try integer("exchanges[].network", "keepaliveCount") == network.keepaliveCount)
        #expect(try duration("exchanges[].network", "userTimeout") == network.userTimeoutNanos)
        #expect(try duration("exchanges[].network", "busyPoll") == network.busyPollNanos)
        #expect(try integer("exchanges[].network", "receiveBuffer") == network.receiveBufferBytes)
        #expect(try integer("batching", "maxEvents") == loaded.batching.maxEvents)
        #expect(try integer("batching", "maxBytes") == loaded.batching.maxBytes)
        #expect(
            ConfigurationUnits.duration(try text("batching", "maxDelay")) == loaded.batching.maxDelayNanos)
        #expect(try text("batching", "compression") == loaded.batching.compression.rawValue)
        #expect(try integer("batching", "compressMinBytes") == loaded.batching.compressMinBytes)
        #expect(try integer("batching", "level") == loaded.batching.level)
        #expect(try integer("batching", "window") == loaded.batching.windowBytes)
        #expect(try text("batching", "dictionary") == loaded.batching.dictionary.text)
        #expect(try text("batching", "payload") == loaded.batching.payload.rawValue)
        #expect(try text("sink", "topic") == loaded.sink.topic)
        #expect(try text("sink", "orderingKey") == loaded.sink.orderingKey)
        #expect(try integer("sink", "rotateBytes") == loaded.sink.rotateBytes)
        #expect(try integer("sink", "rotateSeconds") == loaded.sink.rotateSeconds)
        #expect(try integer("sink", "maxInFlightBytes") == loaded.sink.maxInFlightBytes)
        #expect(try integer("sink", "connections") == loaded.sink.connections)
        #expect(try text("api", "listen") == loaded.api.listen?.description)
        #expect(try text("log", "level") == loaded.log.level.rawValue)
        #expect(try text("log", "format") == loaded.log.format.rawValue)
    }
}
