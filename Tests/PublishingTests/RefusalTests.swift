import Batching
import CKernel
import MarketData
import Rings
import SyntheticBatches
import Testing

@testable import Publishing

/// Refused messages, several connections, and what the scheduler tells of lanes that rest.
@Suite struct RefusalTests {
    private final class Bench {
        let source: BatchSource
        let ledger = PublishLedger(markets: 1)
        let scheduler: PublishScheduler
        private var consumer: RingConsumer

        init(change: (inout PubSubSettings) -> Void = { _ in }) throws {
            source = try BatchSource(bytes: 16 << 20)
            consumer = try source.takeConsumer()
            var settings = PubSubSettings(project: "test", collector: "c", runID: 7)
            change(&settings)
            scheduler = PublishScheduler(settings: settings, ledger: ledger, seed: 42)
        }

        func put(_ route: Route, events: Int = 1, eventMode: Bool = false, padding: Int = 0) throws {
            try source.write(route, events: events, eventMode: eventMode, padding: padding)
            #expect(scheduler.take(try nextBatch(&consumer, source.routes)) == .accepted)
        }

        func offer(_ route: Route, padding: Int) throws -> SinkAnswer {
            try source.write(route, padding: padding)
            return scheduler.take(try nextBatch(&consumer, source.routes))
        }

        /// Opens the first connection.
        func open(_ route: Route) throws {
            try put(route)
            let request = try #require(scheduler.nextRequest(now: 0))
            scheduler.finish(request, RequestOutcome(.ok), now: 0)
        }
    }

    /// A service that refuses requests with a bad message in them, until nothing is left.
    private func serve(_ bench: Bench, isBad: (String) -> Bool) throws -> (
        good: [String], letters: [PublishedRequest.Message], requests: Int
    ) {
        var good: [String] = []
        var letters: [PublishedRequest.Message] = []
        var requests = 0
        while let request = bench.scheduler.nextRequest(now: 0) {
            requests += 1
            try #require(requests < 10_000)
            let read = try #require(PublishedRequest.read(request.body))
            let ids = read.messages.map { $0.attributes["batch_id"] ?? "" }
            if read.topic == "projects/test/topics/market.deadletter.binance" {
                letters += read.messages
                bench.scheduler.finish(request, RequestOutcome(.ok), now: 0)
            } else if ids.contains(where: isBad) {
                bench.scheduler.finish(
                    request, RequestOutcome(.invalidArgument, text: "no such field"), now: 0)
            } else {
                good += ids
                bench.scheduler.finish(request, RequestOutcome(.ok), now: 0)
            }
        }
        return (good, letters, requests)
    }

