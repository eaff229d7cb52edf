import ExchangeAdapter
import MarketData
import Wire
import Yams

/// Decodes one element of `exchanges:`.
struct ExchangeDecoder {
    let section: ConfigurationSection
    private var reader: ConfigurationReader { section.reader }

    init(section: ConfigurationSection) { self.section = section }

    /// Nil where not even adapter and market are known.
    func decode() -> Configuration.Exchange? {
        let tls = decodeTLS()
        let legs = section.integer("legs", default: 1, in: 1...2)
        let subscriptions = decodeSubscriptions()
        guard let adapter = findAdapter() else { return nil }

        var exchange = Configuration.Exchange(
            adapter: type(of: adapter).name, market: section.string("market", default: ""),
            exchange: adapter.exchange, endpoints: adapter.endpoints, limits: adapter.limits)
        if exchange.market.isEmpty { exchange.market = type(of: adapter).markets.first ?? "" }
        exchange.tls = tls
        exchange.legs = legs
        exchange.maxMessageBytes = section.bytes(
            "maxMessageBytes", default: exchange.maxMessageBytes, in: 4 << 10...256 << 20)
        let connections = ConnectionDecoder(section: section)
        if let endpoints = connections.decodeEndpoints() { exchange.endpoints = endpoints }
        connections.decode(&exchange.limits)
        exchange.restEndpoint = decodeRESTEndpoint()
        exchange.network = NetworkDecoder(exchange: section, endpoints: exchange.endpoints).decode()
        warnAboutTLS(exchange)
        exchange.subscriptions = subscriptions.map(\.subscription)
        exchange.streams = plan(subscriptions, with: adapter)
        return exchange
    }

    private func findAdapter() -> (any ExchangeAdapter)? {
        let adapters = reader.context.adapters
        guard let name = section.word("adapter", among: adapters.map { $0.name }, default: nil),
            let type = adapters.first(where: { $0.name == name })
        else { return nil }
        let market = section.word("market", among: type.markets, default: type.markets.first ?? "")
        guard let market, let adapter = type.init(market: market) else {
            section.error(
                "market",
                "adapter \(name) does not know it; write one of \(type.markets.joined(separator: ", "))")
            return nil
        }
        return adapter
    }

    private func decodeRESTEndpoint() -> String? {
        guard let scalar = section.scalar("restEndpoint") else { return nil }
        if let problem = HTTPAddress.problem(scalar.text, shown: scalar.shown) {
            section.error("restEndpoint", problem)
        } else {
            section.warn(
                "restEndpoint", "is not used yet in this version: gaps are told, not repaired over REST")
        }
        return scalar.text
    }

    private func decodeTLS() -> Configuration.TLS {
        var tls = Configuration.TLS()
        guard let section = section.section("tls") else { return tls }
        tls.verify = section.bool("verify", default: tls.verify)
        tls.minimum = section.choice("minimum", default: tls.minimum)
        if let file = section.scalar("certificateAuthority") {
            tls.certificateAuthority = file.text
            if let why = reader.context.unreadable(file.text) {
                section.error("certificateAuthority", "\(file.shown) cannot be read: \(why); name a PEM file")
            }
        }
        return tls
    }

    private func warnAboutTLS(_ exchange: Configuration.Exchange) {
        guard section.has("tls") else { return }
        if !exchange.endpoints.contains(where: \.isTLS) {
            section.warn("tls", "has no effect: the endpoint is ws://, not wss://")
        } else if !exchange.tls.verify {
            section.warn(
                "tls",
                "verify is false: anybody between here and the exchange can alter the data; name a"
                    + " certificateAuthority instead")
        }
    }

    /// A subscription and where it stands.
    struct Placed {
        var subscription: Subscription
        var mark: Mark?
        var path: String
    }

    private func decodeSubscriptions() -> [Placed] {
        let example = "write for example [{ type: trade, symbols: [BTCUSDT] }]"
        guard let node = section.required("subscriptions", remedy: example),
            let nodes = reader.list(node, path: section.path(of: "subscriptions"), remedy: example)
        else { return [] }
        if nodes.isEmpty { section.error("subscriptions", "is empty; \(example)") }
        return nodes.enumerated().compactMap { index, node in
            reader.section(node, path: "\(section.path(of: "subscriptions"))[\(index)]").flatMap(
                decodeSubscription)
        }
    }

    private func decodeSubscription(_ section: ConfigurationSection) -> Placed? {
        let kinds = EventKind.allCases.filter { $0 != .gap && $0 != .deadLetter }.map(\.name)
        let kind = section.word("type", among: kinds, default: nil).flatMap(EventKind.init(name:))
        let symbols = decodeSymbols(section)
        var interval: Interval?
        if let name = section.word("interval", among: Interval.names, default: "") {
            interval = Interval(name: name)
        }
        let window =
            section.word("window", among: TickerWindow.names, default: TickerWindow.names[0])
            .flatMap(TickerWindow.init(name:)) ?? .hours24
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
        return Placed(
            subscription: Subscription(kind: kind, symbols: symbols, interval: interval, window: window),
            mark: section.mark, path: section.path)
    }

    private func decodeSymbols(_ section: ConfigurationSection) -> Subscription.Symbols? {
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
        for (index, node) in nodes.enumerated() {
            guard let scalar = reader.scalar(node, path: "\(path)[\(index)]") else { continue }
            if scalar.text.isEmpty
                || scalar.text.utf8.contains(where: { $0 <= 0x20 || $0 == 0x22 || $0 == 0x5C || $0 == 0x7F })
            {
                reader.report(at: scalar.mark, scalar.path, "\(scalar.shown) is no symbol; \(remedy)")
            } else if symbols.contains(scalar.text) {
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

    /// Asks the adapter: each subscription by itself, so that an error can be placed, then all together.
    private func plan(_ placed: [Placed], with adapter: any ExchangeAdapter) -> [StreamPlan] {
        var isGood = true
        for one in placed {
            var warnings: [String] = []
            do {
                _ = try adapter.streams(for: [one.subscription], warnings: &warnings)
            } catch {
                reader.report(at: one.mark, one.path, error.description)
                isGood = false
            }
            for warning in warnings { reader.report(.warning, at: one.mark, one.path, warning) }
        }
        guard isGood, !placed.isEmpty else { return [] }
        do {
            var ignored: [String] = []
            return try adapter.streams(for: placed.map(\.subscription), warnings: &ignored)
        } catch {
            section.error("subscriptions", error.description)
            return []
        }
    }
}
