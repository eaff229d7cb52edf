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
        exchange.timeUnit = section.choice("timeUnit", default: exchange.timeUnit)
        if exchange.timeUnit == .microsecond, adapter.inMicroseconds() == nil {
            section.error(
                "timeUnit",
                "market \(exchange.exchange) tells its times in milliseconds only; write millisecond")
        }
        exchange.tls = tls
        exchange.legs = legs
        exchange.deflate = section.bool("deflate", default: exchange.deflate)
        exchange.maxMessageBytes = section.bytes(
            "maxMessageBytes", default: exchange.maxMessageBytes, in: 4 << 10...256 << 20)
        let connections = ConnectionDecoder(section: section)
        if let endpoints = connections.decodeEndpoints() { exchange.endpoints = endpoints }
        connections.decode(&exchange.limits)
        exchange.restEndpoint = decodeRESTEndpoint()
        exchange.repair = RepairDecoder(exchange: section).decode(for: adapter)
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
        }
        return scalar.text
    }

    private func decodeTLS() -> Configuration.TLS {
        var tls = Configuration.TLS()
        guard let section = section.section("tls") else { return tls }
        tls.verify = section.bool("verify", default: tls.verify)
        tls.minimum = section.choice("minimum", default: tls.minimum)
        tls.records = section.choice("records", default: tls.records)
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
            guard
                let section = reader.section(node, path: "\(section.path(of: "subscriptions"))[\(index)]"),
                let subscription = SubscriptionDecoder(section: section).decode()
            else { return nil }
            return Placed(subscription: subscription, mark: section.mark, path: section.path)
        }
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
