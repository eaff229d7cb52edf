import ByteScanning
import ExchangeAdapter
import MarketData
import Rings
import Testing

@testable import BinanceAdapter

/// That the fast way of reading is taken where it should be: what it reads is compared elsewhere, and were it never
/// taken, nothing but time would tell.
struct SpeculationTests {
    private final class Reader {
        let reader: FrameReader
        /// The reader counts no reference to it.
        let instruments: InstrumentTable
        var writer: EventWriter

        init(_ plans: [StreamPlan], of market: BinanceMarket = .spot, isMicroseconds: Bool = false) throws {
            instruments = InstrumentTable(exchanges: ["binance"], capacity: 100)
            reader = FrameReader(
                streams: plans, of: market, market: 0, instruments: instruments,
                nanosPerUnit: isMicroseconds ? 1_000 : 1_000_000)
            let (producer, _, _) = try Ring.make(name: "test", minimumCapacity: 1 << 20)
            guard let end = producer.take() else { throw RingTaken() }
            writer = EventWriter(
                producer: end, counters: ParserCounters(marketCount: 1), instrumentCapacity: 100,
                gapNotices: CommandQueue(capacity: 1))
        }

        deinit { reader.free() }

        func isSpeculated(_ frame: String) -> Bool {
            let bytes = Array(frame.utf8)
            let memory = UnsafeMutableRawBufferPointer.allocate(
                byteCount: bytes.count + JSONCursor.slack, alignment: 1)
            defer { memory.deallocate() }
            memory.initializeMemory(as: UInt8.self, repeating: 0)
            memory.copyBytes(from: bytes)
            let frame = UnsafeRawBufferPointer(rebasing: memory[..<bytes.count])
            return reader.speculate(frame, guess: reader.layouts.guess(frame), into: &writer)
        }
    }

    static let usual = [
        #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1790960630914,"s":"BTCUSDT","t":6732650448,"p":"84922.04000000","q":"0.00023000","T":1790960630913,"m":true,"M":true}}"#,
        #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1790960630914,"s":"BTCUSDT","t":7,"p":"0.04","q":"123456789.5","T":1790960630913,"m":false,"M":true}}"#,
        #"{"stream":"1000satsfdusd@aggTrade","data":{"e":"aggTrade","E":1672515782136,"s":"1000SATSFDUSD","a":12345,"p":"0.001","q":"100","f":100,"l":105,"T":1672515782136,"m":true,"M":true}}"#,
        #"{"stream":"bnbbtc@kline_15m","data":{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,"T":1672515839999,"s":"BNBBTC","i":"15m","f":-1,"L":-1,"o":"0.0010","c":"0.0020","h":"0.0025","l":"0.0015","v":"1000","n":0,"x":false,"q":"1.0000","V":"500","Q":"0.500","B":"123456"}}}"#,
        #"{"stream":"ethusdt@ticker","data":{"e":"24hrTicker","E":1653812650349,"s":"ETHUSDT","p":"-28.23000000","P":"1.600","w":"1781.16275609","x":"1764.61000000","c":"1792.84000000","Q":"0.55720000","b":"1792.83000000","B":"1.62740000","a":"1792.84000000","A":"20.29140000","o":"1764.61000000","h":"1808.98000000","l":"1748.94000000","v":"471703.53110000","q":"840180761.51358100","O":1653726250344,"C":1653812650344,"F":841094172,"L":841646650,"n":552479}}"#,
        #"{"stream":"btcusdt@miniTicker","data":{"e":"24hrMiniTicker","E":1601628771865,"s":"BTCUSDT","c":"10456.56000000","o":"10884.90000000","h":"10912.83000000","l":"10385.02000000","v":"64483.09756200","q":"685180788.34970800"}}"#,
        #"{"stream":"bnbusdt@bookTicker","data":{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}}"#,
        #"{"stream":"币安人生usdt@trade","data":{"e":"trade","E":1790960630914,"s":"币安人生USDT","t":1,"p":"1.5","q":"1.5","T":1790960630913,"m":false,"M":true}}"#,
    ]

    private func plans() throws -> [StreamPlan] {
        try DifferentialTests.plans(
            Set(SpeculationTests.usual.compactMap { DifferentialTests.streamName(Array($0.utf8)) }))
    }

    /// Where streams are many, frames are looked at before their turn.
    @Test func framesOfManyStreamsAreReadAsEachAlone() throws {
        let symbols = (0..<300).map { "S\($0)USDT" }
        let harness = try DecoderHarness([
            Subscription(kind: .trade, symbols: .some(symbols)),
            Subscription(kind: .bookTicker, symbols: .some(symbols)),
        ])
        let frames = symbols.enumerated().flatMap { index, symbol in
            let name = symbol.lowercased()
            return [
                #"{"stream":"\#(name)@trade","data":{"e":"trade","E":1790960630914,"s":"\#(symbol)","t":\#(index + 1),"p":"84922.04000000","q":"0.00023000","T":1790960630913,"m":true,"M":true}}"#,
                #"{"stream":"\#(name)@bookTicker","data":{"u":\#(index + 1),"s":"\#(symbol)","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}}"#,
            ]
        }.map { Array($0.utf8) }
        #expect(harness.decodeOnce(frames, from: 0) == frames.count)
        var readings: [Reading] = []
        harness.drain(&readings)
        #expect(readings.map(\.symbol) == symbols.flatMap { [$0, $0] })
        let alone = frames.flatMap { harness.decode([$0]) }
        #expect(readings == alone)
        // Runs of all lengths around what is asked for ahead, from all places in them.
        for count in 1...30 {
            for first in Set([0, 1, count / 2, count - 1]) where first < count {
                #expect(harness.decodeOnce(Array(frames[..<count]), from: first) == count - first)
                readings = []
                harness.drain(&readings)
                #expect(readings == Array(alone[first..<count]))
            }
        }
        // Frames without a layout among them.
        let strange = [
            #"{"stream":"unknown@trade","data":{"e":"trade","E":1790960630914,"s":"UNKNOWN","t":1}}"#, "{}",
            "x",
        ].map { Array($0.utf8) }
        var mixed: [[UInt8]] = []
        for index in 0..<60 { mixed.append(index % 5 == 2 ? strange[index % 3] : frames[index * 7]) }
        #expect(harness.decodeOnce(mixed, from: 0) == mixed.count)
        readings = []
        harness.drain(&readings)
        #expect(readings == mixed.flatMap { harness.decode([$0]) })
    }

