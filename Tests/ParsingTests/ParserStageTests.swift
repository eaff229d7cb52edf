@testable import ExchangeAdapter
import MarketData
import Testing
import Wire

@testable import Parsing
@testable import Rings

struct AlreadyTaken: Error {}

/// Every frame is a trade whose id is its text; `!` is a shutdown, `+N` an acknowledgement, `?` is refused.
private final class TextDecoder: FrameDecoder {
    let instrument: UInt32
    /// Called at `&`.
    var onMark: () -> Void = {}
    init(instrument: UInt32) { self.instrument = instrument }
    func update(streams: [StreamPlan]) {}

    func decode(_ run: FrameRun, from first: Int, into events: inout EventWriter) -> Int {
        var done = 0
        for index in first..<Int(run.header.frameCount) {
            let frame = run.frame(index)
            guard events.hasRoom(forFrameOf: frame.count) else { break }
            done += 1
            let text = String(decoding: frame, as: UTF8.self)
            if text == "&" {
                onMark()
            } else if text == "!" {
                events.signals.append(.serverShutdown)
            } else if text == "?" {
                events.signals.append(.refused(id: 4, code: 2, text: "no"))
            } else if text.hasPrefix("+"), let id = Int64(text.dropFirst()) {
                events.signals.append(.acknowledged(id: id))
            } else if let id = Int64(text) {
                var trade = Trade(
                    header: EventHeader(
                        kind: .trade, instrument: instrument, receivedTime: events.receivedTime))
                trade.tradeID = id
                events.begin(Trade.self).initialize(to: trade)
                events.end(Trade.self, kind: .trade)
            } else {
                events.deadLetter(frame, reason: .malformed, offset: 0, kind: .trade)
            }
        }
        return done
    }
}

/// A parser stage between two rings, moved on by hand.
private final class ParserBench {
    let counters = ParserCounters(marketCount: 1)
    let commands = CommandQueue<WireCommand>(capacity: 100)
    let requests = CommandQueue<ParserCommand>(capacity: 10)
    let gapNotices = CommandQueue<GapNotice>(capacity: 100)
    var frames: RingProducer
    var stage: ParserStage
    let decoder: TextDecoder
    var events: RingConsumer
    let eventRing: RingStorage

    static let alone = [ParserLink(market: 0, shard: 0, member: 0, isPaired: false)]
    static let trades = StreamPlan(name: "btcusdt@trade", kind: .trade, symbol: "BTCUSDT")

    init(eventRingBytes: Int = 1 << 20, links: [ParserLink] = ParserBench.alone) throws {
        let instruments = InstrumentTable(exchanges: ["test"], capacity: 10)
        let instrument = try #require(instruments.intern("BTCUSDT", market: 0))
        let (frameProducer, frameConsumer, _) = try Ring.make(name: "frames", minimumCapacity: 1 << 20)
        let (eventProducer, eventConsumer, ring) = try Ring.make(
            name: "events", minimumCapacity: eventRingBytes)
        let waker = try Waker()
        eventRing = ring
        guard let frames = frameProducer.take() else { throw AlreadyTaken() }
        self.frames = frames
        guard let events = eventConsumer.take() else { throw AlreadyTaken() }
        self.events = events
        guard let input = frameConsumer.take() else { throw AlreadyTaken() }
        guard let output = eventProducer.take() else { throw AlreadyTaken() }
        decoder = TextDecoder(instrument: instrument)
        stage = ParserStage(
            frames: input,
            events: EventWriter(
                producer: output, counters: counters, instrumentCapacity: 10, gapNotices: gapNotices),
            decoders: [decoder], streams: [[ParserBench.trades]], links: links, instruments: instruments,
            commands: commands, requests: requests, waker: waker)
    }