    @Test(arguments: [[500], [1, 2, 3], [1000], [], [7, 8, 500, 999]])
    func theMessageToBlameIsFoundAndTheRestGoesOnInOrder(_ bad: [Int]) throws {
        let bench = try Bench()
        let route = try bench.source.route("ttt")
        for _ in 0..<1000 { try bench.put(route, events: 2) }
        let wrong = Set(bad.map { "0000000000000007-\($0)" })
        let (good, letters, requests) = try serve(bench) { wrong.contains($0) }
        #expect(good == (1...1000).map { "0000000000000007-\($0)" }.filter { !wrong.contains($0) })
        #expect(
            Set(letters.compactMap { $0.attributes["batch_id"] }) == wrong && letters.count == wrong.count)
        for letter in letters {
            #expect(letter.attributes["dead_letter_reason"] == "no such field")
            #expect(letter.attributes["dead_letter_topic"] == "ttt")
            #expect(letter.attributes["dead_letter_ordering_key"] == "binance:BTCUSDT")
            #expect(letter.attributes["schema"] == "market.trade/1" && letter.key == "binance")
        }
        #expect(requests <= 1 + bad.count * 22)
        let ledger = bench.ledger
        #expect(
            ledger.eventsPublished == 2 * (1000 - bad.count) && ledger.eventsDeadLettered == 2 * bad.count)
        #expect(ledger.eventsInFlight == 0 && ledger.batchesInFlight == 0 && ledger.bytesInFlight == 0)
        #expect(ledger.total(.bytesHeld) == 0 && ledger.isHealthy)
    }

    @Test func aBatchOfSingleEventsIsDividedBetweenItsTopicAndTheDeadLetters() throws {
        let bench = try Bench()
        let route = try bench.source.route("ttt", kind: .ticker)
        try bench.put(route, events: 300, eventMode: true)
        try bench.put(route, events: 5, eventMode: true)
        let (good, letters, _) = try serve(bench) { $0.hasSuffix("-17") || $0.hasSuffix("-299") }
        #expect(good.count == 303 && letters.count == 2)
        #expect(bench.ledger.eventsPublished(market: 0, kind: .ticker) == 303)
        #expect(bench.ledger.eventsDeadLettered(market: 0, kind: .ticker) == 2)
        let bytes = bench.source.log.reduce(0) { $0 + Int($1.header.dataBytes) }
        #expect(bench.ledger.total(.bytesPublished) == bytes && bench.ledger.total(.batchesPublished) == 2)
    }

    @Test func aBatchHasEndedOnlyWithItsDeadLetters() throws {
        let bench = try Bench()
        let route = try bench.source.route("ttt", kind: .ticker)
        try bench.put(route, events: 2, eventMode: true)
        let whole = try #require(bench.scheduler.nextRequest(now: 0))
        bench.scheduler.finish(whole, RequestOutcome(.invalidArgument), now: 0)
        let first = try #require(bench.scheduler.nextRequest(now: 0))
        bench.scheduler.finish(first, RequestOutcome(.invalidArgument), now: 0)
        let one = try #require(bench.scheduler.nextRequest(now: 0))
        let two = try #require(bench.scheduler.nextRequest(now: 0))
        let isLetter = try #require(PublishedRequest.read(one.body)).topic.contains("deadletter")
        let (letter, rest) = isLetter ? (one, two) : (two, one)
        bench.scheduler.finish(rest, RequestOutcome(.ok), now: 0)
        #expect(bench.ledger.batchesInFlight == 1 && bench.ledger.eventsInFlight == 1)
        #expect(bench.ledger.oldestUnsafe != nil)
        bench.scheduler.finish(letter, RequestOutcome(.ok), now: 0)
        #expect(bench.ledger.batchesInFlight == 0 && bench.ledger.eventsInFlight == 0)
        #expect(bench.ledger.oldestUnsafe == nil)
    }

    @Test func whatTheDeadLettersRefuseIsKeptAndSaid() throws {
        let bench = try Bench()
        try bench.put(try bench.source.route("ttt"))
        for _ in 0..<2 {
            let request = try #require(bench.scheduler.nextRequest(now: 0))
            bench.scheduler.finish(request, RequestOutcome(.invalidArgument, text: "never"), now: 0)
        }
        #expect(bench.scheduler.nextRequest(now: 0) == nil && bench.ledger.eventsInFlight == 1)
        #expect(bench.ledger.problem?.text.contains("market.deadletter.binance") == true)
    }

    @Test func longValuesAreCutAtACharacter() {
        #expect(RefusedMessage.cut(String(repeating: "市", count: 400)).utf8.count == 1023)
        #expect(RefusedMessage.cut("short") == "short")
        #expect(RefusedMessage.topic(exchange: "ok/x") == "market.deadletter.ok%2Fx")
    }

    @Test func lanesThatRestAreShownUntilTheyGoOn() throws {
        let bench = try Bench()
        let bad = try bench.source.route("bad", key: "binance:市")
        try bench.open(try bench.source.route("good"))
        try bench.put(bad, events: 3)
        let request = try #require(bench.scheduler.nextRequest(now: 0))
        let before = ck_realtime_nanos()
        bench.scheduler.finish(request, RequestOutcome(.permissionDenied, text: "no"), now: 0)
        try bench.put(bad, events: 3)
        bench.scheduler.tellTroubles(now: 2_000_000_000)
        let paused = try #require(bench.ledger.paused.first)
        #expect(bench.ledger.paused.count == 1 && bench.ledger.total(.keysPaused) == 1)
        #expect(paused.topic == "bad" && paused.orderingKey == "binance:市")
        #expect(paused.reason == "PERMISSION_DENIED: no" && paused.batches == 2 && paused.bytes > 0)
        #expect(paused.since >= before && paused.since <= ck_realtime_nanos())
        let again = bench.scheduler.deadline()
        var now = max(again, 30_000_000_000)
        while let request = bench.scheduler.nextRequest(now: now) {
            bench.scheduler.finish(request, RequestOutcome(.ok), now: now)
            now += 1
        }
        #expect(bench.ledger.paused.isEmpty && bench.ledger.total(.keysPaused) == 0)
    }

    @Test func aLaneThatRestsMayHoldAPartOfTheBudgetOnly() throws {
        let bench = try Bench { $0.byteBudget = 1 << 20 }
        let bad = try bench.source.route("bad", key: "bad")
        let good = try bench.source.route("good", key: "good")
        try bench.open(good)
        try bench.put(bad)
        let request = try #require(bench.scheduler.nextRequest(now: 0))
        bench.scheduler.finish(request, RequestOutcome(.permissionDenied), now: 0)
        var answer = SinkAnswer.accepted
        var taken = 0
        while answer == .accepted, taken < 1000 {
            answer = try bench.offer(bad, padding: 5000)
            taken += 1
        }
        #expect(answer == .laneFull && taken > 3)
        #expect(bench.ledger.total(.bytesHeld) <= (1 << 20) / 2)
        try bench.put(good)
    }

    @Test func aSecondConnectionIsOpenedOnlyWhileTheFirstIsCrowded() throws {
        let bench = try Bench { $0.connections = 2 }
        try bench.open(try bench.source.route("ttt"))
        let routes = try (0..<6).map { try bench.source.route("t-\($0)") }
        for route in routes { try bench.put(route, padding: 400_000) }
        var out: [PublishScheduler.Request] = []
        while let request = bench.scheduler.nextRequest(now: 0) { out.append(request) }
        #expect(out.map(\.link) == [0, 0])
        #expect(bench.scheduler.waitsForUploads)
        let due = bench.scheduler.deadline()
        #expect(due == PublishScheduler.crowdPatience)
        let probe = try #require(bench.scheduler.nextRequest(now: due))
        #expect(probe.link == 1 && probe.isFresh && bench.scheduler.nextRequest(now: due) == nil)
        // What was uploaded makes room, before it is answered.
        bench.scheduler.uploaded(&out[0])
        #expect(bench.scheduler.nextRequest(now: due)?.link == 0)
        bench.scheduler.finish(probe, RequestOutcome(.ok), now: due)
        let fourth = try #require(bench.scheduler.nextRequest(now: due))
        #expect(fourth.link == 1 && !fourth.isFresh)
        #expect(bench.ledger.total(.connectionsOpen) == 2)
    }

    @Test func aTimeoutOnAConnectionThatAnswersOthersIsTheRequestsOwn() throws {
        let bench = try Bench()
        try bench.open(try bench.source.route("ttt"))
        let one = try bench.source.route("one")
        let two = try bench.source.route("two")
        try bench.put(one)
        try bench.put(two)
        let slow = try #require(bench.scheduler.nextRequest(now: 1))
        let quick = try #require(bench.scheduler.nextRequest(now: 1))
        bench.scheduler.finish(quick, RequestOutcome(.ok), now: 2)
        let timeout = RequestOutcome(.deadlineExceeded, isLinkFault: true, text: "timed out")
        bench.scheduler.finish(slow, timeout, now: 100)
        #expect(bench.ledger.total(.reconnects) == 0)
        try bench.put(two)
        let next = try #require(bench.scheduler.nextRequest(now: 100))
        #expect(!next.isFresh)
        // Nobody has an answer: it is the connection.
        bench.scheduler.finish(next, timeout, now: 200)
        #expect(bench.ledger.total(.reconnects) == 1)
    }

    @Test func theWindowFollowsRateAndTime() {
        var window = FlightWindow(maximum: 400)
        #expect(window.limit == FlightWindow.floor)
        // 2,000 requests a second, 50 ms each: 100 in flight, twice that allowed.
        var now: Int64 = 0
        for _ in 0..<4000 {
            now += 500_000
            window.note(time: 50_000_000, now: now)
        }
        #expect((190...215).contains(window.limit))
        // A queue at the service makes them slower, not more.
        for _ in 0..<4000 {
            now += 500_000
            window.note(time: 400_000_000, now: now)
        }
        #expect((190...215).contains(window.limit))
    }

    @Test func deadlinesComeInOrder() {
        var deadlines = Deadlines<Int>()
        var random = SplitMix64(seed: 3)
        var times: [Int64] = []
        for index in 0..<500 {
            times.append(Int64(random.next() % 1000))
            deadlines.add(index, at: times[index])
        }
        var last: Int64 = -1
        for _ in 0..<500 {
            #expect(deadlines.next >= last)
            last = deadlines.next
            #expect(deadlines.popDue(last - 1) == nil)
            let index = deadlines.popDue(last)
            #expect(index.map { times[$0] } == last)
        }
        #expect(deadlines.next == .max)
    }
}
