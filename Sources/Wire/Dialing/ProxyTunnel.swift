/// Asks a proxy for a tunnel and judges its answer (RFC 9110, section 9.3.6), without I/O.
struct ProxyTunnel: Equatable {
    enum Outcome: Equatable {
        /// The answer's end has not come.
        case incomplete
        /// The tunnel stands; the server's bytes follow.
        case open
        /// No tunnel. `retryAfter`: the field of that name, for ``RetryAfter``; `text`: what the proxy said and what to
        /// do, to be put behind its name.
        case refused(status: Int, retryAfter: String?, text: String)
    }

    /// The longest answer header, bytes.
    static let headerLimit = 16_384
    /// The longest part of what a proxy says that is repeated, characters.
    private static let quoteLimit = 80

    /// To be sent; may hold a secret.
    let request: [UInt8]
    private let hasUser: Bool
    private let target: String
    private var answer: [UInt8] = []
    /// How far the header's end was looked for.
    private var searched = 0

    init(proxy: NetworkProxy, endpoint: Endpoint) {
        let host = endpoint.host.contains(":") ? "[\(endpoint.host)]" : endpoint.host
        target = "\(host):\(endpoint.port)"
        hasUser = proxy.hasUser
        var text = "CONNECT \(target) HTTP/1.1\r\nHost: \(target)\r\nUser-Agent: exchange-collector\r\n"
        if let authorization = proxy.authorization { text += "Proxy-Authorization: \(authorization)\r\n" }
        request = Array((text + "\r\n").utf8)
    }

    /// Takes bytes of the answer as they come.
    mutating func read(_ bytes: some Sequence<UInt8>) -> Outcome {
        answer += bytes
        // What is no HTTP is known from its first bytes; a silent end would otherwise be awaited.
        for (byte, expected) in zip(answer, "HTTP/1.".utf8) where byte != expected {
            let isTLS = answer[0] == 0x15 || answer[0] == 0x16
            return .refused(
                status: 0, retryAfter: nil,
                text: "gave an answer that is not HTTP/1.1; likely cause: "
                    + (isTLS
                        ? "that port wants TLS, which is not supported for proxies"
                        : "no proxy listens there"))
        }
        guard let end = headerEnd() else {
            guard answer.count < ProxyTunnel.headerLimit else {
                return .refused(
                    status: 0, retryAfter: nil,
                    text: "gave an answer whose header is over 16 KiB; likely cause: no proxy listens there")
            }
            return .incomplete
        }
        return judge(header: answer[..<end], rest: answer.count - end)
    }

    private mutating func headerEnd() -> Int? {
        var index = max(0, searched - 3)
        while index + 3 < answer.count {
            if answer[index] == 13, answer[index + 1] == 10, answer[index + 2] == 13, answer[index + 3] == 10
            {
                return index + 4
            }
            index += 1
        }
        searched = answer.count
        return nil
    }

    private func judge(header: ArraySlice<UInt8>, rest: Int) -> Outcome {
        let lines = String(decoding: header, as: UTF8.self).split(separator: "\r\n")
        let words = (lines.first ?? "").split(separator: " ", maxSplits: 2)
        guard words.count >= 2, words[1].utf8.count == 3, let status = Int(words[1]),
            (100...599).contains(status)
        else {
            return .refused(
                status: 0, retryAfter: nil,
                text: "gave an answer without a status; likely cause: no proxy listens there")
        }
        if (200...299).contains(status) {
            // The server speaks only when spoken to, so nothing can follow yet.
            guard rest == 0 else {
                return .refused(
                    status: status, retryAfter: nil,
                    text:
                        "sent \(rest) bytes that nobody asked for behind its answer; likely cause: it does not"
                        + " tunnel but answers itself")
            }
            return .open
        }
        var retryAfter: String?
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == "retry-after" else {
                continue
            }
            retryAfter = String(line[line.index(after: colon)...])
        }
        let said = words.count > 2 ? " " + ProxyTunnel.printable(words[2]) : ""
        return .refused(
            status: status, retryAfter: retryAfter,
            text: "refused a tunnel to \(target): HTTP \(status)\(said); \(remedy(status))")
    }

    private func remedy(_ status: Int) -> String {
        switch status {
        case 407:
            hasUser
                ? "user or password is wrong, or the proxy wants another method than Basic"
                : "it wants a user: write http://USER:PASSWORD@HOST:PORT as network.proxy or HTTPS_PROXY"
        case 400, 405, 501: "likely cause: it does not tunnel (CONNECT)"
        case 401, 403: "likely cause: its rules do not allow this host or port; ask whoever runs it"
        case 404: "likely cause: a web server, not a proxy, listens there"
        case 429: "too many requests from this address"
        case 502, 503: "likely cause: it cannot reach or resolve the host"
        case 504: "likely cause: the host did not answer it in time"
        default: "see the proxy's log"
        }
    }

    /// What a peer said, safe for a log line.
    private static func printable(_ text: Substring) -> String {
        let safe = text.unicodeScalars.prefix(quoteLimit).map { scalar -> Character in
            scalar.value >= 0x20 && scalar.value < 0x7F ? Character(scalar) : "?"
        }
        return String(safe)
    }
}
