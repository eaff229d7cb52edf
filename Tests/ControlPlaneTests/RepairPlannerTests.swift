import ExchangeAdapter
import MarketData
import Testing

@testable import ControlPlane

/// A stand-in of the exchange's store under a virtual clock: it lags, lacks ids, refuses, answers nonsense, and counts
/// weights by a minute of its own.
private struct ScriptedStore {
    var random: SeededNumbers
    let absent: Set<Int64>
    let lagNanos: Int64
    let clockOffset: Int64
    let weightLimit: Int
    /// One in so many requests goes wrong; 0: none.
    let trouble: Int
    var weights: [Int64: Int] = [:]
    var refusedUntil: Int64 = 0

    /// Trades happen every 10 ms from the beginning of time on.
    static func time(_ id: Int64) -> Int64 { id * 10_000_000 }

    mutating func answer(
        _ request: RepairPlanner.Request, by backfill: any Backfill, at now: Int64
    ) -> RepairPlanner.Answer {
        let minute = (now + clockOffset) / 60_000_000_000
        weights[minute, default: 0] += request.backfill.weight
        let used = weights[minute] ?? 0
        if now < refusedUntil { return .status(418, retryAfterSeconds: 120, usedWeight: used) }
        if used > weightLimit { return .status(429, retryAfterSeconds: 60, usedWeight: used) }
        if trouble > 0, random.below(trouble) == 0 {
            switch random.below(7) {
            case 0:
                refusedUntil = now + 2_000_000_000
                return .status(429, retryAfterSeconds: 2, usedWeight: used)
            case 1: return .status(503, retryAfterSeconds: nil, usedWeight: used)
            case 2: return .failed("reset")
            case 3: return read("<html>", request, backfill, now, used)
            case 4: return read("[{\"id\":", request, backfill, now, used)
            case 5:
                var text = "["
                append(row: request.backfill.first - 1, to: &text)
                return read(text + "]", request, backfill, now, used)
            default: return .status(403, retryAfterSeconds: 1, usedWeight: used)
            }
        }
        var text = "["
        var id = request.backfill.first
        var count = 0
        while count < request.backfill.limit, ScriptedStore.time(id) + lagNanos <= now {
            if !absent.contains(id) {
                append(row: id, to: &text)
                count += 1
            }
            id += 1
        }
        return read(text + "]", request, backfill, now, used)
    }

    private func append(row id: Int64, to text: inout String) {
        if text.utf8.count > 1 { text += "," }
        text +=
            "{\"id\":\(id),\"price\":\"4.0000\(id % 10)100\",\"qty\":\"\(id % 7).50000000\",\"quoteQty\":\"1\","
            + "\"time\":\(ScriptedStore.time(id) / 1_000_000),\"isBuyerMaker\":\(id % 2 == 0),\"isBestMatch\":true}"
    }

    private func read(
        _ text: String, _ request: RepairPlanner.Request, _ backfill: any Backfill, _ now: Int64, _ used: Int
    ) -> RepairPlanner.Answer {
        let body = Array(text.utf8) + [UInt8](repeating: 0, count: 64)
        return body.withUnsafeBytes { bytes in
            let text = UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - 64)])
            do throws(BackfillError) {
                return .events(
                    try backfill.read(text, of: request.range, receivedTime: now), receivedTime: now,
                    usedWeight: used)
            } catch {
                return .unreadable(error.description, usedWeight: used)
            }
        }
    }
}

private struct SeededNumbers {
    var state: UInt64
    mutating func below(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(bound))
    }
}

/// What became of a gap's ids.
private struct Outcome {
    var range: MissingRange
    var repaired: Set<Int64> = []
    var absent: Set<Int64> = []
    var lost: Set<Int64> = []
    var next: Int64
    var isInOrder = true

    init(_ range: MissingRange) {
        self.range = range
        next = range.first
    }

    mutating func take(_ delivery: RepairDelivery) {
        isInOrder = isInOrder && delivery.ids.lowerBound == next
        next = delivery.ids.upperBound + 1
        var ids = Set(delivery.ids)
        for index in 0..<delivery.events.count {
            let id = delivery.events.id(at: index)
            isInOrder = isInOrder && ids.remove(id) != nil
            repaired.insert(id)
        }
        if delivery.others == .absent { absent.formUnion(ids) } else { lost.formUnion(ids) }
    }
}

private struct PlannerRun {
    var outcomes: [Outcome] = []
    var highestMinute = 0
    var highestWeight = 0
    var seconds: Int64 = 0
    var requests = 0
}

