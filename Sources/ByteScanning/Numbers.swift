import MarketData

extension JSONCursor {
    /// An integer: digits with perhaps a minus, no leading zeros, within ±(2^63 - 1), since -2^63 stands for absence.
    /// Something must follow: a number that touches the text's end is malformed, because what stands there may be
    /// more of its digits.
    @inlinable public mutating func readInteger() throws(ScanError) -> Int64 {
        let isNegative = byte == UInt8(ascii: "-")
        let first = isNegative ? at + 1 : at
        let (value, count) = JSONCursor.digits(first)
        guard count > 0 else { throw isValueStart && !isNegative ? .wrongType : .malformed }
        guard first + count < end else {
            at = end
            throw .malformed
        }
        guard count == 1 || first.load(as: UInt8.self) != UInt8(ascii: "0") else { throw .malformed }
        // 19 digits do not wrap an unsigned word; more are counted as 20.
        guard count < 20, value <= UInt64(Int64.max) else { throw .integer }
        at = first + count
        // What is neither space nor punctuation was part of a number that is no integer.
        let next = byte
        guard next != UInt8(ascii: "."), next | 0x20 != UInt8(ascii: "e") else { throw .wrongType }
        return isNegative ? Int64(truncatingIfNeeded: 0 &- value) : Int64(truncatingIfNeeded: value)
    }

    /// The digits from `at` on: their value, and how many (up to 19; 20 stands for more). Reads up to 32 bytes.
    @inlinable @inline(__always)
    static func digits(_ at: UnsafeRawPointer) -> (value: UInt64, count: Int) {
        let first = Word.load(at) ^ Word.zeroDigits
        let firstCount = Word.digitCount(first)
        if firstCount < 8 {
            return (firstCount == 0 ? 0 : Word.value(first, count: firstCount), firstCount)
        }
        let second = Word.load(at + 8) ^ Word.zeroDigits
        let secondCount = Word.digitCount(second)
        let high = Word.value(first)
        if secondCount < 8 {
            guard secondCount > 0 else { return (high, 8) }
            return (
                high &* PowerOfTen.value(secondCount) &+ Word.value(second, count: secondCount),
                8 &+ secondCount
            )
        }
        let third = Word.load(at + 16) ^ Word.zeroDigits
        let thirdCount = Word.digitCount(third)
        let sixteen = high &* 100_000_000 &+ Word.value(second)
        guard thirdCount > 0 else { return (sixteen, 16) }
        guard thirdCount < 4 else { return (0, 20) }
        return (
            sixteen &* PowerOfTen.value(thirdCount) &+ Word.value(third, count: thirdCount), 16 &+ thirdCount
        )
    }

    /// A decimal, written as a string (`"0.00100000"`) or as a number (`0.001`), exactly as it is written. As with
    /// ``readInteger()``, something must follow a number.
    @inlinable public mutating func readDecimal() throws(ScanError) -> Decimal {
        let first = byte
        if first == UInt8(ascii: "\"") {
            at += 1
            let value = try readDecimalText()
            guard byte == UInt8(ascii: "\"") else { throw at < end ? .decimal : .malformed }
            at += 1
            return value
        }
        guard first == UInt8(ascii: "-") || first &- 0x30 < 10 else {
            throw isValueStart ? .wrongType : .malformed
        }
        let value = try readDecimalText()
        let next = byte
        guard next | 0x20 != UInt8(ascii: "e"), next != UInt8(ascii: "."), next &- 0x30 >= 10 else {
            throw .decimal
        }
        return value
    }

    /// The decimal from here on; the cursor then stands behind its last digit. Stops where there is none.
    @inlinable @inline(__always)
    mutating func readDecimalText() throws(ScanError) -> Decimal {
        let isNegative = at.load(as: UInt8.self) == UInt8(ascii: "-")
        let first = isNegative ? at + 1 : at
        let (whole, wholeCount) = JSONCursor.digits(first)
        let point = first + wholeCount
        var value = whole
        var scale = 0
        var last = point
        if point.load(as: UInt8.self) == UInt8(ascii: ".") {
            let (fraction, fractionCount) = JSONCursor.digits(point + 1)
            guard fractionCount > 0 else { return try failDecimal() }
            scale = fractionCount
            last = point + 1 + fractionCount
            if wholeCount &+ fractionCount < 20 {
                value = whole &* PowerOfTen.value(fractionCount) &+ fraction
            }
        }
        guard wholeCount &+ scale < 20, last < end else { return try readLongDecimal() }
        guard wholeCount == 1 || (wholeCount > 1 && first.load(as: UInt8.self) != UInt8(ascii: "0")) else {
            return try failDecimal()
        }
        at = last
        return Decimal(magnitude: value, scale: scale, isNegative: isNegative)
    }

    @usableFromInline @inline(never)
    mutating func failDecimal() throws(ScanError) -> Decimal { throw .decimal }

    /// As ``readDecimalText()``, digit by digit: for those of many digits and for those at the text's end.
    @usableFromInline @inline(never)
    mutating func readLongDecimal() throws(ScanError) -> Decimal {
        let isNegative = byte == UInt8(ascii: "-")
        var next = isNegative ? at + 1 : at
        let first = next
        var magnitude: UInt128 = 0
        var point: UnsafeRawPointer?
        while next < end {
            let digit = next.load(as: UInt8.self) &- 0x30
            if digit < 10 {
                guard magnitude >> 112 == 0 else { throw .decimal }
                magnitude = magnitude * 10 + UInt128(digit)
            } else if digit == UInt8(ascii: ".") &- 0x30, point == nil {
                point = next
            } else {
                break
            }
            next += 1
        }
        guard next < end else {
            at = end
            throw .malformed
        }
        let wholeCount = (point ?? next) - first
        guard wholeCount == 1 || (wholeCount > 1 && first.load(as: UInt8.self) != UInt8(ascii: "0")) else {
            throw .decimal
        }
        var scale = 0
        if let point {
            scale = next - point - 1
            guard scale > 0 else { throw .decimal }
        }
        guard let value = Decimal(wideMagnitude: magnitude, scale: scale, isNegative: isNegative) else {
            throw .decimal
        }
        at = next
        return value
    }
}
