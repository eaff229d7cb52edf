import MarketData
import Testing

@testable import ExchangeAdapter

/// What is found over REST, put in its place.
@Suite struct RepairMergeTests {
    private let patience: Int64 = 2_000_000_000

    private func delivery(
        _ hole: MissingRange, _ ids: ClosedRange<Int64>, without missing: Set<Int64> = [],
        others: GapState = .absent
    ) -> RepairDelivery {
        let trades = ids.filter { !missing.contains($0) }.map { id in
            var trade = Trade(header: EventHeader(kind: .trade, instrument: hole.instrument, receivedTime: 1))
            trade.tradeID = id
            trade.tradeTime = WriterBench.begin + id * 1_000_000
            return trade
        }
        return RepairDelivery(
            range: hole, ids: ids, events: .trades(trades), others: others, receivedTime: WriterBench.begin)
    }

    private func bench() throws -> (WriterBench, RepairMailbox) {
        let mailbox = RepairMailbox(patience: [patience], served: [[.trade, .aggTrade, .kline]])
        let bench = try WriterBench(repair: mailbox)
        bench.open(0)
        return (bench, mailbox)
    }

    @Test func aHoleIsFilledInOrder() throws {
        let (bench, mailbox) = try self.bench()
        bench.trade(1)
        bench.trade(5)
        bench.trade(6)
        #expect(bench.settle())
        #expect(bench.take() == [.event(.trade, 1)], "what is behind the hole waits")
        let hole = try #require(mailbox.missing[0].drain().first)
        #expect(hole.first == 2 && hole.last == 4 && hole.cause == .sequence)
        #expect(bench.counters.counts(.trade, market: 0).gapsOpen == 1)
        #expect(bench.deliver(delivery(hole, 2...3)))
        #expect(bench.take() == [.event(.trade, 2), .event(.trade, 3), .gap(2, 3, .repaired, .sequence)])
        #expect(bench.deliver(delivery(hole, 4...4)))
        #expect(
            bench.take() == [
                .event(.trade, 4), .gap(4, 4, .repaired, .sequence), .event(.trade, 5), .event(.trade, 6),
            ])
        let counts = bench.counters.counts(.trade, market: 0)
        #expect(counts.gaps == 1 && counts.gapsOpen == 0 && counts.idsRepaired == 3)
        bench.trade(7)
        #expect(bench.take() == [.event(.trade, 7)])
    }

    @Test func whatIsAbsentIsSaidInItsPlace() throws {
        let (bench, mailbox) = try self.bench()
        bench.trade(1)
        bench.trade(9)
        #expect(bench.settle())
        _ = bench.take()
        let hole = try #require(mailbox.missing[0].drain().first)
        #expect(bench.deliver(delivery(hole, 2...8, without: [2, 5, 6, 8])))
        #expect(
            bench.take() == [
                .gap(2, 2, .absent, .sequence), .event(.trade, 3), .event(.trade, 4),
                .gap(3, 4, .repaired, .sequence), .gap(5, 6, .absent, .sequence), .event(.trade, 7),
                .gap(7, 7, .repaired, .sequence), .gap(8, 8, .absent, .sequence), .event(.trade, 9),
            ])
        let counts = bench.counters.counts(.trade, market: 0)
        #expect(counts.idsAbsent == 4 && counts.idsRepaired == 3 && counts.gapsOpen == 0)
    }

    @Test func whatComesTooLateIsPublishedLate() throws {
        let (bench, mailbox) = try self.bench()
        bench.trade(1)
        bench.trade(5)
        #expect(bench.settle())
        bench.now += patience
        #expect(bench.settle())
        #expect(bench.take() == [.event(.trade, 1), .gap(2, 4, .open, .sequence), .event(.trade, 5)])
        bench.trade(6)
        let hole = try #require(mailbox.missing[0].drain().first)
        #expect(bench.deliver(delivery(hole, 2...3)))
        #expect(bench.counters.counts(.trade, market: 0).gapsOpen == 1)
        #expect(bench.deliver(delivery(hole, 4...4, without: [4], others: .lost)))
        #expect(
            bench.take() == [
                .event(.trade, 6), .event(.trade, 2), .event(.trade, 3), .gap(2, 3, .repaired, .sequence),
                .gap(4, 4, .lost, .sequence),
            ])
        let counts = bench.counters.counts(.trade, market: 0)
        #expect(counts.gaps == 1 && counts.gapsOpen == 0 && counts.idsLost == 1)
    }

    @Test func whatAnotherConnectionBringsIsNotPublishedTwice() throws {
        let (bench, mailbox) = try self.bench()
        bench.trade(1)
        bench.trade(5)
        #expect(bench.settle())
        bench.open(1)
        bench.trade(2, on: 1)
        let hole = try #require(mailbox.missing[0].drain().first)
        #expect(bench.deliver(delivery(hole, 2...4)))
        #expect(
            bench.take() == [
                .event(.trade, 1), .event(.trade, 2), .event(.trade, 3), .event(.trade, 4),
                .gap(3, 4, .repaired, .sequence), .event(.trade, 5),
            ])
        #expect(bench.counters.counts(.trade, market: 0).duplicates == 1)
    }

    @Test func othersGoOnMeanwhile() throws {
        let (bench, _) = try self.bench()
        bench.trade(1)
        bench.trade(1, instrument: 2)
        bench.trade(5)
        bench.trade(2, instrument: 2)
        #expect(bench.settle())
        #expect(bench.ids() == [1, 1, 2])
    }

    @Test func whatIsOfAnEarlierCountIsLost() throws {
        let (bench, mailbox) = try self.bench()
        bench.trade(1)
        bench.trade(5)
        #expect(bench.settle())
        let hole = try #require(mailbox.missing[0].drain().first)
        bench.forget(.trade)
        _ = bench.take()
        bench.trade(100)
        #expect(bench.deliver(delivery(hole, 2...4)))
        #expect(bench.take() == [.event(.trade, 100), .gap(2, 4, .lost, .sequence)])
    }

    @Test func aCheckpointTellsWhatWasMissed() throws {
        let (bench, mailbox) = try self.bench()
        bench.resume(expected: 10, newest: WriterBench.begin)
        bench.trade(15)
        #expect(bench.settle())
        let hole = try #require(mailbox.missing[0].drain().first)
        #expect(hole.first == 10 && hole.last == 14 && hole.cause == .outage)
        #expect(bench.deliver(delivery(hole, 10...14)))
        #expect(bench.ids() == [10, 11, 12, 13, 14, -10, 15])
    }

    @Test func aCheckpointThatFitsTellsNothing() throws {
        let (bench, mailbox) = try self.bench()
        bench.resume(expected: 10, newest: WriterBench.begin)
        bench.trade(10)
        bench.trade(11)
        #expect(bench.ids() == [10, 11])
        #expect(mailbox.missing[0].isEmpty)
    }

    /// What a checkpoint tells of does not hide that the exchange counts anew.
    @Test func aNewCountAfterAStartIsTold() throws {
        let (bench, mailbox) = try self.bench()
        bench.resume(expected: 1_000, newest: WriterBench.begin)
        bench.trade(3, time: WriterBench.begin + 5_000_000_000)
        bench.trade(4, time: WriterBench.begin + 5_000_000_001)
        #expect(bench.take() == [.event(.trade, 3), .gap(0, 2, .open, .restart), .event(.trade, 4)])
        #expect(mailbox.missing[0].isEmpty)
    }

    /// A hole of an earlier run is filled below what came first in this one.
    @Test func aHoleOfACheckpointIsFilledLate() throws {
        let (bench, mailbox) = try self.bench()
        bench.resume(expected: 10, newest: WriterBench.begin)
        let told = MissingRange(
            kind: .trade, instrument: 1, market: 0, first: 5, last: 7, cause: .sequence, epoch: 0, seen: 0)
        bench.resume(told)
        let hole = try #require(mailbox.missing[0].drain().first)
        #expect(hole.first == told.first && hole.last == told.last && hole.cause == told.cause)
        #expect(bench.counters.counts(.trade, market: 0).gapsOpen == 1)
        bench.trade(10)
        #expect(bench.deliver(delivery(hole, 5...7, without: [6])))
        #expect(
            bench.take() == [
                .event(.trade, 10), .event(.trade, 5), .gap(5, 5, .repaired, .sequence),
                .gap(6, 6, .absent, .sequence), .event(.trade, 7), .gap(7, 7, .repaired, .sequence),
            ])
        #expect(bench.counters.counts(.trade, market: 0).gapsOpen == 0)
    }

    /// Two connections and the store, in any order: each id once, in order or told; each that is missing settled once.
    @Test(arguments: 1..<100) func eachIDEndsOnce(seed: Int) throws {
        var random = SplitMix64(seed &* 77)
        let (bench, mailbox) = try self.bench()
        bench.open(1)
        var out: [WriterBench.Output] = []
        var places: [Int64] = [1, 1]
        var holes: [(hole: MissingRange, next: Int64)] = []
        let end: Int64 = 600
        let absent = Set((0..<20).map { _ in Int64(random.next(below: Int(end)) + 1) })
        bench.trade(1, on: 0)
        while places.min() ?? end < end || !holes.isEmpty {
            bench.now += Int64(random.next(below: 60)) * 1_000_000
            let member = random.next(below: 2)
            if places[member] < end {
                places[member] += random.next(below: 6) == 0 ? Int64(random.next(below: 20)) : 1
                places[member] = min(places[member], end)
                if !absent.contains(places[member]) || places[member] == end {
                    bench.trade(places[member], on: member)
                }
            }
            _ = bench.settle()
            holes += mailbox.missing[0].drain().map { (hole: $0, next: $0.first) }
            if !holes.isEmpty, random.next(below: 3) == 0 {
                let place = random.next(below: holes.count)
                let (hole, next) = holes[place]
                let last = min(hole.last, next + Int64(random.next(below: 30)))
                let gone: GapState = random.next(below: 8) == 0 ? .lost : .absent
                let missing = gone == .lost ? Set(next...last) : absent
                #expect(bench.deliver(delivery(hole, next...last, without: missing, others: gone)))
                if last == hole.last { holes.remove(at: place) } else { holes[place].next = last + 1 }
            }
            out += bench.take()
            if places.min() ?? 0 >= end, holes.isEmpty {
                bench.now += 10_000_000_000
                _ = bench.settle()
                holes += mailbox.missing[0].drain().map { (hole: $0, next: $0.first) }
                out += bench.take()
            }
        }
        var published: Set<Int64> = []
        var settled: [Int64: GapState] = [:]
        var open: Set<Int64> = []
        for one in out {
            switch one {
            case .event(_, let id): #expect(published.insert(id).inserted, "\(id) twice, seed \(seed)")
            case .gap(let first, let last, .open, _): open.formUnion(first...last)
            case .gap(let first, let last, let state, _):
                for id in first...last {
                    #expect(settled[id] == nil, "\(id) settled twice, seed \(seed)")
                    settled[id] = state
                }
            }
        }
        for id in 1...end {
            let state = settled[id]
            #expect(published.contains(id) == (state == nil || state == .repaired), "\(id), seed \(seed)")
            if open.contains(id) { #expect(state != nil, "\(id) stays open, seed \(seed)") }
        }
        #expect(bench.counters.waiting == 0)
    }
}