private func run(
    seed: UInt64, gaps gapCount: Int, trouble: Int, weightPerMinute: Int,
    giveUpNanos: Int64 = 3_600_000_000_000
) throws -> PlannerRun {
    let adapter = try #require(Adapters.all.first { $0.name == "binance" }?.init(market: "spot"))
    let backfill = try #require(adapter.backfill)
    var settings = RepairSettings(isEnabled: true, weightPerMinute: weightPerMinute)
    settings.giveUpNanos = giveUpNanos
    var random = SeededNumbers(state: seed)
    var planner = RepairPlanner(markets: [0: .init(backfill: backfill, settings: settings)], seed: seed)
    var result = PlannerRun()
    var script: [(at: Int64, range: MissingRange)] = []
    var absent: Set<Int64> = []
    var id: Int64 = 100_000
    for gap in 0..<gapCount {
        let count = Int64(1 + random.below(gap % 10 == 0 ? 5_000 : 200))
        id += Int64(1 + random.below(400))
        let at = ScriptedStore.time(id + count)
        script.append(
            (
                at,
                MissingRange(
                    kind: .trade, instrument: UInt32(gap + 1), market: 0, first: id, last: id + count - 1,
                    cause: .sequence, epoch: 0, seen: at)
            ))
        for one in id..<(id + count) where random.below(50) == 0 { absent.insert(one) }
        id += count
    }
    var store = ScriptedStore(
        random: SeededNumbers(state: seed ^ 77), absent: absent,
        lagNanos: Int64(random.below(3_000)) * 1_000_000,
        clockOffset: Int64(random.below(60_000)) * 1_000_000, weightLimit: weightPerMinute, trouble: trouble)
    result.outcomes = script.map { Outcome($0.range) }
    var now = script.first?.at ?? 0
    let begin = now
    var added = 0
    while added < script.count || planner.gapCount > 0 {
        while added < script.count, script[added].at <= now {
            planner.add(script[added].range, lane: 0, symbol: "BTCUSDT", now: now)
            added += 1
        }
        if let request = planner.next(now: now, realtime: now) {
            // It arrives somewhere between being sent and being answered.
            let latency = Int64(random.below(200) + 1) * 1_000_000
            let answer = store.answer(
                request, by: backfill, at: now + latency * Int64(random.below(100)) / 100)
            now += latency
            planner.take(answer, of: request, now: now)
            result.requests += 1
        } else {
            let wake = planner.wakeTime(now: now)
            if added == script.count, planner.gapCount == 0 { break }
            now = min(wake, added < script.count ? script[added].at : .max)
        }
        for one in planner.takeDeliveries() {
            result.outcomes[Int(one.delivery.range.instrument) - 1].take(one.delivery)
        }
        _ = planner.takeTroubles()
        try #require(now < begin + 864_000_000_000_000, "it must come to an end within ten days")
    }
    for one in planner.takeDeliveries() {
        result.outcomes[Int(one.delivery.range.instrument) - 1].take(one.delivery)
    }
    result.highestMinute = store.weights.values.max() ?? 0
    result.highestWeight = planner.highestWeight
    result.seconds = (now - begin) / 1_000_000_000
    for index in result.outcomes.indices {
        let outcome = result.outcomes[index]
        #expect(outcome.isInOrder && outcome.next == outcome.range.last + 1, "gap \(index)")
        #expect(outcome.absent.isSubset(of: absent), "gap \(index): told absent, and is there")
        #expect(outcome.repaired.isDisjoint(with: absent), "gap \(index): repaired, and is not there")
    }
    return result
}

@Suite struct RepairPlannerTests {
    @Test(arguments: [1, 2] as [UInt64]) func everyGapIsSettledUnderTrouble(seed: UInt64) throws {
        let result = try run(seed: seed, gaps: 1_000, trouble: 5, weightPerMinute: 3_000)
        #expect(result.highestMinute <= 3_000, "weight in a minute of the exchange's")
        #expect(result.highestMinute > 1_000, "the budget was near its limit")
        let lost = result.outcomes.count { !$0.lost.isEmpty }
        #expect(lost < 50, "given up: \(lost)")
    }

    @Test func withoutTroubleNothingIsLost() throws {
        let result = try run(seed: 9, gaps: 300, trouble: 0, weightPerMinute: 6_000)
        #expect(result.outcomes.allSatisfy { $0.lost.isEmpty })
        #expect(result.outcomes.contains { !$0.absent.isEmpty })
    }

    @Test func whatTakesTooLongIsLost() throws {
        let result = try run(
            seed: 4, gaps: 200, trouble: 1, weightPerMinute: 3_000, giveUpNanos: 20_000_000_000)
        #expect(result.outcomes.allSatisfy { $0.repaired.isEmpty && $0.absent.isEmpty })
    }

