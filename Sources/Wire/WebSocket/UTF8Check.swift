/// Whether bytes that come piece by piece are UTF-8 (RFC 3629): told at the first byte that cannot be, not at the end.
struct UTF8Check {
    /// Bytes that the character under way still needs.
    private var due = 0
    /// The range that the next of them must be in.
    private var lowest: UInt8 = 0x80
    private var highest: UInt8 = 0xBF

    /// Whether the bytes so far end with a character's last byte.
    var isComplete: Bool { due == 0 }

    /// False where no bytes behind these could make them UTF-8.
    mutating func take(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        var index = 0
        while index < count {
            let byte = bytes[index]
            if due > 0 {
                guard byte >= lowest, byte <= highest else { return false }
                due &-= 1
                lowest = 0x80
                highest = 0xBF
                index &+= 1
            } else if byte < 0x80 {
                index &+= 1
                while index &+ 8 <= count, UTF8Check.word(bytes + index) & UTF8Check.highBits == 0 {
                    index &+= 8
                }
            } else {
                guard begin(byte) else { return false }
                index &+= 1
            }
        }
        return true
    }

    /// A character's first byte of two, three or four: overlong forms, surrogates and all beyond U+10FFFF show in the
    /// second byte.
    private mutating func begin(_ byte: UInt8) -> Bool {
        switch byte {
        case 0xC2...0xDF: due = 1
        case 0xE0: (due, lowest) = (2, 0xA0)
        case 0xED: (due, highest) = (2, 0x9F)
        case 0xE1...0xEF: due = 2
        case 0xF0: (due, lowest) = (3, 0x90)
        case 0xF1...0xF3: due = 3
        case 0xF4: (due, highest) = (3, 0x8F)
        default: return false
        }
        return true
    }

    /// Whether these bytes are UTF-8 on their own.
    static func isValid(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        var check = UTF8Check()
        return check.take(bytes, count) && check.isComplete
    }

    private static var highBits: UInt64 { 0x8080_8080_8080_8080 }

    @inline(__always)
    private static func word(_ bytes: UnsafePointer<UInt8>) -> UInt64 {
        UnsafeRawPointer(bytes).loadUnaligned(as: UInt64.self)
    }

    /// hot: whether all bytes are ASCII, 64 at a time. Nothing behind the last byte is looked at: the last vector
    /// overlaps the one before.
    @inline(__always)
    static func isASCII(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        let raw = UnsafeRawPointer(bytes)
        if count >= 16 {
            var seen = SIMD2<UInt64>()
            var offset = 0
            while offset &+ 64 <= count {
                let first = (raw + offset).loadUnaligned(as: SIMD2<UInt64>.self)
                let second = (raw + (offset &+ 16)).loadUnaligned(as: SIMD2<UInt64>.self)
                let third = (raw + (offset &+ 32)).loadUnaligned(as: SIMD2<UInt64>.self)
                let fourth = (raw + (offset &+ 48)).loadUnaligned(as: SIMD2<UInt64>.self)
                seen |= first | second | third | fourth
                offset &+= 64
            }
            while offset &+ 16 <= count {
                seen |= (raw + offset).loadUnaligned(as: SIMD2<UInt64>.self)
                offset &+= 16
            }
            seen |= (raw + (count &- 16)).loadUnaligned(as: SIMD2<UInt64>.self)
            return (seen.x | seen.y) & highBits == 0
        }
        if count >= 8 { return (word(bytes) | word(bytes + (count &- 8))) & highBits == 0 }
        var seen: UInt8 = 0
        for index in 0..<count { seen |= bytes[index] }
        return seen < 0x80
    }
}
