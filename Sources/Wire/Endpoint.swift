/// Where to connect to: `wss://stream.binance.com:9443`.
public struct Endpoint: Sendable, Hashable, CustomStringConvertible {
    /// `wss` rather than `ws`.
    public var isTLS: Bool
    /// A name or an IP literal, without brackets.
    public var host: String
    /// 1…65535.
    public var port: UInt16
    /// A prefix for paths, without a slash at its end; mostly empty.
    public var path: String

    /// Why a text is no endpoint, with the remedy.
    public struct Malformed: Error, CustomStringConvertible {
        /// The sentence.
        public let description: String
    }

    /// Parses `ws://host[:port][/path]` or `wss://…`; the port defaults to 80 or 443.
    public init(_ text: String) throws(Malformed) {
        func malformed(_ why: String) -> Malformed {
            Malformed(description: "\"\(text)\" \(why); write ws://HOST:PORT or wss://HOST:PORT")
        }
        let rest: Substring
        if text.hasPrefix("wss://") {
            isTLS = true
            rest = text.dropFirst(6)
        } else if text.hasPrefix("ws://") {
            isTLS = false
            rest = text.dropFirst(5)
        } else {
            throw malformed("is not a WebSocket address")
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<slash]
        var path = String(rest[slash...])
        while path.hasSuffix("/") { path.removeLast() }
        var host = authority
        var port: UInt16 = isTLS ? 443 : 80
        let bracket = authority.lastIndex(of: "]") ?? authority.startIndex
        if let colon = authority[bracket...].lastIndex(of: ":") {
            guard let number = UInt16(authority[authority.index(after: colon)...]), number > 0 else {
                throw malformed("has no port from 1 to 65535 after the colon")
            }
            port = number
            host = authority[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty, host.allSatisfy({ $0.isASCII && $0 > " " && !"@?#\\".contains($0) }) else {
            throw malformed("has no usable host")
        }
        guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw malformed("has a path with spaces")
        }
        self.host = String(host)
        self.port = port
        self.path = path
    }

    /// The text form with the port.
    public var description: String {
        "\(isTLS ? "wss" : "ws")://\(host.contains(":") ? "[\(host)]" : host):\(port)\(path)"
    }
}
