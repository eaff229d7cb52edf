import ExchangeAdapter
import MarketData
import Testing
import Wire

@testable import ControlPlane

@Suite struct PlannerTests {
    static let hosts = ["wss://a.example", "wss://a.example:9443", "wss://b.example"]

    /// A market of `symbols`, each with trades and one-minute klines; `!` begins an all-market stream.
    static func market(
        _ symbols: [String], kinds: [EventKind] = [.trade, .kline], legs: Int = 1, limit: Int = 1_000,
        exchange: String = "fake", change: (inout ConnectionLimits) -> Void = { _ in },
        target: @escaping @Sendable (StreamPlan) -> String = { _ in "/stream" }
    ) throws -> PlannerMarket {
        var limits = ConnectionLimits()
        limits.streamsPerConnection = limit
        change(&limits)
        let streams = kinds.flatMap { kind in
            symbols.map { symbol in
                StreamPlan(
                    name: "\(symbol)@\(kind.name)", kind: kind, symbol: symbol.hasPrefix("!") ? nil : symbol)
            }
        }
        return PlannerMarket(
            exchange: exchange, streams: streams, limits: limits,
            endpoints: try hosts.map { try Endpoint($0) },
            legs: legs, language: FakeLanguage(), target: target)
    }

    static func symbols(_ count: Int) -> [String] { (0..<count).map { "S\($0)" } }

    /// Where every stream is: lane, shard and id.
    static func places(_ plan: FleetPlan) -> [String: [Int]] {
        var places: [String: [Int]] = [:]
        for (lane, content) in plan.lanes.enumerated() {
            for slot in content.slots where slot.leg == 0 {
                for stream in slot.streams {
                    places["\(slot.market) \(stream.name)"] = [lane, slot.shard, Int(stream.id)]
                }
            }
        }
        return places
    }