    func put(_ texts: [String], link: UInt32 = 0, generation: UInt32 = 1) throws {
        let size = 32 + texts.reduce(0) { $0 + $1.utf8.count } + 8 + texts.count * 8
        let reserved = frames.reserve(size)
        let room = try #require(reserved)
        var at = FrameRunHeader.size
        var slices: [FrameSlice] = []
        for text in texts {
            slices.append(FrameSlice(offset: at, length: text.utf8.count, isBinary: false))
            for byte in text.utf8 {
                room.storeBytes(of: byte, toByteOffset: at, as: UInt8.self)
                at += 1
            }
        }
        let table = (at + 7) & ~7
        for (index, slice) in slices.enumerated() {
            room.storeBytes(of: slice, toByteOffset: table + index * 8, as: FrameSlice.self)
        }
        room.storeBytes(
            of: FrameRunHeader(
                connection: link, generation: generation, receivedTime: 77, kind: .frames,
                frameCount: texts.count,
                tableOffset: table), as: FrameRunHeader.self)
        frames.commit(table + texts.count * 8)
        frames.publish()
    }

    /// A connection is open, or has ended.
    func put(_ kind: FrameRunKind, link: UInt32, generation: UInt32 = 1) throws {
        let reserved = frames.reserve(FrameRunHeader.size)
        try #require(reserved).storeBytes(
            of: FrameRunHeader(connection: link, generation: generation, receivedTime: 77, kind: kind),
            as: FrameRunHeader.self)
        frames.commit(FrameRunHeader.size)
        frames.publish()
    }

    /// Events as text: `trade 5`, `gap 2-4 sequence`, `deadletter`.
    func take() -> [String] {
        var texts: [String] = []
        while let record = events.next() {
            switch record.load(as: EventHeader.self).kind {
            case .trade: texts.append("trade \(record.load(as: Trade.self).tradeID)")
            case .gap:
                let gap = record.load(as: Gap.self)
                texts.append("gap \(gap.firstMissing)-\(gap.lastMissing) \(gap.cause.name)")
            case let kind: texts.append(kind.name)
            }
        }
        events.release()
        return texts
    }
}

@Suite struct ParserStageTests {
    /// A slot is added, and delivers, while a cycle is under way.
    @Test func aLinkThatIsAddedInTheMiddleOfACycle() throws {
        let bench = try ParserBench()
        let links = (0..<2).map { ParserLink(market: 0, shard: $0, member: 0, isPaired: false) }
        let requests = bench.requests
        bench.decoder.onMark = { requests.send(.links(links)) }
        try bench.put(["1", "&"])
        try bench.put(["2"], link: 1)
        // Of a link that nobody told of, nothing can be made.
        try bench.put(["3"], link: 7)
        try bench.put(["4"])
        while bench.stage.doWork() > 0 {}
        #expect(bench.take().filter { $0.hasPrefix("trade") } == ["trade 1", "trade 2", "trade 4"])
    }

