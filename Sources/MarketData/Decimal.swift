/// An exact decimal number that remembers how it was written: `0.00100000` keeps its eight fraction digits.
///
/// Sixteen bytes: a magnitude of up to 112 bits (33 digits whatever they are, against the 22 that the largest 24-hour
/// volume seen needs), the number of fraction digits, a sign, and whether there is a value at all. All bits zero is
/// *absent*: a field that the exchange did not send.
@frozen public struct Decimal: BitwiseCopyable, Sendable, Hashable {
    /// Bits 0–63 of the magnitude.
    public var low: UInt64
    /// Bits 0–47: bits 64–111 of the magnitude; 48–55: fraction digits; 56: present; 57: negative.
    public var high: UInt64

    @usableFromInline static var presentBit: UInt64 { 1 << 56 }
    @usableFromInline static var negativeBit: UInt64 { 1 << 57 }
    @usableFromInline static var magnitudeHighMask: UInt64 { (1 << 48) - 1 }

    /// Room that ``write(to:)`` needs: sign, 41 digits, point, and the slack of ``DigitWriter``.
    @inlinable public static var textLengthMax: Int { 56 }
    /// More fraction digits than this are not representable.
    @inlinable public static var scaleMax: Int { 40 }

    /// An absent value.
    @inlinable public init() {
        low = 0
        high = 0
    }

    /// A value whose magnitude fits 64 bits. `scale`: fraction digits, 0…40.
    @inlinable public init(magnitude: UInt64, scale: Int, isNegative: Bool = false) {
        low = magnitude
        high =
            UInt64(truncatingIfNeeded: scale) << 48 | Decimal.presentBit
            | (isNegative ? Decimal.negativeBit : 0)
    }

    /// A value of up to 112 bits; nil where it does not fit.
    @inlinable public init?(wideMagnitude: UInt128, scale: Int, isNegative: Bool = false) {
        guard wideMagnitude >> 112 == 0, scale <= Decimal.scaleMax else { return nil }
        self.init(
            magnitude: UInt64(truncatingIfNeeded: wideMagnitude), scale: scale, isNegative: isNegative)
        high |= UInt64(truncatingIfNeeded: wideMagnitude >> 64)
    }

    /// Whether the exchange sent the field.
    @inlinable public var isPresent: Bool { high & Decimal.presentBit != 0 }
    /// The sign as written: `-0.00` is negative.
    @inlinable public var isNegative: Bool { high & Decimal.negativeBit != 0 }
    /// Fraction digits as written.
    @inlinable public var scale: Int { Int(truncatingIfNeeded: high >> 48 & 0xFF) }
    /// The digits without point and sign.
    @inlinable public var magnitude: UInt128 {
        UInt128(high & Decimal.magnitudeHighMask) << 64 | UInt128(low)
    }

    /// The number closest to it, for display only.
    public var approximation: Double {
        var value = Double(magnitude)
        for _ in 0..<scale { value /= 10 }
        return isNegative ? -value : value
    }
}

extension Decimal {
    /// Writes the text exactly as the exchange wrote it and returns its length. `to` has room for ``textLengthMax``
    /// bytes, and may be written up to there. Nothing is written for an absent value.
    @inlinable public func write(to out: UnsafeMutablePointer<UInt8>) -> Int {
        guard isPresent else { return 0 }
        var at = out
        if isNegative {
            at.pointee = UInt8(ascii: "-")
            at += 1
        }
        let scale = scale
        if high & Decimal.magnitudeHighMask == 0, scale < 20 {
            at += DigitWriter.write(low, fractionDigits: scale, to: at)
        } else {
            at += writeWide(scale: scale, to: at)
        }
        return at - out
    }

    @usableFromInline @inline(never)
    func writeWide(scale: Int, to out: UnsafeMutablePointer<UInt8>) -> Int {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Decimal.textLengthMax) { digits in
            var rest = magnitude
            var count = 0
            while rest > 0 || count <= scale {
                let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
                digits[count] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: digit)
                rest = quotient
                count += 1
            }
            var length = 0
            while count > 0 {
                if count == scale, length > 0 {
                    out[length] = UInt8(ascii: ".")
                    length += 1
                }
                count -= 1
                out[length] = digits[count]
                length += 1
            }
            return length
        }
    }
}

extension Decimal: CustomStringConvertible {
    /// The text as the exchange wrote it; empty where absent.
    public var description: String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Decimal.textLengthMax) { bytes in
            guard let base = bytes.baseAddress else { return "" }
            return String(decoding: bytes[..<write(to: base)], as: UTF8.self)
        }
    }
}