    /// What holds for every plan.
    static func check(_ plan: FleetPlan) {
        for (lane, content) in plan.lanes.enumerated() {
            #expect(content.slots.map(\.slot) == Array(content.slots.indices))
            #expect(content.shardCount == (content.slots.map(\.shard).max() ?? -1) + 1)
            var ids: [UInt32: String] = [:]
            for (shard, slots) in Dictionary(grouping: content.slots, by: \.shard) {
                let market = plan.markets[slots[0].market]
                #expect(slots.map(\.leg) == Array(0..<market.legs), "lane \(lane) shard \(shard)")
                for slot in slots {
                    #expect(slot.streams == slots[0].streams)
                    #expect(slot.market == slots[0].market && slot.target == slots[0].target)
                    #expect(slot.streams.count <= market.limits.streamsPerConnection)
                    #expect(slot.endpoint == slot.endpoints.first)
                    #expect(slot.language != nil)
                    #expect(Set(slot.endpoints) == Set(market.endpoints))
                }
                for stream in slots[0].streams {
                    #expect(ids.updateValue(stream.name, forKey: stream.id) == nil)
                    #expect(stream.id < UInt32(Planner.streamsPerLane))
                }
            }
            // The parser's list is that of the slots, with the same ids.
            let listed = content.streams.joined().map { ($0.id, $0.name) }
            #expect(Dictionary(uniqueKeysWithValues: listed) == ids)
        }
        for (index, market) in plan.markets.enumerated() {
            let names = plan.lanes.flatMap { $0.streams[index].map(\.name) }
            #expect(names.count == market.streams.count)
            #expect(Set(names) == Set(market.streams.map(\.name)))
            // One parser for all ids of an instrument.
            var lanes: [String: Set<Int>] = [:]
            for (lane, content) in plan.lanes.enumerated() {
                for stream in content.streams[index] { lanes[stream.symbol ?? "", default: [0]].insert(lane) }
            }
            #expect(lanes.filter { $0.key.isEmpty }.allSatisfy { $0.value == [0] })
            let spread = plan.lanes.enumerated().map { lane, content in
                Set(content.streams[index].compactMap(\.symbol))
            }
            for (a, left) in spread.enumerated() {
                for right in spread[(a + 1)...] { #expect(left.isDisjoint(with: right)) }
            }
        }
    }

    @Test(arguments: [1, 2, 3], [1, 2]) func everyPlanIsSound(lanes: Int, legs: Int) throws {
        for (count, limit) in [(0, 10), (1, 10), (5, 1), (100, 7), (500, 1_000)] {
            let markets = [
                try PlannerTests.market(PlannerTests.symbols(count) + ["!all"], legs: legs, limit: limit),
                try PlannerTests.market(
                    PlannerTests.symbols(count / 2), limit: limit, exchange: "other",
                    target: { $0.kind == .trade ? "/public" : "/market" }),
            ]
            let plan = try Planner.plan(markets, lanes: lanes)
            PlannerTests.check(plan)
            let again = try Planner.plan(markets, lanes: lanes)
            #expect(PlannerTests.places(again) == PlannerTests.places(plan))
        }
    }

    @Test func aShardThatLostItsStreamsIsFreeForOthersOfItsMarket() throws {
        func market(_ trades: [Int], klines: [Int] = []) throws -> PlannerMarket {
            var market = try PlannerTests.market([], limit: 4, target: { $0.kind == .trade ? "/a" : "/b" })
            market.streams = (trades.map { ($0, EventKind.trade) } + klines.map { ($0, .kline) }).map {
                StreamPlan(name: "S\($0.0)@\($0.1.name)", kind: $0.1, symbol: "S\($0.0)")
            }
            return market
        }
        func counts(_ plan: FleetPlan) -> [Int] { plan.lanes[0].slots.map(\.streams.count) }

        let full = try Planner.plan([try market(Array(0..<8))], lanes: 1)
        #expect(counts(full) == [4, 4])
        // Even numbers are in the first shard.
        let half = try Planner.plan([try market([1, 3, 5])], lanes: 1, previous: full)
        #expect(counts(half) == [0, 3])
        #expect(half.sockets() == 1)
        let grown = try Planner.plan([try market([1, 3, 5, 9])], lanes: 1, previous: half)
        #expect(counts(grown) == [0, 4], "no connection is made while others have room")
        let over = try Planner.plan([try market([1, 3, 5, 9, 10])], lanes: 1, previous: grown)
        #expect(counts(over) == [1, 4])
        #expect(PlanDifference(from: grown, to: over).slots.first?.target == nil)

        // Another target takes it too, but not in the change that empties it: its connection is still open then.
        let other = try Planner.plan([try market([1, 3, 5, 9], klines: [1])], lanes: 1, previous: grown)
        #expect(counts(other) == [1, 4])
        #expect(other.lanes[0].slots[0].target == "/b")
        #expect(PlanDifference(from: grown, to: other).slots.map(\.target) == ["/b"])
        let atOnce = try Planner.plan([try market([1, 3, 5], klines: [1])], lanes: 1, previous: full)
        #expect(counts(atOnce) == [0, 3, 1])
        for plan in [full, half, grown, over, other, atOnce] { PlannerTests.check(plan) }
    }

    @Test func asFewConnectionsAsPossible() throws {
        for (count, sockets) in [(1, 1), (1_000, 1), (1_001, 2), (2_000, 2), (5_432, 6)] {
            let plan = try Planner.plan(
                [try PlannerTests.market(PlannerTests.symbols(count), kinds: [.trade])], lanes: 1)
            #expect(plan.sockets() == sockets)
            // And evenly.
            let loads = plan.lanes[0].slots.map(\.streams.count)
            #expect((loads.max() ?? 0) - (loads.min() ?? 0) <= 1)
        }
    }

    @Test func busySymbolsAreSpread() throws {
        let plan = try Planner.plan(
            [try PlannerTests.market(PlannerTests.symbols(12), kinds: [.trade], limit: 3)], lanes: 2)
        // The first four symbols are on four different connections.
        let places = PlannerTests.places(plan)
        let first = (0..<4).map { places["0 S\($0)@trade"]?.prefix(2).map(\.self) ?? [] }
        #expect(Set(first).count == 4)
    }

    @Test func targetsNeverShareAConnection() throws {
        let plan = try Planner.plan(
            [
                try PlannerTests.market(
                    PlannerTests.symbols(3), target: { $0.kind == .trade ? "/public" : "/market" })
            ], lanes: 1)
        #expect(plan.lanes[0].slots.map(\.target) == ["/public", "/market"])
        #expect(plan.lanes[0].slots.map(\.streams.count) == [3, 3])
    }

    @Test func legsPreferOtherHosts() throws {
        let plan = try Planner.plan([try PlannerTests.market(["A"], legs: 2)], lanes: 1)
        #expect(
            plan.lanes[0].slots.map { $0.endpoints.map { "\($0.host):\($0.port)" } } == [
                ["a.example:443", "a.example:9443", "b.example:443"],
                ["b.example:443", "a.example:9443", "a.example:443"],
            ])
        var market = try PlannerTests.market(["A"], legs: 2)
        #expect(!market.sharesHost)
        market.endpoints = [market.endpoints[0]]
        #expect(market.sharesHost)
        #expect(
            try Planner.plan([market], lanes: 1).lanes[0].slots.map(\.endpoint.host) == [
                "a.example", "a.example",
            ])
    }

    // MARK: - Changes

    /// Every stream that is in both plans is where it was.
    private func expectNothingMoved(_ before: FleetPlan, _ after: FleetPlan) {
        let old = PlannerTests.places(before)
        for (name, place) in PlannerTests.places(after) {
            if let earlier = old[name] { #expect(place == earlier, "\(name)") }
        }
    }

    @Test func nothingMovesWhenStreamsComeAndGo() throws {
        var state: UInt64 = 7
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        for lanes in 1...3 {
            var names = PlannerTests.symbols(40)
            func markets() throws -> [PlannerMarket] {
                [
                    try PlannerTests.market(names, legs: 2, limit: 5),
                    try PlannerTests.market(["X"], exchange: "other"),
                ]
            }
            var plan = try Planner.plan(try markets(), lanes: lanes)
            for round in 0..<60 {
                for _ in 0...random(4) where !names.isEmpty { names.remove(at: random(names.count)) }
                for index in 0...random(4) { names.insert("N\(round)x\(index)", at: random(names.count + 1)) }
                let next = try Planner.plan(try markets(), lanes: lanes, previous: plan)
                PlannerTests.check(next)
                expectNothingMoved(plan, next)
                #expect(next.lanes.allSatisfy { $0.slots.count >= 2 || lanes > 1 })
                plan = next
            }
        }
    }

    @Test func roomIsUsedBeforeConnectionsAreMade() throws {
        let before = try Planner.plan(
            [try PlannerTests.market(["A", "B", "C"], kinds: [.trade], limit: 4)], lanes: 1)
        let four = try Planner.plan(
            [try PlannerTests.market(["D", "A", "B", "C"], kinds: [.trade], limit: 4)], lanes: 1,
            previous: before)
        #expect(four.sockets() == 1)
        expectNothingMoved(before, four)
        let five = try Planner.plan(
            [try PlannerTests.market(["D", "A", "E", "B", "C"], kinds: [.trade], limit: 4)], lanes: 1,
            previous: four)
        #expect(five.lanes[0].slots.map(\.streams.count) == [4, 1])
        expectNothingMoved(four, five)
        // A slot that was emptied is used again.
        let moved = try Planner.plan(
            [try PlannerTests.market(["A", "B", "C", "D"], kinds: [.trade], limit: 4)], lanes: 1,
            previous: five)
        #expect(moved.sockets() == 1)
        let back = try Planner.plan(
            [try PlannerTests.market(["A", "B", "C", "D", "F"], kinds: [.trade], limit: 4)], lanes: 1,
            previous: moved)
        #expect(back.lanes[0].slots.map(\.streams.count) == [4, 1])
        // No id is another stream's.
        #expect(back.lanes[0].slots[1].streams.map(\.id) == [5])
    }

    @Test func idsAreGivenAgainOnlyWhenNoneIsLeft() throws {
        let half = Planner.streamsPerLane / 2
        var plan = try Planner.plan(
            [try PlannerTests.market(PlannerTests.symbols(half), kinds: [.trade])], lanes: 1)
        for round in 0..<3 {
            let names = ["S0"] + (0..<half).map { "R\(round)x\($0)" }
            plan = try Planner.plan(
                [try PlannerTests.market(names, kinds: [.trade])], lanes: 1, previous: plan)
            let ids = plan.lanes[0].streams[0].map(\.id)
            #expect(Set(ids).count == names.count)
            #expect((ids.max() ?? 0) < UInt32(Planner.streamsPerLane))
            #expect(PlannerTests.places(plan)["0 S0@trade"] == [0, 0, 0])
        }
    }

    @Test func lanesAndMarketsStay() throws {
        let before = try Planner.plan([try PlannerTests.market(["A"])], lanes: 1)
        for (markets, lanes) in [
            ([try PlannerTests.market(["A"])], 2), ([try PlannerTests.market(["A"], exchange: "other")], 1),
        ] {
            #expect(throws: PlanError.self) { try Planner.plan(markets, lanes: lanes, previous: before) }
        }
    }

    // MARK: - Costs and refusals

    @Test func costs() throws {
        // 450 streams of one connection: three requests of 200 names at most.
        let plan = try Planner.plan(
            [try PlannerTests.market(PlannerTests.symbols(450), kinds: [.trade], limit: 500)], lanes: 1)
        let cost = PlanCost(plan)
        #expect(cost.sockets == 1)
        #expect(cost.requests == 3)
        #expect(cost.liveNanos == 500_000_000)
        #expect(cost.attempts == 1)
        #expect(cost.socketsAtRollover == 2)
        #expect(cost.socketsAtWorst == 2)
        // 700 connections at 300 in five minutes: the last ones open after ten. Beyond the first
        // 20 of each window, attempts are 50 ms apart.
        let many = PlanCost(
            try Planner.plan(
                [try PlannerTests.market(PlannerTests.symbols(700), kinds: [.trade], limit: 1)], lanes: 2))
        #expect(many.sockets == 700)
        #expect(many.attempts == 300)
        #expect(many.liveNanos == 604_000_000_000)
        #expect(many.socketsAtWorst == 1_400)
        // Each takes about two seconds of half an hour.
        #expect(many.socketsAtRollover == 701)
    }

    private func problems(_ markets: [PlannerMarket], lanes: Int = 1) -> [String] {
        do {
            _ = try Planner.plan(markets, lanes: lanes)
            return []
        } catch {
            return error.problems.map(\.text)
        }
    }

    @Test func whatCannotWorkIsRefused() throws {
        let long = String(repeating: "x", count: 5_000)
        #expect(
            problems([try PlannerTests.market([long, "A"], kinds: [.trade])]) == [
                "the request for \(long.prefix(80)) alone has more than the 4000 bytes that fake takes; leave the"
                    + " stream out"
            ])
        var homeless = try PlannerTests.market(["A"])
        homeless.endpoints = []
        #expect(problems([homeless]) == ["fake has no endpoint; name one"])
        #expect(
            problems([
                try PlannerTests.market(PlannerTests.symbols(Planner.streamsPerLane + 1), kinds: [.trade])
            ])
            .first?.contains("set collector.lanes to more than 1") == true)
        // 40 requests at one a second take longer than the connection lives.
        let slow = try PlannerTests.market(PlannerTests.symbols(40), kinds: [.trade]) { limits in
            limits.namesPerRequest = 1
            limits.frameSpacingNanos = 1_000_000_000
            limits.rolloverAfterNanos = 30_000_000_000
            limits.rolloverJitterNanos = 1_000_000_000
        }
        #expect(
            problems([slow]).first?.contains("40 requests take 39 s, and it is replaced after 29 s") == true)
        // 20 connections an hour cannot renew 100 connections every two hours.
        let poor = try PlannerTests.market(PlannerTests.symbols(100), kinds: [.trade], limit: 1) { limits in
            limits.attemptsPerWindow = 20
            limits.attemptWindowNanos = 3_600_000_000_000
            limits.rolloverAfterNanos = 7_200_000_000_000
            limits.rolloverJitterNanos = 0
        }
        #expect(
            problems([poor]) == [
                "renewing 100 connections takes 2.5 times the budget of 20 attempts in 1 h; widen rollover.at, raise"
                    + " rollover.after, or run several collectors behind addresses of their own"
            ])
    }

    @Test func whatIsOddIsSaid() throws {
        let plan = try Planner.plan([try PlannerTests.market(["A"])], lanes: 3)
        #expect(PlanCheck.warnings(plan).contains { $0.hasPrefix("lane 1, 2 would have nothing to do") })
        let many = try Planner.plan(
            [try PlannerTests.market(PlannerTests.symbols(301), kinds: [.trade], limit: 1)], lanes: 1)
        #expect(
            PlanCheck.warnings(many) == [
                "301 connections are more than the 300 attempts of 5 min: the last ones open 5 min after the start"
            ])
    }

    // MARK: - Requests

    @Test func requestsAreFilledToTheLimits() {
        var limits = ConnectionLimits()
        let names = (0..<1_000).map { "symbol\($0)@trade" }
        for (bytes, most) in [(4_000, 200), (300, 200), (60, 3), (20, 1)] {
            limits.requestBytes = bytes
            limits.namesPerRequest = most
            let language = FakeLanguage()
            let asked = RequestPacking.requests(names, language: language, limits: limits)
            let sizes = asked.map { language.subscribe(Array($0), id: .max).count }
            #expect(sizes.allSatisfy { $0 <= bytes })
            #expect(Array(asked.joined()) == names)
            // One more would not have fitted.
            for (index, group) in asked.enumerated().dropLast() {
                let next = asked[index + 1].first ?? ""
                #expect(group.count == most || sizes[index] + 1 + next.utf8.count > bytes)
            }
        }
        #expect(RequestPacking.requests([], language: FakeLanguage(), limits: limits).isEmpty)
    }
}
