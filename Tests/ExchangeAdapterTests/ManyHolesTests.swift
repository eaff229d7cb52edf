import MarketData
import Testing

@testable import ExchangeAdapter

/// Many holes of one sequence open at once, which are filled late, in any order.
@Suite struct ManyHolesTests {
    private let patience: Int64 = 2_000_000_000

    /// What came out, checked as it comes.
    private struct Books {
        var published: Set<Int64> = []
        var twice: [Int64] = []
        var open: Set<Int64> = []
        var settled: [Int64: GapState] = [:]
        var settledTwice: [Int64] = []

        mutating func note(_ outputs: [WriterBench.Output]) {
            for output in outputs {
                switch output {
                case .event(_, let id): if !published.insert(id).inserted { twice.append(id) }
                case .gap(let first, let last, .open, _):
                    // A count that begins with 0 tells of none.
                    if first <= last { open.formUnion(first...last) }
                case .gap(let first, let last, let state, _):
                    for id in first...last where settled.updateValue(state, forKey: id) != nil {
                        settledTwice.append(id)
                    }
                }
            }
        }
    }

    private func bench(repairs: Bool = true, ringBytes: Int = 1 << 20) throws -> (WriterBench, RepairMailbox)
    {
        let mailbox = RepairMailbox(patience: [repairs ? patience : nil], served: [[.trade]])
        let bench = try WriterBench(ringBytes: ringBytes, repair: mailbox)
        bench.open(0)
        return (bench, mailbox)
    }

    /// So many holes of `sizes` ids, all told as open; the last id.
    private func open(
        _ count: Int, of sizes: ClosedRange<Int>, _ bench: WriterBench, _ books: inout Books,
        _ random: inout SplitMix64
    ) -> Int64 {
        var id: Int64 = 100
        bench.trade(id)
        for _ in 0..<count {
            id += 1 + Int64(sizes.lowerBound + random.next(below: sizes.count))
            bench.trade(id)
            #expect(bench.settle())
            bench.now += patience
            #expect(bench.settle())
            books.note(bench.take())
        }
        return id
    }

    private func delivery(
        _ hole: MissingRange, _ ids: ClosedRange<Int64>, lacking: Set<Int64>, others: GapState
    )
        -> RepairDelivery
    {
        let trades = ids.filter { !lacking.contains($0) }.map { id in
            var trade = Trade(header: EventHeader(kind: .trade, instrument: hole.instrument, receivedTime: 1))
            trade.tradeID = id
            trade.tradeTime = WriterBench.begin + id * 1_000_000
            return trade
        }
        return RepairDelivery(
            range: hole, ids: ids, events: .trades(trades), others: others, receivedTime: WriterBench.begin)
    }

    private func gapsOpen(_ bench: WriterBench) -> Int { bench.counters.counts(.trade, market: 0).gapsOpen }

    /// Where nothing is fetched: what a connection brings late, whether its hole is remembered or not.
    @Test(arguments: 0..<40) func aConnectionFillsThem(seed: Int) throws {
        var random = SplitMix64(seed)
        let (bench, _) = try self.bench(repairs: false)
        var books = Books()
        let last = open(9 + random.next(below: 40), of: 1...6, bench, &books, &random)
        #expect(gapsOpen(bench) <= Stretches.few)
        var missing = books.open.sorted()
        while !missing.isEmpty {
            let place = seed % 2 == 0 ? 0 : random.next(below: missing.count)
            bench.trade(missing.remove(at: place))
            #expect(gapsOpen(bench) >= 0)
        }
        books.note(bench.take())
        #expect(gapsOpen(bench) == 0)
        #expect(books.published == Set(100...last) && books.twice.isEmpty)
        #expect(Set(books.settled.keys) == books.open, "what came of what was told is told")
        bench.trade(last + 1)
        #expect(bench.ids() == [last + 1])
    }

