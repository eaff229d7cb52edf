import CKernel
import CTLS

/// What an HTTP request asks for, once it is whole.
enum UpgradeOutcome: Equatable {
    /// The blank line has not come yet.
    case incomplete
    /// Answer with this status and close.
    case refused(status: Int, body: String)
    case accepted(UpgradeRequest)
}

/// A WebSocket upgrade on one of the stream host's paths.
struct UpgradeRequest: Equatable {
    /// `/stream` wraps its payloads, `/ws` does not.
    var isCombined: Bool
    var route: Market.Route
    /// As in the address, without a query.
    var path: String
    /// Names from the address, percent-decoded, in order.
    var streams: [[UInt8]]
    /// The client's key as sent.
    var key: [UInt8]
    /// Bytes of the request; what follows belongs to the WebSocket.
    var length: Int
}

/// Reads the opening handshake (RFC 6455 section 4.2.1) and the paths of the stream host.
enum HTTPUpgrade {
    /// A request longer than this is refused: it has room for an address of 1024 streams.
    static let lengthLimit = 65_536

    static func read(_ bytes: [UInt8], market: Market = .spot) -> UpgradeOutcome {
        guard let end = endOfHeader(bytes) else {
            return bytes.count > lengthLimit
                ? .refused(status: 431, body: "request is too long") : .incomplete
        }
        let text = String(decoding: bytes[..<end], as: UTF8.self)
        var lines = text.split(separator: "\r\n", omittingEmptySubsequences: false)[...]
        let request = (lines.popFirst() ?? "").split(separator: " ", omittingEmptySubsequences: false)
        guard request.count == 3, request[0] == "GET", request[2] == "HTTP/1.1" else {
            return .refused(status: 400, body: "expected GET … HTTP/1.1")
        }
        var fields: [String: String] = [:]
        for line in lines where !line.isEmpty {
            guard let colon = line.firstIndex(of: ":") else {
                return .refused(status: 400, body: "header line without a colon")
            }
            let name = line[..<colon].lowercased()
            let value = trim(line[line.index(after: colon)...])
            fields[name] = fields[name].map { $0 + "," + value } ?? value
        }
        guard let address = readAddress(Array(request[1].utf8)), market.has(address.route) else {
            return .refused(status: 404, body: "no such path")
        }
        guard has("websocket", in: fields["upgrade"]), has("upgrade", in: fields["connection"]),
            fields["sec-websocket-version"] == "13", let key = fields["sec-websocket-key"], isKey(key)
        else { return .refused(status: 400, body: "not a WebSocket upgrade of version 13") }
        return .accepted(
            UpgradeRequest(
                isCombined: address.isCombined, route: address.route,
                path: String(request[1].prefix { $0 != "?" }),
                streams: address.streams, key: Array(key.utf8),
                length: end + 4))
    }

    /// The answer that completes the upgrade.
    static func acceptance(key: [UInt8]) -> [UInt8] {
        let accept = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 29) { out in
            guard let base = out.baseAddress else { return "" }
            ct_websocket_accept(String(decoding: key, as: UTF8.self), base)
            return String(cString: base)
        }
        return Array(
            """
            HTTP/1.1 101 Switching Protocols\r
            Connection: upgrade\r
            Upgrade: websocket\r
            Sec-WebSocket-Accept: \(accept)\r
            \r\n
            """.utf8)
    }

    /// An answer that refuses, with the exchange's text for 451.
    static func refusal(status: Int, body: String, retryAfter: RetryTime? = nil) -> [UInt8] {
        let reasons = [
            400: "Bad Request", 403: "Forbidden", 404: "Not Found", 418: "I'm a teapot",
            429: "Too Many Requests",
            431: "Request Header Fields Too Large", 451: "Unavailable For Legal Reasons",
            500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
        ]
        let restricted =
            #"{"code":0,"msg":"Service unavailable from a restricted location according to 'b. Eligibility'."}"#
        let body = status == 451 ? restricted : body
        return Array(
            """
            HTTP/1.1 \(status) \(reasons[status] ?? "Refused")\r
            Content-Type: text/plain\r
            Content-Length: \(body.utf8.count)\r
            Connection: close\r
            \(retryAfter?.line(wall: ck_realtime_nanos()) ?? "")\r
            \(body)
            """.utf8)
    }

    private static func endOfHeader(_ bytes: [UInt8]) -> Int? {
        guard bytes.count >= 4 else { return nil }
        for index in 0...(bytes.count - 4) where bytes[index] == 13 {
            if bytes[index + 1] == 10, bytes[index + 2] == 13, bytes[index + 3] == 10 { return index }
        }
        return nil
    }

    private static func trim(_ text: Substring) -> String {
        var text = text
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }

    private static func has(_ token: String, in list: String?) -> Bool {
        (list ?? "").split(separator: ",").contains { trim($0).lowercased() == token }
    }

    /// Sixteen bytes in base64.
    private static func isKey(_ key: String) -> Bool {
        let bytes = Array(key.utf8)
        guard bytes.count == 24, bytes.suffix(2).elementsEqual("==".utf8) else { return false }
        return bytes.dropLast(2).allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "/"):
                true
            default: false
            }
        }
    }

    /// What an address asks for.
    struct Address: Equatable {
        var isCombined: Bool
        var route: Market.Route
        var streams: [[UInt8]]
    }

    /// nil where the path is none of a stream host's.
    static func readAddress(_ target: [UInt8]) -> Address? {
        let parts = target.split(separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
        var path = percentDecode(parts[0])[...]
        var route = Market.Route.none
        for each in Market.Route.allCases where path.starts(with: "/\(each)/".utf8) && each != .none {
            route = each
            path = path.dropFirst("\(each)".utf8.count + 1)
        }
        if path.elementsEqual("/stream".utf8) {
            let query = parts.count > 1 ? parts[1] : []
            return Address(isCombined: true, route: route, streams: queryStreams(query))
        }
        let raw = Array("/ws".utf8)
        let rest = path.dropFirst(raw.count)
        guard path.starts(with: raw), rest.isEmpty || rest.first == UInt8(ascii: "/") else { return nil }
        return Address(isCombined: false, route: route, streams: names(rest))
    }

    private static func queryStreams(_ query: ArraySlice<UInt8>) -> [[UInt8]] {
        let key = Array("streams=".utf8)
        return query.split(separator: UInt8(ascii: "&")).filter { $0.starts(with: key) }.flatMap {
            names(percentDecode($0.dropFirst(key.count))[...])
        }
    }

    private static func names(_ list: ArraySlice<UInt8>) -> [[UInt8]] {
        list.split(separator: UInt8(ascii: "/")).map(Array.init)
    }

    /// A `+` stays one: stream names hold it (`@+08:00`).
    private static func percentDecode(_ text: ArraySlice<UInt8>) -> [UInt8] {
        var out: [UInt8] = []
        var index = text.startIndex
        while index < text.endIndex {
            if text[index] == UInt8(ascii: "%"), index + 2 < text.endIndex,
                let high = hexDigit(text[index + 1]), let low = hexDigit(text[index + 2])
            {
                out.append(high << 4 | low)
                index += 3
            } else {
                out.append(text[index])
                index += 1
            }
        }
        return out
    }
}

/// The value of a hexadecimal digit.
func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}
