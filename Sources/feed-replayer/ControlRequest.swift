import MarketData

/// A client's request on an open connection.
enum ControlRequest: Equatable {
    case subscribe([String])
    case unsubscribe([String])
    case listSubscriptions
    case setCombined(Bool)
    case getCombined
}

/// How the exchange refuses a request.
struct RequestRefusal: Error, Equatable {
    var code: Int
    var message: String
    /// JSON text of the request's id, `null` where it has none or a bad one.
    var id = "null"
    /// The exchange closes the connection after the answer.
    var closes = false
}

/// Which of its two shapes an error answer has.
enum ErrorShape: String, CaseIterable {
    /// `{"error":{"code":2,"msg":"…"},"id":1}`, as captured.
    case wire
    /// `{"code":2,"msg":"…","id":1}`, as documented.
    case documented
}

/// The grammar of requests and of their answers, with the exchange's own texts.
enum ControlGrammar {
    /// A connection may hold this many streams.
    static let streamLimit = 1024

    /// What a frame asks for, with the JSON text of its id.
    static func read(_ bytes: [UInt8]) throws(RequestRefusal) -> (request: ControlRequest, id: String) {
        let value: JSONValue
        do {
            value = try JSONReader.read(bytes)
        } catch {
            let place = "line \(error.line) column \(error.column)"
            throw RequestRefusal(code: 3, message: "Invalid JSON: expected value at \(place)")
        }
        guard case .object = value else {
            throw RequestRefusal(
                code: 2, message: "Invalid request: missing field `method` at line 1 column \(bytes.count)")
        }
        let id = try readID(value["id"])
        do {
            return (try readMethod(value, length: bytes.count), id)
        } catch {
            var refusal = error
            refusal.id = id
            throw refusal
        }
    }

    private static func readMethod(_ value: JSONValue, length: Int) throws(RequestRefusal) -> ControlRequest {
        guard case .string(let method)? = value["method"] else {
            throw RequestRefusal(
                code: 2, message: "Invalid request: missing field `method` at line 1 column \(length)")
        }
        switch method {
        case "SUBSCRIBE": return .subscribe(try readNames(value["params"], length: length))
        case "UNSUBSCRIBE": return .unsubscribe(try readNames(value["params"], length: length))
        case "LIST_SUBSCRIPTIONS": return .listSubscriptions
        case "SET_PROPERTY":
            let items = try readProperty(value["params"], count: 2)
            guard case .bool(let flag) = items[1] else {
                throw RequestRefusal(code: 1, message: "Invalid value type: expected Boolean")
            }
            return .setCombined(flag)
        case "GET_PROPERTY":
            _ = try readProperty(value["params"], count: 1)
            return .getCombined
        default:
            let known = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"
            throw RequestRefusal(
                code: 2,
                message:
                    "Invalid request: unknown variant \(method), expected one of \(known) at line 1 column 28"
            )
        }
    }

    private static func readNames(_ params: JSONValue?, length: Int) throws(RequestRefusal) -> [String] {
        guard case .array(let items)? = params, !items.isEmpty else {
            throw RequestRefusal(
                code: 2, message: "Invalid request: missing field `params` at line 1 column \(length)")
        }
        var names: [String] = []
        for item in items {
            guard case .string(let name) = item, isWellFormed(name) else {
                throw RequestRefusal(code: 2, message: "Invalid request: invalid stream", closes: true)
            }
            names.append(name)
        }
        return names
    }

    private static func readProperty(_ params: JSONValue?, count: Int) throws(RequestRefusal) -> [JSONValue] {
        guard case .array(let items)? = params, let first = items.first, case .string(let name) = first else {
            throw RequestRefusal(code: 2, message: "Invalid request: property name must be a string")
        }
        guard items.count <= count else {
            throw RequestRefusal(code: 2, message: "Invalid request: too many parameters")
        }
        guard name == "combined" else { throw RequestRefusal(code: 0, message: "Unknown property") }
        return items.count == count ? items : items + [.null]
    }

    /// A signed 64-bit integer, an alphanumeric string of at most 36 characters, or null; absent counts as null.
    private static func readID(_ value: JSONValue?) throws(RequestRefusal) -> String {
        switch value {
        case nil, .null?: return "null"
        case .number(let text)? where Int64(text) != nil: return text
        case .string(let text)?
        where text.utf8.count <= 36 && text.utf8.allSatisfy({ Character(.init($0)).isAlphanumeric }):
            return "\"\(text)\""
        default:
            throw RequestRefusal(
                code: 2, message: "Invalid request: request ID must be an unsigned integer")
        }
    }

    /// Whether the exchange would acknowledge the name; it need not exist.
    static func isWellFormed(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        guard bytes.count <= 128,
            bytes.allSatisfy({ $0 > 0x20 && $0 != 0x7F && !#"",/\?&"#.utf8.contains($0) })
        else { return false }
        if bytes.first == UInt8(ascii: "!") { return bytes.count > 1 }
        let parts = bytes.split(separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
        return parts.count >= 2 && parts.allSatisfy { !$0.isEmpty }
    }

    /// `{"result":…,"id":…}`.
    static func answer(_ result: String, id: String) -> String { "{\"result\":\(result),\"id\":\(id)}" }

    /// The answer to a refused request.
    static func answer(_ refusal: RequestRefusal, shape: ErrorShape) -> String {
        let body = "\"code\":\(refusal.code),\"msg\":\(JSONEscaping.quoted(refusal.message))"
        switch shape {
        case .wire: return "{\"error\":{\(body)},\"id\":\(refusal.id)}"
        case .documented: return "{\(body),\"id\":\(refusal.id)}"
        }
    }
}

extension Character {
    fileprivate var isAlphanumeric: Bool { isASCII && (isLetter || isNumber) }
}
