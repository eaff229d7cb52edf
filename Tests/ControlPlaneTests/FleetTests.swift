import ExchangeAdapter
import Foundation
import Logging
import MarketData
import Synchronization
import Testing
import Wire

@testable import ControlPlane

/// A fleet of the fake exchange whose stages note what they are told.
final class NotedFleet: Sendable {
    let steps = Mutex<[String]>([])
    let live: LiveSubscriptions
    var fleet: Fleet { live.fleet }

    init(_ yaml: String, room: Int = 8) throws {
        let configuration = try ConfigurationTests.parse(yaml).configuration
        let plan = try configuration.plan(adapters: [FakeAdapter.self])
        let box = Mutex<(@Sendable (FleetStep) -> Void)?>(nil)
        let fleet = Fleet(plan: plan, slotCapacity: plan.lanes.map { $0.slots.count + room }) { step in
            box.withLock { $0 }?(step)
        }
        let adapters = configuration.exchanges.compactMap { FakeAdapter(market: $0.market) }
        let clock = Clock()
        live = LiveSubscriptions(fleet: fleet, adapters: adapters) { clock.time.withLock { $0 } }
        self.clock = clock
        box.withLock { $0 = { [weak self] step in self?.note(step) } }
    }

    private final class Clock: Sendable { let time = Mutex<Int64>(0) }
    private let clock: Clock

    func pass(_ nanos: Int64) {
        let now = clock.time.withLock { time in
            time += nanos
            return time
        }
        fleet.settle(now: now)
    }

    private func note(_ step: FleetStep) {
        let text =
            switch step {
            case .streams(let lane, let market, let streams):
                "parser \(lane).\(market): \(streams.map { "\($0.id) \($0.name)" }.joined(separator: ", "))"
            case .links(let lane, let plans): "links \(lane): \(plans.count) slots"
            case .addSlot(let lane, let plan):
                "slot \(lane).\(plan.slot) leg \(plan.leg): \(plan.streams.map(\.name).joined(separator: ", "))"
            case .change(let change):
                "change \(change.lane).\(change.slot): +\(change.add.map(\.name).joined(separator: ","))"
                    + " -\(change.remove.map(String.init).joined(separator: ","))"
            }
        steps.withLock { $0.append(text) }
    }

    func takeSteps() -> [String] {
        steps.withLock { steps in
            defer { steps = [] }
            return steps
        }
    }

    func subscribe(_ body: String) throws -> SubscriptionChange { try live.subscribe(Array(body.utf8)) }
    func unsubscribe(_ body: String) throws -> SubscriptionChange { try live.unsubscribe(Array(body.utf8)) }
}

@Suite struct FleetTests {
    static let yaml = """
        exchanges:
          - adapter: fake
            limits: { streamsPerConnection: 2 }
            subscriptions:
              - { type: trade, symbols: [BTCUSDT] }
        sink: { type: null }

        """

    @Test func parsersLearnFirstAndForgetLast() throws {
        let noted = try NotedFleet(FleetTests.yaml)
        let added = try noted.subscribe(#"{"type":"trade","symbols":["BTCUSDT","ETHUSDT","SOLUSDT"]}"#)
        #expect(added.added.map(\.stream) == ["ETHUSDT@trade", "SOLUSDT@trade"])
        #expect(added.unchanged.map(\.stream) == ["BTCUSDT@trade"])
        #expect(added.newConnections == 1 && added.changedConnections == 1)
        #expect(
            noted.takeSteps() == [
                "parser 0.0: 0 BTCUSDT@trade, 1 ETHUSDT@trade, 2 SOLUSDT@trade",
                "links 0: 2 slots", "slot 0.1 leg 0: ETHUSDT@trade", "change 0.0: +SOLUSDT@trade -",
            ])
        let removed = try noted.unsubscribe(#"[{"type":"trade","symbols":["BTCUSDT","XRPUSDT"]}]"#)
        #expect(removed.removed.map(\.stream) == ["BTCUSDT@trade"])
        #expect(removed.unchanged.map(\.stream) == ["XRPUSDT@trade"])
        #expect(
            noted.takeSteps() == [
                "parser 0.0: 1 ETHUSDT@trade, 2 SOLUSDT@trade, 0 BTCUSDT@trade", "change 0.0: + -0",
            ])
        noted.pass(Fleet.settleNanos - 1)
        #expect(noted.takeSteps().isEmpty)
        noted.pass(1)
        #expect(noted.takeSteps() == ["parser 0.0: 1 ETHUSDT@trade, 2 SOLUSDT@trade"])
        noted.pass(Fleet.settleNanos)
        #expect(noted.takeSteps().isEmpty)
    }