    @Test func eventsComeInOrderWithGapsSaid() throws {
        let bench = try ParserBench()
        try bench.put(["1", "2", "5", "x"])
        try bench.put(["8"], generation: 2)
        while bench.stage.doWork() > 0 {}
        #expect(
            bench.take() == [
                "trade 1", "trade 2", "trade 5", "gap 3-4 sequence", "deadletter", "trade 8",
                "gap 6-7 reconnect",
            ])
        let trades = bench.counters.counts(.trade, market: 0)
        #expect(
            trades == .init(received: 5, deadLettered: 1, duplicates: 0, ignored: 0, gaps: 2, gapsOpen: 2))
        #expect(bench.counters.counts(.gap, market: 0).received == 2)
        #expect(bench.counters.counts(.deadLetter, market: 0).received == 1)
        #expect(bench.gapNotices.drain().map(\.firstMissing) == [3, 6])
    }

    @Test func signalsReachTheConnection() throws {
        let bench = try ParserBench()
        try bench.put(["+3", "?", "!"], generation: 9)
        _ = bench.stage.doWork()
        let texts = bench.commands.drain().map { command in
            switch command {
            case .acknowledged(let slot, let generation, let id): "ack \(slot) \(generation) \(id)"
            case .refused(_, let generation, _, let text): "refused \(generation) \(text)"
            case .serverShutdown(let slot, let generation): "shutdown \(slot) \(generation)"
            default: "other"
            }
        }
        #expect(texts == ["ack 0 9 3", "refused 9 request 4: code 2, no", "shutdown 0 9"])
    }

    /// A run larger than the event ring's room is taken up again where it stopped: nothing lost, nothing twice.
    @Test func aFullEventRingHoldsARunUp() throws {
        let bench = try ParserBench(eventRingBytes: 8_192)
        let ids = (1...500).map(String.init)
        try bench.put(ids)
        var seen: [String] = []
        _ = bench.stage.doWork()
        #expect(bench.stage.parkLimit() <= 1_000_000)
        #expect(bench.eventRing.bytesUsed > 0)
        for _ in 0..<500 where seen.count < 500 {
            seen += bench.take()
            _ = bench.stage.doWork()
        }
        seen += bench.take()
        #expect(seen == ids.map { "trade \($0)" })
        #expect(bench.counters.counts(.trade, market: 0).received == 500)
    }

    /// What one leg jumped over comes on the other; what neither brings is said when the second one closes.
    @Test func twoLegsMakeOneSequence() throws {
        let links = [0, 1, 2, 3].map { ParserLink(market: 0, shard: 0, member: $0, isPaired: true) }
        let bench = try ParserBench(links: links)
        try bench.put(.opened, link: 0)
        try bench.put(.opened, link: 2)
        try bench.put(["1", "2", "4", "5", "8"], link: 0)
        while bench.stage.doWork() > 0 {}
        #expect(bench.take() == ["trade 1", "trade 2"])
        let limit = bench.stage.parkLimit()
        #expect(limit <= 250_000_000)
        #expect(bench.counters.waiting == 3)
        try bench.put(["2", "3", "4"], link: 2)
        while bench.stage.doWork() > 0 {}
        #expect(bench.take() == ["trade 3", "trade 4", "trade 5"])
        try bench.put(.closed, link: 2)
        while bench.stage.doWork() > 0 {}
        #expect(bench.take() == ["gap 6-7 sequence", "trade 8"])
        #expect(bench.counters.counts(.trade, market: 0).duplicates == 2)
    }

    /// Nothing more comes, and yet what waits goes on in time.
    @Test func whatWaitsGoesOnWhileNothingComes() throws {
        let links = [0, 1].map { ParserLink(market: 0, shard: 0, member: $0, isPaired: false) }
        let bench = try ParserBench(links: links)
        try bench.put(.opened, link: 1)
        try bench.put(["1", "3"], link: 0)
        while bench.stage.doWork() > 0 {}
        #expect(bench.take() == ["trade 1"])
        var seen: [String] = []
        for _ in 0..<100 where seen.isEmpty {
            bench.stage.park(nanos: max(1, bench.stage.parkLimit()))
            _ = bench.stage.doWork()
            seen = bench.take()
        }
        #expect(seen == ["gap 2-2 sequence", "trade 3"])
    }

    /// After the end of a subscription, its next trade is a beginning; of one that goes on, it is not.
    @Test func aStreamThatEndsIsForgotten() throws {
        let bench = try ParserBench()
        try bench.put(["1"])
        _ = bench.stage.doWork()
        bench.requests.send(.streams(market: 0, [ParserBench.trades]))
        let hasInput = bench.stage.hasInput()
        #expect(hasInput)
        try bench.put(["3"])
        _ = bench.stage.doWork()
        #expect(bench.take() == ["trade 1", "trade 3", "gap 2-2 sequence"])
        bench.requests.send(.streams(market: 0, []))
        _ = bench.stage.doWork()
        bench.requests.send(.streams(market: 0, [ParserBench.trades]))
        try bench.put(["900", "901"])
        _ = bench.stage.doWork()
        #expect(bench.take() == ["trade 900", "trade 901"])
    }

    @Test func linksOfPlans() throws {
        let endpoint = try Endpoint("ws://a:1")
        func plan(_ slot: Int, market: Int, shard: Int, leg: Int) -> ConnectionPlan {
            ConnectionPlan(
                slot: slot, shard: shard, leg: leg, market: market, endpoint: endpoint, target: "/stream")
        }
        let table = ParserLink.table(
            of: [
                plan(2, market: 1, shard: 1, leg: 0), plan(0, market: 0, shard: 0, leg: 0),
                plan(1, market: 0, shard: 0, leg: 1),
            ], sides: 2)
        #expect(table.map(\.member) == [0, 1, 2, 3, 0, 1])
        #expect(table.map(\.shard) == [0, 0, 0, 0, 1, 1])
        #expect(table.map(\.market) == [0, 0, 0, 0, 1, 1])
        #expect(table.map(\.isPaired) == [true, true, true, true, false, false])
    }
}