    /// Both the store and a slow connection fill them, each in any order; some ids are nowhere, some are given up.
    @Test(arguments: 0..<80) func eachIDEndsOnce(seed: Int) throws {
        var random = SplitMix64(seed &* 31 &+ 7)
        let (bench, mailbox) = try self.bench()
        var books = Books()
        let last = open(9 + random.next(below: 60), of: 1...40, bench, &books, &random)
        var holes = mailbox.missing[0].drain(limit: 4_096).map { (hole: $0, next: $0.first) }
        let count = holes.count
        #expect(gapsOpen(bench) == count && count > Stretches.few)
        let lacking = Set(books.open.filter { _ in random.next(below: 9) == 0 })
        bench.open(1)
        var slow: Int64 = 100
        while !holes.isEmpty {
            if random.next(below: 2) == 0 {
                let place = random.next(below: holes.count)
                let (hole, next) = holes[place]
                let end = min(hole.last, next + Int64(random.next(below: 20)))
                let isLost = random.next(below: 10) == 0
                #expect(
                    bench.deliver(
                        delivery(
                            hole, next...end, lacking: isLost ? Set(next...end) : lacking,
                            others: isLost ? .lost : .absent)))
                if end == hole.last { holes.remove(at: place) } else { holes[place].next = end + 1 }
            }
            // Not all that the connection could bring, and all of it twice.
            for _ in 0..<random.next(below: 30) where slow <= last {
                if !lacking.contains(slow), random.next(below: 4) != 0 {
                    bench.trade(slow, on: 1)
                    bench.trade(slow, on: 1)
                }
                slow += 1
            }
            books.note(bench.take())
        }
        books.note(bench.take())
        #expect(gapsOpen(bench) == 0)
        #expect(books.twice.isEmpty && books.settledTwice.isEmpty)
        for id in 100...last {
            let state = books.settled[id]
            #expect(books.published.contains(id) == (state == nil || state == .repaired), "\(id)")
            #expect((state != nil) == books.open.contains(id), "\(id)")
        }
        #expect(bench.counters.counts(.trade, market: 0).gaps == count)
    }

    /// More than is remembered.
    @Test(arguments: [true, false]) func whatIsForgottenComesOnce(isRising: Bool) throws {
        var random = SplitMix64(4)
        let (bench, mailbox) = try self.bench()
        var books = Books()
        let last = open(Stretches.many + 500, of: 1...3, bench, &books, &random)
        #expect(gapsOpen(bench) == Stretches.many)
        let holes = mailbox.missing[0].drain(limit: 4_096)
        #expect(holes.count == Stretches.many + 500)
        for hole in isRising ? holes : holes.reversed() {
            #expect(bench.deliver(delivery(hole, hole.first...hole.last, lacking: [], others: .absent)))
            books.note(bench.take())
            #expect(gapsOpen(bench) >= 0)
        }
        #expect(gapsOpen(bench) == 0)
        #expect(books.published == Set(100...last) && books.twice.isEmpty)
        #expect(Set(books.settled.keys) == books.open && books.settledTwice.isEmpty)
    }

    /// What is left of a hole in many pieces ends in one delivery.
    @Test func aHoleOfManyPiecesIsGivenUp() throws {
        let (bench, mailbox) = try self.bench()
        var books = Books()
        bench.trade(1)
        bench.trade(3_001)
        #expect(bench.settle())
        bench.now += patience
        #expect(bench.settle())
        let hole = try #require(mailbox.missing[0].drain(limit: 4_096).first)
        for id in stride(from: Int64(4), through: 2_998, by: 3) { bench.trade(id) }
        books.note(bench.take())
        #expect(gapsOpen(bench) == 999 + 1)
        #expect(bench.deliver(delivery(hole, 2...3_000, lacking: Set(2...3_000), others: .lost)))
        books.note(bench.take())
        #expect(gapsOpen(bench) == 0)
        #expect(books.settledTwice.isEmpty && Set(books.settled.keys) == books.open)
        for (id, state) in books.settled { #expect((state == .lost) == !books.published.contains(id)) }
    }

    /// Where the ring has no room for all of the pieces, nothing is done yet.
    @Test func aHoleOfManyPiecesWaitsForRoom() throws {
        let (bench, mailbox) = try self.bench(ringBytes: 1 << 16)
        bench.trade(1)
        bench.trade(602)
        #expect(bench.settle())
        bench.now += patience
        #expect(bench.settle())
        let hole = try #require(mailbox.missing[0].drain(limit: 1).first)
        var books = Books()
        for id in stride(from: Int64(3), to: 602, by: 2) {
            bench.trade(id)
            books.note(bench.take())
        }
        #expect(gapsOpen(bench) == 300)
        var last: Int64 = 602
        while bench.trade(last + 1) { last += 1 }
        let given = delivery(hole, 2...601, lacking: Set(2...601), others: .absent)
        #expect(!bench.deliver(given))
        #expect(gapsOpen(bench) == 300)
        books.note(bench.take())
        #expect(bench.deliver(given))
        books.note(bench.take())
        #expect(gapsOpen(bench) == 0 && Set(books.settled.keys) == books.open && books.settledTwice.isEmpty)
    }

    /// Neither holes that were filled meanwhile nor those in pieces are counted wrong where all that was known is forgotten.
    @Test(arguments: [false, true]) func aCountThatEndsTakesItsHolesAlong(isRestart: Bool) throws {
        let (bench, mailbox) = try self.bench()
        var books = Books()
        var random = SplitMix64(1)
        let last = open(12, of: 3...3, bench, &books, &random)
        let holes = mailbox.missing[0].drain(limit: 4_096)
        // One is filled, and one is two.
        for id in holes[3].first...holes[3].last { bench.trade(id) }
        bench.trade(holes[5].first + 1)
        #expect(gapsOpen(bench) == 12)
        if isRestart {
            bench.trade(0, time: WriterBench.begin + last * 1_000_000 + 5_000_000_000)
            // That ids before the first one of the new count are missing stays said.
            #expect(gapsOpen(bench) == 0)
        } else {
            bench.forget(.trade)
            #expect(gapsOpen(bench) == 0)
        }
        for hole in holes {
            #expect(bench.deliver(delivery(hole, hole.first...hole.last, lacking: [], others: .absent)))
        }
        #expect(gapsOpen(bench) == 0)
    }

    /// Holes of an earlier run are open until the store has told of them, whatever else happens.
    @Test(arguments: [false, true]) func holesOfACheckpointAreCounted(isRestart: Bool) throws {
        let (bench, mailbox) = try self.bench()
        bench.resume(expected: 1_000, newest: WriterBench.begin)
        for first in stride(from: Int64(100), to: 400, by: 10) {
            bench.resume(
                MissingRange(
                    kind: .trade, instrument: 1, market: 0, first: first, last: first + 4, cause: .sequence,
                    epoch: 0, seen: 0))
        }
        #expect(gapsOpen(bench) == 30)
        if isRestart {
            bench.trade(0, time: WriterBench.begin + 5_000_000_000)
        } else {
            bench.trade(1_000)
        }
        var books = Books()
        for hole in mailbox.missing[0].drain(limit: 4_096) {
            #expect(
                bench.deliver(delivery(hole, hole.first...(hole.first + 2), lacking: [], others: .absent)))
            #expect(
                bench.deliver(
                    delivery(hole, (hole.first + 3)...hole.last, lacking: [hole.last], others: .lost)))
            books.note(bench.take())
        }
        #expect(gapsOpen(bench) == 0)
        #expect(books.published.count == (isRestart ? 1 : 1 + 30 * 4) && books.twice.isEmpty)
        #expect(books.settled.count == 150 && books.settledTwice.isEmpty)
    }

    /// A stream's holes may be all that a checkpoint knows of it.
    @Test func holesWithoutTheirSequenceAreFilled() throws {
        let (bench, mailbox) = try self.bench()
        for first: Int64 in [50, 10] {
            bench.resume(
                MissingRange(
                    kind: .trade, instrument: 1, market: 0, first: first, last: first + 4, cause: .sequence,
                    epoch: 0, seen: 0))
        }
        var books = Books()
        for hole in mailbox.missing[0].drain(limit: 4_096).reversed() {
            #expect(
                bench.deliver(delivery(hole, hole.first...hole.last, lacking: [hole.first], others: .absent)))
        }
        bench.trade(55)
        books.note(bench.take())
        #expect(gapsOpen(bench) == 0)
        #expect(books.published == [11, 12, 13, 14, 51, 52, 53, 54, 55] && books.open.isEmpty)
        #expect(books.settled.count == 10 && books.settledTwice.isEmpty)
    }
}