    @Test func aStreamThatComesBackTooSoonWaits() throws {
        let noted = try NotedFleet(FleetTests.yaml)
        _ = try noted.unsubscribe(#"{"type":"trade","symbols":["BTCUSDT"]}"#)
        #expect(noted.takeSteps() == ["parser 0.0: 0 BTCUSDT@trade", "change 0.0: + -0"])
        noted.pass(1_000_000_000)
        let back = try noted.subscribe(#"{"type":"trade","symbols":["BTCUSDT","ETHUSDT"]}"#)
        #expect(back.added.map(\.stream) == ["BTCUSDT@trade", "ETHUSDT@trade"])
        #expect(
            noted.takeSteps() == [
                "parser 0.0: 2 ETHUSDT@trade, 0 BTCUSDT@trade", "change 0.0: +ETHUSDT@trade -",
            ])
        #expect(noted.fleet.plan.markets[0].streams.map(\.name) == ["BTCUSDT@trade", "ETHUSDT@trade"])
        // Forgotten first, then known anew, then asked for.
        noted.pass(Fleet.settleNanos - 1_000_000_000)
        #expect(
            noted.takeSteps() == [
                "parser 0.0: 2 ETHUSDT@trade", "parser 0.0: 1 BTCUSDT@trade, 2 ETHUSDT@trade",
                "change 0.0: +BTCUSDT@trade -",
            ])
        noted.pass(10 * Fleet.settleNanos)
        #expect(noted.takeSteps().isEmpty)
    }

