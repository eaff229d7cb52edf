import MarketData
import Testing

@testable import ExchangeAdapter

/// The rules of what is a repeat, what is held and what is said, one by one.
@Suite struct EventWriterTests {
    // MARK: Ids on one connection

    @Test func gapsAreSaidAtOnceAndRepeatsDropped() throws {
        let bench = try WriterBench()
        for id in [100, 101, 105, 101, 105, 106] as [Int64] { bench.trade(id) }
        #expect(
            bench.take() == [
                .event(.trade, 100), .event(.trade, 101), .event(.trade, 105),
                .gap(102, 104, .open, .sequence), .event(.trade, 106),
            ])
        bench.trade(109, on: 0, 2)
        #expect(bench.take() == [.event(.trade, 109), .gap(107, 108, .open, .reconnect)])
        let counts = bench.counters.counts(.trade, market: 0)
        #expect(counts.received == 7)
        #expect(counts.duplicates == 2)
        #expect(counts.gapsOpen == 2)
        #expect(bench.notices.drain().map(\.firstMissing) == [102, 107])
    }

    @Test func onlyWhatTheExchangeServesIsWaitedFor() throws {
        let patience: Int64 = 2_000_000_000
        let unserved = try WriterBench(repair: RepairMailbox(patience: [patience], served: [[.aggTrade]]))
        for id in [100, 103] as [Int64] { unserved.trade(id) }
        #expect(
            unserved.take() == [
                .event(.trade, 100), .event(.trade, 103), .gap(101, 102, .open, .sequence),
            ])
        let mailbox = RepairMailbox(patience: [patience], served: [[.trade]])
        let served = try WriterBench(repair: mailbox)
        for id in [100, 103] as [Int64] { served.trade(id) }
        #expect(served.settle())
        #expect(served.take() == [.event(.trade, 100)])
        #expect(mailbox.missing[0].drain().map(\.first) == [101])
        served.now += patience + 1
        #expect(served.settle())
        #expect(served.take() == [.gap(101, 102, .open, .sequence), .event(.trade, 103)])
    }

    @Test func whatComesLateIsPublishedAndSaid() throws {
        let bench = try WriterBench()
        for id in [100, 104, 102, 102, 101, 103, 103] as [Int64] { bench.trade(id) }
        #expect(
            bench.take() == [
                .event(.trade, 100), .event(.trade, 104), .gap(101, 103, .open, .sequence),
                .event(.trade, 102), .gap(102, 102, .repaired, .sequence),
                .event(.trade, 101), .gap(101, 101, .repaired, .sequence),
                .event(.trade, 103), .gap(103, 103, .repaired, .sequence),
            ])
        let counts = bench.counters.counts(.trade, market: 0)
        #expect(counts.duplicates == 2)
        #expect(counts.gaps == 1)
        #expect(counts.gapsOpen == 0)
    }

    /// What lies before the first id was never asked for, and yet is no repeat.
    @Test func idsBeforeTheFirstArePublishedOnce() throws {
        let bench = try WriterBench()
        for id in [100, 98, 99, 98, 101] as [Int64] { bench.trade(id) }
        #expect(bench.ids() == [100, 98, 99, 101])
    }

    @Test func idsThatCountAnewAreSaidOnce() throws {
        let bench = try WriterBench()
        let hour: Int64 = 3_600_000_000_000
        bench.trade(5_000_000)
        bench.trade(5_000_001)
        let later = WriterBench.begin + 5_000_001_000_000 + hour
        for id in [3, 4, 5, 4] as [Int64] { bench.trade(id, time: later + id) }
        // Of the old count: one that was published, and one that was not.
        bench.trade(5_000_001)
        bench.trade(5_000_002, time: WriterBench.begin + 5_000_001_000_000)
        bench.trade(6, time: later + 6)
        #expect(
            bench.take() == [
                .event(.trade, 5_000_000), .event(.trade, 5_000_001),
                .event(.trade, 3), .gap(0, 2, .open, .restart), .event(.trade, 4), .event(.trade, 5),
                .event(.trade, 5_000_002), .event(.trade, 6),
            ])
        #expect(bench.counters.counts(.trade, market: 0).duplicates == 2)
    }

    /// The new count may run over ids that the old one had.
    @Test func aNewCountOverKnownIDs() throws {
        let bench = try WriterBench()
        for id in Int64(0)..<10 { bench.trade(id) }
        let later = WriterBench.begin + 3_600_000_000_000
        for id in Int64(0)..<3 { bench.trade(id, time: later + id) }
        #expect(bench.ids() == Array(0..<10) + [0, 0, 1, 2])
    }

    @Test func oddIDsPassUnfollowed() throws {
        let bench = try WriterBench()
        for id in [-5, .max, 7, .min, 8, -5, 9] as [Int64] { bench.trade(id) }
        #expect(bench.ids() == [-5, .max, 7, .min, 8, -5, 9])
    }

    @Test func aStreamThatIsAskedForAnewBeginsAnew() throws {
        let bench = try WriterBench()
        bench.trade(1)
        bench.forget(.trade)
        bench.trade(500)
        bench.trade(501)
        #expect(bench.ids() == [1, 500, 501])
    }

    // MARK: Several members

    @Test func aHoleIsFilledByTheOtherLeg() throws {
        let bench = try WriterBench(isPaired: true)
        bench.open(0)
        bench.open(2)
        bench.trade(1, on: 0)
        bench.now += 5_000_000
        bench.trade(1, on: 2)
        bench.trade(4, on: 0)
        bench.trade(6, on: 0)
        #expect(bench.ids() == [1])
        #expect(bench.counters.waiting == 2)
        #expect(bench.counters.counts(.trade, market: 0).received == 4)
        for id in [2, 3, 4, 5] as [Int64] { bench.trade(id, on: 2) }
        #expect(bench.settle())
        #expect(bench.ids() == [1, 2, 3, 4, 5, 6].filter { $0 > 1 })
        #expect(bench.nextDeadline == nil)
        #expect(bench.counters.counts(.trade, market: 0).gaps == 0)
        #expect(bench.legs.won(leg: 0, market: 0) == 3)
        #expect(bench.legs.won(leg: 1, market: 0) == 3)
        #expect(bench.legs.lost(leg: 0, market: 0) == 3)
        #expect(bench.legs.lost(leg: 1, market: 0) == 0)
        // Of 1 by 5 ms. 2 is measured next, which the first leg does not bring.
        let lead = bench.legs.lead(leg: 0, market: 0)
        #expect(lead.count == 1)
        #expect(lead.maximum == 5_000_000)
    }

    /// Leads that are longer than the time between two trades are measured too.
    @Test func aLongLeadIsMeasured() throws {
        let bench = try WriterBench(isPaired: true)
        bench.open(0)
        bench.open(2)
        for step in Int64(0)..<100 {
            bench.now += 1_000_000
            bench.trade(step + 1, on: 0)
            if step >= 20 { bench.trade(step - 19, on: 2) }
        }
        let lead = bench.legs.lead(leg: 0, market: 0)
        #expect((3...5).contains(lead.count))
        #expect(lead.sum == lead.count * 20_000_000)
        #expect(bench.legs.lead(leg: 1, market: 0).count == 0)
        // The other leg skips the one that is measured: another one is.
        bench.trade(95, on: 2)
        for id in Int64(101)...110 { bench.trade(id, on: 0) }
        for id in Int64(101)...110 { bench.trade(id, on: 2) }
        #expect(bench.legs.lead(leg: 0, market: 0).count > lead.count)
    }

    @Test func aHoleIsSaidWhenTheOtherIsPastIt() throws {
        let bench = try WriterBench(isPaired: true)
        bench.open(0)
        bench.open(2)
        bench.trade(1, on: 0)
        bench.trade(4, on: 0)
        #expect(bench.ids() == [1])
        bench.trade(5, on: 2)
        #expect(bench.settle())
        #expect(bench.take() == [.gap(2, 3, .open, .sequence), .event(.trade, 4), .event(.trade, 5)])
    }

    @Test func aHoleIsSaidWhenTheOtherCloses() throws {
        let bench = try WriterBench(isPaired: true)
        bench.open(0)
        bench.open(3)
        bench.trade(1, on: 0)
        bench.trade(4, on: 0)
        bench.close(3, 99)
        #expect(bench.settle())
        #expect(bench.ids() == [1])
        bench.close(3)
        #expect(bench.settle())
        #expect(bench.take() == [.gap(2, 3, .open, .sequence), .event(.trade, 4)])
    }

    @Test func aHoleIsSaidAtItsDeadline() throws {
        let bench = try WriterBench(isPaired: true)
        bench.open(0)
        bench.open(2)
        bench.trade(1, on: 0)
        bench.trade(4, on: 0)
        #expect(bench.nextDeadline == bench.now + HeldEvents.patience)
        bench.now += HeldEvents.patience - 1
        #expect(bench.settle())
        #expect(bench.ids() == [1])
        bench.now += 1
        #expect(bench.settle())
        #expect(bench.take() == [.gap(2, 3, .open, .sequence), .event(.trade, 4)])
        // And yet it comes.
        bench.trade(3, on: 2)
        #expect(bench.take() == [.event(.trade, 3), .gap(3, 3, .repaired, .sequence)])
    }

    /// Without events to bring, connections are as good as gone; one that is alone waits for nobody.
    @Test func aloneNothingWaits() throws {
        let bench = try WriterBench(isPaired: true)
        bench.open(0)
        bench.trade(1, on: 0)
        bench.trade(4, on: 0)
        #expect(bench.ids() == [1, 4, -2])
    }

    /// The pool and the ring are bounded: whatever waits goes on, said, in order, and nothing is lost.
    @Test(arguments: [1 << 20, 1 << 14]) func aFullPoolLetsGo(ringBytes: Int) throws {
        let bench = try WriterBench(isPaired: true, ringBytes: ringBytes)
        bench.open(0)
        bench.open(2)
        bench.trade(1, on: 0)
        var out: [Int64] = []
        let last = Int64(HeldEvents.capacity) + 500
        for id in Int64(3)...last {
            var attempts = 0
            while !bench.trade(id, on: 0) {
                out += bench.ids()
                attempts += 1
                try #require(attempts < 5_000)
            }
            #expect(bench.counters.waiting <= HeldEvents.capacity)
        }
        bench.now += HeldEvents.patience
        while !bench.settle() { out += bench.ids() }
        out += bench.ids()
        #expect(out == [1, -2] + Array(3...last))
    }

    /// Many instruments wait at once, each for its own.
    @Test func sequencesWaitApart() throws {
        let bench = try WriterBench(isPaired: true)
        bench.open(0)
        bench.open(2)
        for instrument in UInt32(1)...9 {
            bench.trade(10, on: 0, instrument: instrument)
            bench.trade(12, on: 0, instrument: instrument)
        }
        #expect(bench.counters.waiting == 9)
        for instrument in [5, 1, 9, 2, 8] as [UInt32] { bench.trade(11, on: 2, instrument: instrument) }
        #expect(bench.settle())
        #expect(bench.counters.waiting == 4)
        bench.now += HeldEvents.patience
        #expect(bench.settle())
        #expect(bench.counters.waiting == 0)
        #expect(bench.take().count == 9 * 2 + 5 + 4)
    }

    @Test func aNewCountWhileOthersWait() throws {
        let bench = try WriterBench(isPaired: true)
        bench.open(0)
        bench.open(2)
        bench.trade(1_000, on: 0)
        bench.trade(1_002, on: 0)
        let later = WriterBench.begin + 3_600_000_000_000
        bench.trade(1, time: later, on: 0)
        bench.trade(2, time: later + 1, on: 0)
        bench.trade(1_001, on: 2)
        bench.trade(1, time: later, on: 2)
        #expect(bench.settle())
        let outputs = bench.take()
        #expect(
            outputs == [
                .event(.trade, 1_000), .gap(1_001, 1_001, .open, .sequence), .event(.trade, 1_002),
                .gap(0, 0, .open, .restart), .event(.trade, 1), .event(.trade, 2), .event(.trade, 1_001),
            ])
    }

    // MARK: Other kinds

    @Test func bestPricesAreKnownByTheirUpdate() throws {
        let bench = try WriterBench(isPaired: true)
        func put(_ id: Int64, on member: Int) {
            var event = BookTicker(header: EventHeader(kind: .bookTicker, instrument: 1, receivedTime: 0))
            event.updateID = id
            bench.put(event, .bookTicker, on: member)
        }
        for id in [10, 14, 19] as [Int64] { put(id, on: 0) }
        bench.now += 3_000_000
        // 12 is older than what was published, but was not published.
        for id in [10, 12, 14, 19, 19] as [Int64] { put(id, on: 2) }
        #expect(
            bench.take() == [10, 14, 19, 12].map { .event(.bookTicker, $0) })
        #expect(bench.counters.counts(.bookTicker, market: 0).duplicates == 4)
        // Far more than is remembered, and the count begins anew.
        for id in Int64(1_000)..<4_000 { put(id, on: 0) }
        for id in Int64(3_000)..<4_000 { put(id, on: 2) }
        for id in Int64(1)..<50 { put(id, on: 0) }
        #expect(bench.take().count == 3_000 + 49)
    }

    @Test func aClosedBarIsNeverDropped() throws {
        let bench = try WriterBench(isPaired: true)
        func put(_ open: Int64, _ time: Int64, closed: Bool, on member: Int) {
            var event = Kline(
                header: EventHeader(kind: .kline, instrument: 1, eventTime: time, receivedTime: 0))
            event.openTime = open
            event.isClosed = closed
            bench.put(event, .kline, on: member)
        }
        put(0, 59_000, closed: false, on: 0)
        // The next bar's first frame comes before the closed one, at the very same time.
        put(60_000, 60_000, closed: false, on: 0)
        put(0, 60_000, closed: true, on: 0)
        put(0, 60_000, closed: true, on: 2)
        put(0, 60_000, closed: false, on: 2)
        put(60_000, 60_000, closed: false, on: 2)
        #expect(bench.take() == [59_000, 60_000, 60_000, 60_000].map { .event(.kline, $0) })
    }

    @Test func tickersOfOneTimeThatDifferAreNoRepeats() throws {
        let bench = try WriterBench()
        func put(_ time: Int64, volume: UInt64, window: TickerWindow = .hours24) {
            var event = Ticker(
                header: EventHeader(
                    kind: .ticker, variant: window.rawValue, instrument: 1, eventTime: time, receivedTime: 0))
            event.quoteVolume = Decimal(magnitude: volume, scale: 2)
            bench.put(event, .ticker)
        }
        put(1, volume: 5)
        put(1, volume: 5)
        put(1, volume: 6)
        put(1, volume: 5, window: .hour1)
        // Without a time nothing proves a repeat.
        put(absentInteger, volume: 5)
        put(absentInteger, volume: 5)
        #expect(bench.take().count == 5)
        #expect(bench.counters.counts(.ticker, market: 0).duplicates == 1)
    }

    @Test func everyPayloadIsLife() throws {
        let bench = try WriterBench(isPaired: true)
        bench.trade(1, on: 2, 7)
        bench.now += 10
        bench.trade(1, on: 2, 7)
        let cell = bench.activity.read(stream: 2, member: 2)
        #expect(cell.generation == 7)
        #expect(cell.count == 2)
        #expect(cell.last == bench.now)
        #expect(bench.activity.longestSilence(stream: 2, now: bench.now) == 10)
        #expect(bench.activity.read(stream: 2, member: 0).count == 0)
    }
}
