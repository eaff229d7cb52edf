import Batching
import CKernel
import MarketData
import Rings
import SyntheticBatches
import Testing

@testable import Publishing

/// The retry machine alone, with scripted outcomes.
@Suite struct SchedulerTests {
    private let second: Int64 = 1_000_000_000

    /// A scheduler and the batches that go into it.
    private final class Bench {
        let source: BatchSource
        let ledger = PublishLedger(markets: 1)
        let scheduler: PublishScheduler
        private var consumer: RingConsumer

        init(change: (inout PubSubSettings) -> Void = { _ in }) throws {
            source = try BatchSource(bytes: 64 << 20)
            consumer = try source.takeConsumer()
            var settings = PubSubSettings(project: "test", collector: "c", runID: 7)
            settings.connections = 1
            change(&settings)
            scheduler = PublishScheduler(settings: settings, ledger: ledger, seed: 42)
        }

        @discardableResult
        func put(_ route: Route, events: Int = 1, eventMode: Bool = false, padding: Int = 0) throws
            -> SinkAnswer
        {
            try source.write(route, events: events, eventMode: eventMode, padding: padding)
            return scheduler.take(try nextBatch(&consumer, source.routes))
        }

        /// The next request, which must be a Publish.
        func next(_ now: Int64) throws -> (PublishScheduler.Request, [String]) {
            let request = try #require(scheduler.nextRequest(now: now))
            let read = try #require(PublishedRequest.read(request.body))
            return (request, read.messages.map { $0.attributes["batch_id"] ?? "" })
        }

        func ids(_ numbers: Int...) -> [String] { numbers.map { "0000000000000007-\($0)" } }
    }

    @Test func aLaneHasOneRequestInFlightAndWaitingBatchesAreJoined() throws {
        let bench = try Bench()
        let one = try bench.source.route("t", symbol: "A", key: "A")
        let two = try bench.source.route("t", symbol: "B", key: "B")
        try bench.put(one)
        let (first, firstIDs) = try bench.next(0)
        #expect(firstIDs == bench.ids(1) && first.isFresh)
        for _ in 0..<3 { try bench.put(one) }
        try bench.put(two)
        // The first request on a connection goes alone.
        #expect(bench.scheduler.nextRequest(now: 0) == nil)
        bench.scheduler.finish(first, RequestOutcome(.ok), now: 0)
        let (second, secondIDs) = try bench.next(0)
        let (third, thirdIDs) = try bench.next(0)
        #expect([secondIDs, thirdIDs] == [bench.ids(5), bench.ids(2, 3, 4)])
        #expect(!second.isFresh && !third.isFresh)
        try bench.put(one)
        #expect(bench.scheduler.nextRequest(now: 0) == nil)
        bench.scheduler.finish(third, RequestOutcome(.ok), now: 0)
        let (fourth, fourthIDs) = try bench.next(0)
        #expect(fourthIDs == bench.ids(6))
        bench.scheduler.finish(second, RequestOutcome(.ok), now: 0)
        bench.scheduler.finish(fourth, RequestOutcome(.ok), now: 0)
        #expect(bench.ledger.eventsPublished == 6 && bench.ledger.total(.bytesHeld) == 0)
    }

    @Test func whatFailedIsSentAgainUnchangedBeforeWhatIsBehindIt() throws {
        let bench = try Bench()
        let route = try bench.source.route("t")
        try bench.put(route)
        var (request, ids) = try bench.next(0)
        let body = Array(request.body)
        for _ in 0..<5 { try bench.put(route) }
        var now: Int64 = 0
        var pauses: [Int64] = []
        let codes: [PublishCode] = [
            .aborted, .cancelled, .deadlineExceeded, .internal, .resourceExhausted, .unavailable, .unknown,
            .unauthenticated,
        ]
        for code in codes {
            bench.scheduler.finish(request, RequestOutcome(code), now: now)
            #expect(bench.ledger.requests(code) == 1)
            let before = now
            now = bench.scheduler.deadline()
            pauses.append(now - before)
            #expect(now == before || bench.scheduler.nextRequest(now: now - 1) == nil)
            (request, ids) = try bench.next(now)
            #expect(Array(request.body) == body && ids == bench.ids(1))
        }
        for (index, pause) in pauses.enumerated() {
            #expect(pause >= 0 && pause < 100_000_000 << Int64(index))
        }
        #expect(Set(pauses).count > 4)
        #expect(!bench.ledger.isHealthy && bench.ledger.total(.retries) == codes.count)
        bench.scheduler.finish(request, RequestOutcome(.ok), now: now)
        #expect(bench.ledger.isHealthy && bench.ledger.eventsPublished == 1)
        (request, ids) = try bench.next(now)
        #expect(ids == bench.ids(2, 3, 4, 5, 6))
    }

