/// The text between a string's quotes, as it stands there.
@frozen public struct JSONString: BitwiseCopyable {
    /// The first byte behind the opening quote.
    public let start: UnsafeRawPointer
    /// Bytes up to the closing quote.
    public let count: Int
    /// Whether there are backslashes in it, so that the bytes are not the text.
    public let hasEscapes: Bool

    /// A string of `count` bytes.
    @inlinable public init(start: UnsafeRawPointer, count: Int, hasEscapes: Bool) {
        self.start = start
        self.count = count
        self.hasEscapes = hasEscapes
    }

    /// The bytes.
    @inlinable public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }

    /// Whether it is written with exactly these bytes.
    @inlinable public func isWritten(_ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        for index in 0..<count
        where start.load(fromByteOffset: index, as: UInt8.self) != text.utf8Start[index] { return false }
        return true
    }

    /// Writes the text with its escapes resolved and returns its length; nil where it does not fit in `room` or an
    /// escape is half of a surrogate pair.
    public func unescape(into room: UnsafeMutableRawBufferPointer) -> Int? {
        var length = 0
        var index = 0
        func hex4(_ at: Int) -> UInt32? {
            guard at + 4 <= count else { return nil }
            var value: UInt32 = 0
            for offset in at..<at + 4 {
                guard let digit = JSONCursor.hexDigit(bytes[offset]) else { return nil }
                value = value << 4 | UInt32(digit)
            }
            return value
        }
        func append(_ byte: UInt8) -> Bool {
            guard length < room.count else { return false }
            room[length] = byte
            length += 1
            return true
        }
        while index < count {
            let byte = bytes[index]
            index += 1
            guard byte == UInt8(ascii: "\\") else {
                guard append(byte) else { return nil }
                continue
            }
            guard index < count else { return nil }
            let escape = bytes[index]
            index += 1
            if escape == UInt8(ascii: "u") {
                guard var code = hex4(index) else { return nil }
                index += 4
                if code >> 10 == 0x36 {
                    guard index + 6 <= count, bytes[index] == UInt8(ascii: "\\"),
                        bytes[index + 1] == UInt8(ascii: "u"), let low = hex4(index + 2), low >> 10 == 0x37
                    else { return nil }
                    index += 6
                    code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
                }
                guard let scalar = Unicode.Scalar(code) else { return nil }
                for unit in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter {
                    guard append(unit) else { return nil }
                }
            } else {
                guard let plain = JSONCursor.escaped(escape), append(plain) else { return nil }
            }
        }
        return length
    }
}

extension JSONCursor {
    /// A string. Escapes are checked, not resolved.
    @inlinable public mutating func readString() throws(ScanError) -> JSONString {
        guard byte == UInt8(ascii: "\"") else { throw isValueStart ? .wrongType : .malformed }
        let first = at + 1
        at = first
        var hasEscapes = false
        while at < end {
            let stops = Word.stringStops(Word.load(at))
            guard stops != 0 else {
                at += 8
                continue
            }
            at += stops.trailingZeroBitCount &>> 3
            guard at < end else { break }
            let stop = at.load(as: UInt8.self)
            if stop == UInt8(ascii: "\"") {
                at += 1
                return JSONString(start: first, count: at - first - 1, hasEscapes: hasEscapes)
            }
            guard stop == UInt8(ascii: "\\") else { throw .malformed }
            hasEscapes = true
            try skipEscape()
        }
        at = end
        throw .malformed
    }

    @usableFromInline @inline(never)
    mutating func skipEscape() throws(ScanError) {
        at += 1
        let escape = byte
        guard escape == UInt8(ascii: "u") else {
            guard JSONCursor.escaped(escape) != nil else { throw .malformed }
            at += 1
            return
        }
        at += 1
        for _ in 0..<4 {
            guard JSONCursor.hexDigit(byte) != nil else { throw .malformed }
            at += 1
        }
    }

    /// What a backslash and this letter stand for.
    static func escaped(_ letter: UInt8) -> UInt8? {
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): letter
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0C
        case UInt8(ascii: "n"): 0x0A
        case UInt8(ascii: "r"): 0x0D
        case UInt8(ascii: "t"): 0x09
        default: nil
        }
    }

    static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

// MARK: - Keys

/// An object's key, packed: up to seven bytes in a word, the first the lowest. Longer keys are all ``other``.
@frozen public struct JSONKey: BitwiseCopyable, Equatable {
    /// The bytes.
    public let packed: UInt64

    /// A key of those bytes.
    @inlinable public init(packed: UInt64) { self.packed = packed }

    /// The key of that name, at most seven bytes. Inlined, it is a constant.
    @inlinable @inline(__always) public init(_ name: StaticString) {
        var packed: UInt64 = 0
        for index in 0..<name.utf8CodeUnitCount {
            packed |= UInt64(name.utf8Start[index]) << UInt64(index * 8)
        }
        self.packed = packed
    }

    /// Some key of more than seven bytes.
    @inlinable public static var other: JSONKey { JSONKey(packed: .max) }

    /// The byte of a key of one byte; 0, which no key begins with, where it is longer.
    @inlinable @inline(__always) public var single: UInt8 {
        packed < 256 ? UInt8(truncatingIfNeeded: packed) : 0
    }
}

extension JSONCursor {
    /// A key and the colon behind it; the cursor then stands at the value. Escapes are resolved.
    @inlinable @inline(__always) public mutating func readKey() throws(ScanError) -> JSONKey {
        let letter = takeLetterKey()
        guard letter != 0 else { return try readAnyKey() }
        skipSpace()
        return JSONKey(packed: UInt64(letter))
    }

    /// The usual, `"k":`, where `k` is a letter or the like; 0, and nothing taken, where another key stands.
    @inlinable @inline(__always) mutating func takeLetterKey() -> UInt8 {
        let word = Word.load(at)
        let letter = UInt8(truncatingIfNeeded: word &>> 8)
        guard word & 0xFFFF_00FF == 0x3A22_0022, at + 4 < end, letter &- 0x5D < 0x22 || letter &- 0x30 < 0x2B
        else { return 0 }
        at += 4
        return letter
    }

    @usableFromInline @inline(never)
    mutating func readAnyKey() throws(ScanError) -> JSONKey {
        let text = try readString()
        var key = JSONKey.other
        if text.hasEscapes {
            withUnsafeTemporaryAllocation(byteCount: 8, alignment: 8) { room in
                room.storeBytes(of: 0, as: UInt64.self)
                guard let count = text.unescape(into: room), count < 8 else { return }
                key = JSONKey(packed: Word.prefix(room.load(as: UInt64.self), count))
            }
        } else if text.count < 8 {
            key = JSONKey(packed: Word.prefix(Word.load(text.start), text.count))
        }
        skipSpace()
        try expect(UInt8(ascii: ":"))
        skipSpace()
        return key
    }
}
