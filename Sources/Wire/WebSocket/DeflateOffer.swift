/// What is offered to a server for compressing messages: permessage-deflate and its parameters (RFC 7692, 7.1).
public struct DeflateOffer: Sendable, Equatable {
    /// `server_no_context_takeover`: the server shall compress each message on its own.
    public var serverForgets = false
    /// `client_no_context_takeover`: we shall, whether the server asks for it or not.
    public var clientForgets = false
    /// `server_max_window_bits`: the largest window that the server may compress with, 8 to 15; nil: as it likes.
    public var serverWindowBits: Int?
    /// `client_max_window_bits`: the server may tell us ours.
    public var clientWindowIsOpen = true
    /// zlib's level for messages of ours, 1 (fastest) to 9.
    public var level: Int32 = 1

    /// An offer that leaves every choice to the server.
    public init() {}

    /// The value of `Sec-WebSocket-Extensions`.
    var text: String {
        var text = DeflateAgreement.name
        if serverForgets { text += "; server_no_context_takeover" }
        if clientForgets { text += "; client_no_context_takeover" }
        if let serverWindowBits { text += "; server_max_window_bits=\(serverWindowBits)" }
        if clientWindowIsOpen { text += "; client_max_window_bits" }
        return text
    }
}

/// What a server made of the offer.
struct DeflateAgreement: Equatable {
    static let name = "permessage-deflate"

    /// Each message of the server is compressed on its own.
    var serverForgets = false
    /// Each message of ours must be.
    var clientForgets = false
    /// Largest window of the server.
    var serverWindowBits = 15
    /// Largest window of ours.
    var clientWindowBits = 15
    /// zlib's level for messages of ours.
    var level: Int32 = 1

    /// Why an answer is no agreement.
    struct Refusal: Error, Equatable { let reason: String }

    /// Reads the `Sec-WebSocket-Extensions` of an answer to `offer`. An answer that asks for anything that was not
    /// offered, or does not take what was, is refused: the two sides would understand different bytes.
    init(answer: String, to offer: DeflateOffer) throws(Refusal) {
        level = offer.level
        let extensions = try ExtensionList(answer).extensions
        guard extensions.count == 1, let accepted = extensions.first else {
            throw Refusal(reason: "\(extensions.count) extensions where one was offered")
        }
        guard accepted.name == DeflateAgreement.name else {
            throw Refusal(reason: "the extension \(accepted.name), which was not offered")
        }
        var seen: Set<String> = []
        for (name, value) in accepted.parameters {
            guard seen.insert(name).inserted else { throw Refusal(reason: "\(name) twice") }
            switch name {
            case "server_no_context_takeover":
                guard value == nil else { throw Refusal(reason: "\(name) with a value") }
                serverForgets = true
            case "client_no_context_takeover":
                guard value == nil else { throw Refusal(reason: "\(name) with a value") }
                clientForgets = true
            case "server_max_window_bits": serverWindowBits = try DeflateAgreement.bits(value, name)
            case "client_max_window_bits":
                guard offer.clientWindowIsOpen else {
                    throw Refusal(reason: "\(name), which was not offered")
                }
                clientWindowBits = try DeflateAgreement.bits(value, name)
            default: throw Refusal(reason: "the unknown parameter \(name)")
            }
        }
        if offer.serverForgets, !serverForgets {
            throw Refusal(reason: "no server_no_context_takeover, which was asked for")
        }
        if let most = offer.serverWindowBits,
            !seen.contains("server_max_window_bits") || serverWindowBits > most
        {
            throw Refusal(reason: "no server_max_window_bits of \(most) at most, which was asked for")
        }
        // Promised in the offer, so it holds whether the server says so or not.
        if offer.clientForgets { clientForgets = true }
    }

    /// 8 to 15 in decimal, without a zero before it.
    private static func bits(_ value: String?, _ name: String) throws(Refusal) -> Int {
        guard let value, value.utf8.allSatisfy({ (48...57).contains($0) }), !value.hasPrefix("0"),
            let bits = Int(value), (8...15).contains(bits)
        else { throw Refusal(reason: "\(name) with \(value ?? "no value"), not 8 to 15") }
        return bits
    }
}

/// The grammar of `Sec-WebSocket-Extensions` (RFC 6455, 9.1).
struct ExtensionList {
    struct Extension {
        var name: String
        var parameters: [(name: String, value: String?)]
    }
    private(set) var extensions: [Extension] = []
    private var rest: ArraySlice<UInt8>

    init(_ text: String) throws(DeflateAgreement.Refusal) {
        rest = Array(text.utf8)[...]
        repeat {
            var found = Extension(name: try token(), parameters: [])
            while skips(";") {
                let name = try token()
                found.parameters.append((name, skips("=") ? try value() : nil))
            }
            extensions.append(found)
        } while skips(",")
        guard rest.isEmpty else { throw malformed }
    }

    private var malformed: DeflateAgreement.Refusal {
        DeflateAgreement.Refusal(reason: "extensions that cannot be read")
    }

    private mutating func skipSpace() { rest = rest.drop { $0 == 32 || $0 == 9 } }

    private mutating func skips(_ sign: Unicode.Scalar) -> Bool {
        skipSpace()
        guard rest.first == UInt8(ascii: sign) else { return false }
        rest = rest.dropFirst()
        return true
    }

    private mutating func token() throws(DeflateAgreement.Refusal) -> String {
        skipSpace()
        let bytes = rest.prefix { ExtensionList.isToken($0) }
        guard !bytes.isEmpty else { throw malformed }
        rest = rest.dropFirst(bytes.count)
        skipSpace()
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A token, or one in quotes.
    private mutating func value() throws(DeflateAgreement.Refusal) -> String {
        guard skips("\"") else { return try token() }
        var bytes: [UInt8] = []
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\"") {
                guard !bytes.isEmpty, bytes.allSatisfy(ExtensionList.isToken) else { throw malformed }
                skipSpace()
                return String(decoding: bytes, as: UTF8.self)
            }
            guard byte == UInt8(ascii: "\\") else {
                bytes.append(byte)
                continue
            }
            guard let escaped = rest.popFirst() else { break }
            bytes.append(escaped)
        }
        throw malformed
    }

    /// RFC 2616, 2.2.
    private static func isToken(_ byte: UInt8) -> Bool {
        (33...126).contains(byte) && !"()<>@,;:\\\"/[]?={}".utf8.contains(byte)
    }
}