    @Test func theServicesOwnWaitIsObeyed() throws {
        let bench = try Bench()
        try bench.put(try bench.source.route("t"))
        let (request, _) = try bench.next(0)
        bench.scheduler.finish(
            request, RequestOutcome(.resourceExhausted, retryDelay: 7 * second), now: second)
        #expect(bench.scheduler.deadline() == 8 * second)
    }

    @Test(arguments: [PublishCode.permissionDenied, .failedPrecondition, .unimplemented])
    func aPermanentErrorIsSaidAndTriedSlowly(_ code: PublishCode) throws {
        let bench = try Bench()
        try bench.put(try bench.source.route("bad"))
        try bench.put(try bench.source.route("good"))
        let (bad, _) = try bench.next(0)
        bench.scheduler.finish(bad, RequestOutcome(code, text: "because"), now: 0)
        let problem = try #require(bench.ledger.problem)
        for word in ["projects/test/topics/bad", code.name, "because", "kept"] {
            #expect(problem.text.contains(word))
        }
        let (good, ids) = try bench.next(0)
        #expect(ids == bench.ids(2))
        bench.scheduler.finish(good, RequestOutcome(.ok), now: 0)
        // One lane's success is not the other's recovery.
        #expect(!bench.ledger.isHealthy && bench.ledger.eventsInFlight == 1)
        let again = bench.scheduler.deadline()
        #expect(again >= 15 * second && again <= 30 * second)
        let (retry, _) = try bench.next(again)
        bench.scheduler.finish(retry, RequestOutcome(.ok), now: again)
        #expect(bench.ledger.isHealthy && bench.ledger.eventsInFlight == 0)
    }

    @Test func aMissingTopicIsCreatedOnceForAllItsLanes() throws {
        let bench = try Bench()
        let one = try bench.source.route("t", symbol: "A", key: "A")
        let two = try bench.source.route("t", symbol: "B", key: "B")
        try bench.put(one)
        let (first, _) = try bench.next(0)
        bench.scheduler.finish(first, RequestOutcome(.notFound), now: 0)
        try bench.put(two)
        let create = try #require(bench.scheduler.nextRequest(now: 0))
        guard case .create(let topic) = create.work else {
            Issue.record("no creation")
            return
        }
        #expect(topic.name == "projects/test/topics/t" && bench.ledger.total(.topicsPending) == 1)
        #expect(Array(create.body.dropFirst(5)) == Protobuf.field(1, topic.name.utf8))
        #expect(bench.scheduler.nextRequest(now: 0) == nil)
        bench.scheduler.finish(create, RequestOutcome(.alreadyExists), now: 0)
        #expect(bench.ledger.total(.topicsPending) == 0 && bench.ledger.total(.topicsReady) == 1)
        let (second, _) = try bench.next(0)
        let (third, _) = try bench.next(0)
        // Not yet known everywhere: no second creation, but another try.
        bench.scheduler.finish(second, RequestOutcome(.notFound), now: 0)
        bench.scheduler.finish(third, RequestOutcome(.ok), now: 0)
        let (fourth, _) = try bench.next(self.second)
        // Gone for good: created anew.
        bench.scheduler.finish(fourth, RequestOutcome(.notFound), now: 60 * self.second)
        let anew = try #require(bench.scheduler.nextRequest(now: 60 * self.second))
        bench.scheduler.finish(anew, RequestOutcome(.ok), now: 60 * self.second)
        let (fifth, _) = try bench.next(60 * self.second)
        bench.scheduler.finish(fifth, RequestOutcome(.ok), now: 60 * self.second)
        #expect(bench.ledger.eventsPublished == 2 && bench.ledger.isHealthy)
    }

    @Test func withoutCreationAMissingTopicIsAProblem() throws {
        let bench = try Bench { $0.createTopics = false }
        try bench.put(try bench.source.route("t"))
        let (request, _) = try bench.next(0)
        bench.scheduler.finish(request, RequestOutcome(.notFound), now: 0)
        #expect(bench.ledger.problem?.text.contains("createTopics") == true)
        #expect(bench.scheduler.nextRequest(now: 0) == nil)
        #expect(bench.scheduler.deadline() >= 15 * second)
    }