    @Test(arguments: usual) func usualFrame(frame: String) throws {
        #expect(try Reader(plans()).isSpeculated(frame))
    }

    @Test(arguments: usual) func otherwiseWritten(frame: String) throws {
        try checkOthers(frame, try Reader(plans()))
    }

    private func checkOthers(_ frame: String, _ reader: Reader) throws {
        #expect(!reader.isSpeculated(" " + frame))
        #expect(!reader.isSpeculated(frame + " "))
        #expect(!reader.isSpeculated(frame.replacing("}}", with: ",\"new\":1}}")))
        #expect(!reader.isSpeculated(frame.replacing("\"s\":\"", with: "\"s\":\"X")))
        #expect(!reader.isSpeculated(frame.replacing(":\"", with: ": \"")))
        for cut in 0..<frame.utf8.count {
            #expect(!reader.isSpeculated(String(decoding: Array(frame.utf8)[..<cut], as: UTF8.self)))
        }
    }

    // MARK: - Futures

    /// Frames of one object, as they came in 2026 and before.
    static let futures = ["usdm", "coinm"].flatMap { market in
        Seeds.of(market).indices.map { Seeds.Seed(market: market, number: $0) }
    }.filter { seed in
        let name = DifferentialTests.streamName(seed.frame) ?? "!"
        return !name.hasPrefix("!") && !seed.frame.starts(with: Seeds.oldBookTicker.utf8)
            // A row of the other market.
            && !(seed.market == "coinm"
                && String(decoding: seed.frame, as: UTF8.self).hasSuffix("\"st\":1}}"))
    }

    private func reader(of market: String) throws -> Reader {
        let plans = try DifferentialTests.plans(Seeds.streams(of: market), market: market)
        return try Reader(plans, of: try #require(BinanceMarket(rawValue: market)))
    }

    @Test(arguments: futures) func usualFrameOfFutures(seed: Seeds.Seed) throws {
        #expect(try reader(of: seed.market).isSpeculated(String(decoding: seed.frame, as: UTF8.self)))
    }

    @Test(arguments: futures) func otherwiseWrittenByFutures(seed: Seeds.Seed) throws {
        try checkOthers(String(decoding: seed.frame, as: UTF8.self), try reader(of: seed.market))
    }

    @Test func rowsOfTheOtherMarketAreReadByKeys() throws {
        let frame = String(decoding: Seeds.Seed(market: "usdm", number: 0).frame, as: UTF8.self)
        let reader = try reader(of: "usdm")
        #expect(reader.isSpeculated(frame))
        #expect(!reader.isSpeculated(frame.replacing("\"st\":1", with: "\"st\":2")))
        #expect(reader.isSpeculated(frame.replacing(",\"st\":1", with: "")))
        #expect(reader.isSpeculated(frame.replacing("MARKET", with: "A_NEW_ONE")))
        #expect(!reader.isSpeculated(frame.replacing("MARKET", with: "a new one")))
    }

    // MARK: - Other streams

    @Test func microseconds() throws {
        let frame = SpeculationTests.usual[0].replacing("630914", with: "630914123").replacing(
            "630913", with: "630913987")
        #expect(try Reader(plans(), isMicroseconds: true).isSpeculated(frame))
        #expect(try !Reader(plans(), isMicroseconds: false).isSpeculated(frame))
        #expect(try !Reader(plans(), isMicroseconds: true).isSpeculated(SpeculationTests.usual[0]))
    }

    @Test func timeBeyondTheNanosecondsOf64Bits() throws {
        let frame = SpeculationTests.usual[0].replacing("1790960630914", with: "9223372036855")
        #expect(try !Reader(plans()).isSpeculated(frame))
    }

    @Test func streamsWithoutALayout() throws {
        let long = String(repeating: "A", count: 50)
        for (name, symbol) in [
            ("\(long.lowercased())@trade", long), ("a\"b@trade", "A\"B"), ("a\\@trade", "A\\"),
        ] {
            let reader = try Reader([StreamPlan(name: name, kind: .trade, symbol: symbol)])
            #expect(
                !reader.isSpeculated(
                    "{\"stream\":\"\(name)\",\"data\":{\"e\":\"trade\",\"E\":1790960630914,\"s\":\"\(symbol)\",\"t\":1,\"p\":\"1.5\",\"q\":\"1.5\",\"T\":1790960630913,\"m\":true,\"M\":true}}"
                ))
        }
    }
}