    @Test func aStreamThatGoesBeforeItWasAskedForIsForgotten() throws {
        let noted = try NotedFleet(FleetTests.yaml)
        for _ in 0..<3 {
            _ = try noted.unsubscribe(#"{"type":"trade","symbols":["BTCUSDT"]}"#)
            _ = try noted.subscribe(#"{"type":"trade","symbols":["BTCUSDT"]}"#)
        }
        _ = try noted.unsubscribe(#"{"type":"trade","symbols":["BTCUSDT"]}"#)
        #expect(noted.takeSteps().filter { $0.hasPrefix("change") } == ["change 0.0: + -0"])
        noted.pass(Fleet.settleNanos)
        #expect(noted.takeSteps() == ["parser 0.0: "])
        noted.pass(10 * Fleet.settleNanos)
        #expect(noted.takeSteps().isEmpty)
    }

    /// Whatever is asked in whatever order: in the end every slot and parser has what the plan says.
    @Test func stagesEndUpWithThePlan() throws {
        var state: UInt64 = 11
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        for legs in 1...2 {
            let told = Mutex<(slots: [[UInt32]], parser: [UInt32: String])>(([], [:]))
            let plan = try Planner.plan(
                [try PlannerTests.market(["S0"], kinds: [.trade], legs: legs, limit: 3)], lanes: 1)
            told.withLock { $0.slots = plan.lanes[0].slots.map { $0.streams.map(\.id) } }
            told.withLock { told in
                told.parser = Dictionary(
                    uniqueKeysWithValues: plan.lanes[0].streams[0].map { ($0.id, $0.name) })
            }
            let fleet = Fleet(plan: plan, slotCapacity: [200]) { step in
                told.withLock { told in
                    switch step {
                    case .streams(_, _, let streams):
                        // A parser finds streams by name: each must be there once.
                        #expect(Set(streams.map(\.name)).count == streams.count)
                        told.parser = Dictionary(uniqueKeysWithValues: streams.map { ($0.id, $0.name) })
                    case .links: break
                    case .addSlot(_, let plan):
                        #expect(plan.slot == told.slots.count)
                        told.slots.append(plan.streams.map(\.id))
                    case .change(let change):
                        for id in change.remove { #expect(told.slots[change.slot].contains(id)) }
                        told.slots[change.slot].removeAll { change.remove.contains($0) }
                        told.slots[change.slot] += change.add.map(\.id)
                    }
                    // No slot carries what its parser does not know.
                    for id in told.slots.joined() { #expect(told.parser[id] != nil) }
                }
            }
            var now: Int64 = 0
            for _ in 0..<300 {
                now += Int64(random(3)) * 1_000_000_000
                fleet.settle(now: now)
                let count = random(12)
                let names = Set((0..<count).map { _ in "S\(random(14))" }).sorted()
                let wanted = try PlannerTests.market(names, kinds: [.trade]).streams
                _ = try fleet.change(now: now) { _, _ in wanted }
            }
            fleet.settle(now: now + Fleet.settleNanos)
            told.withLock { told in
                #expect(
                    told.slots.map(Set.init) == fleet.plan.lanes[0].slots.map { Set($0.streams.map(\.id)) })
                #expect(Set(told.parser.keys) == Set(fleet.plan.lanes[0].streams[0].map(\.id)))
            }
        }
    }

    @Test func whatIsSoAlreadyTellsNobody() throws {
        let noted = try NotedFleet(FleetTests.yaml)
        #expect(try noted.subscribe(#"{"type":"trade","symbols":["BTCUSDT"]}"#).added.isEmpty)
        #expect(
            try noted.unsubscribe(#"{"type":"kline","interval":"1m","symbols":["BTCUSDT"]}"#).removed.isEmpty)
        #expect(noted.takeSteps().isEmpty)
    }

    @Test func roomIsBounded() throws {
        let noted = try NotedFleet(FleetTests.yaml, room: 0)
        #expect(throws: PlanError.self) {
            try noted.subscribe(#"{"type":"trade","symbols":["ETHUSDT","SOLUSDT"]}"#)
        }
        #expect(noted.takeSteps().isEmpty)
        #expect(noted.fleet.plan.markets[0].streams.map(\.name) == ["BTCUSDT@trade"])
        _ = try noted.subscribe(#"{"type":"trade","symbols":["ETHUSDT"]}"#)
        #expect(noted.takeSteps().last == "change 0.0: +ETHUSDT@trade -")
    }

    @Test func bothLegsChange() throws {
        let noted = try NotedFleet(
            FleetTests.yaml.replacing("adapter: fake", with: "adapter: fake\n    legs: 2"))
        let change = try noted.subscribe(#"{"type":"trade","symbols":["ETHUSDT","SOLUSDT"]}"#)
        #expect(change.newConnections == 2 && change.changedConnections == 2)
        #expect(
            noted.takeSteps().dropFirst() == [
                "links 0: 4 slots", "slot 0.2 leg 0: ETHUSDT@trade", "slot 0.3 leg 1: ETHUSDT@trade",
                "change 0.0: +SOLUSDT@trade -", "change 0.1: +SOLUSDT@trade -",
            ])
    }

    // MARK: - Bodies

    private func problems(_ body: String, _ yaml: String = FleetTests.yaml) throws -> [String] {
        let noted = try NotedFleet(yaml)
        do {
            _ = try noted.subscribe(body)
            return []
        } catch let error as ConfigurationErrors {
            #expect(noted.takeSteps().isEmpty)
            return error.problems.map(\.description)
        }
    }

    @Test func wrongBodiesAreExplained() throws {
        let example = #"write for example [{"type": "trade", "symbols": ["BTCUSDT"]}]"#
        #expect(try problems("") == ["body:1:1: error: is no JSON text; \(example)"])
        #expect(try problems("[]") == ["body:1:1: error: is an empty list; \(example)"])
        #expect(try problems("[{").first?.hasPrefix("body:1:1: error: is no JSON: ") == true)
        #expect(
            try problems(#""trade""#) == [
                "body:1:1: error: subscription: is not a mapping (key: value) but a single value"
            ])
        #expect(
            try problems(#"[{"type":"trades","symbols":[]},{"type":"kline","symbols":["A"]}]"#) == [
                #"body:1:10: error: subscriptions[0].type: "trades" is not known; did you mean "trade"?"#,
                "body:1:29: error: subscriptions[0].symbols: is empty; write for example [BTCUSDT, ETHUSDT], or"
                    + #" ["*"] for all"#,
                "body:1:33: error: subscriptions[1].interval: is missing; a kline needs one of"
                    + " \(Interval.names.joined(separator: ", "))",
            ])
        #expect(
            try problems(#"{"type":"bookTicker","symbols":["A"]}"#) == [
                "body:1:1: error: subscription: fake has no bookTicker; leave the subscription out"
            ])
        #expect(
            try problems(#"{"type":"trade","symbols":["A"],"symbol":"B"}"#) == [
                #"body:1:33: error: subscription.symbol: unknown key; did you mean "symbols"?"#
            ])
        // Nothing of the environment gets out.
        #expect(
            try problems(#"{"type":"${HOME}","symbols":["${PATH}"]}"#).allSatisfy {
                $0.contains("is not set")
            })
    }

    @Test func severalMarketsAreToldApart() throws {
        let yaml = FleetTests.yaml.replacing(
            "sink:",
            with: """
                  - adapter: fake
                    market: futures
                    subscriptions: [{ type: trade, symbols: [BTCUSDT] }]
                sink:
                """)
        #expect(
            try problems(#"{"type":"trade","symbols":["A"]}"#, yaml) == [
                "body:1:1: error: subscription.exchange: is missing; write one of fake, fake-futures"
            ])
        #expect(
            try problems(#"{"exchange":"fake-future","type":"trade","symbols":["A"]}"#, yaml) == [
                #"body:1:13: error: subscription.exchange: "fake-future" is not known; did you mean "fake-futures"?"#
            ])
        let noted = try NotedFleet(yaml)
        let change = try noted.subscribe(#"{"exchange":"fake-futures","type":"trade","symbols":["A"]}"#)
        #expect(change.added == [.init(exchange: "fake-futures", stream: "A@trade")])
        #expect(noted.takeSteps() == ["parser 0.1: 1 BTCUSDT@trade, 2 A@trade", "change 0.1: +A@trade -"])
    }

