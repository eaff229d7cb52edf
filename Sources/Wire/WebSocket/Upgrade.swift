import CTLS

/// The HTTP upgrade (RFC 6455, section 4), without I/O.
struct Upgrade {
    /// What the server's answer is.
    enum Outcome: Equatable {
        /// The answer's end has not come.
        case incomplete
        /// Accepted; frames begin at this offset. `deflate`: what was agreed on, where compressing was offered.
        case accepted(frames: Int, deflate: DeflateAgreement?)
        /// Refused, or not a WebSocket answer. `retryAfter`: the field of that name, for ``RetryAfter``.
        case refused(status: Int, retryAfter: String?, reason: String)
    }

    /// The longest answer header, bytes.
    static let headerLimit = 16_384

    let request: [UInt8]
    private let expectedAccept: String
    private let offer: DeflateOffer?

    /// `nonce`: sixteen random bytes.
    init(endpoint: Endpoint, target: String, nonce: (UInt64, UInt64), deflate: DeflateOffer? = nil) {
        offer = deflate
        let key = Upgrade.base64(nonce)
        var accept = [CChar](repeating: 0, count: 29)
        ct_websocket_accept(key, &accept)
        expectedAccept = String(
            decoding: accept.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        let isDefaultPort = endpoint.port == (endpoint.isTLS ? 443 : 80)
        let host = endpoint.host.contains(":") ? "[\(endpoint.host)]" : endpoint.host
        let extensions = deflate.map { "Sec-WebSocket-Extensions: \($0.text)\r\n" } ?? ""
        request = Array(
            """
            GET \(endpoint.path)\(target) HTTP/1.1\r
            Host: \(host)\(isDefaultPort ? "" : ":\(endpoint.port)")\r
            Upgrade: websocket\r
            Connection: Upgrade\r
            Sec-WebSocket-Key: \(key)\r
            Sec-WebSocket-Version: 13\r
            \(extensions)User-Agent: exchange-collector\r
            \r

            """.utf8)
    }

    private static func base64(_ nonce: (UInt64, UInt64)) -> String {
        withUnsafeBytes(of: (nonce.0.littleEndian, nonce.1.littleEndian)) { Base64.encode(Array($0)) }
    }

    /// Reads the answer as far as it has come.
    func read(_ bytes: [UInt8]) -> Outcome {
        guard let end = Upgrade.headerEnd(bytes) else {
            guard bytes.count < Upgrade.headerLimit else {
                return .refused(status: 0, retryAfter: nil, reason: "an answer header over 16 KiB")
            }
            return .incomplete
        }
        var lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n")[...]
        let statusLine = (lines.popFirst() ?? "").split(separator: " ", maxSplits: 2)
        guard statusLine.count >= 2, statusLine[0].hasPrefix("HTTP/1."), let status = Int(statusLine[1])
        else {
            return .refused(status: 0, retryAfter: nil, reason: "an answer that is not HTTP/1.1")
        }
        var fields: [String: String] = [:]
        for line in lines {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...].trimmingSpaces()
            let name = line[..<colon].lowercased()
            // Several fields of one name are one with their values in a list (RFC 7230, 3.2.2).
            fields[name] = fields[name].map { "\($0), \(value)" } ?? value
        }
        guard status == 101 else {
            return .refused(
                status: status, retryAfter: fields["retry-after"],
                reason: "HTTP \(status)\(statusLine.count > 2 ? " \(statusLine[2])" : "")")
        }
        func refused(_ reason: String) -> Outcome {
            .refused(status: status, retryAfter: nil, reason: reason)
        }
        guard fields["upgrade"]?.lowercased() == "websocket" else { return refused("no Upgrade: websocket") }
        let tokens = (fields["connection"] ?? "").lowercased().split(separator: ",").map {
            $0.trimmingSpaces()
        }
        guard tokens.contains("upgrade") else { return refused("no Connection: Upgrade") }
        guard fields["sec-websocket-accept"] == expectedAccept, !expectedAccept.isEmpty else {
            return refused("a wrong Sec-WebSocket-Accept (a proxy or cache may have answered)")
        }
        guard fields["sec-websocket-protocol"] == nil else {
            return refused("a subprotocol that was not offered")
        }
        guard let answer = fields["sec-websocket-extensions"] else {
            return .accepted(frames: end, deflate: nil)
        }
        guard let offer else { return refused("an extension that was not offered") }
        do throws(DeflateAgreement.Refusal) {
            return .accepted(frames: end, deflate: try DeflateAgreement(answer: answer, to: offer))
        } catch {
            return refused("Sec-WebSocket-Extensions: \(answer): \(error.reason)")
        }
    }

    private static func headerEnd(_ bytes: [UInt8]) -> Int? {
        guard bytes.count >= 4 else { return nil }
        for index in 0...(bytes.count - 4)
        where bytes[index] == 13 && bytes[index + 1] == 10 && bytes[index + 2] == 13 && bytes[index + 3] == 10
        {
            return index + 4
        }
        return nil
    }
}

extension Substring {
    fileprivate func trimmingSpaces() -> String {
        var text = self
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }
}
