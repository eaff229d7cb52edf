import ExchangeAdapter
import MarketData
import ReferenceJSON

/// What a frame must become, by an independent reading: JSON as values, then looked up by keys.
struct FrameReference {
    /// By name.
    let streams: [String: StreamPlan]
    /// What the market's rows say in `st`; nil for spot.
    let system: String?

    init(_ streams: [StreamPlan], market: String = "spot") {
        system = ["usdm": "1", "coinm": "2"][market]
        self.streams = Dictionary(streams.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    enum Answer: Equatable {
        case acknowledged, refused, serverShutdown
        case listed([String])
    }

    struct Expectation {
        /// Events, and dead letters with their bytes and no fields.
        var readings: [Reading] = []
        var ignored = 0
        var answer: Answer?
    }

    private struct Unreadable: Error {}

    func read(_ frame: [UInt8]) -> Expectation {
        do {
            return try readFrame(frame)
        } catch {
            return Expectation(readings: [FrameReference.deadLetter(frame)])
        }
    }

    static func deadLetter(_ bytes: [UInt8]) -> Reading {
        Reading(kind: .deadLetter, symbol: "", fields: [:], bytes: bytes)
    }

    private func readFrame(_ frame: [UInt8]) throws(Unreadable) -> Expectation {
        guard let json = try? ReferenceJSON.read(frame), case .object(let members) = json else {
            throw Unreadable()
        }
        let known = ["stream", "data", "result", "error", "code", "msg", "id", "e"]
        for name in known where members.filter({ $0.key.means(name) }).count > 1 { throw Unreadable() }
        if let stream = json["stream"] {
            guard case .string(let name) = stream else { throw Unreadable() }
            if let data = json["data"] { return try readData(frame, name, data) }
        }
        if json["error"] != nil || (json["code"] != nil && json["msg"] != nil) {
            return Expectation(answer: .refused)
        }
        if json["result"] != nil, case .number(let text) = json["id"], let id = Int64(text), id != .min {
            return Expectation(answer: FrameReference.listed(json["result"]) ?? .acknowledged)
        }
        if case .string(let event) = json["e"], event.raw == Array("serverShutdown".utf8) {
            return Expectation(answer: .serverShutdown)
        }
        throw Unreadable()
    }

    private static func listed(_ result: JSONValue?) -> Answer? {
        guard case .array(let elements) = result else { return nil }
        var names: [String] = []
        for element in elements {
            guard case .string(let name) = element, let text = name.text, text.count <= 256 else {
                return nil
            }
            names.append(String(decoding: text, as: UTF8.self))
        }
        return .listed(names)
    }

    private func readData(_ frame: [UInt8], _ name: JSONText, _ data: JSONValue) throws(Unreadable)
        -> Expectation
    {
        guard let text = name.text, let plan = streams[String(decoding: text, as: UTF8.self)],
            Array(plan.name.utf8) == text
        else {
            if name.raw == Array("!serverShutdown".utf8) { return Expectation(answer: .serverShutdown) }
            return Expectation(ignored: 1)
        }
        guard plan.name.contains("@arr") else {
            guard let reading = try event(data, plan) else { return Expectation(ignored: 1) }
            return Expectation(readings: [reading])
        }
        guard case .array(let elements) = data,
            let bytes = try? ReferenceJSON.elementBytes(of: frame, path: ["data"])
        else { throw Unreadable() }
        // An array of crumbs has no room for a dead letter each.
        var room = frame.count * 8 + 1_024
        for element in bytes {
            room -= max(MemoryLayout<DeadLetter>.stride + element.count, MemoryLayout<Ticker>.size) + 16
        }
        guard room >= 0 else { throw Unreadable() }
        var expectation = Expectation()
        for (element, bytes) in zip(elements, bytes) {
            do {
                if let reading = try event(element, plan) {
                    expectation.readings.append(reading)
                } else {
                    expectation.ignored += 1
                }
            } catch {
                expectation.readings.append(FrameReference.deadLetter(bytes))
            }
        }
        return expectation
    }

    // MARK: - Payloads

    private enum Shape {
        case time, integer, decimal, decimalOrNothing, aggressor, flag, word, interval, execution
    }

    private typealias Field = (key: String, name: String, shape: Shape)

    /// Nil where it is another market's.
    private func event(_ json: JSONValue, _ plan: StreamPlan) throws(Unreadable) -> Reading? {
        let statistics: [Field] = [
            ("o", "open", .decimal), ("h", "high", .decimal), ("l", "low", .decimal), ("c", "last", .decimal),
            ("v", "volume", .decimal), ("q", "quoteVolume", .decimal),
        ]
        switch plan.kind {
        case .trade:
            return try object(
                json, plan, event: "trade", required: "tpqm",
                fields: [
                    ("t", "tradeId", .integer), ("p", "price", .decimal), ("q", "quantity", .decimal),
                    ("T", "tradeTime", .time), ("m", "aggressor", .aggressor),
                ] + (system == nil ? [] : [("X", "execution", .execution)]))
        case .aggTrade:
            return try object(
                json, plan, event: "aggTrade", required: "apqm",
                fields: [
                    ("a", "aggregateId", .integer), ("p", "price", .decimal), ("q", "quantity", .decimal),
                    ("f", "firstTradeId", .integer), ("l", "lastTradeId", .integer),
                    ("T", "tradeTime", .time),
                    ("m", "aggressor", .aggressor),
                ])
        case .kline: return try kline(json, plan)
        case .ticker:
            let window = TickerWindow(rawValue: plan.variant)?.name ?? ""
            let read = try object(
                json, plan, event: window == "24h" ? "24hrTicker" : "\(window)Ticker", required: "ohlc",
                fields: statistics + [
                    ("p", "change", .decimal), ("P", "changePercent", .decimal),
                    ("w", "weightedAverage", .decimal),
                    ("x", "previousClose", .decimal), ("Q", "lastQuantity", .decimal), ("b", "bid", .decimal),
                    ("B", "bidQuantity", .decimal), ("a", "ask", .decimal), ("A", "askQuantity", .decimal),
                    ("O", "openTime", .time), ("C", "closeTime", .time), ("F", "firstTradeId", .integer),
                    ("L", "lastTradeId", .integer), ("n", "tradeCount", .integer),
                ])
            guard var reading = read else { return nil }
            reading.fields["window"] = window
            return reading
        case .miniTicker:
            return try object(json, plan, event: "24hrMiniTicker", required: "ohlc", fields: statistics)
        case .bookTicker:
            return try object(
                json, plan, event: "bookTicker", required: "ubBaA",
                fields: [
                    ("u", "updateId", .integer), ("b", "bid", .decimal), ("B", "bidQuantity", .decimal),
                    ("a", "ask", .decimal), ("A", "askQuantity", .decimal),
                ])
        case .averagePrice:
            return try object(
                json, plan, event: "avgPrice", required: "w",
                fields: [("i", "interval", .word), ("w", "price", .decimal), ("T", "tradeTime", .time)])
        case .markPrice:
            return try object(
                json, plan, event: "markPriceUpdate", required: "p",
                fields: [
                    ("p", "markPrice", .decimal), ("i", "indexPrice", .decimalOrNothing),
                    ("P", "settlementPrice", .decimalOrNothing), ("r", "fundingRate", .decimalOrNothing),
                    ("T", "nextFundingTime", .time), ("ap", "averageMarkPrice", .decimalOrNothing),
                ])
        case .depth, .gap, .deadLetter: throw Unreadable()
        }
    }

    private static let bar: [Field] = [
        ("t", "openTime", .time), ("T", "closeTime", .time), ("f", "firstTradeId", .integer),
        ("L", "lastTradeId", .integer), ("o", "open", .decimal), ("c", "close", .decimal),
        ("h", "high", .decimal), ("l", "low", .decimal), ("v", "volume", .decimal),
        ("n", "tradeCount", .integer), ("x", "closed", .flag), ("q", "quoteVolume", .decimal),
        ("V", "takerBuyVolume", .decimal), ("Q", "takerBuyQuoteVolume", .decimal),
        ("i", "interval", .interval),
    ]

    private func kline(_ json: JSONValue, _ plan: StreamPlan) throws(Unreadable) -> Reading? {
        // A bar that cannot be read at all is worse than one of another market.
        if let bar = json["k"], bar != .null {
            _ = try values(bar, plan, required: "", alsoKnown: "s", fields: FrameReference.bar)
            switch bar["s"] {
            case nil, .null, .string: break
            default: throw Unreadable()
            }
        }
        let read = try object(json, plan, event: "kline", required: "k", alsoKnown: "k", fields: [])
        guard var reading = read, let bar = json["k"] else { return nil }
        reading.fields.merge(
            try values(bar, plan, required: "tohlcx", alsoKnown: "s", fields: FrameReference.bar),
            uniquingKeysWith: { _, new in new })
        reading.fields["interval"] = Interval(rawValue: plan.variant)?.name
        switch bar["s"] {
        case nil, .null: break
        case .string(let symbol):
            guard case .string(symbol) = json["s"] else { throw Unreadable() }
        default: throw Unreadable()
        }
        return reading
    }

    /// Nil where the object says that it is another market's: whatever else is missing then.
    private func object(
        _ json: JSONValue, _ plan: StreamPlan, event: String, required: String, alsoKnown: String = "",
        fields: [Field]
    ) throws(Unreadable) -> Reading? {
        let all = fields + [("E", "eventTime", .time)]
        let known = alsoKnown + "es"
        _ = try values(json, plan, required: "", alsoKnown: known, fields: all)
        switch json["e"] {
        case nil, .null: break
        case .string(let name): guard name.raw == Array(event.utf8) else { throw Unreadable() }
        default: throw Unreadable()
        }
        switch json["s"] {
        case nil, .null, .string: break
        default: throw Unreadable()
        }
        if let system {
            if case .object(let members) = json, members.filter({ $0.key.means("st") }).count > 1 {
                throw Unreadable()
            }
            if let value = json["st"], value != .null {
                guard case .number(let text) = value, let number = Int64(text), number != .min else {
                    throw Unreadable()
                }
                if "\(number)" != system { return nil }
            }
        }
        let read = try values(json, plan, required: required + "s", alsoKnown: known, fields: all)
        guard case .string(let symbol) = json["s"], let text = symbol.text, !text.isEmpty, text.count <= 60,
            !text.contains(where: { $0 <= 0x20 || $0 == 0x22 || $0 == 0x5C || $0 == 0x7F }),
            let name = String(validating: text, as: UTF8.self)
        else { throw Unreadable() }
        return Reading(kind: plan.kind, symbol: name, fields: read)
    }

    private func values(
        _ json: JSONValue, _ plan: StreamPlan, required: String, alsoKnown: String, fields: [Field]
    ) throws(Unreadable) -> [String: String] {
        guard case .object(let members) = json else { throw Unreadable() }
        for key in fields.map(\.key) + alsoKnown.map(String.init)
        where members.filter({ $0.key.means(key) }).count > 1 { throw Unreadable() }
        for key in required {
            guard let value = json[String(key)], value != .null else { throw Unreadable() }
        }
        var read: [String: String] = [:]
        for field in fields {
            guard let value = json[field.key], value != .null else { continue }
            let text = try text(of: value, field.shape, plan)
            if !text.isEmpty { read[field.name] = text }
        }
        return read
    }

    private func text(of value: JSONValue, _ shape: Shape, _ plan: StreamPlan) throws(Unreadable) -> String {
        switch (shape, value) {
        case (.integer, .number(let text)):
            guard let number = Int64(text), number != .min else { throw Unreadable() }
            return "\(number)"
        case (.time, .number(let text)):
            guard let number = Int64(text), number != .min else { throw Unreadable() }
            let (nanos, overflows) = number.multipliedReportingOverflow(by: 1_000_000)
            guard !overflows else { throw Unreadable() }
            return "\(nanos)"
        case (.decimal, .string(let text)): return try decimal(text.raw)
        case (.decimal, .number(let text)): return try decimal(Array(text.utf8))
        case (.decimalOrNothing, .string(let text)) where text.raw.isEmpty: return ""
        case (.decimalOrNothing, _): return try self.text(of: value, .decimal, plan)
        case (.execution, .string(let text)):
            let word = String(decoding: text.raw, as: UTF8.self)
            guard text.raw.count <= 24,
                word.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == "-") })
            else { throw Unreadable() }
            return word == "MARKET" ? "" : word
        case (.aggressor, .bool(let isMaker)): return isMaker ? "sell" : "buy"
        case (.flag, .bool(let flag)): return "\(flag)"
        case (.word, .string(let text)):
            let name = String(decoding: text.raw, as: UTF8.self)
            guard (1...8).contains(text.raw.count),
                name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber) })
            else { throw Unreadable() }
            return name
        case (.interval, .string(let text)):
            guard let name = Interval(rawValue: plan.variant)?.name, text.raw == Array(name.utf8) else {
                throw Unreadable()
            }
            return name
        default: throw Unreadable()
        }
    }

    /// Digits, with a point between digits or without; 112 bits and 40 fraction digits at most.
    private func decimal(_ raw: [UInt8]) throws(Unreadable) -> String {
        guard raw.allSatisfy({ $0 < 0x80 }) else { throw Unreadable() }
        let text = String(decoding: raw, as: UTF8.self)
        let unsigned = text.hasPrefix("-") ? text.dropFirst() : text[...]
        let parts = unsigned.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count),
            parts.allSatisfy({ !$0.isEmpty && $0.allSatisfy { ("0"..."9").contains($0) } }),
            parts[0].count == 1 || !parts[0].hasPrefix("0"), parts.count == 1 || parts[1].count <= 40,
            let magnitude = UInt128(parts.joined()), magnitude >> 112 == 0
        else { throw Unreadable() }
        return text
    }
}
