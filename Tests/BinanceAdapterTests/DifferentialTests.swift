import BinanceAdapter
import ExchangeAdapter
import Foundation
import MarketData
import ReferenceJSON
import Testing

/// The decoder against the reference reading, frame by frame.
struct DifferentialTests {
    /// The subscriptions that stream names come from; depth is left out, as nobody can ask for it.
    static func subscription(for stream: String) -> Subscription? {
        if stream == "!miniTicker@arr" { return Subscription(kind: .miniTicker, symbols: .all) }
        if stream.hasPrefix("!ticker"), stream.hasSuffix("@arr") {
            let window = stream.dropFirst(8).dropLast(4)
            return Subscription(
                kind: .ticker, symbols: .all, window: TickerWindow(name: String(window)) ?? .hours24)
        }
        let parts = stream.split(separator: "@", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { return nil }
        let symbols = Subscription.Symbols.some([parts[0].uppercased()])
        let suffix = parts[1].split(separator: "_").map(String.init)
        switch suffix[0] {
        case "trade": return Subscription(kind: .trade, symbols: symbols)
        case "aggTrade": return Subscription(kind: .aggTrade, symbols: symbols)
        case "kline": return Subscription(kind: .kline, symbols: symbols, interval: Interval(name: suffix[1]))
        case "ticker":
            let window = suffix.count > 1 ? TickerWindow(name: suffix[1]) : nil
            return Subscription(kind: .ticker, symbols: symbols, window: window ?? .hours24)
        case "miniTicker": return Subscription(kind: .miniTicker, symbols: symbols)
        case "bookTicker": return Subscription(kind: .bookTicker, symbols: symbols)
        case "avgPrice": return Subscription(kind: .averagePrice, symbols: symbols)
        default: return nil
        }
    }

    /// Streams for everything that the names ask for.
    static func plans(_ names: some Sequence<String>) throws -> [StreamPlan] {
        var warnings: [String] = []
        let plans = try #require(BinanceAdapter(market: "spot"))
            .streams(for: names.sorted().compactMap(subscription), warnings: &warnings)
        let known = Set(names)
        for plan in plans { #expect(known.contains(plan.name)) }
        return plans
    }

    static func streamName(_ frame: [UInt8]) -> String? {
        let head = Array("{\"stream\":\"".utf8)
        guard frame.starts(with: head), let end = frame[head.count...].firstIndex(of: UInt8(ascii: "\""))
        else {
            return nil
        }
        return String(decoding: frame[head.count..<end], as: UTF8.self)
    }

    /// What differs; nil where nothing does. Offsets and reasons of dead letters are not compared.
    static func difference(
        _ frame: [UInt8], _ harness: DecoderHarness, _ reference: SpotReference, padding: UInt8
    ) -> String? {
        let ignoredBefore = harness.counters.counts(nil, market: 0).ignored
        let expected = reference.read(frame)
        let found = harness.decode([frame], padding: padding).map { reading in
            var reading = reading
            if reading.kind == .deadLetter { reading.fields = [:] }
            return reading
        }
        let isIgnored = harness.counters.counts(nil, market: 0).ignored > ignoredBefore
        let answers = harness.takeSignals().map { signal -> SpotReference.Answer in
            switch signal {
            case .acknowledged, .listed: .acknowledged
            case .refused: .refused
            case .serverShutdown: .serverShutdown
            }
        }
        if found == expected.readings, isIgnored == expected.isIgnored,
            answers == (expected.answer.map { [$0] } ?? [])
        {
            return nil
        }
        return """
            frame \(String(decoding: frame, as: UTF8.self))
            found \(found) ignored \(isIgnored) \(answers)
            expected \(expected)
            """
    }

    @Test func recordedFrames() throws {
        guard RecordedFeeds.spot != nil else {
            print("no recorded feeds here: set RECORDED_FEEDS; nothing was compared")
            return
        }
        var compared = 0
        var events = 0
        for file in RecordedFeeds.files() {
            let frames = try RecordedFeeds.frames(of: file)
            let plans = try DifferentialTests.plans(Set(frames.compactMap(DifferentialTests.streamName)))
            let harness = try DecoderHarness(plans)
            let reference = SpotReference(plans)
            for frame in frames {
                // A frame of a stream that nobody asked for needs no reading: there are 90,000 of depth.
                if let name = DifferentialTests.streamName(frame), reference.streams[name] == nil,
                    compared % 50 > 0
                {
                    compared += 1
                    continue
                }
                if let difference = DifferentialTests.difference(frame, harness, reference, padding: 0x35) {
                    Issue.record("\(file.lastPathComponent): \(difference)")
                    return
                }
                compared += 1
            }
            events += EventKind.allCases.reduce(0) { $0 + harness.counters.counts($1, market: 0).received }
        }
        print(
            "\(compared) recorded frames, \(events) events and dead letters: all as the reference reads them")
        #expect(events > 10_000)
    }

    /// One frame of each kind, for mutations.
    static let seeds: [String] = [
        #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1790960630914,"s":"BTCUSDT","t":6732650448,"p":"84922.04000000","q":"0.00023000","T":1790960630913,"m":true,"M":true}}"#,
        #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1592591955766,"s":"BTCUSDT","t":343719861,"p":"9302.00000000","q":"0.00101900","b":2517144287,"a":2517144235,"T":1592591955765,"m":false,"M":true}}"#,
        #"{"stream":"bnbbtc@aggTrade","data":{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":100,"l":105,"T":1672515782136,"m":true,"M":true}}"#,
        #"{"stream":"bnbbtc@kline_1m","data":{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,"T":1672515839999,"s":"BNBBTC","i":"1m","f":100,"L":200,"o":"0.0010","c":"0.0020","h":"0.0025","l":"0.0015","v":"1000","n":100,"x":false,"q":"1.0000","V":"500","Q":"0.500","B":"123456"}}}"#,
        #"{"stream":"bnbbtc@kline_1s","data":{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,"T":1672515780999,"s":"BNBBTC","i":"1s","f":-1,"L":-1,"o":"0.0010","c":"0.0010","h":"0.0010","l":"0.0010","v":"0.00000000","n":0,"x":true,"q":"0.00000000","V":"0.00000000","Q":"0.00000000","B":"0"}}}"#,
        "{\"stream\":\"bnbbtc@ticker\",\"data\":\(GoldenTests.ticker24)}",
        #"{"stream":"bnbbtc@ticker_1h","data":{"e":"1hTicker","E":1672515782136,"s":"BNBBTC","p":"0.0015","P":"250.00","o":"0.0010","h":"0.0025","l":"0.0010","c":"0.0025","w":"0.0018","v":"10000","q":"18","O":0,"C":1675216573749,"F":0,"L":18150,"n":18151}}"#,
        "{\"stream\":\"bnbbtc@miniTicker\",\"data\":\(GoldenTests.miniTicker("BNBBTC"))}",
        "{\"stream\":\"!miniTicker@arr\",\"data\":[\(GoldenTests.miniTicker("BNBBTC")),\(GoldenTests.miniTicker("币安人生USDT"))]}",
        "{\"stream\":\"!ticker_1d@arr\",\"data\":[\(GoldenTests.ticker24.replacing("24hr", with: "1d"))]}",
        #"{"stream":"bnbusdt@bookTicker","data":{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}}"#,
        #"{"stream":"btcusdt@avgPrice","data":{"e":"avgPrice","E":1693907033000,"s":"BTCUSDT","i":"5m","w":"25776.86000000","T":1693907032213}}"#,
        #"{"stream":"币安人生usdt@trade","data":{"e":"trade","E":1,"s":"币安人生USDT","t":1,"p":"1","q":"1","T":1,"m":false,"M":true}}"#,
        #"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[["43.5","7.0"]],"a":[]}}"#,
        #"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}"#,
        #"{"e":"serverShutdown","E":1770123456789}"#,
        #"{"result":null,"id":1}"#, #"{"result":["btcusdt@aggTrade"],"id":3}"#,
        #"{"code":0,"msg":"Unknown property","id":1}"#,
        #"{"error":{"code":2,"msg":"Invalid request: request ID must be an unsigned integer"},"id":4}"#,
    ]

    static let seedStreams = seeds.compactMap { streamName(Array($0.utf8)) }.filter { !$0.contains("depth") }

    private func check(
        _ frame: [UInt8], _ harness: DecoderHarness, _ reference: SpotReference, _ padding: UInt8
    )
        -> Bool
    {
        guard
            let difference = DifferentialTests.difference(frame, harness, reference, padding: padding)
        else { return true }
        Issue.record("\(difference)")
        return false
    }

    @Test(arguments: seeds.indices) func everyCut(index: Int) throws {
        let plans = try DifferentialTests.plans(DifferentialTests.seedStreams)
        let harness = try DecoderHarness(plans)
        let reference = SpotReference(plans)
        let frame = Array(DifferentialTests.seeds[index].utf8)
        for cut in 0...frame.count {
            for padding in [0x00, 0x22, 0x30, 0x7D] as [UInt8] {
                guard check(Array(frame[..<cut]), harness, reference, padding) else { return }
            }
        }
    }

    @Test(arguments: seeds.indices) func flippedBytes(index: Int) throws {
        let plans = try DifferentialTests.plans(DifferentialTests.seedStreams)
        let harness = try DecoderHarness(plans)
        let reference = SpotReference(plans)
        let frame = Array(DifferentialTests.seeds[index].utf8)
        var generator = SeededGenerator(seed: UInt64(index))
        let alphabet = Array("{}[]\",:\\0123456789truefalsnmMTE .-+".utf8) + [0x00, 0x1F, 0x80, 0xFF]
        for _ in 0..<3_000 {
            var bytes = frame
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                let byte =
                    Bool.random(using: &generator)
                    ? bytes[place] ^ (1 << UInt8.random(in: 0..<8, using: &generator))
                    : alphabet.randomElement(using: &generator) ?? 0
                switch Int.random(in: 0..<4, using: &generator) {
                case 0, 1: bytes[place] = byte
                case 2: bytes.insert(byte, at: place)
                default: bytes.remove(at: place)
                }
            }
            guard check(bytes, harness, reference, UInt8.random(in: 0...255, using: &generator)) else {
                return
            }
        }
    }

    /// Other orders, white space, keys that nobody knows, nulls, repeats, missing keys, values of other types.
    @Test(arguments: seeds.indices) func rewritten(index: Int) throws {
        let plans = try DifferentialTests.plans(DifferentialTests.seedStreams)
        let harness = try DecoderHarness(plans)
        let reference = SpotReference(plans)
        let json = try ReferenceJSON.read(Array(DifferentialTests.seeds[index].utf8))
        var generator = SeededGenerator(seed: UInt64(1_000 + index))
        for _ in 0..<1_500 {
            let harm = Int.random(in: 0..<3, using: &generator) == 0
            let changed = DifferentialTests.rewrite(json, harm: harm, &generator)
            var spaces = generator
            let isSpaced = Bool.random(using: &generator)
            let text = changed.written {
                guard isSpaced, Int.random(in: 0..<4, using: &spaces) == 0 else { return "" }
                return ["  ", "\n", "\t ", "\r\n"].randomElement(using: &spaces) ?? " "
            }
            guard check(Array(text.utf8), harness, reference, 0x22) else { return }
        }
    }

    static func rewrite(
        _ json: JSONValue, harm: Bool, _ generator: inout SeededGenerator
    ) -> JSONValue {
        let odd: [JSONValue] = [
            .null, .bool(true), .number("1"), .number("-1"), .number("1e3"), .number("9223372036854775807"),
            .number("-9223372036854775808"), .number("10000000000000"), .number("0.10"),
            .string(JSONText("")),
            .string(JSONText("1.5")), .string(JSONText("01")), .string(JSONText("BTCUSDT")), .array([]),
            .object([]), .string(JSONText("5192296858534827628530496329220096")),
            .string(JSONText("1234567890123456789012.123456789")),
        ]
        switch json {
        case .object(var members):
            if Bool.random(using: &generator) { members.shuffle(using: &generator) }
            for index in members.indices {
                members[index].value = rewrite(members[index].value, harm: harm, &generator)
            }
            if Int.random(in: 0..<3, using: &generator) == 0 {
                let keys = ["st", "nq", "ps", "unknown key", "é", "", "longlonglong", "X"]
                let value: JSONValue = .array([.object([.init(key: JSONText("s"), value: .number("1.5e3"))])])
                members.insert(
                    .init(
                        key: JSONText(keys.randomElement(using: &generator) ?? "st"),
                        value: Bool.random(using: &generator) ? value : .string(JSONText("x"))),
                    at: Int.random(in: 0...members.count, using: &generator))
            }
            if harm, !members.isEmpty, Int.random(in: 0..<3, using: &generator) == 0 {
                let place = Int.random(in: 0..<members.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: members.remove(at: place)
                case 1: members.append(members[place])
                case 2: members[place].value = .null
                default: members[place].value = odd.randomElement(using: &generator) ?? .null
                }
            }
            return .object(members)
        case .array(let elements):
            var changed = elements.map { rewrite($0, harm: harm, &generator) }
            if harm, Bool.random(using: &generator) {
                let crumbs = Int.random(in: 1...60, using: &generator)
                changed += Array(repeating: odd.randomElement(using: &generator) ?? .null, count: crumbs)
            }
            return .array(changed)
        default: return json
        }
    }

    @Test func escapedKeysAndNames() throws {
        let plans = try DifferentialTests.plans(DifferentialTests.seedStreams)
        let harness = try DecoderHarness(plans)
        let reference = SpotReference(plans)
        for frame in [
            #"{"\u0073tream":"btcusdt\u0040trade","d\u0061ta":{"\u0065":"trade","E":1,"\u0073":"\u0042TCUSDT","t":1,"p":"1","q":"1","T":1,"m":false}}"#,
            #"{"stream":"btcusdt@trade","data":{"e":"tr\u0061de","E":1,"s":"BTCUSDT","t":1,"p":"1","q":"1","T":1,"m":false}}"#,
            #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT\u0022","t":1,"p":"1","q":"1","T":1,"m":false}}"#,
            #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"\ud83d\ude00USDT","t":1,"p":"1","q":"1","T":1,"m":false}}"#,
            #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"\ud83dUSDT","t":1,"p":"1","q":"1","T":1,"m":false}}"#,
            #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"\u0031","q":"1","T":1,"m":false}}"#,
            #"{"stream":"\u5e01\u5b89\u4eba\u751fusdt@trade","data":{"e":"trade","E":1,"s":"\u5e01\u5b89\u4eba\u751fUSDT","t":1,"p":"1","q":"1","T":1,"m":false}}"#,
            #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTC USDT","t":1,"p":"1","q":"1","T":1,"m":false}}"#,
        ] {
            _ = check(Array(frame.utf8), harness, reference, 0)
        }
    }
}
