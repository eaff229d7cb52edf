/// A REST request for market data.
struct RestQuery: Equatable {
    enum Endpoint: Equatable {
        case ping, time, historicalTrades, aggTrades
        case klines(interval: Int)
    }

    var endpoint: Endpoint
    var symbol = ""
    /// `fromId`, or `startTime` in ms.
    var from: Int64?
    var limit = 500

    /// How the exchange refuses a query.
    struct Refusal: Error, Equatable {
        var status = 400
        var code: Int
        var message: String
    }

    /// Reads a request's target.
    init(target: String, market: Market) throws(Refusal) {
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let root =
            switch market {
            case .spot: "/api/v3/"
            case .usdm: "/fapi/v1/"
            case .coinm: "/dapi/v1/"
            }
        guard parts[0].hasPrefix(root) else { throw Refusal(status: 404, code: 0, message: "no such path") }
        var values: [String: String] = [:]
        for pair in (parts.count > 1 ? parts[1] : "").split(separator: "&") {
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            values[String(sides[0])] = sides.count > 1 ? RestQuery.decoded(sides[1]) : ""
        }
        switch parts[0].dropFirst(root.count) {
        case "ping": endpoint = .ping
        case "time": endpoint = .time
        case "historicalTrades":
            guard market == .spot else {
                throw Refusal(status: 401, code: -2_014, message: "API-key format invalid.")
            }
            endpoint = .historicalTrades
        case "aggTrades": endpoint = .aggTrades
        case "klines":
            let name = values["interval"] ?? ""
            guard let interval = KlineInterval.all.firstIndex(where: { $0.name == name }),
                market == .spot || interval != 0
            else { throw Refusal(code: -1_120, message: "Invalid interval.") }
            endpoint = .klines(interval: interval)
        default: throw Refusal(status: 404, code: 0, message: "no such path")
        }
        if endpoint == .ping || endpoint == .time { return }
        guard let symbol = values["symbol"], !symbol.isEmpty else {
            throw Refusal(
                code: -1_102,
                message: "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        }
        self.symbol = symbol
        limit = try RestQuery.number(values, "limit").map { Int(min($0, 1_000)) } ?? limit
        guard limit > 0 else {
            throw Refusal(code: -1_130, message: "Data sent for parameter 'limit' is not valid.")
        }
        let isBars = if case .klines = endpoint { true } else { false }
        from = try RestQuery.number(values, isBars ? "startTime" : "fromId")
    }

    private static func number(_ values: [String: String], _ name: String) throws(Refusal) -> Int64? {
        guard let text = values[name] else { return nil }
        guard let number = Int64(text), number >= 0 else {
            throw Refusal(code: -1_100, message: "Illegal characters found in parameter '\(name)'.")
        }
        return number
    }

    private static func decoded(_ text: Substring) -> String {
        let bytes = Array(text.utf8)
        var out: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
                let high = hexDigit(bytes[index + 1]),
                let low = hexDigit(bytes[index + 2])
            {
                out.append(high << 4 | low)
                index += 3
            } else {
                out.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// What it costs (weights of July 2026 for spot, measured ones of October 2026 for futures).
    func weight(in market: Market) -> Int {
        switch endpoint {
        case .ping, .time: 1
        case .historicalTrades: 25
        case .aggTrades: market == .spot ? 4 : 20
        case .klines: market == .spot ? 2 : limit <= 100 ? 1 : limit <= 500 ? 2 : 5
        }
    }
}
