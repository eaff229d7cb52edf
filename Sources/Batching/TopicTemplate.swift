/// A template of topic ids or ordering keys: `market.{type}.{exchange}.{symbol}`.
public struct TopicTemplate: Sendable, Hashable {
    /// What may stand in braces.
    public enum Variable: String, Sendable, CaseIterable {
        /// The events' type.
        case type
        /// The adapter's market in topics: `binance`.
        case exchange
        /// The exchange's spelling.
        case symbol
        /// A kline's interval or a ticker's window, else `none`.
        case interval
        /// The market's name in the configuration: `spot`.
        case market
    }

    /// Values of the variables for one route.
    public struct Values: Sendable {
        /// See ``Variable``.
        public var type, exchange, symbol, interval, market: String
        /// Values.
        public init(type: String, exchange: String, symbol: String, interval: String, market: String) {
            self.type = type
            self.exchange = exchange
            self.symbol = symbol
            self.interval = interval
            self.market = market
        }
    }

    /// Why a text is no template.
    public struct Malformed: Error, CustomStringConvertible {
        /// What is wrong and what to write instead.
        public let description: String
    }

    private enum Part: Hashable, Sendable {
        case literal(String)
        case variable(Variable)
    }
    private let parts: [Part]
    /// The text it was made of.
    public let text: String

    /// Parses a template.
    public init(_ text: String) throws(Malformed) {
        self.text = text
        var parts: [Part] = []
        var rest = text[...]
        let known = Variable.allCases.map { "{\($0.rawValue)}" }.joined(separator: ", ")
        while let open = rest.firstIndex(of: "{") {
            if open > rest.startIndex { parts.append(.literal(String(rest[..<open]))) }
            guard let close = rest[open...].firstIndex(of: "}") else {
                throw Malformed(description: "\"\(text)\" has a { without a }; the variables are \(known)")
            }
            let name = String(rest[rest.index(after: open)..<close])
            guard let variable = Variable(rawValue: name) else {
                throw Malformed(
                    description: "\"\(text)\" has the unknown variable {\(name)}; there are \(known)")
            }
            parts.append(.variable(variable))
            rest = rest[rest.index(after: close)...]
        }
        if !rest.isEmpty { parts.append(.literal(String(rest))) }
        guard
            !parts.contains(where: { if case .literal(let text) = $0 { text.contains("}") } else { false } })
        else { throw Malformed(description: "\"\(text)\" has a } without a {; the variables are \(known)") }
        self.parts = parts
    }

    /// Whether the variable stands in it.
    public func contains(_ variable: Variable) -> Bool { parts.contains(.variable(variable)) }

    /// The literal parts, for checks.
    public var literals: [String] {
        parts.compactMap { if case .literal(let text) = $0 { text } else { nil } }
    }

    /// The text for these values, as they are.
    public func render(_ values: Values) -> String {
        parts.map { part in
            switch part {
            case .literal(let text): text
            case .variable(.type): values.type
            case .variable(.exchange): values.exchange
            case .variable(.symbol): values.symbol
            case .variable(.interval): values.interval
            case .variable(.market): values.market
            }
        }.joined()
    }

    /// The topic id for these values: bytes that Pub/Sub does not allow are percent-encoded. Allowed are
    /// `A-Z a-z 0-9 - _ . ~ + %` (comment of google.pubsub.v1.Topic.name).
    public func renderTopicID(_ values: Values) -> String {
        TopicTemplate.percentEncode(render(values))
    }

    static func percentEncode(_ text: String) -> String {
        let hex = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
                UInt8(ascii: "."),
                UInt8(ascii: "~"), UInt8(ascii: "+"):
                bytes.append(byte)
            default:
                bytes += [UInt8(ascii: "%"), hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
