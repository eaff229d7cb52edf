/// Writes integers as decimal digits without allocating.
public enum DigitWriter {
    /// How far behind the last digit a call may write: buffers need that much slack.
    @inlinable public static var slack: Int { 8 }

    /// The eight ASCII digits of a value below 10^8, the most significant in the lowest byte. Splits 8 digits into
    /// 4 + 4, 2 + 2 and 1 + 1 in parallel; 10486 / 2^20 and 103 / 2^10 are exact reciprocals of 100 and 10 in range.
    @inlinable @inline(__always) static func eightDigits(_ value: UInt32) -> UInt64 {
        let upper = value / 10_000
        var lanes = UInt64(upper) | UInt64(value &- upper &* 10_000) << 32
        let hundreds = (lanes &* 10_486) >> 20 & 0x0000_007F_0000_007F
        lanes = hundreds | (lanes &- hundreds &* 100) << 16
        let tens = (lanes &* 103) >> 10 & 0x000F_000F_000F_000F
        return (tens | (lanes &- tens &* 10) << 8) | 0x3030_3030_3030_3030
    }

    /// Digits that `value` has.
    @inlinable public static func count(_ value: UInt64) -> Int {
        if value < 10 { return 1 }
        // 1233 / 4096 is just above log10(2): the estimate is exact or one too high by a comparison.
        let estimate = ((64 &- value.leadingZeroBitCount) &* 1233) >> 12
        return value >= PowerOfTen.value(estimate) ? estimate &+ 1 : estimate
    }

    /// Writes `value` in exactly `count` digits (1…20), with leading zeros, most significant first.
    @inlinable public static func write(
        _ value: UInt64, digits count: Int, to out: UnsafeMutablePointer<UInt8>
    ) {
        let raw = UnsafeMutableRawPointer(out)
        guard count > 8 else {
            raw.storeBytes(of: lastDigits(value, count), as: UInt64.self)
            return
        }
        let upper = value / 100_000_000
        let lower = eightDigits(UInt32(truncatingIfNeeded: value &- upper &* 100_000_000))
        if count > 16 {
            let first = upper / 100_000_000
            let second = eightDigits(UInt32(truncatingIfNeeded: upper &- first &* 100_000_000))
            raw.storeBytes(of: lastDigits(first, count &- 16), as: UInt64.self)
            (raw + (count &- 16)).storeBytes(of: second, as: UInt64.self)
        } else {
            raw.storeBytes(of: lastDigits(upper, count &- 8), as: UInt64.self)
        }
        (raw + (count &- 8)).storeBytes(of: lower, as: UInt64.self)
    }

    /// The last 1…8 digits of a value below 10^8, the most significant in the lowest byte.
    @inlinable @inline(__always) static func lastDigits(_ value: UInt64, _ count: Int) -> UInt64 {
        eightDigits(UInt32(truncatingIfNeeded: value)) >> UInt64(truncatingIfNeeded: (8 &- count) &* 8)
    }

    /// Writes `value` and returns the length, at most 20.
    @inlinable @discardableResult
    public static func write(_ value: UInt64, to out: UnsafeMutablePointer<UInt8>) -> Int {
        let count = count(value)
        write(value, digits: count, to: out)
        return count
    }

    /// Writes `value` with its sign and returns the length, at most 20.
    @inlinable @discardableResult
    public static func write(_ value: Int64, to out: UnsafeMutablePointer<UInt8>) -> Int {
        guard value < 0 else { return write(UInt64(bitPattern: value), to: out) }
        out.pointee = UInt8(ascii: "-")
        return 1 &+ write(value.magnitude, to: out + 1)
    }

    /// How far behind the last digit ``write(_:fractionDigits:to:)`` may write.
    @inlinable public static var fractionSlack: Int { 16 }

    /// Writes `value` with a point before its last `fractionDigits` digits, at most 19, and returns the length. Buffers
    /// need ``fractionSlack``.
    @inlinable public static func write(
        _ value: UInt64, fractionDigits: Int, to out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let digits = max(count(value), fractionDigits &+ 1)
        guard fractionDigits > 0 else {
            write(value, digits: digits, to: out)
            return digits
        }
        let whole = digits &- fractionDigits
        guard digits <= 16 else {
            // Written one place to the right, the whole part is then moved over the gap.
            write(value, digits: digits, to: out + 1)
            for index in 0..<whole { out[index] = out[index &+ 1] }
            out[whole] = UInt8(ascii: ".")
            return digits &+ 1
        }
        // All sixteen digits stand in one register, from where both parts go to their places: numbers differ in length,
        // and a loop over them would end where no branch predictor expects it.
        let upper = value / 100_000_000
        let lower = value &- upper &* 100_000_000
        let all =
            UInt128(eightDigits(UInt32(truncatingIfNeeded: lower))) &<< 64
            | UInt128(eightDigits(UInt32(truncatingIfNeeded: upper)))
        let text = all &>> UInt128(truncatingIfNeeded: (16 &- digits) &* 8)
        let raw = UnsafeMutableRawPointer(out)
        raw.storeBytes(of: text, as: UInt128.self)
        out[whole] = UInt8(ascii: ".")
        (raw + (whole &+ 1)).storeBytes(
            of: text &>> UInt128(truncatingIfNeeded: whole &* 8), as: UInt128.self)
        return digits &+ 1
    }
}
