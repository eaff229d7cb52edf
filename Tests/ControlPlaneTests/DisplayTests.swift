import Glibc
import MarketData
import Rings
import Telemetry
import Testing

@testable import ControlPlane

@Suite struct DisplayTests {
    /// A collector after `seconds` s with `rate` trades and a tenth as many klines a second.
    static func snapshot(seconds: Int, rate: Int) -> CollectorSnapshot {
        var snapshot = CollectorSnapshot()
        snapshot.name = "demo"
        snapshot.startTime = 1_700_000_000_000_000_000
        snapshot.time = snapshot.startTime + Int64(seconds) * 1_000_000_000
        var trades = CollectorSnapshot.EventCounts(exchange: "binance", kind: .trade)
        trades.received = seconds * rate
        trades.published = seconds * rate
        var klines = CollectorSnapshot.EventCounts(exchange: "binance", kind: .kline)
        klines.received = seconds * rate / 10
        klines.published = klines.received
        snapshot.events = [trades, klines, CollectorSnapshot.EventCounts(exchange: "binance", kind: .depth)]
        var market = CollectorSnapshot.MarketCounts(exchange: "binance")
        market.frames = seconds * rate
        market.bytes = seconds * rate * 200
        market.connections = ["open": 2, "waiting": 0]
        snapshot.markets = [market]
        snapshot.queues = [
            CollectorSnapshot.QueueDepth(name: "frames-0", records: 12, bytes: 3_400, capacity: 1 << 20)
        ]
        let latency = LatencyHistogram()
        latency.record(100_000, count: max(1, seconds * 99))
        latency.record(2_000_000, count: seconds)
        snapshot.latencies = [
            CollectorSnapshot.LatencyCounts(exchange: "binance", kind: .trade, internal: latency.snapshot())
        ]
        snapshot.publishing.sink = "file"
        snapshot.publishing.batches = seconds * 100
        snapshot.publishing.rawBytes = seconds * 1_000_000
        snapshot.publishing.compressedBytes = seconds * 125_000
        return snapshot
    }

