import Foundation
import MarketData

/// One event of the message contract, for people.
struct EventText {
    private let fields: [String: Any]

    /// Nil where the bytes are not a JSON object.
    init?(json line: some DataProtocol) {
        guard let object = try? JSONSerialization.jsonObject(with: Data(line)) as? [String: Any] else {
            return nil
        }
        fields = object
    }

    var type: String { text("type") ?? "" }
    var symbol: String { text("symbol") ?? "" }
    /// Of the event, else of its receipt; ns since the epoch.
    var time: Int64 { Int64(integer("eventTime") ?? integer("receivedTime") ?? 0) }

    private func text(_ key: String) -> String? { fields[key] as? String }
    private func integer(_ key: String) -> Int? { fields[key] as? Int }
    private func shown(_ key: String) -> String { text(key) ?? integer(key).map(String.init) ?? "–" }

    /// `time type exchange symbol what`, in columns.
    func line() -> String {
        let time = EventText.clock(integer("eventTime") ?? integer("receivedTime") ?? 0)
        let head = [
            time, EventText.padded(type, 12), EventText.padded(text("exchange") ?? "", 12),
            EventText.padded(symbol, 12),
        ]
        return EventText.printable((head + [what()]).joined(separator: "  "))
    }

    private func what() -> String {
        func pair(_ price: String, _ quantity: String) -> String { "\(shown(price)) × \(shown(quantity))" }
        func right(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        let source = text("source").map { " (\($0))" } ?? ""
        switch EventKind(name: type) {
        case .trade:
            return
                "\(right(shown("price"), 16)) × \(EventText.padded(shown("quantity"), 16)) \(side()) #\(shown("tradeId"))"
                + (text("execution").map { " \($0)" } ?? "") + source
        case .aggTrade:
            return "\(right(shown("price"), 16)) × \(EventText.padded(shown("quantity"), 16)) \(side())"
                + " #\(shown("aggregateId")) (trades \(shown("firstTradeId"))–\(shown("lastTradeId")))"
                + source
        case .kline:
            let state = (fields["closed"] as? Bool) == true ? "closed" : "open"
            return
                "\(EventText.padded(shown("interval"), 3)) from \(EventText.clock(integer("openTime") ?? 0))"
                + "  o \(shown("open"))  h \(shown("high"))  l \(shown("low"))  c \(shown("close"))"
                + "  v \(shown("volume"))  \(shown("tradeCount")) trades  \(state)" + source
        case .ticker:
            return
                "\(EventText.padded(shown("window"), 3)) last \(shown("last"))  \(shown("changePercent")) %"
                + (text("bid") == nil
                    ? "" : "  bid \(pair("bid", "bidQuantity"))  ask \(pair("ask", "askQuantity"))")
                + "  h \(shown("high"))  l \(shown("low"))  v \(shown("volume"))"
        case .miniTicker:
            return
                "last \(shown("last"))  o \(shown("open"))  h \(shown("high"))  l \(shown("low"))  v \(shown("volume"))"
        case .bookTicker: return "bid \(pair("bid", "bidQuantity"))  ask \(pair("ask", "askQuantity"))"
        case .averagePrice: return "\(shown("price"))  over \(shown("interval"))"
        case .gap:
            func shownTime(_ key: String) -> String { integer(key).map(EventText.clock) ?? "–" }
            let ids =
                shown("of") == EventKind.kline.name
                ? "bars of \(shown("interval")) from \(shownTime("firstMissing")) to \(shownTime("lastMissing"))"
                : "ids \(shown("firstMissing"))–\(shown("lastMissing"))"
            return "\(shown("of")) \(ids) \(shown("state")),"
                + " cause: \(shown("cause"))"
        case .deadLetter: return "\(shown("reason")), at byte \(shown("offset"))"
        case .markPrice:
            return
                "\(right(shown("markPrice"), 16))  index \(shown("indexPrice"))  settlement \(shown("settlementPrice"))"
                + "  funding \(shown("fundingRate")) at \(EventText.clock(integer("nextFundingTime") ?? 0))"
        case .depth, nil:
            let known: Set = ["type", "exchange", "symbol", "sequence", "eventTime", "receivedTime"]
            return fields.keys.filter { !known.contains($0) }.sorted().map { "\($0) \(shown($0))" }
                .joined(separator: "  ")
        }
    }

    private func side() -> String { EventText.padded(text("aggressor") ?? "", 4) }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    /// Time of day in UTC with microseconds, from ns since the epoch.
    static func clock(_ nanos: Int) -> String {
        let micros = nanos >= 0 ? nanos / 1_000 : 0
        func digits(_ value: Int, _ width: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        let seconds = micros / 1_000_000 % 86_400
        return "\(digits(seconds / 3600, 2)):\(digits(seconds / 60 % 60, 2)):\(digits(seconds % 60, 2))."
            + digits(micros % 1_000_000, 6)
    }

    /// A feed's texts may hold anything: terminals must not obey them.
    static func printable(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            return text
        }
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            result.append(scalar.properties.generalCategory == .control ? "\u{FFFD}" : scalar)
        }
        return String(result)
    }
}