    @Test func topicsOfTheStartAreCreatedAtAPace() throws {
        let bench = try Bench()
        bench.scheduler.ensure(topics: (0..<20).map { "t\($0)" } + ["t0"])
        #expect(bench.ledger.total(.topicsPending) == 20)
        try bench.put(try bench.source.route("t19"))
        var now: Int64 = 0
        var created = 0
        while created < 20 {
            let request = try #require(bench.scheduler.nextRequest(now: now))
            guard case .create = request.work else {
                Issue.record("published before its topic was there")
                return
            }
            created += 1
            #expect(bench.scheduler.nextRequest(now: now) == nil)
            bench.scheduler.finish(request, RequestOutcome(.ok), now: now)
            if created < 20 {
                #expect(bench.scheduler.deadline() == now + bench.scheduler.settings.createPace)
            }
            now += bench.scheduler.settings.createPace
        }
        let (_, ids) = try bench.next(now)
        #expect(ids == bench.ids(1))
    }

    @Test func aBrokenConnectionIsTriedWithOneRequest() throws {
        let bench = try Bench()
        let routes = try (0..<10).map { try bench.source.route("t\($0)") }
        for route in routes { try bench.put(route) }
        let (probe, _) = try bench.next(0)
        bench.scheduler.finish(probe, RequestOutcome(.ok), now: 0)
        var requests: [PublishScheduler.Request] = []
        while let request = bench.scheduler.nextRequest(now: 0) { requests.append(request) }
        #expect(requests.count == 9)
        try bench.put(routes[0])
        bench.scheduler.finish(
            requests[0], RequestOutcome(.unavailable, isLinkFault: true, text: "reset"), now: 0)
        // The others are still out.
        #expect(bench.scheduler.nextRequest(now: second) == nil)
        for request in requests[1...] {
            bench.scheduler.finish(
                request, RequestOutcome(.unavailable, isLinkFault: true, text: "reset"), now: 0)
        }
        #expect(bench.ledger.total(.reconnects) == 1 && bench.ledger.isHealthy)
        var now: Int64 = 0
        for _ in 0..<8 {
            now += 10 * second
            let (probe, _) = try bench.next(now)
            #expect(probe.isFresh && bench.scheduler.nextRequest(now: now) == nil)
            bench.scheduler.finish(
                probe, RequestOutcome(.unavailable, isLinkFault: true, text: "refused"), now: now)
        }
        #expect(bench.ledger.problem?.text.contains("refused") == true && !bench.ledger.isHealthy)
        #expect(bench.scheduler.deadline() <= now + PublishScheduler.longestLinkWait)
        now += 60 * second
        let (last, _) = try bench.next(now)
        bench.scheduler.finish(last, RequestOutcome(.ok), now: now)
        #expect(bench.ledger.isHealthy)
        while let request = bench.scheduler.nextRequest(now: now) {
            #expect(!request.isFresh)
            bench.scheduler.finish(request, RequestOutcome(.ok), now: now)
        }
        #expect(bench.ledger.eventsInFlight == 0 && bench.ledger.eventsPublished == 11)
    }

    @Test func requestsStayWithinPubSubsLimits() throws {
        let bench = try Bench { $0.requestBytes = 50_000 }
        let route = try bench.source.route("t")
        let events = try bench.source.route("e", kind: .ticker)
        for _ in 0..<100 { try bench.put(route, events: 4, padding: 1000) }
        try bench.put(events, events: 1500, eventMode: true)
        try bench.put(events, events: 1600, eventMode: true)
        var seen: [String: Int] = [:]
        while let request = bench.scheduler.nextRequest(now: 0) {
            let read = try #require(PublishedRequest.read(request.body))
            #expect(request.body.count <= 50_000 + 5 && request.messages == read.messages.count)
            #expect(read.messages.count <= 1000)
            seen[read.topic, default: 0] += read.messages.count
            bench.scheduler.finish(request, RequestOutcome(.ok), now: 0)
        }
        #expect(seen == ["projects/test/topics/t": 100, "projects/test/topics/e": 3100])
        #expect(bench.ledger.eventsPublished(market: 0, kind: .trade) == 400)
        #expect(bench.ledger.eventsPublished(market: 0, kind: .ticker) == 3100)
        #expect(bench.ledger.total(.batchesPublished) == 102 && bench.ledger.batchesInFlight == 0)
        let bytes = bench.source.log.reduce(0) { $0 + Int($1.header.dataBytes) }
        #expect(bench.ledger.total(.bytesPublished) == bytes && bench.ledger.bytesInFlight == 0)
        #expect(bench.ledger.latency(kind: .ticker).count == 3100)
    }

