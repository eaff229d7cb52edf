import MarketData
import Testing

struct NameTests {
    @Test func intervals() {
        #expect(
            Interval.allCases.map(\.name) == [
                "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w",
                "1M",
            ])
        for interval in Interval.allCases { #expect(Interval(name: interval.name) == interval) }
        #expect(Interval(name: "1m") == .minute1)
        #expect(Interval(name: "1M") == .month1)
        for wrong in ["", "m", "1H", "2m", "1mo", " 1m"] { #expect(Interval(name: wrong) == nil) }
    }

    @Test func windows() {
        #expect(TickerWindow.allCases.map(\.name) == ["24h", "1h", "4h", "1d"])
        for window in TickerWindow.allCases { #expect(TickerWindow(name: window.name) == window) }
        #expect(TickerWindow(name: "24H") == nil)
    }

    @Test func kinds() {
        #expect(EventKind.allCases.count == EventKind.count)
        #expect(EventKind.allCases.map { Int($0.rawValue) } == Array(0..<EventKind.count))
        for kind in EventKind.allCases { #expect(EventKind(name: kind.name) == kind) }
        #expect(EventKind(name: "Trade") == nil)
    }

    @Test func structSizes() {
        // The event ring's bound on what a frame can become rests on the largest.
        let sizes = [
            MemoryLayout<Trade>.size, MemoryLayout<AggTrade>.size, MemoryLayout<Kline>.size,
            MemoryLayout<MiniTicker>.size, MemoryLayout<BookTicker>.size, MemoryLayout<AveragePrice>.size,
            MemoryLayout<Gap>.size, MemoryLayout<DeadLetter>.size,
        ]
        #expect(sizes.allSatisfy { $0 <= MemoryLayout<Ticker>.size })
        #expect(MemoryLayout<EventHeader>.size == 24)
        #expect(MemoryLayout<Decimal>.size == 16)
    }
}