    @Test func table() {
        let text = DemoTable.render(
            current: DisplayTests.snapshot(seconds: 65, rate: 10_000),
            previous: DisplayTests.snapshot(seconds: 63, rate: 10_000), interval: 2, width: 200)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines[0] == "demo · 0:01:05 · connections: 2 open · 10,000 frames/s · 2.0 MB/s")
        #expect(lines[2].hasPrefix("type   events/s  received  published  in flight  lost"))
        #expect(lines[3].hasPrefix("trade    10,000   650,000    650,000          0     0"))
        #expect(lines[4].hasPrefix("kline     1,000    65,000     65,000          0     0"))
        #expect(!text.contains("depth"))
        #expect(
            text.contains(
                "batches 6,500 (100/s) · 65.0 MB → 8.1 MB after zstd (8.0 times smaller) · sink file"))
        #expect(text.contains("queues frames-0 12 (3.4 kB)"))
        // 198 of the last 200 took 100 µs, 2 took 2 ms.
        let cells = lines[3].split(separator: " ", omittingEmptySubsequences: true).map(String.init)
        #expect(cells[6...].prefix(2).joined() == "100µs")
        #expect(cells.contains("2.0"))
    }

    @Test func tableTellsWhatConnectionsWentThrough() {
        var snapshot = DisplayTests.snapshot(seconds: 65, rate: 10_000)
        #expect(
            !DemoTable.render(current: snapshot, previous: snapshot, interval: 1, width: 200).contains(
                "replaced"))
        snapshot.markets[0].slots.handovers = ["rollover": 4, "move": 1]
        snapshot.markets[0].reconnects = ["ended": 2, "silence": 1]
        snapshot.markets[0].slots.streams = ["silent": 1]
        snapshot.markets[0].slots.legs = [
            .init(leg: 0, won: 25, lost: 0, lead: LatencySnapshot()),
            .init(leg: 1, won: 75, lost: 0, lead: LatencySnapshot()),
        ]
        let text = DemoTable.render(current: snapshot, previous: snapshot, interval: 1, width: 200)
        #expect(
            text.hasSuffix(
                "connections replaced 1 move, 4 rollover · reconnects 3 · leg 0 first 25.0 % · leg 1 first 75.0 % ·"
                    + " 1 silent stream"))
    }

    @Test func tableFitsTheTerminal() {
        let snapshot = DisplayTests.snapshot(seconds: 65, rate: 10_000)
        for width in [1, 20, 80] {
            let text = DemoTable.render(current: snapshot, previous: snapshot, interval: 1, width: width)
            if width > 1 { #expect(text.split(separator: "\n").allSatisfy { $0.count <= width }) }
        }
    }

    @Test func tableOfNothing() {
        let text = DemoTable.render(
            current: CollectorSnapshot(), previous: CollectorSnapshot(), interval: 0, width: 100)
        #expect(text.contains("connections: none"))
        #expect(text.contains("queues none"))
    }

    @Test func oneLine() {
        let line = DemoTable.line(
            current: DisplayTests.snapshot(seconds: 2, rate: 100), previous: CollectorSnapshot(), interval: 2)
        #expect(line.hasPrefix("demo · 0:00:02 · connections: 2 open · 100 frames/s"))
        #expect(line.contains("220 received · 220 published"))
        #expect(!line.contains("\n"))
    }

    @Test func summaryThatIsBalanced() {
        let (text, isBalanced) = SummaryText.render(DisplayTests.snapshot(seconds: 10, rate: 1_000))
        #expect(isBalanced)
        let lines = text.split(separator: "\n").map(String.init)
        #expect(
            lines[1] == "binance   trade    10,000     10,000           0             0        0          0")
        #expect(
            lines[3] == "all                11,000     11,000           0             0        0          0")
        #expect(lines.last == "OK: received 11,000 = published")
    }

    @Test func summaryWithDuplicates() {
        var snapshot = DisplayTests.snapshot(seconds: 1, rate: 100)
        snapshot.events[0].received += 6
        snapshot.events[0].duplicates = 3
        snapshot.events[0].deadLettered = 2
        snapshot.events[0].dropped = ["keep-newest": 1]
        snapshot.events[0].gaps = 2
        snapshot.events[0].gapsOpen = 1
        let (text, isBalanced) = SummaryText.render(snapshot)
        #expect(isBalanced)
        #expect(text.hasSuffix("OK: received 116 = published + duplicates + dead letters + dropped"))
        #expect(text.contains("2 gaps seen, 1 still open"))
    }

    @Test func summaryThatIsNotBalanced() {
        var snapshot = DisplayTests.snapshot(seconds: 1, rate: 100)
        snapshot.events[0].received += 5
        snapshot.events[0].inFlight = 2
        let (text, isBalanced) = SummaryText.render(snapshot)
        #expect(!isBalanced)
        #expect(text.hasSuffix("NOT OK: binance trade: 2 not published, 3 unaccounted for"))
    }

    @Test(arguments: [
        (0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "-1,234,567"),
        (Int.min, "-9,223,372,036,854,775,808"),
    ])
    func counts(value: Int, text: String) { #expect(HumanText.count(value) == text) }

    @Test(arguments: [
        (0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (99_940, "99.9 kB"), (99_960, "100 kB"),
        (999_400, "999 kB"),
        (999_600, "1.0 MB"), (Int.max, "9223 PB"),
    ])
    func bytes(value: Int, text: String) { #expect(HumanText.bytes(value) == text) }

    @Test(arguments: [
        (0, "–"), (-5, "–"), (1, "1 ns"), (999, "999 ns"), (1_500, "1.5 µs"), (250_000, "250 µs"),
        (999_600, "1.0 ms"),
        (12_340_000, "12.3 ms"), (1_000_000_000, "1.0 s"), (90_000_000_000, "90.0 s"),
    ])
    func durations(nanos: Int, text: String) { #expect(HumanText.duration(nanos) == text) }

    @Test func screenWithoutATerminal() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        var screen = LiveScreen(descriptor: ends[1])
        #expect(!screen.isTerminal)
        #expect(screen.width == 120)
        screen.show(table: "never\nthis", line: "one")
        screen.show(table: "never\nthis", line: "two")
        screen.append("end")
        var buffer = [UInt8](repeating: 0, count: 100)
        let count = read(ends[0], &buffer, buffer.count)
        #expect(String(decoding: buffer[..<max(0, count)], as: UTF8.self) == "one\ntwo\nend\n")
    }
}
