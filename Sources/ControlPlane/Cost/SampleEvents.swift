import CZstd
import MarketData

/// Events as they are published, made up with digits that vary as prices do: to see how large messages become.
struct SampleEvents {
    private let kind: EventKind
    private let exchange: String
    private let symbol: String
    private var state: UInt64 = 1
    private var sequence: UInt64 = 1_000_000
    private var time: UInt64 = 1_790_000_000_000_000_000
    private var price: UInt64 = 8_492_226_000_000

    init(kind: EventKind, exchange: String, symbol: String) {
        self.kind = kind
        self.exchange = exchange
        self.symbol = symbol
    }

    /// PCG's multiplier and increment (O'Neill 2014); the upper half of the state.
    private mutating func random(below limit: UInt64) -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state >> 32) % max(1, limit)
    }

    private func decimal(_ value: UInt64) -> String {
        let digits = String(value % 100_000_000)
        return "\"\(value / 100_000_000).\(String(repeating: "0", count: 8 - digits.count))\(digits)\""
    }

    private mutating func number(_ limit: UInt64) -> String { decimal(random(below: limit)) }

    /// The lines of a batch of so many events.
    mutating func batch(of count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<count { bytes += Array((line() + "\n").utf8) }
        return bytes
    }

    private mutating func line() -> String {
        sequence += 1
        time += 1_000_000 * (1 + random(below: 40))
        price = price &+ random(below: 3_000_000) &- 1_500_000
        let received = time + 1_500_000 + random(below: 9_000_000)
        let head =
            "{\"type\":\"\(kind.name)\",\"exchange\":\"\(exchange)\",\"symbol\":\"\(symbol)\",\"sequence\":\(sequence)"
        let times = ",\"eventTime\":\(time),\"receivedTime\":\(received)"
        let side = random(below: 2) == 0 ? "buy" : "sell"
        let id = 4_000_000_000 + sequence
        switch kind {
        case .trade:
            return head + times
                + ",\"tradeId\":\(id),\"price\":\(decimal(price)),\"quantity\":\(number(90_000_000)),\"tradeTime\":\(time)"
                + ",\"aggressor\":\"\(side)\"}"
        case .aggTrade:
            return head + times
                + ",\"aggregateId\":\(id),\"price\":\(decimal(price)),\"quantity\":\(number(90_000_000))"
                + ",\"firstTradeId\":\(id * 2),\"lastTradeId\":\(id * 2 + random(below: 3)),\"tradeTime\":\(time)"
                + ",\"aggressor\":\"\(side)\"}"
        case .kline:
            let prices = ["open", "high", "low", "close"].map { ",\"\($0)\":\(decimal(price))" }.joined()
            let volumes = ["volume", "quoteVolume", "takerBuyVolume", "takerBuyQuoteVolume"]
            return head + times + ",\"interval\":\"1m\",\"openTime\":\(time),\"closeTime\":\(time)" + prices
                + fields(volumes) + counts() + ",\"closed\":false}"
        case .ticker:
            let names = [
                "open", "high", "low", "last", "lastQuantity", "previousClose", "change", "changePercent",
                "weightedAverage", "bid", "bidQuantity", "ask", "askQuantity", "volume", "quoteVolume",
            ]
            return head + times + ",\"window\":\"24h\",\"openTime\":\(time),\"closeTime\":\(time)"
                + fields(names)
                + counts() + "}"
        case .miniTicker:
            return head + times + fields(["open", "high", "low", "last", "volume", "quoteVolume"]) + "}"
        case .bookTicker:
            return head + ",\"receivedTime\":\(received),\"updateId\":\(id)"
                + fields(["bid", "bidQuantity", "ask", "askQuantity"]) + "}"
        case .averagePrice:
            return head + times + ",\"interval\":\"5m\"" + fields(["price"]) + ",\"tradeTime\":\(time)}"
        case .markPrice:
            return head + times
                + fields(["markPrice", "indexPrice", "settlementPrice", "fundingRate"])
                + ",\"nextFundingTime\":\(time)}"
        case .depth, .gap, .deadLetter: return head + times + "}"
        }
    }

    private mutating func fields(_ names: [String]) -> String {
        var text = ""
        for name in names { text += ",\"\(name)\":\(decimal(price &+ random(below: 900_000_000)))" }
        return text
    }

    private mutating func counts() -> String {
        let first = 4_000_000_000 + random(below: 1_000_000)
        return
            ",\"tradeCount\":\(random(below: 9_000)),\"firstTradeId\":\(first),\"lastTradeId\":\(first + 800)"
    }
}

/// Sizes of batches as this configuration would compress them.
struct BatchSizes {
    private let compressor: OpaquePointer?
    private let compressMinBytes: Int
    private var dictionaries: [EventKind: OpaquePointer] = [:]
    private var known: [Key: Int] = [:]

    private struct Key: Hashable {
        var kind: EventKind
        var events: Int
    }

    init(_ batching: Configuration.Batching) {
        let isPacked = batching.compression == .zstd && batching.payload == .batch
        compressMinBytes = batching.compressMinBytes
        compressor = isPacked ? cz_compressor_new(Int32(batching.level), 0) : nil
        if compressor == nil || batching.dictionary == .none { return }
        // Those that the program brings stand for others too: this is an estimate.
        for kind in EventKind.allCases {
            var count = 0
            guard let bytes = cz_embedded_dictionary(kind.name, &count) else { continue }
            dictionaries[kind] = cz_dictionary_new(bytes, count, Int32(batching.level))
        }
    }

    /// Frees what it holds; to be called once.
    func free() {
        if let compressor { cz_compressor_free(compressor) }
        for dictionary in dictionaries.values { cz_dictionary_free(dictionary) }
    }

    /// Bytes of a batch of so many events, maybe a fraction: by line between whole ones.
    mutating func bytes(_ kind: EventKind, events: Double) -> Double {
        let low = max(1, Int(events))
        let part = max(0, events - Double(low))
        let first = Double(whole(kind, events: low))
        return part == 0 ? first : first + part * (Double(whole(kind, events: low + 1)) - first)
    }

    private mutating func whole(_ kind: EventKind, events: Int) -> Int {
        let key = Key(kind: kind, events: events)
        if let size = known[key] { return size }
        var samples = SampleEvents(kind: kind, exchange: "binance", symbol: "BTCUSDT")
        let text = samples.batch(of: events)
        var size = text.count
        if let compressor, size >= compressMinBytes {
            var room = [UInt8](repeating: 0, count: cz_bound(text.count))
            let count = cz_compress(
                compressor, dictionaries[kind], &room, room.count, text, text.count)
            if count > 0 { size = Int(count) }
        }
        known[key] = size
        return size
    }
}
