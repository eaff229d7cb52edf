import ArgumentParser

/// Which of the exchange's stream hosts the server is.
enum Market: String, ExpressibleByArgument, CaseIterable {
    case spot, usdm, coinm

    /// The part of a path before `/ws` or `/stream`.
    enum Route: String, CaseIterable {
        case none, `public`, market, `private`
    }

    /// Messages that a client may send in a second.
    var messageLimit: Int { self == .spot ? 5 : 10 }

    /// Whether paths of this route exist. Only USD-M has routes; its unrouted paths still open.
    func has(_ route: Route) -> Bool { self == .usdm || route == .none }

    /// Whether a connection of this route gets the stream's frames. Otherwise it is acknowledged and stays silent, as on
    /// the real host: what is left of the unrouted USD-M paths delivers only the streams of `/public`.
    func delivers(_ stream: String, on route: Route) -> Bool {
        guard self == .usdm else { return true }
        let suffix = stream.split(separator: "@").dropFirst().first ?? stream.dropFirst()
        let isPublic = ["trade", "bookTicker", "depth", "rpiDepth"].contains { suffix.hasPrefix($0) }
        switch route {
        case .public, .none: return isPublic
        case .market: return !isPublic
        case .private: return false
        }
    }

    /// The market's symbols in its own spelling: quarterly contracts are not synthesised.
    func symbols(count: Int, nonASCII: Bool) -> [MarketSymbol] {
        guard self == .coinm else { return MarketSymbol.list(count: count, nonASCII: nonASCII) }
        let inDollars = MarketSymbol.list(count: count + 8, nonASCII: false).filter {
            $0.name.hasSuffix("USDT")
        }
        return inDollars.prefix(count).map { symbol in
            var symbol = symbol
            symbol.name = symbol.name.dropLast() + "_PERP"
            // Sizes are contracts.
            symbol.quantityDigits = 0
            symbol.typicalQuantity = max(1, symbol.typicalQuantity % 400)
            return symbol
        }
    }
}
