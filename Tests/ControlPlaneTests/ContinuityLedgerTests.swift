import ExchangeAdapter
import Foundation
import MarketData
import Testing

@testable import ControlPlane

@Suite struct ContinuityLedgerTests {
    private let ledger = ContinuityLedger()
    private let instrument = Instrument(exchange: "binance", symbol: "BTCUSDT")

    private func note(
        _ first: Int64, _ last: Int64, _ state: GapState, at time: Int64, _ cause: GapCause = .sequence,
        in ledger: ContinuityLedger? = nil
    ) {
        (ledger ?? self.ledger).note(
            GapNotice(
                time: time, kind: .trade, instrument: 1, firstMissing: first, lastMissing: last, state: state,
                cause: cause), of: instrument)
    }

    private func look(_ isConnected: Bool, at time: Int64, in ledger: ContinuityLedger? = nil) {
        (ledger ?? self.ledger).look(
            ["trade", "bookTicker"].map {
                .init(
                    exchange: "binance", symbol: "BTCUSDT", type: $0, hasIDs: $0 == "trade",
                    isConnected: isConnected)
            }, time: time)
    }

    private func intervals(_ type: String, in ledger: ContinuityLedger? = nil) -> [ContinuityLedger.Interval]
    {
        (ledger ?? self.ledger).document(time: 0).series.first { $0.type == type }?.intervals ?? []
    }

    @Test func aGapIsToldUntilEveryIDIsSettled() {
        look(true, at: 10)
        note(5, 9, .open, at: 20)
        #expect(intervals("trade").map(\.state) == [.proven, .gap, .proven])
        #expect(intervals("trade")[1].missing == 5 && intervals("trade")[1].cause == "sequence")
        note(5, 7, .repaired, at: 60)
        note(8, 8, .absent, at: 61)
        #expect(intervals("trade")[1].missing == 1)
        note(9, 9, .repaired, at: 63)
        #expect(intervals("trade") == [.init(state: .proven, from: 10)], "one stretch again")
        let series = ledger.document(time: 64).series.first { $0.type == "trade" }
        #expect(series?.repaired == 4 && series?.absent == 1 && series?.lost == 0)
    }

    @Test func whatIsLostStaysAGap() {
        look(true, at: 10)
        note(20, 21, .open, at: 70)
        note(20, 21, .lost, at: 80)
        note(30, 30, .lost, at: 90)
        #expect(intervals("trade").map(\.state) == [.proven, .gap, .proven, .gap, .proven])
        #expect(intervals("trade").compactMap(\.missing) == [2, 1])
        #expect(ContinuityText.render(ledger.document(time: 90)).contains("20-21"))
    }

    /// Ids prove what no connection can: that nothing happened while there was none.
    @Test func withoutAConnectionIDsAreProvenLater() {
        look(true, at: 10)
        look(false, at: 30)
        #expect(intervals("trade") == [.init(state: .proven, from: 10, to: 30)])
        look(true, at: 40)
        #expect(intervals("trade") == [.init(state: .proven, from: 10)])
        #expect(intervals("bookTicker").map(\.state) == [.assumed, .gap, .assumed])
        #expect(intervals("bookTicker")[1].from == 30 && intervals("bookTicker")[1].to == 40)
    }

    /// Events wait for a repair, so that the gap is told after the connection is back.
    @Test func aGapOfAReconnectReachesBackToTheInterruption() {
        look(true, at: 10)
        look(false, at: 30)
        look(true, at: 40)
        note(5, 9, .open, at: 42, .reconnect)
        let found = intervals("trade")
        #expect(found.map(\.state) == [.proven, .gap, .proven])
        #expect(found[0].to == 30 && found[1].from == 30 && found[1].to == 42 && found[2].from == 42)
    }

    @Test func aGapOfALongOutageReachesBackToItsBegin() {
        let outage = 3 * ContinuityLedger.interruptionMemory
        look(true, at: 10)
        look(false, at: 30)
        look(true, at: 30 + outage)
        note(5, 9, .open, at: 40 + outage, .reconnect)
        #expect(intervals("trade").map(\.from) == [10, 30, 40 + outage])
        // A gap that long after it is another matter.
        look(false, at: 50 + outage)
        look(true, at: 60 + outage)
        note(15, 19, .open, at: 61 + 2 * outage, .reconnect)
        #expect(intervals("trade").map(\.from) == [10, 30, 40 + outage, 61 + 2 * outage, 61 + 2 * outage])
    }