    @Test func aSmallBudgetIsKept() throws {
        let result = try run(seed: 5, gaps: 100, trouble: 10, weightPerMinute: 100)
        #expect(result.highestMinute <= 100)
        #expect(result.seconds > 600, "100 gaps cannot be asked for in less")
    }

    @Test func futuresTradesAreNotServed() throws {
        let adapter = try #require(Adapters.all.first { $0.name == "binance" }?.init(market: "usdm"))
        let backfill = try #require(adapter.backfill)
        var planner = RepairPlanner(
            markets: [
                0: .init(
                    backfill: backfill, settings: RepairSettings(isEnabled: true, weightPerMinute: 1_200))
            ],
            seed: 1)
        let range = MissingRange(
            kind: .trade, instrument: 1, market: 0, first: 5, last: 9, cause: .sequence, epoch: 0, seen: 0)
        planner.add(range, lane: 0, symbol: "BTCUSDT", now: 0)
        #expect(planner.next(now: 0, realtime: 0) == nil)
        #expect(planner.takeDeliveries().isEmpty)
        #expect(planner.next(now: RepairPlanner.unservedGrace, realtime: 1) == nil)
        let deliveries = planner.takeDeliveries()
        let delivery = try #require(deliveries.first?.delivery)
        #expect(delivery.ids == 5...9 && delivery.others == .lost && delivery.events.count == 0)
        let bars = MissingRange(
            kind: .aggTrade, instrument: 1, market: 0, first: 5, last: 9, cause: .sequence, epoch: 0, seen: 0)
        planner.add(bars, lane: 0, symbol: "BTCUSDT", now: 0)
        #expect(
            planner.next(now: 0, realtime: 0)?.backfill.target
                == "/fapi/v1/aggTrades?symbol=BTCUSDT&fromId=5&limit=6")
    }

    /// An earlier run may have used up what an address may ask for.
    @Test func whatIsUsedIsAskedFirst() throws {
        let adapter = try #require(Adapters.all.first { $0.name == "binance" }?.init(market: "spot"))
        let backfill = try #require(adapter.backfill)
        var planner = RepairPlanner(
            markets: [
                0: .init(
                    backfill: backfill, settings: RepairSettings(isEnabled: true, weightPerMinute: 6_000))
            ],
            seed: 1, inquires: true)
        #expect(planner.next(now: 0, realtime: 0) == nil, "nothing is missing, nothing is asked")
        let range = MissingRange(
            kind: .trade, instrument: 1, market: 0, first: 5, last: 9, cause: .outage, epoch: 0, seen: 0)
        planner.add(range, lane: 0, symbol: "BTCUSDT", now: 0)
        var asked = planner.next(now: 0, realtime: 0)
        var request = try #require(asked)
        #expect(request.isInquiry && request.backfill.target == "/api/v3/ping")
        #expect(request.backfill.weight == 1)
        planner.take(.failed("reset"), of: request, now: 1)
        let later: Int64 = 1_000_000_000
        asked = planner.next(now: later, realtime: 0)
        request = try #require(asked)
        #expect(request.isInquiry, "until it is answered")
        planner.take(.events(.trades([]), receivedTime: 1, usedWeight: 5_390), of: request, now: later)
        #expect(planner.next(now: later, realtime: 0) == nil, "a part is left to others")
        asked = planner.next(now: later + WeightBudget.window, realtime: 0)
        request = try #require(asked)
        #expect(!request.isInquiry && request.backfill.weight == 25 && planner.gapCount == 1)
    }

    @Test func barredAddressesGiveUp() throws {
        let adapter = try #require(Adapters.all.first { $0.name == "binance" }?.init(market: "spot"))
        let backfill = try #require(adapter.backfill)
        var planner = RepairPlanner(
            markets: [
                0: .init(
                    backfill: backfill, settings: RepairSettings(isEnabled: true, weightPerMinute: 3_000))
            ],
            seed: 1)
        let range = MissingRange(
            kind: .trade, instrument: 1, market: 0, first: 5, last: 9, cause: .sequence, epoch: 0, seen: 0)
        planner.add(range, lane: 0, symbol: "BTCUSDT", now: 0)
        let asked = planner.next(now: 0, realtime: 0)
        let request = try #require(asked)
        planner.take(.status(451, retryAfterSeconds: nil, usedWeight: nil), of: request, now: 1)
        #expect(planner.isBarred)
        #expect(planner.takeDeliveries().map(\.delivery.others) == [.lost])
        planner.add(range, lane: 0, symbol: "BTCUSDT", now: 2)
        #expect(planner.takeDeliveries().map(\.delivery.others) == [.lost])
    }
}
