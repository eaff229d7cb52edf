import Batching

/// Where a NATS server listens: `nats://host:4222`, or `tls://host:4222`.
public struct NATSEndpoint: Sendable, Equatable, CustomStringConvertible {
    /// A name or an IP literal.
    public let host: String
    /// 4222 unless the text says otherwise.
    public let port: UInt16
    /// Whether the connection is encrypted, and the server's certificate verified.
    public let isTLS: Bool

    /// NATS' own port.
    public static let defaultPort: UInt16 = 4222

    /// Nil where the text is something else.
    public init?(_ text: String) {
        let rest: Substring
        if text.hasPrefix("nats://") {
            (isTLS, rest) = (false, text.dropFirst(7))
        } else if text.hasPrefix("tls://") {
            (isTLS, rest) = (true, text.dropFirst(6))
        } else {
            return nil
        }
        var host = rest
        var port = NATSEndpoint.defaultPort
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("]"),
            rest.hasPrefix("[") || rest.firstIndex(of: ":") == colon
        {
            guard let number = UInt16(rest[rest.index(after: colon)...]), number > 0 else { return nil }
            (host, port) = (rest[..<colon], number)
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty, host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x2F && $0 != 0x40 })
        else {
            return nil
        }
        self.host = String(host)
        self.port = port
    }

    /// As it is written.
    public var description: String {
        "\(isTLS ? "tls" : "nats")://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }
}

/// Who the collector is at the NATS server.
public enum NATSCredentials: Sendable, Equatable {
    /// Nobody in particular.
    case none
    /// A user and a password.
    case user(String, password: String)
    /// A token.
    case token(String)
}

/// Where and how batches are published to NATS JetStream.
public struct NATSSettings: Sendable {
    /// The server.
    public var endpoint: NATSEndpoint
    /// Shown to nobody.
    public var credentials = NATSCredentials.none
    /// The stream that keeps the messages.
    public var stream = "MARKET"
    /// What subjects are made of; the stream takes all that it can give.
    public var subjects: TopicTemplate
    /// Make the stream when it is missing.
    public var createStream = true
    /// The header `collector`, and the connection's name.
    public var collector: String
    /// The first half of each `batch_id`: another one for each start of the process.
    public var runID: UInt64
    /// Memory for batches that are not acknowledged, in bytes; when it is used up the sink is full.
    public var byteBudget = 32 << 20
    /// How long the server may take to acknowledge a message before it is sent again, ns.
    public var acknowledgeTimeout: Int64 = 10_000_000_000
    /// How long the server may be silent before it is asked whether it is there, and then before it is given up, ns.
    public var silence: Int64 = 15_000_000_000
    /// For how long a stream that this sink makes knows the ids of its messages, so that a batch that is sent twice is
    /// kept once, ns.
    public static let duplicateWindow: Int64 = 600_000_000_000

    /// The defaults.
    public init(endpoint: NATSEndpoint, subjects: TopicTemplate, collector: String, runID: UInt64) {
        self.endpoint = endpoint
        self.subjects = subjects
        self.collector = collector
        self.runID = runID
    }

    /// What the stream takes: the template's text before its first variable, and whatever follows.
    var streamSubject: String {
        let literal = subjects.text.prefix { $0 != "{" }
        guard let dot = literal.lastIndex(of: ".") else { return literal.isEmpty ? "*.>" : String(literal) }
        return literal.count == subjects.text.count ? String(literal) : String(literal[...dot]) + ">"
    }
}
