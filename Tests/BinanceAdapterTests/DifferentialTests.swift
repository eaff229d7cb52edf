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
        var name = stream[...]
        var speed: Int64? = stream.contains("markPrice") ? 3_000_000_000 : nil
        if name.hasSuffix("@1s") {
            name = name.dropLast(3)
            speed = 1_000_000_000
        }
        let symbols: Subscription.Symbols
        let suffix: [String]
        if name.hasPrefix("!") {
            symbols = .all
            suffix = name.dropFirst().split(separator: "@")[0].split(separator: "_").map(String.init)
        } else {
            let parts = name.split(separator: "@", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { return nil }
            symbols = .some([parts[0].uppercased()])
            suffix = parts[1].split(separator: "_").map(String.init)
        }
        switch suffix[0] {
        case "trade", "aggTrade", "miniTicker", "bookTicker":
            return EventKind(name: suffix[0]).map { Subscription(kind: $0, symbols: symbols) }
        case "kline": return Subscription(kind: .kline, symbols: symbols, interval: Interval(name: suffix[1]))
        case "ticker":
            let window = suffix.count > 1 ? TickerWindow(name: suffix[1]) : nil
            return Subscription(kind: .ticker, symbols: symbols, window: window ?? .hours24)
        case "avgPrice": return Subscription(kind: .averagePrice, symbols: symbols)
        case "markPrice": return Subscription(kind: .markPrice, symbols: symbols, updateSpeed: speed)
        default: return nil
        }
    }

    /// Streams for everything that the names ask for.
    static func plans(_ names: some Sequence<String>, market: String = "spot") throws -> [StreamPlan] {
        let adapter = try #require(BinanceAdapter(market: market))
        // What the market does not have (`!bookTicker` on spot) is left out too.
        let plans = Set(names).sorted().compactMap(subscription).flatMap { subscription in
            var warnings: [String] = []
            return (try? adapter.streams(for: [subscription], warnings: &warnings)) ?? []
        }
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
        _ frame: [UInt8], _ harness: DecoderHarness, _ reference: FrameReference, padding: UInt8
    ) -> String? {
        let ignoredBefore = harness.counters.counts(nil, market: 0).ignored
        let expected = reference.read(frame)
        let found = harness.decode([frame], padding: padding).map { reading in
            var reading = reading
            if reading.kind == .deadLetter { reading.fields = [:] }
            return reading
        }
        let ignored = harness.counters.counts(nil, market: 0).ignored - ignoredBefore
        let answers = harness.takeSignals().map { signal -> FrameReference.Answer in
            switch signal {
            case .acknowledged: .acknowledged
            case .listed(_, let names): .listed(names)
            case .refused: .refused
            case .serverShutdown: .serverShutdown
            }
        }
        if found == expected.readings, ignored == expected.ignored,
            answers == (expected.answer.map { [$0] } ?? [])
        {
            return nil
        }
        return """
            frame \(String(decoding: frame, as: UTF8.self))
            found \(found) ignored \(ignored) \(answers)
            expected \(expected)
            """
    }

    /// The frame with the wrapper that it was recorded without, as the streams of raw connections come.
    static func combined(_ frame: [UInt8]) -> [UInt8] {
        guard streamName(frame) == nil, let json = try? ReferenceJSON.read(frame) else { return frame }
        var row = json
        var isArray = false
        if case .array(let rows) = json, let first = rows.first { (row, isArray) = (first, true) }
        guard case .string(let event) = row["e"] else { return frame }
        let suffixes = [
            "24hrMiniTicker": "miniTicker", "24hrTicker": "ticker", "markPriceUpdate": "markPrice",
        ]
        let text = String(decoding: event.raw, as: UTF8.self)
        let suffix = suffixes[text] ?? text
        var name = "!\(suffix)@arr"
        if !isArray {
            guard case .string(let symbol) = row["s"] else { return frame }
            name = "\(String(decoding: symbol.raw, as: UTF8.self).lowercased())@\(suffix)"
        }
        return Array("{\"stream\":\"\(name)\",\"data\":".utf8) + frame + [UInt8(ascii: "}")]
    }

    @Test(arguments: zip(["spot", "usdm", "coinm"], [10_000, 300_000, 60_000]))
    func recordedFrames(market: String, eventsAtLeast: Int) throws {
        guard RecordedFeeds.home(of: market) != nil else {
            print("no recorded feeds of \(market) here: set RECORDED_FEEDS; nothing was compared")
            return
        }
        var compared = 0
        var events = 0
        for file in RecordedFeeds.files(of: market) {
            let frames = try RecordedFeeds.frames(of: file).map(DifferentialTests.combined)
            let plans = try DifferentialTests.plans(
                Set(frames.compactMap(DifferentialTests.streamName)), market: market)
            let harness = try DecoderHarness(plans, market: market)
            let reference = FrameReference(plans, market: market)
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
            let counts = EventKind.allCases.map { harness.counters.counts($0, market: 0).received }
            events += counts.reduce(0, +)
        }
        print(
            "\(market): \(compared) recorded frames, \(events) events and dead letters, all as the reference"
                + " reads them")
        #expect(events > eventsAtLeast)
    }

    private func bench(_ market: String) throws -> (DecoderHarness, FrameReference) {
        let plans = try DifferentialTests.plans(Seeds.streams(of: market), market: market)
        return (try DecoderHarness(plans, market: market), FrameReference(plans, market: market))
    }

    private func check(
        _ frame: [UInt8], _ harness: DecoderHarness, _ reference: FrameReference, _ padding: UInt8
    )
        -> Bool
    {
        guard
            let difference = DifferentialTests.difference(frame, harness, reference, padding: padding)
        else { return true }
        Issue.record("\(difference)")
        return false
    }

    @Test(arguments: Seeds.all) func everyCut(seed: Seeds.Seed) throws {
        let (harness, reference) = try bench(seed.market)
        let frame = seed.frame
        for cut in 0...frame.count {
            for padding in [0x00, 0x22, 0x30, 0x7D] as [UInt8] {
                guard check(Array(frame[..<cut]), harness, reference, padding) else { return }
            }
        }
    }

    @Test(arguments: Seeds.all) func flippedBytes(seed: Seeds.Seed) throws {
        let (harness, reference) = try bench(seed.market)
        let frame = seed.frame
        var generator = SplitMix64(seed: UInt64(seed.number))
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
    @Test(arguments: Seeds.all) func rewritten(seed: Seeds.Seed) throws {
        let (harness, reference) = try bench(seed.market)
        let json = try ReferenceJSON.read(seed.frame)
        var generator = SplitMix64(seed: UInt64(1_000 + seed.number))
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
        _ json: JSONValue, harm: Bool, _ generator: inout SplitMix64
    ) -> JSONValue {
        let odd: [JSONValue] = [
            .null, .bool(true), .number("1"), .number("-1"), .number("1e3"), .number("9223372036854775807"),
            .number("-9223372036854775808"), .number("10000000000000"), .number("0.10"),
            .string(JSONText("")), .string(JSONText("RPI")), .number("2"),
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
                let keys = ["st", "nq", "ps", "unknown key", "é", "", "longlonglong", "X", "ap"]
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
        let (harness, reference) = try bench("spot")
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