    @Test func memoryStaysWithinTheBudget() throws {
        let bench = try Bench { $0.byteBudget = 1 << 20 }
        let routes = try (0..<50).map { try bench.source.route("t\($0)") }
        var taken = 0
        while try bench.put(routes[taken % 50], events: 10, padding: 200) == .accepted { taken += 1 }
        #expect(taken > 100)
        #expect(bench.ledger.total(.bytesHeld) <= 1 << 20)
        while let request = bench.scheduler.nextRequest(now: 0) {
            bench.scheduler.finish(request, RequestOutcome(.ok), now: 0)
        }
        #expect(bench.ledger.total(.bytesHeld) == 0)
        // A batch larger than the whole budget still gets through, alone.
        #expect(try bench.put(routes[0], events: 1, padding: 3 << 20) == .accepted)
        #expect(try bench.put(routes[1]) == .full)
    }

    @Test func bodiesInFlightStayBelowTheServersWindow() throws {
        let bench = try Bench()
        let routes = try (0..<30).map { try bench.source.route("t\($0)") }
        for route in routes { try bench.put(route, padding: 100_000) }
        let (probe, _) = try bench.next(0)
        bench.scheduler.finish(probe, RequestOutcome(.ok), now: 0)
        var bytes = 0
        while let request = bench.scheduler.nextRequest(now: 0) { bytes += request.body.count }
        #expect(bytes > 700_000 && bytes <= 900_000)
    }

    /// A service that fails at random, sometimes after storing what it got, against the rules.
    @Test(arguments: 1...20)
    func nothingIsLostOrOvertakenWhateverTheServiceDoes(seed: Int) throws {
        let bench = try Bench {
            $0.requestBytes = 4000
            $0.byteBudget = 1 << 20
        }
        var random = SplitMix64(seed: UInt64(seed))
        let routes = try (0..<12).map { index in
            try bench.source.route("t\(index % 4)", symbol: "S\(index % 6)", key: "K\(index % 6)")
        }
        var topics = Set<String>()
        var stored: [String: [String]] = [:]
        var acknowledged = Set<String>()
        var inFlight: [(request: PublishScheduler.Request, lane: String)] = []
        var wanted: [String: [String]] = [:]
        var now: Int64 = 0
        var left = 600
        while left > 0 || bench.ledger.batchesInFlight > 0 {
            now += Int64(random.next() % 50_000_000)
            if left == 0 { now += second }
            for _ in 0..<Int(random.next() % 4) where left > 0 {
                let route = routes[Int(random.next() % 12)]
                #expect(try bench.put(route, events: 1 + Int(random.next() % 3)) == .accepted)
                let lane = "projects/test/topics/\(route.topic) \(route.orderingKey)"
                wanted[lane, default: []].append(bench.ids(Int(bench.source.number))[0])
                left -= 1
            }
            while let request = bench.scheduler.nextRequest(now: now) {
                var lane = ""
                if case .publish = request.work {
                    let read = try #require(PublishedRequest.read(request.body))
                    lane = "\(read.topic) \(read.messages[0].key)"
                    let ids = read.messages.map { $0.attributes["batch_id"] ?? "" }
                    #expect(acknowledged.isDisjoint(with: ids))
                    #expect(!inFlight.contains { $0.lane == lane })
                }
                inFlight.append((request, lane))
            }
            guard !inFlight.isEmpty, random.next() % 3 > 0 else { continue }
            let (request, lane) = inFlight.remove(at: Int(random.next() % UInt64(inFlight.count)))
            switch request.work {
            case .create(let topic):
                let fails = random.next() % 4 == 0
                if !fails { topics.insert(topic.name) }
                bench.scheduler.finish(request, RequestOutcome(fails ? .unavailable : .ok), now: now)
            case .publish(let owner):
                guard topics.contains(owner.topic.name) else {
                    bench.scheduler.finish(request, RequestOutcome(.notFound), now: now)
                    continue
                }
                let ids = try #require(PublishedRequest.read(request.body)).messages
                    .map { $0.attributes["batch_id"] ?? "" }
                let fate = random.next() % 10
                if fate < 7 { stored[lane, default: []] += ids }
                if fate < 5 { acknowledged.formUnion(ids) }
                let outcome =
                    switch fate {
                    case 0..<5: RequestOutcome(.ok)
                    case 5: RequestOutcome(.deadlineExceeded, isLinkFault: true)
                    case 6: RequestOutcome(.unknown)
                    case 7: RequestOutcome(.permissionDenied)
                    default: RequestOutcome(.unavailable, isLinkFault: fate == 8)
                    }
                bench.scheduler.finish(request, outcome, now: now)
            }
        }
        for (lane, ids) in wanted {
            var first: [String] = []
            var seen = Set<String>()
            for id in stored[lane] ?? [] where seen.insert(id).inserted { first.append(id) }
            #expect(first == ids)
        }
        #expect(bench.ledger.eventsInFlight == 0 && bench.ledger.total(.bytesHeld) == 0)
        #expect(bench.ledger.total(.batchesPublished) == 600)
    }
}
