/// An HTTP proxy that is asked for a tunnel (CONNECT, RFC 9110, section 9.3.6).
///
/// Its text forms never hold user and password.
public struct NetworkProxy: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    /// A name or an IP literal, without brackets.
    public let host: String
    /// 1…65535.
    public let port: UInt16
    /// The value of Proxy-Authorization; nil: none. A secret.
    public let authorization: String?

    /// Why a text is no proxy, with the remedy; never holds the text, which may have a password.
    public struct Malformed: Error, CustomStringConvertible {
        /// The sentence, to be put behind the name of what is wrong.
        public let description: String
    }

    /// Parses `http://[user:password@]host[:port]`; the scheme may be left out, the port is 80 then. User and password
    /// may be percent-encoded.
    public init(_ text: String) throws(Malformed) {
        let remedy = "write http://[USER:PASSWORD@]HOST:PORT"
        var rest = text[...]
        if let separator = text.firstRange(of: "://") {
            let scheme = text[..<separator.lowerBound].lowercased()
            guard scheme == "http" else {
                let isKnown = ["https", "socks4", "socks4a", "socks5", "socks5h"].contains(scheme)
                throw Malformed(
                    description: isKnown
                        ? "is a proxy that is spoken to by \(scheme), which is not supported; \(remedy)"
                        : "is not a proxy's address; \(remedy)")
            }
            rest = text[separator.upperBound...]
        }
        while rest.hasSuffix("/") { rest.removeLast() }
        if let at = rest.lastIndex(of: "@") {
            guard let user = NetworkProxy.decoded(rest[..<at]), !user.isEmpty else {
                throw Malformed(
                    description:
                        "has a user or password that is not percent-encoded as it should be; \(remedy)")
            }
            // RFC 7617: user, colon, password.
            let credentials = user.contains(UInt8(ascii: ":")) ? user : user + [UInt8(ascii: ":")]
            authorization = "Basic " + Base64.encode(credentials)
            rest = rest[rest.index(after: at)...]
        } else {
            authorization = nil
        }
        // The grammar of a WebSocket address without a path; its message would repeat the text.
        guard !rest.isEmpty, !rest.contains("/"), let place = try? Endpoint("ws://" + rest) else {
            throw Malformed(description: "has no usable host or port; \(remedy)")
        }
        host = place.host
        port = place.port
    }

    private static func decoded(_ text: Substring) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte > 0x20, byte != 0x7F else { return nil }
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16),
                value >= 0x20, value != 0x7F
            else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return bytes
    }

    /// Whether a user is named.
    public var hasUser: Bool { authorization != nil }
    /// `http://proxy.example:3128`, without user and password.
    public var description: String { "http://\(host.contains(":") ? "[\(host)]" : host):\(port)" }
    /// The same.
    public var debugDescription: String { description }
    /// No children: a dump shows no secrets either.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Which proxy connections go through.
public enum ProxySettings: Sendable, Equatable {
    /// None.
    case none
    /// This one, for all connections, `ws://` too.
    case always(NetworkProxy)
    /// This one from the environment: for `wss://`, but neither for these hosts nor for this machine itself.
    case environment(NetworkProxy, except: ProxyExceptions)

    /// The proxy for an endpoint; nil: connect directly.
    func proxy(for endpoint: Endpoint) -> NetworkProxy? {
        switch self {
        case .none: nil
        case .always(let proxy): proxy
        case .environment(let proxy, let exceptions):
            ProxySettings.usesEnvironment(for: endpoint, except: exceptions) ? proxy : nil
        }
    }

    /// Whether a proxy that the environment names is meant for an endpoint.
    public static func usesEnvironment(for endpoint: Endpoint, except exceptions: ProxyExceptions) -> Bool {
        guard endpoint.isTLS, !exceptions.contains(host: endpoint.host, port: endpoint.port) else {
            return false
        }
        return endpoint.host.lowercased() != "localhost"
            && HostAddress(literal: endpoint.host)?.isLoopback != true
    }
}

/// Hosts that are connected to directly: NO_PROXY, in the forms that curl and Go understand.
public struct ProxyExceptions: Sendable, Equatable {
    private enum Rule: Equatable {
        case all
        /// A domain and what is below it, in lower case without a dot in front.
        case domain(String, port: UInt16?)
        /// An address's leading bits.
        case network(HostAddress, bits: Int)
    }

    private var rules: [Rule] = []

    /// Parses a list by commas or spaces: `*`, `example.com`, `.example.com`, `*.example.com`, `example.com:8443`,
    /// `10.0.0.1`, `10.0.0.0/8`, `::1`. Parts that are none of these match nothing.
    public init(_ text: String) {
        for part in text.split(whereSeparator: { $0 == "," || $0 == " " || $0 == "\t" }) {
            let word = part.lowercased()
            if word == "*" {
                rules.append(.all)
                continue
            }
            if let network = ProxyExceptions.network(word) {
                rules.append(network)
                continue
            }
            var name = word[...]
            var port: UInt16?
            if let colon = name.lastIndex(of: ":"), let number = UInt16(name[name.index(after: colon)...]) {
                port = number
                name = name[..<colon]
            }
            if name.hasPrefix("[") && name.hasSuffix("]") { name = name.dropFirst().dropLast() }
            if let address = HostAddress(literal: String(name)), port == nil {
                rules.append(.network(address, bits: address.address.count * 8))
                continue
            }
            if name.hasPrefix("*") { name.removeFirst() }
            while name.hasPrefix(".") { name.removeFirst() }
            if !name.isEmpty { rules.append(.domain(String(name), port: port)) }
        }
    }

    private static func network(_ word: String) -> Rule? {
        let parts = word.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = HostAddress(literal: String(parts[0])) else { return nil }
        guard parts.count == 2 else { return .network(address, bits: address.address.count * 8) }
        guard let bits = Int(parts[1]), (0...address.address.count * 8).contains(bits) else { return nil }
        return .network(address, bits: bits)
    }

    /// Whether a host, as it is written in an endpoint, is to be connected to directly.
    func contains(host: String, port: UInt16) -> Bool {
        var name = host.lowercased()[...]
        if name.hasSuffix(".") { name.removeLast() }
        let address = HostAddress(literal: host)
        return rules.contains { rule in
            switch rule {
            case .all: true
            case .domain(let domain, let rulePort):
                (rulePort == nil || rulePort == port) && (name == domain || name.hasSuffix("." + domain))
            case .network(let network, let bits):
                address.map { ProxyExceptions.shares(bits, network, $0) } ?? false
            }
        }
    }

    private static func shares(_ bits: Int, _ a: HostAddress, _ b: HostAddress) -> Bool {
        guard a.family == b.family else { return false }
        for index in 0..<a.address.count {
            let left = bits - index * 8
            guard left > 0 else { return true }
            let mask = left >= 8 ? 0xFF : UInt8(truncatingIfNeeded: 0xFF00 >> left)
            if (a.address[index] ^ b.address[index]) & mask != 0 { return false }
        }
        return true
    }
}
