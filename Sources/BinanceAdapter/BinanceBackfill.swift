import ByteScanning
import ExchangeAdapter
import MarketData

/// Binance's REST endpoints for what is past. Weights and limits are those of the documentation of July 2026 (spot) and
/// those measured in October 2026 (futures); the answers' header says what counts.
///
/// | | spot | futures |
/// |---|---|---|
/// | trades | `historicalTrades`, 1,000 for a weight of 25 | need an API key: not served |
/// | aggregate trades | `aggTrades`, 1,000 for 4 | `aggTrades`, 1,000 for 20, of the last day or two |
/// | closed bars | `klines`, 1,000 for 2 | `klines`, 1,000 for 5 |
struct BinanceBackfill: Backfill {
    let market: BinanceMarket

    /// Rows of an answer at most.
    static let limit = 1_000

    var defaultEndpoint: String {
        switch market {
        case .spot: "https://api.binance.com"
        case .usdm: "https://fapi.binance.com"
        case .coinm: "https://dapi.binance.com"
        }
    }
    /// Both kinds of futures share their weights since June 2026.
    var pool: String { market == .spot ? "binance" : "binance-futures" }
    var weightPerMinute: Int { market == .spot ? 6_000 : 2_400 }
    var usedWeightHeader: String { "x-mbx-used-weight-1m" }
    var usageRequest: BackfillRequest? {
        BackfillRequest(target: "\(root)/ping", weight: 1, first: 0, limit: 0)
    }

    private var root: String {
        switch market {
        case .spot: "/api/v3"
        case .usdm: "/fapi/v1"
        case .coinm: "/dapi/v1"
        }
    }

    func serves(_ kind: EventKind) -> Bool {
        switch kind {
        case .trade: market == .spot
        case .aggTrade, .kline: true
        default: false
        }
    }

    func request(for range: MissingRange, from first: Int64, symbol: String) -> BackfillRequest? {
        let symbol = BinanceBackfill.encoded(symbol)
        // One row more than is missing proves that those before it are all that there are.
        let limit = Int(min(Int64(BinanceBackfill.limit), max(1, range.last - first) + 2))
        switch range.kind {
        case .trade:
            guard serves(.trade) else { return nil }
            return BackfillRequest(
                target: "\(root)/historicalTrades?symbol=\(symbol)&fromId=\(first)&limit=\(limit)",
                weight: 25, first: first, limit: limit)
        case .aggTrade:
            return BackfillRequest(
                target: "\(root)/aggTrades?symbol=\(symbol)&fromId=\(first)&limit=\(limit)",
                weight: market == .spot ? 4 : 20, first: first, limit: limit)
        case .kline:
            guard let interval = Interval(rawValue: range.variant) else { return nil }
            let rows = 1_000
            return BackfillRequest(
                target: "\(root)/klines?symbol=\(symbol)&interval=\(interval.name)"
                    + "&startTime=\(interval.opening(number: first) / 1_000_000)&limit=\(rows)",
                weight: market == .spot ? 2 : 5, first: first, limit: rows)
        default: return nil
        }
    }

    /// Percent-encodes all but letters and digits: symbols may be Chinese.
    private static func encoded(_ symbol: String) -> String {
        var text = ""
        for byte in symbol.utf8 {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                text.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                text += "%" + (digits.count == 1 ? "0" : "") + digits
            }
        }
        return text
    }

    func read(
        _ body: UnsafeRawBufferPointer, of range: MissingRange, receivedTime: Int64
    ) throws(BackfillError) -> RepairedEvents {
        guard var cursor = JSONCursor(body) else { throw BackfillError("the answer is empty") }
        var header = EventHeader(
            kind: range.kind, variant: range.variant, instrument: range.instrument, receivedTime: receivedTime
        )
        header.flags = 1
        do throws(ScanError) {
            switch range.kind {
            case .trade:
                return .trades(
                    try BackfillRows.read(&cursor) { row throws(ScanError) in
                        try Trade(row: &row, header: header)
                    })
            case .aggTrade:
                return .aggTrades(
                    try BackfillRows.read(&cursor) { row throws(ScanError) in
                        try AggTrade(row: &row, header: header)
                    })
            default:
                return .klines(
                    try BackfillRows.read(&cursor) { row throws(ScanError) in
                        try Kline(row: &row, header: header)
                    })
            }
        } catch {
            throw BackfillError("the answer cannot be read at byte \(cursor.offset): \(error)")
        }
    }
}
