import MarketData
import Yams

/// Decodes one element of `subscriptions:`, in a configuration or in a request.
struct SubscriptionDecoder {
    let section: ConfigurationSection
    private var reader: ConfigurationReader { section.reader }

    init(section: ConfigurationSection) { self.section = section }

    /// Nil where something is wrong, which is reported.
    func decode() -> Subscription? {
        let kinds = EventKind.allCases.filter { $0 != .gap && $0 != .deadLetter }.map(\.name)
        let kind = section.word("type", among: kinds, default: nil).flatMap(EventKind.init(name:))
        let symbols = decodeSymbols()
        var interval: Interval?
        if let name = section.word("interval", among: Interval.names, default: "") {
            interval = Interval(name: name)
        }
        let window =
            section.word("window", among: TickerWindow.names, default: TickerWindow.names[0])
            .flatMap(TickerWindow.init(name:)) ?? .hours24
        // Which kinds take one, and which there are, is the exchange's business.
        var updateSpeed: Int64?
        if section.has("updateSpeed") {
            updateSpeed = section.duration(
                "updateSpeed", default: 1_000_000_000, in: 1_000_000...3_600_000_000_000)
        }
        guard let kind else { return nil }
        var isGood = symbols != nil
        if kind == .kline, interval == nil {
            if !section.has("interval") {
                section.error(
                    "interval", "is missing; a kline needs one of \(Interval.names.joined(separator: ", "))")
            }
            isGood = false
        } else if kind != .kline, section.has("interval") {
            let remedy =
                kind == .ticker
                ? "write window (\(TickerWindow.names.joined(separator: ", ")))" : "leave it out"
            section.error("interval", "belongs to klines, not to \(kind.name); \(remedy)")
            isGood = false
        }
        if kind != .ticker, section.has("window") {
            section.error("window", "belongs to tickers, not to \(kind.name); leave it out")
            isGood = false
        }
        guard isGood, let symbols else { return nil }
        return Subscription(
            kind: kind, symbols: symbols, interval: interval, window: window, updateSpeed: updateSpeed)
    }

    private func decodeSymbols() -> Subscription.Symbols? {
        let remedy = "write for example [BTCUSDT, ETHUSDT], or [\"*\"] for all"
        let path = section.path(of: "symbols")
        guard let node = section.required("symbols", remedy: remedy),
            let nodes = reader.list(node, path: path, remedy: remedy)
        else { return nil }
        if nodes.isEmpty {
            section.error("symbols", "is empty; \(remedy)")
            return nil
        }
        var symbols: [String] = []
        var known: Set<String> = []
        for (index, node) in nodes.enumerated() {
            guard let scalar = reader.scalar(node, path: "\(path)[\(index)]") else { continue }
            if scalar.text.isEmpty
                || scalar.text.utf8.contains(where: { $0 <= 0x20 || $0 == 0x22 || $0 == 0x5C || $0 == 0x7F })
            {
                reader.report(at: scalar.mark, scalar.path, "\(scalar.shown) is no symbol; \(remedy)")
            } else if !known.insert(scalar.text).inserted {
                reader.report(at: scalar.mark, scalar.path, "\(scalar.shown) is named twice; name each once")
            }
            symbols.append(scalar.text)
        }
        guard symbols.contains("*") else { return symbols.isEmpty ? nil : .some(symbols) }
        if symbols.count > 1 {
            section.error(
                "symbols", "names symbols beside \"*\", which already stands for all; write [\"*\"] alone")
        }
        return .all
    }
}