    @Test func mutatedBodiesAreAnswered() throws {
        let noted = try NotedFleet(FleetTests.yaml)
        let original = Array(
            #"[{"type":"trade","symbols":["ETHUSDT"]},{"type":"kline","interval":"1m","symbols":["A"]}]"#.utf8
        )
        var state: UInt64 = 3
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        for _ in 0..<2_000 {
            var body = original
            for _ in 0...random(4) {
                let index = random(body.count)
                switch random(3) {
                case 0: body.remove(at: index)
                case 1: body.insert(UInt8(random(256)), at: index)
                default: body[index] = UInt8(random(256))
                }
            }
            do {
                _ = try noted.live.subscribe(body)
            } catch {
                #expect(error is ConfigurationErrors || error is PlanError)
            }
        }
    }

    // MARK: - Reload

    /// Lines of a log.
    private final class Lines: Sendable {
        let lines = Mutex<[String]>([])
        var logger: Logger {
            var logger = Logger(label: "test") { _ in Handler(lines: self) }
            logger.logLevel = .trace
            return logger
        }
        struct Handler: LogHandler {
            let lines: Lines
            var metadata = Logger.Metadata()
            var logLevel = Logger.Level.trace
            subscript(metadataKey key: String) -> Logger.Metadata.Value? {
                get { metadata[key] }
                set { metadata[key] = newValue }
            }
            func log(event: LogEvent) {
                lines.lines.withLock { $0.append("\(event.level): \(event.message)") }
            }
        }
    }

    private func reload(_ changed: String, from yaml: String = FleetTests.yaml) throws -> (
        lines: [String], steps: [String]
    ) {
        let noted = try NotedFleet(yaml)
        let lines = Lines()
        Reload(
            running: try ConfigurationTests.parse(yaml).configuration, subscriptions: noted.live,
            logger: lines.logger, load: { try ConfigurationTests.parse(changed) }
        ).run()
        return (lines.lines.withLock { $0 }, noted.takeSteps())
    }

