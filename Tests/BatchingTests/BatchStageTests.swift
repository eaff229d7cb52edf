import Glibc
import MarketData
import Testing

@testable import Batching
@testable import Rings

@Suite struct BatchStageTests {
    @Test func closesByCountInOrder() throws {
        let bench = try BatchBench { $0.maxEvents = 3 }
        for id in 1...7 as ClosedRange<Int64> { try bench.putTrade(id: id) }
        bench.work()
        let closed = try bench.take()
        #expect(closed.map(\.header.count) == [3, 3])
        #expect(closed.map(\.header.firstSequence) == [1, 4])
        #expect(closed.map(\.header.lastSequence) == [3, 6])
        #expect(closed.map(\.header.number) == [1, 2])
        #expect(closed[0].header.firstEventTime == 10 && closed[0].header.lastEventTime == 30)
        #expect(
            closed[0].topic == "market.trade.binance.BTCUSDT" && closed[0].orderingKey == "binance:BTCUSDT")
        #expect(closed[0].header.isCompressed)
        #expect(bench.monitor.openEventCount == 1 && bench.monitor.openBatchCount == 1)
        bench.flush()
        let last = try bench.take()
        #expect(
            last.first?.lines == [
                #"{"type":"trade","exchange":"binance","symbol":"BTCUSDT","sequence":7,"eventTime":70,"#
                    + #""receivedTime":7,"tradeId":7,"price":"1.23","quantity":"5","aggressor":"buy"}"#
            ])
        #expect(bench.monitor.openEventCount == 0 && bench.monitor.openBatchCount == 0)
        #expect(bench.monitor.eventCount == 7 && bench.monitor.batchCount == 3)
        #expect(bench.monitor.internalLatency[0].snapshot().count == 7)
    }

    @Test func closesBySizeBeforeTheLimitIsPassed() throws {
        let bench = try BatchBench { settings in
            settings.maxBytes = 1_000
            settings.compressionLevel = nil
        }
        for id in 1...100 as ClosedRange<Int64> { try bench.putTrade(id: id) }
        bench.flush()
        let closed = try bench.take()
        #expect(closed.reduce(0) { $0 + $1.header.count } == 100)
        #expect(closed.count >= 10)
        for batch in closed {
            #expect(!batch.header.isCompressed)
            // Closed as soon as the limit is reached: over it by one event at most.
            #expect(batch.lines.dropLast().joined(separator: "\n").utf8.count < 1_000)
        }
    }

    /// Where sources are many, events are looked at before their turn.
    @Test func manyInstrumentsStayApart() throws {
        let bench = try BatchBench()
        let symbols = (0..<400).map { "S\($0)USDT" }
        for id in 1...3 as ClosedRange<Int64> {
            for symbol in symbols { try bench.putTrade(symbol, id: id) }
            bench.work()
        }
        bench.flush()
        let closed = try bench.take()
        #expect(closed.map(\.symbol) == symbols)
        for batch in closed {
            #expect(batch.lines.count == 3)
            for (index, line) in batch.lines.enumerated() {
                #expect(line.contains("\"symbol\":\"\(batch.symbol ?? "")\",\"sequence\":\(index + 1),"))
                #expect(line.contains("\"tradeId\":\(index + 1),"))
            }
        }
    }

    @Test func closesByAge() throws {
        let bench = try BatchBench { $0.maxDelayNanos = 1 }
        try bench.putTrade(id: 1)
        bench.work()
        #expect(try bench.take().count == 1)
    }

    /// Behind others on disk a batch is not late by waiting for more; those of other topics are.
    @Test func growsOlderWhileItsRouteWaits() throws {
        let bench = try BatchBench {
            $0.maxDelayNanos = 1
            $0.waitingDelayNanos = 1 << 50
        }
        for symbol in ["BTCUSDT", "ETHUSDT"] { try bench.putTrade(symbol, id: 1) }
        bench.work()
        let routes = try bench.take().map(\.topic)
        #expect(routes.count == 2)
        bench.routes.route(0).setWaiting(true)
        for areAsked in [false, true] {
            bench.monitor.setRoutesWait(areAsked)
            for id in 2...3 as ClosedRange<Int64> {
                for symbol in ["BTCUSDT", "ETHUSDT"] { try bench.putTrade(symbol, id: id) }
                bench.work()
            }
            let counts = try bench.take().reduce(into: [:]) {
                $0[$1.topic, default: []].append($1.header.count)
            }
            #expect(counts[routes[1]] == [1, 1])
            #expect(counts[routes[0]] == (areAsked ? nil : [1, 1]))
        }
        // Nothing waits before it any more.
        bench.routes.route(0).setWaiting(false)
        bench.work()
        #expect(try bench.take().map(\.header.count) == [2])
        #expect(bench.monitor.openBatchCount == 0)
    }

    /// While more waits than a cycle takes, batches grow rather than close; not for ever.
    @Test func growsWhileEventsWait() throws {
        let bench = try BatchBench { settings in
            settings.maxDelayNanos = 100_000_000
            settings.maxEvents = 5_000
            settings.maxBytes = 1 << 20
        }
        for id in 1...1_100 as ClosedRange<Int64> { try bench.putTrade(id: id) }
        _ = bench.stage.doWork()
        usleep(150_000)
        _ = bench.stage.doWork()
        #expect(try bench.take().isEmpty)
        _ = bench.stage.doWork()
        #expect(try bench.take().map(\.header.count) == [1_100])

        let late = try BatchBench { settings in
            settings.maxDelayNanos = 1
            settings.maxEvents = 5_000
        }
        for id in 1...1_100 as ClosedRange<Int64> { try late.putTrade(id: id) }
        _ = late.stage.doWork()
        usleep(10)
        _ = late.stage.doWork()
        #expect(try !late.take().isEmpty)
    }

    /// Idle means: no event waits, the publisher has taken everything and has nothing in flight.
    @Test func closesEarlyOnlyWhenThePublisherIsIdle() throws {
        let bench = try BatchBench { $0.closeWhenIdle = true }
        bench.monitor.setPublisherLoad(1)
        try bench.putTrade(id: 1)
        bench.work()
        #expect(try bench.take().isEmpty)
        bench.monitor.setPublisherLoad(0)
        bench.work()
        #expect(try bench.take().count == 1)
    }

    /// A batch of as much JSON is compressed, one of a byte less is not.
    @Test(arguments: [0, 1]) func smallBatchesMayStayAsTheyAre(beyond: Int) throws {
        let measure = try BatchBench()
        try measure.putTrade(id: 1)
        measure.flush()
        let bytes = try #require(try measure.take().first?.lines.first).utf8.count + 1
        let bench = try BatchBench { $0.compressMinBytes = bytes + beyond }
        try bench.putTrade(id: 1)
        bench.flush()
        try bench.putTrade(id: 2)
        try bench.putTrade(id: 3)
        bench.flush()
        let closed = try bench.take()
        #expect(closed.map(\.header.count) == [1, 2])
        #expect(closed.map(\.header.isCompressed) == [beyond == 0, true])
    }

    @Test func everySymbolHasItsTopicAndSequence() throws {
        let bench = try BatchBench()
        for id in 1...4 as ClosedRange<Int64> {
            try bench.putTrade("BTCUSDT", id: id)
            try bench.putTrade("ETHUSDT", id: id)
        }
        bench.flush()
        let closed = try bench.take()
        #expect(closed.map(\.topic) == ["market.trade.binance.BTCUSDT", "market.trade.binance.ETHUSDT"])
        #expect(closed.map(\.header.lastSequence) == [4, 4])
    }

    /// A coarse topic with symbols in the ordering key: batches of one key each, one sequence over all.
    @Test func aTopicOfSeveralSymbolsCountsThemTogether() throws {
        let coarse = try TopicTemplate("market.{type}.{exchange}")
        let bench = try BatchBench { $0.topic = coarse }
        for id in 1...3 as ClosedRange<Int64> {
            try bench.putTrade("BTCUSDT", id: id)
            try bench.putTrade("ETHUSDT", id: id)
        }
        bench.flush()
        let closed = try bench.take()
        #expect(closed.map(\.topic) == ["market.trade.binance", "market.trade.binance"])
        #expect(closed.map(\.orderingKey) == ["binance:BTCUSDT", "binance:ETHUSDT"])
        #expect(closed.map(\.header.firstSequence) == [1, 2])
        #expect(closed.map(\.header.lastSequence) == [5, 6])
        #expect(closed.map(\.symbol) == ["BTCUSDT", "ETHUSDT"])
    }

    @Test func aBatchOfSeveralSymbolsNamesNone() throws {
        let (topic, key) = (try TopicTemplate("market.{type}"), try TopicTemplate("{exchange}"))
        let bench = try BatchBench { settings in
            settings.topic = topic
            settings.orderingKey = key
        }
        try bench.putTrade("BTCUSDT", id: 1)
        try bench.putTrade("ETHUSDT", id: 1)
        bench.flush()
        let closed = try bench.take()
        #expect(closed.count == 1 && closed[0].symbol == nil)
        #expect(closed[0].lines.map { $0.contains("BTCUSDT") } == [true, false])
    }

    @Test func eventModeTellsEachEventApart() throws {
        let bench = try BatchBench { $0.payload = .event }
        for id in 1...3 as ClosedRange<Int64> { try bench.putTrade(id: id) }
        bench.flush()
        let closed = try bench.take()
        #expect(closed[0].events.map(\.json) == closed[0].lines)
        #expect(closed[0].events.map(\.sequence) == [1, 2, 3])
        #expect(closed[0].events.map(\.eventTime) == [10, 20, 30])
        #expect(!closed[0].header.isCompressed)
    }

    /// A full publisher's ring holds events up; nothing is lost, repeated or reordered when it empties.
    @Test func backPressureLosesNothing() throws {
        let bench = try BatchBench(ringBytes: 4_096) { settings in
            settings.maxEvents = 4
            settings.compressionLevel = nil
        }
        for id in 1...400 as ClosedRange<Int64> { try bench.putTrade(id: id) }
        bench.work()
        #expect(bench.stage.parkLimit() <= 1_000_000)
        var sequences: [UInt64] = []
        bench.monitor.requestFlush()
        for _ in 0..<1_000 where sequences.count < 100 {
            for batch in try bench.take() {
                sequences += [batch.header.firstSequence, batch.header.lastSequence]
            }
            bench.work()
        }
        let expected = stride(from: 1, through: 400, by: 4).flatMap { [UInt64($0), UInt64($0 + 3)] }
        while sequences.count < expected.count {
            let more = try bench.take()
            guard !more.isEmpty else { break }
            for batch in more { sequences += [batch.header.firstSequence, batch.header.lastSequence] }
            bench.work()
        }
        #expect(sequences == expected)
    }

    @Test func deadLettersHaveTheirTopic() throws {
        let bench = try BatchBench()
        let frame = Array("{\"oops\"".utf8)
        let size = MemoryLayout<DeadLetter>.stride
        let reserved = bench.events.reserve(size + frame.count)
        let room = try #require(reserved)
        room.storeBytes(
            of: DeadLetter(
                header: EventHeader(kind: .deadLetter, instrument: 0, receivedTime: 9), reason: .malformed,
                offset: 7,
                frameLength: UInt32(frame.count)), as: DeadLetter.self)
        frame.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { (room + size).copyMemory(from: base, byteCount: bytes.count) }
        }
        bench.events.commit(size + frame.count)
        bench.events.publish()
        bench.flush()
        let closed = try bench.take()
        #expect(closed[0].topic == "market.deadletter.binance")
        #expect(
            closed[0].lines == [
                #"{"type":"deadletter","exchange":"binance","sequence":1,"receivedTime":9,"#
                    + #""reason":"malformed JSON","offset":7,"frame":"eyJvb3BzIg=="}"#
            ])
    }
}
