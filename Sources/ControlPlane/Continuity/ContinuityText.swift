import CCurl
import CKernel
import Foundation

/// The ledger of continuity, for people.
public enum ContinuityText {
    /// A line for each interval: what is missing first.
    public static func render(_ document: ContinuityLedger.Document) -> String {
        var rows = [["exchange", "type", "symbol", "state", "from", "to", "ids", "missing", "cause"]]
        for series in document.series {
            for interval in series.intervals {
                let isBars = series.type.hasPrefix("kline")
                let ids = interval.firstMissing.flatMap { first in
                    interval.lastMissing.map { last in
                        isBars ? "\(time(first))-\(time(last))" : "\(first)-\(last)"
                    }
                }
                rows.append([
                    series.exchange, series.type, series.symbol.isEmpty ? "*" : series.symbol,
                    interval.state.rawValue, time(interval.from), interval.to.map(time) ?? "now", ids ?? "",
                    interval.missing.map(String.init) ?? "", interval.cause ?? "",
                ])
            }
        }
        let widths = (0..<rows[0].count).map { column in rows.map { $0[column].count }.max() ?? 0 }
        let lines = rows.map { row in
            var line = ""
            for (cell, width) in zip(row, widths) {
                line += cell + String(repeating: " ", count: width - cell.count + 2)
            }
            while line.last == " " { line.removeLast() }
            return line
        }
        let settled = document.series.reduce(into: (repaired: Int64(0), absent: Int64(0), lost: Int64(0))) {
            $0.repaired += $1.repaired
            $0.absent += $1.absent
            $0.lost += $1.lost
        }
        return lines.joined(separator: "\n")
            + "\n\nids that had been missing: \(settled.repaired) have come, the exchange itself lacks \(settled.absent),"
            + " \(settled.lost) are lost"
    }

    /// `2026-11-22T17:30:00Z`
    static func time(_ nanos: Int64) -> String {
        var text = [CChar](repeating: 0, count: 17)
        ck_utc_text(nanos / 1_000_000_000, &text)
        let plain = Array(
            String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        guard plain.count == 16 else { return String(plain) }
        func part(_ range: Range<Int>) -> String { String(plain[range]) }
        return
            "\(part(0..<4))-\(part(4..<6))-\(part(6..<8))T\(part(9..<11)):\(part(11..<13)):\(part(13..<15))Z"
    }

    /// What a collector that runs says.
    ///
    /// - Parameters:
    ///   - api: `http://HOST:PORT`.
    ///   - token: its bearer token.
    public static func fetch(api: String, token: String?) throws(ContinuityError) -> ContinuityLedger.Document
    {
        var address = api
        while address.hasSuffix("/") { address.removeLast() }
        var response = cc_response()
        defer { cc_response_free(&response) }
        let code = (token.map { "Authorization: Bearer \($0)" } ?? "Accept: application/json").withCString {
            header in
            cc_fetch("GET", address + "/v1/continuity", [header], 1, nil, 0, 10_000, 0, nil, &response)
        }
        guard code == 0 else {
            let reason = withUnsafeBytes(of: response.error) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw ContinuityError("\(api): \(reason); is the collector running?")
        }
        switch response.status {
        case 200:
            return try read(
                response.body.map { Data(bytes: $0, count: response.body_size) } ?? Data(), from: api)
        case 401: throw ContinuityError("\(api): it wants a token; give --token")
        default: throw ContinuityError("\(api): status \(response.status) for /v1/continuity")
        }
    }

    /// What a collector wrote last.
    public static func load(dataDirectory: String) throws(ContinuityError) -> ContinuityLedger.Document {
        let path = dataDirectory + "/continuity.json"
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ContinuityError(
                "\(path) is not there: no collector with this data directory has repaired anything yet; --api asks one"
                    + " that runs")
        }
        return try read(data, from: path)
    }

    private static func read(_ data: Data, from source: String) throws(ContinuityError)
        -> ContinuityLedger.Document
    {
        do {
            return try JSONDecoder().decode(ContinuityLedger.Document.self, from: data)
        } catch {
            throw ContinuityError("\(source): what it says is no ledger of continuity")
        }
    }
}

/// Why there is nothing to show, with the remedy.
public struct ContinuityError: Error, CustomStringConvertible {
    /// The sentence.
    public let description: String
    init(_ description: String) { self.description = description }
}