    /// Between sweeps only changes are told: the others go on.
    @Test func whatIsNotToldBetweenSweepsGoesOn() {
        look(true, at: 10)
        ledger.look([], isSweep: false, time: 50)
        #expect(intervals("trade") == [.init(state: .proven, from: 10)])
    }

    @Test func barsAreCountedByTheirNumber() {
        let minute: Int64 = 60_000_000_000
        ledger.note(
            GapNotice(
                time: 500, kind: .kline, variant: Interval.minute1.rawValue, instrument: 1,
                firstMissing: 7 * minute, lastMissing: 9 * minute, state: .open, cause: .sequence),
            of: instrument)
        let gap = intervals("kline_1m").first { $0.state == .gap }
        #expect(gap?.missing == 3)
        #expect(ContinuityText.render(ledger.document(time: 0)).contains("1970-01-01T00:07:00Z"))
    }

    @Test func whatIsNoLongerAskedForHasEnded() {
        look(true, at: 10)
        ledger.look([], time: 50)
        #expect(intervals("trade").last?.to == 50 && intervals("bookTicker").last?.to == 50)
    }

    @Test func overARestartOnlyACheckpointProvesAnything() {
        look(true, at: 10)
        let document = ledger.document(time: 90)
        for hasCheckpoint in [true, false] {
            let later = ContinuityLedger()
            later.resume(document, alive: 95, now: 200) { $0.type == "trade" && hasCheckpoint }
            #expect(
                intervals("bookTicker", in: later).last == .init(state: .gap, from: 95, cause: "outage"))
            look(true, at: 201, in: later)
            if hasCheckpoint {
                #expect(intervals("trade", in: later) == [.init(state: .proven, from: 10)])
                note(5, 6, .lost, at: 202, .outage, in: later)
                #expect(intervals("trade", in: later).map(\.from) == [10, 95, 202])
                #expect(intervals("trade", in: later)[1].to == 202)
            } else {
                #expect(intervals("trade", in: later).map(\.state) == [.proven, .gap, .proven])
                #expect(intervals("trade", in: later)[1].to == 201)
            }
        }
    }

    @Test func manyGapsAreForgottenOldestFirstAndCounted() throws {
        look(true, at: 10)
        for number: Int64 in 1...100 { note(number * 10, number * 10, .lost, at: number * 100) }
        let series = try #require(ledger.document(time: 0).series.first { $0.type == "trade" })
        #expect(series.intervals.count == ContinuityLedger.intervalsMax && series.forgotten > 0)
        #expect(series.intervals.last?.state == .proven && series.lost == 100)
    }

    private func temporaryDirectory() throws -> String {
        let path = NSTemporaryDirectory() + "ledger-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    @Test func whatIsWrittenIsReadAsItWas() throws {
        let directory = try temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let document = ContinuityLedger.Document(
            time: .max,
            series: [
                .init(
                    exchange: "binance", symbol: "币安\"\\\u{2028}人生\n", type: "kline_1m",
                    intervals: [
                        .init(state: .proven, from: 1, to: 2),
                        .init(
                            state: .gap, from: 2, to: 3, firstMissing: 0, lastMissing: .max, missing: 7,
                            cause: "outage"),
                        .init(state: .assumed, from: .min),
                    ], forgotten: 4, repaired: 5, absent: 6, lost: 7)
            ]
                + (0..<2_000).map { .init(exchange: "binance-usdm", symbol: "S\($0)", type: "trade") })
        try document.write(to: directory + "/continuity.json")
        #expect(try ContinuityText.load(dataDirectory: directory) == document)
        try ContinuityLedger.Document(time: 1, series: []).write(to: directory + "/continuity.json")
        #expect(try ContinuityText.load(dataDirectory: directory) == .init(time: 1, series: []))
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["continuity.json"])
    }

    @Test func aLedgerThatCannotBeWrittenSaysWhere() throws {
        let directory = try temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/none/continuity.json"
        let failure = #expect(throws: FileReplacement.Failure.self) {
            try ContinuityLedger.Document(time: 1, series: []).write(to: path)
        }
        #expect(failure?.description == "cannot make \(path).new: No such file or directory")
    }
}
