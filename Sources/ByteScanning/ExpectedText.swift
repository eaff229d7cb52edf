import CDigits
import MarketData

/// Up to eight bytes that are expected to stand somewhere.
@frozen public struct Literal: BitwiseCopyable {
    @usableFromInline let word: UInt64
    @usableFromInline let mask: UInt64
    @usableFromInline let count: Int

    /// One to eight bytes; more are left off.
    @inlinable @inline(__always) public init(_ text: StaticString) {
        count = min(8, text.utf8CodeUnitCount)
        var word: UInt64 = 0
        for index in 0..<count { word |= UInt64(text.utf8Start[index]) &<< UInt64(index &* 8) }
        self.word = word
        mask = count == 8 ? .max : (1 &<< UInt64(count &* 8)) &- 1
    }
}

/// JSON text that is expected to be written in one known way, without white space, in a known order of keys: it is
/// compared rather than scanned.
///
/// Whatever is taken is what ``JSONCursor`` would have read there; where anything is not as expected the answer is
/// false (or absence), and the text must be read anew with a cursor. As there, ``JSONCursor/slack`` bytes behind the
/// end must be mapped, and here as many before the beginning. Nothing is believed before ``isAtEnd``, or a cursor, has said that the end was not crossed.
@frozen public struct ExpectedText: BitwiseCopyable {
    // Nothing that is not in line takes one by reference: then all of it stays in registers.

    /// The next byte.
    @inlinable @inline(__always) public var at: UnsafeRawPointer { next }
    @usableFromInline var next: UnsafeRawPointer
    /// Behind the last byte.
    public let end: UnsafeRawPointer
    /// Which bytes from `at` on are known to be no digits: of bytes that were not surveyed nothing is.
    @usableFromInline var others: UInt64 = 0

    /// Text from `at` up to `end`.
    @inlinable @inline(__always) public init(at: UnsafeRawPointer, end: UnsafeRawPointer) {
        next = at
        self.end = end
    }

    /// Looks where the numbers are in the next 64 bytes, all at once: before ``takeInteger(_:)`` and ``takeDecimal(_:)``,
    /// which read what was not surveyed too, only far more slowly. Always true, so that it can stand in a condition.
    @inlinable @inline(__always) public mutating func survey() -> Bool {
        guard at < end else { return true }
        others = cdg_survey(bytes)
        return true
    }

    /// So many bytes (fewer than 64) that were looked at in another way.
    @inlinable @inline(__always) public mutating func skip(_ count: Int) {
        next += count
        others &>>= UInt64(truncatingIfNeeded: count)
    }

    /// Whether all of the text was taken, and nothing else.
    @inlinable @inline(__always) public var isAtEnd: Bool { at == end }

    /// These bytes.
    @inlinable @inline(__always) public mutating func take(_ literal: Literal) -> Bool {
        let differs = (Word.load(at) ^ literal.word) & literal.mask
        skip(literal.count)
        return differs == 0
    }

    /// `true` or `false`. Without a branch, because which of them comes cannot be predicted.
    @inlinable @inline(__always) public mutating func takeBool(_ value: inout Bool) -> Bool {
        let word = Word.load(at)
        // Bit 4 tells t (0x74) from f (0x66).
        let isTrue = (word &>> 4) & 1
        let select = 0 &- isTrue
        let expected: UInt64 = 0x65_736C_6166 ^ ((0x65_736C_6166 ^ 0x6575_7274) & select)
        let mask: UInt64 = 0xFF_FFFF_FFFF ^ (0xFF_0000_0000 & select)
        skip(5 &- Int(truncatingIfNeeded: isTrue))
        value = isTrue != 0
        return (word ^ expected) & mask == 0
    }

    /// A time of 13 digits (milliseconds from 2001 to 2286), or of 16 (microseconds). The following literal must
    /// begin with no digit.
    @inlinable @inline(__always) public mutating func takeTime(isLong: Bool, _ value: inout Int64) -> Bool {
        guard at < end else { return false }
        // Not a length that is chosen: each is then known where the digits are read.
        let number = isLong ? cdg_fixed(bytes, 16) : cdg_fixed(bytes, 13)
        value = Int64(truncatingIfNeeded: number.value)
        skip(isLong ? 16 : 13)
        return number.length != 0
    }

    @inlinable @inline(__always) var bytes: UnsafePointer<UInt8> { at.assumingMemoryBound(to: UInt8.self) }

