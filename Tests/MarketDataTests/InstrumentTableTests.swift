import MarketData
import Testing

struct InstrumentTableTests {
    @Test func interning() throws {
        let table = InstrumentTable(exchanges: ["binance", "okx"], capacity: 100)
        let first = try #require(table.intern("BTCUSDT", market: 0))
        #expect(first == 1)
        #expect(table.intern("BTCUSDT", market: 0) == first)
        let other = try #require(table.intern("BTCUSDT", market: 1))
        #expect(other != first)
        let chinese = try #require(table.intern("币安人生USDT", market: 0))
        #expect(table.instrument(at: chinese) == Instrument(exchange: "binance", symbol: "币安人生USDT"))
        #expect(table.instrument(at: other) == Instrument(exchange: "okx", symbol: "BTCUSDT"))
        #expect(table.market(at: other) == 1)
        #expect(table.count == 3)
    }

    @Test func symbolsThatDoNotFit() {
        let table = InstrumentTable(exchanges: ["binance"], capacity: 10)
        #expect(table.intern("", market: 0) == nil)
        let longest = String(repeating: "A", count: InstrumentTable.symbolLengthMax)
        #expect(table.intern(longest, market: 0) != nil)
        #expect(table.intern(longest + "A", market: 0) == nil)
        #expect(table.intern(longest, market: 0) == 1)
    }

    @Test func full() {
        let table = InstrumentTable(exchanges: ["binance"], capacity: 1_000)
        for index in 0..<1_000 { #expect(table.intern("S\(index)", market: 0) == UInt32(index + 1)) }
        #expect(table.intern("ONEMORE", market: 0) == nil)
        for index in 0..<1_000 {
            #expect(table.intern("S\(index)", market: 0) == UInt32(index + 1))
            #expect(table.instrument(at: UInt32(index + 1)).symbol == "S\(index)")
        }
        #expect(table.count == 1_000)
    }

    @Test func comparing() throws {
        let table = InstrumentTable(exchanges: ["binance"], capacity: 10)
        let index = try #require(table.intern("BTCUSDT", market: 0))
        for (text, isSame) in [("BTCUSDT", true), ("BTCUSD", false), ("BTCUSDC", false), ("BTCUSDTT", false)]
        {
            var text = text
            #expect(text.withUTF8 { table.isSymbol(UnsafeRawBufferPointer($0), at: index) } == isSame)
        }
    }
}