    @Test func reloadAppliesTheDifference() throws {
        let result = try reload(
            FleetTests.yaml.replacing("[BTCUSDT]", with: "[ETHUSDT, SOLUSDT]"))
        #expect(
            result.lines == [
                "info: reload: - fake BTCUSDT@trade", "info: reload: + fake ETHUSDT@trade",
                "info: reload: + fake SOLUSDT@trade",
                "notice: reload: 2 streams added, 1 removed, on 1 changed and 0 new connections",
            ])
        #expect(result.steps.last == "change 0.0: +ETHUSDT@trade,SOLUSDT@trade -0")
        let same = try reload(FleetTests.yaml)
        #expect(
            same.lines == ["notice: reload: 0 streams added, 0 removed, on 0 changed and 0 new connections"])
        #expect(same.steps.isEmpty)
    }

    @Test func reloadTakesTheNewTokenOfTheAPI() throws {
        let yaml = FleetTests.yaml + "api: { token: \"the-first-of-two-tokens\" }\n"
        let noted = try NotedFleet(yaml)
        let lines = Lines()
        let tokens = Mutex<[String]>([])
        Reload(
            running: try ConfigurationTests.parse(yaml).configuration, subscriptions: noted.live,
            logger: lines.logger,
            load: {
                try ConfigurationTests.parse(
                    yaml.replacing(
                        "the-first-of-two-tokens", with: "secret://projects/p/secrets/token/versions/1"))
            },
            replaceToken: { token in tokens.withLock { $0.append(token) } }
        ).run()
        #expect(tokens.withLock { $0 } == ["token-of-secret-manager"])
        #expect(
            lines.lines.withLock { $0 } == [
                "notice: reload: 0 streams added, 0 removed, on 0 changed and 0 new connections"
            ])
    }

    @Test func reloadOfAWrongFileChangesNothing() throws {
        let result = try reload(FleetTests.yaml.replacing("trade", with: "tirade"))
        #expect(result.steps.isEmpty)
        #expect(result.lines.count == 2)
        #expect(result.lines[0].hasPrefix("error: reload: f.yaml:5:"))
        #expect(
            result.lines[1] == "error: reload: nothing was changed; correct the file and send SIGHUP again")
    }

    @Test func reloadTellsWhatNeedsARestart() throws {
        var yaml = FleetTests.yaml.replacing(
            "streamsPerConnection: 2", with: "streamsPerConnection: 3, openTimeout: 3s")
        yaml = yaml.replacing("adapter: fake", with: "adapter: fake\n    rollover: { after: 20h }")
        yaml += """
            batching: { maxDelay: 9ms }
            api: { token: "0123456789abcdef" }
            collector: { connectionAttempts: { perWindow: 100 } }

            """
        let result = try reload(yaml)
        let keys = result.lines.compactMap { line -> String? in
            guard line.hasSuffix("was changed in the file and is not applied; restart to apply it") else {
                return nil
            }
            return String(line.dropFirst("warning: reload: ".count).prefix { $0 != " " })
        }
        #expect(
            keys == [
                "collector.connectionAttempts", "batching.maxDelay", "api.token",
                "exchanges[fake].limits.openTimeout", "exchanges[fake].limits.streamsPerConnection",
                "exchanges[fake].rollover.after", "exchanges[fake].rollover.window",
            ])
        #expect(!result.lines.contains { $0.contains("0123456789abcdef") })
        #expect(result.steps.isEmpty)
        let added = try reload(
            FleetTests.yaml.replacing(
                "sink:",
                with: """
                      - adapter: fake
                        market: futures
                        subscriptions: [{ type: trade, symbols: [BTCUSDT] }]
                    sink:
                    """))
        #expect(
            added.lines.first
                == "warning: reload: exchanges: fake-futures (added) was changed in the file and is not applied;"
                + " restart to apply it")
        #expect(added.steps.isEmpty)
    }
}