    /// An integer that was surveyed. The following literal must begin with no digit.
    @inlinable @inline(__always) public mutating func takeInteger(_ value: inout Int64) -> Bool {
        guard at < end else { return false }
        return takeInteger(cdg_surveyed_integer(bytes, others), &value)
    }

    /// An integer that was not surveyed. The following literal must begin with no digit.
    @inlinable @inline(__always) public mutating func takeAloneInteger(_ value: inout Int64) -> Bool {
        guard at < end else { return false }
        return takeInteger(cdg_integer(bytes), &value)
    }

    @inlinable @inline(__always)
    mutating func takeInteger(_ number: cdg_number, _ value: inout Int64) -> Bool {
        guard number.length != 0 else {
            let (read, count) = ExpectedText.anyInteger(at, end)
            value = read
            passOver(count)
            return count != 0
        }
        value = Int64(truncatingIfNeeded: number.value)
        skip(Int(truncatingIfNeeded: number.length))
        return true
    }

    /// A decimal that was surveyed, within a string, from behind its opening quote up to its closing one, which must be what
    /// follows.
    @inlinable @inline(__always) public mutating func takeDecimal(_ value: inout Decimal) -> Bool {
        guard at < end else { return false }
        return takeDecimal(cdg_surveyed_decimal(bytes, others), &value)
    }

    /// As ``takeDecimal(_:)``, one that may be negative: without a branch, because half of them are.
    @inlinable @inline(__always) public mutating func takeSignedDecimal(_ value: inout Decimal) -> Bool {
        let start = self
        let isNegative = at.load(as: UInt8.self) == UInt8(ascii: "-")
        skip(isNegative ? 1 : 0)
        guard at < end else { return false }
        let number = cdg_surveyed_decimal(bytes, others)
        guard number.length != 0 else {
            self = start
            return takeDecimal(number, &value)
        }
        value = Decimal(
            magnitude: number.value, scale: Int(truncatingIfNeeded: number.scale), isNegative: isNegative)
        skip(Int(truncatingIfNeeded: number.length))
        return true
    }

    /// As ``takeDecimal(_:)``, one that was not surveyed, or may well have more than sixteen digits.
    @inlinable @inline(__always) public mutating func takeAloneDecimal(_ value: inout Decimal) -> Bool {
        guard at < end else { return false }
        return takeDecimal(cdg_decimal(bytes), &value)
    }

    @inlinable @inline(__always)
    mutating func takeDecimal(_ number: cdg_number, _ value: inout Decimal) -> Bool {
        guard number.length != 0 else {
            let (read, count) = ExpectedText.anyDecimal(at, end)
            value = read
            passOver(count)
            return count != 0
        }
        value = Decimal(magnitude: number.value, scale: Int(truncatingIfNeeded: number.scale))
        skip(Int(truncatingIfNeeded: number.length))
        return true
    }

    /// Any number of bytes.
    @inlinable @inline(__always) mutating func passOver(_ count: Int) {
        next += count
        others >>= UInt64(truncatingIfNeeded: count)
    }

    /// An integer however it is written, and its length; 0 where there is none.
    @usableFromInline @inline(never)
    static func anyInteger(_ at: UnsafeRawPointer, _ end: UnsafeRawPointer) -> (value: Int64, count: Int) {
        var cursor = JSONCursor(start: at, at: at, end: end)
        guard let read = try? cursor.readInteger() else { return (0, 0) }
        return (read, cursor.at - at)
    }

    /// A decimal however it is written, and its length; 0 where there is none.
    @usableFromInline @inline(never)
    static func anyDecimal(_ at: UnsafeRawPointer, _ end: UnsafeRawPointer) -> (value: Decimal, count: Int) {
        var cursor = JSONCursor(start: at, at: at, end: end)
        guard let read = try? cursor.readDecimalText() else { return (Decimal(), 0) }
        return (read, cursor.at - at)
    }

    /// A string from behind its opening quote up to its closing one, of no interest. No escapes.
    @inlinable @inline(__always) public mutating func skipText() -> Bool {
        var stop = at
        while stop < end {
            let stops = Word.stringStops(Word.load(stop))
            guard stops != 0 else {
                stop += 8
                continue
            }
            stop += stops.trailingZeroBitCount &>> 3
            passOver(stop - at)
            return at.load(as: UInt8.self) == UInt8(ascii: "\"")
        }
        return false
    }
}
