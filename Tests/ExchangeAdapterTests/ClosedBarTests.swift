import MarketData
import Testing

@testable import ExchangeAdapter

@Suite struct ClosedBarTests {
    private let minute: Int64 = 60_000_000_000
    private let mailbox = RepairMailbox(patience: [2_000_000_000], served: [[.trade, .kline]])

    private func bench() throws -> WriterBench {
        let bench = try WriterBench(repair: mailbox)
        bench.open(0)
        return bench
    }

    private func bar(_ number: Int64, closed: Bool = true) -> Kline {
        var bar = Kline(
            header: EventHeader(
                kind: .kline, variant: Interval.minute1.rawValue, instrument: 1, eventTime: number,
                receivedTime: 1))
        bar.openTime = number * minute
        bar.closeTime = (number + 1) * minute - 1
        bar.isClosed = closed
        return bar
    }

    private func gap(
        _ first: Int64, _ last: Int64, _ state: GapState, _ cause: GapCause = .sequence
    ) -> WriterBench.Output { .gap(first * minute, last * minute, state, cause) }

    private func deliver(
        _ bench: WriterBench, _ hole: MissingRange, _ numbers: ClosedRange<Int64>, found: [Int64],
        others: GapState = .absent
    ) -> Bool {
        bench.deliver(
            RepairDelivery(
                range: hole, ids: numbers, events: .klines(found.map { bar($0) }), others: others,
                receivedTime: 1))
    }

    @Test func whatIsMissedIsToldAndPublishedLate() throws {
        let bench = try self.bench()
        for number: Int64 in [1, 2, 5] { bench.put(bar(number), .kline) }
        bench.put(bar(9, closed: false), .kline)
        #expect(
            bench.take() == [
                .event(.kline, 1), .event(.kline, 2), .event(.kline, 5), gap(3, 4, .open), .event(.kline, 9),
            ])
        let hole = try #require(mailbox.missing[0].drain().first)
        #expect(hole.kind == .kline && hole.first == 3 && hole.last == 4)
        #expect(deliver(bench, hole, 3...4, found: [3]))
        #expect(bench.take() == [.event(.kline, 3), gap(3, 3, .repaired), gap(4, 4, .absent)])
        let counts = bench.counters.counts(.kline, market: 0)
        #expect(counts.gaps == 1 && counts.gapsOpen == 0 && counts.idsRepaired == 1 && counts.idsAbsent == 1)
        bench.put(bar(6), .kline)
        #expect(bench.take() == [.event(.kline, 6)])
    }

    /// Another connection brings one of them late: the hole is two then, and what is fetched of it comes once.
    @Test func aBarThatComesLateSplitsTheHole() throws {
        let bench = try self.bench()
        for number: Int64 in [1, 9] { bench.put(bar(number), .kline) }
        let hole = try #require(mailbox.missing[0].drain().first)
        bench.put(bar(5), .kline)
        #expect(
            bench.take() == [
                .event(.kline, 1), .event(.kline, 9), gap(2, 8, .open), .event(.kline, 5),
                gap(5, 5, .repaired),
            ])
        #expect(bench.counters.counts(.kline, market: 0).gapsOpen == 2)
        #expect(deliver(bench, hole, 2...6, found: [2, 3, 4, 5, 6]))
        #expect(deliver(bench, hole, 7...8, found: [], others: .lost))
        #expect(
            bench.take() == [
                .event(.kline, 2), gap(2, 2, .repaired), .event(.kline, 3), gap(3, 3, .repaired),
                .event(.kline, 4), gap(4, 4, .repaired), .event(.kline, 6), gap(6, 6, .repaired),
                gap(7, 8, .lost),
            ])
        let counts = bench.counters.counts(.kline, market: 0)
        #expect(counts.gapsOpen == 0 && counts.idsRepaired == 5 && counts.idsLost == 2)
    }

    @Test func aCheckpointTellsWhichBarIsNext() throws {
        let bench = try self.bench()
        bench.resume(.kline, variant: Interval.minute1.rawValue, expected: 5)
        let copy = SequenceSnapshot(capacity: 10)
        bench.snapshot(into: copy)
        #expect(copy.entries.map(\.expected) == [5], "what was resumed is written down again")
        bench.put(bar(7), .kline)
        bench.put(bar(9), .kline)
        #expect(
            bench.take() == [
                .event(.kline, 7), gap(5, 6, .open, .outage), .event(.kline, 9), gap(8, 8, .open),
            ])
        #expect(mailbox.missing[0].drain().map(\.cause) == [.outage, .sequence])
    }

    /// What was told is settled even where nobody asks for the stream any longer.
    @Test func aStreamThatIsGivenUpStillSettlesItsHoles() throws {
        let bench = try self.bench()
        for number: Int64 in [1, 4] { bench.put(bar(number), .kline) }
        let hole = try #require(mailbox.missing[0].drain().first)
        bench.forget(.kline, variant: Interval.minute1.rawValue)
        bench.put(bar(20), .kline)
        _ = bench.take()
        #expect(deliver(bench, hole, 2...3, found: [2, 3]))
        #expect(
            bench.take() == [
                .event(.kline, 2), gap(2, 2, .repaired), .event(.kline, 3), gap(3, 3, .repaired),
            ])
        #expect(bench.counters.counts(.kline, market: 0).gapsOpen == 0 && mailbox.missing[0].isEmpty)
    }

    @Test func numbersAndOpeningTimesBelongTogether() {
        for interval in Interval.allCases where interval != .month1 {
            for number: Int64 in [0, 1, 2_900] {
                #expect(interval.number(opening: interval.opening(number: number)) == number, "\(interval)")
            }
            #expect(interval.number(opening: interval.opening(number: 7) + 1) == nil)
        }
        // Monday, 23 November 2026.
        #expect(Interval.week1.number(opening: 1_795_392_000_000_000_000) != nil)
        #expect(Interval.month1.number(opening: 0) == nil)
    }
}
