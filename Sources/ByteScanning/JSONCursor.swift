/// A place in JSON text; reads one value after the other, by bytes, without allocating.
///
/// The memory behind the text must be mapped for ``slack`` bytes more, since words are loaded across its end. What
/// stands there is never believed: a value that would need it ends in ``ScanError/malformed``.
///
/// Grammar is RFC 8259, checked in full for everything that is read or skipped, except that the UTF-8 in strings is
/// left to those who use them. After a throw ``offset`` says where reading stopped.
@frozen public struct JSONCursor: BitwiseCopyable {
    /// The text's first byte.
    public let start: UnsafeRawPointer
    /// Behind its last byte.
    public let end: UnsafeRawPointer
    /// The next byte to read.
    public var at: UnsafeRawPointer

    /// Bytes that must be mapped behind the text.
    @inlinable public static var slack: Int { 64 }
    /// Arrays and objects within each other, at most.
    @inlinable public static var depthMax: Int { 64 }

    /// A cursor at the beginning of `text`; nil where there is no memory at all.
    @inlinable public init?(_ text: UnsafeRawBufferPointer) {
        guard let base = text.baseAddress else { return nil }
        self.init(start: base, at: base, end: base + text.count)
    }

    /// A cursor in the middle of a text.
    @inlinable public init(start: UnsafeRawPointer, at: UnsafeRawPointer, end: UnsafeRawPointer) {
        self.start = start
        self.at = at
        self.end = end
    }

    /// Bytes before the cursor, at most the text's length.
    @inlinable public var offset: Int { min(at, end) - start }

    /// The next byte; 0, which is no JSON, at the end.
    @inlinable @inline(__always) public var byte: UInt8 { at < end ? at.load(as: UInt8.self) : 0 }

    @inlinable @inline(__always) static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }

    /// Skips white space.
    @inlinable @inline(__always) public mutating func skipSpace() {
        while at < end, JSONCursor.isSpace(at.load(as: UInt8.self)) { at += 1 }
    }

    /// Takes one byte, or stops at another.
    @inlinable @inline(__always) public mutating func expect(_ expected: UInt8) throws(ScanError) {
        guard byte == expected else { throw .malformed }
        at += 1
    }

    /// White space and nothing else up to the end.
    @inlinable public mutating func expectEnd() throws(ScanError) {
        skipSpace()
        guard at == end else { throw .malformed }
    }
}

// MARK: - Objects and arrays

extension JSONCursor {
    /// Enters an object. True: the cursor stands at its first key. False: it is empty and taken.
    @inlinable public mutating func enterObject() throws(ScanError) -> Bool {
        try enter(UInt8(ascii: "{"), UInt8(ascii: "}"))
    }

    /// Enters an array. True: the cursor stands at its first element. False: it is empty and taken.
    @inlinable public mutating func enterArray() throws(ScanError) -> Bool {
        try enter(UInt8(ascii: "["), UInt8(ascii: "]"))
    }

    @inlinable @inline(__always)
    mutating func enter(_ open: UInt8, _ close: UInt8) throws(ScanError) -> Bool {
        skipSpace()
        guard byte == open else { throw isValueStart ? .wrongType : .malformed }
        at += 1
        skipSpace()
        guard byte == close else { return true }
        at += 1
        return false
    }

    /// After a member's value. True: the cursor stands at the next key. False: the object has ended and is taken.
    @inlinable @inline(__always) public mutating func nextMember() throws(ScanError) -> Bool {
        try next(UInt8(ascii: "}"))
    }

    /// After an element. True: the cursor stands at the next one. False: the array has ended and is taken.
    @inlinable @inline(__always) public mutating func nextElement() throws(ScanError) -> Bool {
        try next(UInt8(ascii: "]"))
    }

    @inlinable @inline(__always)
    mutating func next(_ close: UInt8) throws(ScanError) -> Bool {
        skipSpace()
        let found = byte
        if found == UInt8(ascii: ",") {
            at += 1
            skipSpace()
            return true
        }
        guard found == close else { throw .malformed }
        at += 1
        return false
    }

    /// Whether some JSON value may begin here: tells *another type* from *no JSON*.
    @inlinable var isValueStart: Bool {
        switch byte {
        case UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: "\""), UInt8(ascii: "-"), UInt8(ascii: "t"),
            UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}

// MARK: - Literals and skipping

extension JSONCursor {
    @inlinable @inline(__always)
    mutating func take(_ literal: UInt64, count: Int) -> Bool {
        guard Word.prefix(Word.load(at), count) == literal, at + count <= end else { return false }
        at += count
        return true
    }

    /// Takes `null`; false, and nothing taken, where something else stands.
    @inlinable @inline(__always) public mutating func takeNull() -> Bool {
        take(0x6C6C_756E, count: 4)
    }

    /// `true` or `false`.
    @inlinable @inline(__always) public mutating func readBool() throws(ScanError) -> Bool {
        if take(0x6575_7274, count: 4) { return true }
        if take(0x65_736C_6166, count: 5) { return false }
        throw isValueStart ? .wrongType : .malformed
    }

    /// Skips one value of any type, however it is nested.
    @inlinable public mutating func skipValue() throws(ScanError) {
        // Bit 0: the innermost container is an object.
        var containers: UInt64 = 0
        var depth = 0
        while true {
            skipSpace()
            let opened = byte
            switch opened {
            case UInt8(ascii: "\""): _ = try readString()
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                let isObject = opened == UInt8(ascii: "{")
                if try isObject ? enterObject() : enterArray() {
                    guard depth < JSONCursor.depthMax else { throw .depth }
                    depth &+= 1
                    containers = containers &<< 1 | (isObject ? 1 : 0)
                    if isObject { try skipKey() }
                    continue
                }
            case UInt8(ascii: "t"), UInt8(ascii: "f"): _ = try readBool()
            case UInt8(ascii: "n"): guard takeNull() else { throw .malformed }
            default: try skipNumber()
            }
            // A value has ended; so may have what holds it.
            while true {
                if depth == 0 { return }
                let isObject = containers & 1 != 0
                if try isObject ? nextMember() : nextElement() {
                    if isObject { try skipKey() }
                    break
                }
                containers = containers &>> 1
                depth &-= 1
            }
        }
    }

    @inlinable mutating func skipKey() throws(ScanError) {
        if takeLetterKey() != 0 { return }
        _ = try readString()
        skipSpace()
        try expect(UInt8(ascii: ":"))
    }

    @inlinable mutating func skipNumber() throws(ScanError) {
        if byte == UInt8(ascii: "-") { at += 1 }
        if byte == UInt8(ascii: "0") { at += 1 } else { try skipDigits() }
        if byte == UInt8(ascii: ".") {
            at += 1
            try skipDigits()
        }
        if byte | 0x20 == UInt8(ascii: "e") {
            at += 1
            if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { at += 1 }
            try skipDigits()
        }
    }

    @inlinable mutating func skipDigits() throws(ScanError) {
        let first = at
        while at < end, at.load(as: UInt8.self) &- 0x30 < 10 { at += 1 }
        guard at > first else { throw .malformed }
    }
}
