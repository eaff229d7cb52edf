/// A slow, plain JSON reader for tests: recursive, by arrays of bytes, with numbers and strings kept as written. It
/// shares no code with what it is compared to.
package indirect enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    /// As written.
    case number(String)
    case string(JSONText)
    case array([JSONValue])
    /// In the order written, repeats and all.
    case object([JSONMember])

    package struct JSONMember: Equatable, Sendable {
        package var key: JSONText
        package var value: JSONValue
        package init(key: JSONText, value: JSONValue) {
            self.key = key
            self.value = value
        }
    }
}

/// A string as written between its quotes, and what it means.
package struct JSONText: Equatable, Sendable {
    package var raw: [UInt8]
    /// UTF-8 with the escapes resolved; nil where an escape is half of a surrogate pair.
    package var text: [UInt8]?

    package init(raw: [UInt8], text: [UInt8]?) {
        self.raw = raw
        self.text = text
    }

    package init(_ plain: String) {
        raw = Array(plain.utf8)
        text = raw
    }

    package var hasEscapes: Bool { raw.contains(UInt8(ascii: "\\")) }
    package func means(_ other: String) -> Bool { text == Array(other.utf8) }
}

/// Reads and writes ``JSONValue``s.
package struct ReferenceJSON {
    package struct Malformed: Error {}

    private let bytes: [UInt8]
    private var at = 0

    /// The value that `bytes` is, white space around it allowed.
    package static func read(_ bytes: [UInt8]) throws(Malformed) -> JSONValue {
        var reader = ReferenceJSON(bytes: bytes)
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.at == bytes.count else { throw Malformed() }
        return value
    }

    /// As ``read(_:)``, and in addition where each element of the array at `path` (object keys) begins and ends.
    package static func elementBytes(of bytes: [UInt8], path: [String]) throws(Malformed) -> [[UInt8]] {
        var reader = ReferenceJSON(bytes: bytes)
        for key in path {
            reader.skipSpace()
            try reader.take("{")
            while true {
                reader.skipSpace()
                let found = try reader.string()
                reader.skipSpace()
                try reader.take(":")
                if found.means(key) { break }
                _ = try reader.value(depth: 0)
                reader.skipSpace()
                try reader.take(",")
            }
        }
        reader.skipSpace()
        try reader.take("[")
        reader.skipSpace()
        var elements: [[UInt8]] = []
        if reader.peek == UInt8(ascii: "]") { return [] }
        while true {
            reader.skipSpace()
            let first = reader.at
            _ = try reader.value(depth: 0)
            elements.append(Array(bytes[first..<reader.at]))
            reader.skipSpace()
            if reader.peek == UInt8(ascii: "]") { return elements }
            try reader.take(",")
        }
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { at += 1 }
    }

    private mutating func take(_ text: String) throws(Malformed) {
        for byte in text.utf8 {
            guard peek == byte else { throw Malformed() }
            at += 1
        }
    }

    private mutating func value(depth: Int) throws(Malformed) -> JSONValue {
        skipSpace()
        switch peek {
        case UInt8(ascii: "{"):
            guard depth < 64 else { throw Malformed() }
            at += 1
            return .object(try members(depth: depth + 1))
        case UInt8(ascii: "["):
            guard depth < 64 else { throw Malformed() }
            at += 1
            return .array(try elements(depth: depth + 1))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"):
            try take("true")
            return .bool(true)
        case UInt8(ascii: "f"):
            try take("false")
            return .bool(false)
        case UInt8(ascii: "n"):
            try take("null")
            return .null
        default: return .number(try number())
        }
    }

    private mutating func members(depth: Int) throws(Malformed) -> [JSONValue.JSONMember] {
        var members: [JSONValue.JSONMember] = []
        skipSpace()
        if peek == UInt8(ascii: "}") {
            at += 1
            return []
        }
        while true {
            skipSpace()
            let key = try string()
            skipSpace()
            try take(":")
            members.append(JSONValue.JSONMember(key: key, value: try value(depth: depth)))
            skipSpace()
            if peek == UInt8(ascii: "}") {
                at += 1
                return members
            }
            try take(",")
        }
    }

    private mutating func elements(depth: Int) throws(Malformed) -> [JSONValue] {
        var elements: [JSONValue] = []
        skipSpace()
        if peek == UInt8(ascii: "]") {
            at += 1
            return []
        }
        while true {
            elements.append(try value(depth: depth))
            skipSpace()
            if peek == UInt8(ascii: "]") {
                at += 1
                return elements
            }
            try take(",")
        }
    }

    private mutating func number() throws(Malformed) -> String {
        let first = at
        func isDigit(_ byte: UInt8?) -> Bool { byte.map { (0x30...0x39).contains($0) } ?? false }
        func digits(_ reader: inout ReferenceJSON) throws(Malformed) {
            guard isDigit(reader.peek) else { throw Malformed() }
            while isDigit(reader.peek) { reader.at += 1 }
        }
        if peek == UInt8(ascii: "-") { at += 1 }
        if peek == UInt8(ascii: "0") { at += 1 } else { try digits(&self) }
        if peek == UInt8(ascii: ".") {
            at += 1
            try digits(&self)
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            at += 1
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { at += 1 }
            try digits(&self)
        }
        return String(decoding: bytes[first..<at], as: UTF8.self)
    }

    private mutating func string() throws(Malformed) -> JSONText {
        try take("\"")
        let first = at
        while let byte = peek, byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
            at += 1
        }
        var text: [UInt8]? = Array(bytes[first..<at])
        while let byte = peek, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw Malformed() }
            at += 1
            guard byte == UInt8(ascii: "\\") else {
                text?.append(byte)
                continue
            }
            guard let escape = peek else { throw Malformed() }
            at += 1
            let plain: [UInt8: UInt8] = [
                0x22: 0x22, 0x5C: 0x5C, 0x2F: 0x2F, 0x62: 0x08, 0x66: 0x0C, 0x6E: 0x0A, 0x72: 0x0D,
                0x74: 0x09,
            ]
            if let byte = plain[escape] {
                text?.append(byte)
            } else if escape == UInt8(ascii: "u") {
                var code = try hex4()
                if (0xD800..<0xDC00).contains(code), peek == UInt8(ascii: "\\"), at + 1 < bytes.count,
                    bytes[at + 1] == UInt8(ascii: "u")
                {
                    let behind = at
                    at += 2
                    let low = try hex4()
                    if (0xDC00..<0xE000).contains(low) {
                        code = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00)
                    } else {
                        at = behind
                    }
                }
                if let scalar = Unicode.Scalar(code) {
                    text?.append(contentsOf: Array(String(Character(scalar)).utf8))
                } else {
                    text = nil
                }
            } else {
                throw Malformed()
            }
        }
        let raw = Array(bytes[first..<at])
        try take("\"")
        return JSONText(raw: raw, text: text)
    }

    private mutating func hex4() throws(Malformed) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80
            else {
                throw Malformed()
            }
            value = value * 16 + UInt32(digit)
            at += 1
        }
        return value
    }
}

extension JSONValue {
    /// The member of that name; nil where it is not there.
    package subscript(_ name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.key.means(name) }?.value
    }

    /// JSON text, with `space` between its parts.
    package func written(space: () -> String = { "" }) -> String {
        let body: String =
            switch self {
            case .null: "null"
            case .bool(let flag): flag ? "true" : "false"
            case .number(let text): text
            case .string(let text): "\"\(String(decoding: text.raw, as: UTF8.self))\""
            case .array(let elements):
                "[\(elements.map { $0.written(space: space) }.joined(separator: ","))\(space())]"
            case .object(let members):
                "{"
                    + members.map {
                        "\(space())\"\(String(decoding: $0.key.raw, as: UTF8.self))\"\(space()):"
                            + $0.value.written(space: space)
                    }.joined(separator: ",") + "\(space())}"
            }
        return "\(space())\(body)\(space())"
    }
}
