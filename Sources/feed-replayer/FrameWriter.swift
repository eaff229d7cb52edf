import Glibc
import MarketData

/// Puts a frame's text together in memory that is large enough for any of them.
struct FrameWriter {
    /// More than the longest synthesised frame needs.
    static let capacity = 4096
    var at: UnsafeMutablePointer<UInt8>
    /// Fraction digits of every decimal; nil: as many as it has.
    var fractionDigits: Int?
    /// The market's time in µs since the epoch where times are told in µs, else 0: they are told in ms.
    var micros: Int64 = 0

    @inline(__always)
    mutating func put(_ text: StaticString) {
        memcpy(at, text.utf8Start, text.utf8CodeUnitCount)
        at += text.utf8CodeUnitCount
    }

    @inline(__always)
    mutating func put(_ bytes: UnsafeRawBufferPointer) {
        guard let from = bytes.baseAddress else { return }
        memcpy(at, from, bytes.count)
        at += bytes.count
    }

    @inline(__always)
    mutating func put(_ number: Int64) { at += DigitWriter.write(number, to: at) }

    /// The market's time: `now` in ms, or the same in µs.
    @inline(__always)
    mutating func put(now: Int64) { put(micros == 0 ? now : micros) }

    /// Another time, given in ms.
    @inline(__always)
    mutating func put(millis: Int64) { put(micros == 0 ? millis : millis &* 1_000) }

    /// A decimal of `units` of 10^-digits.
    mutating func put(_ units: UInt64, digits: Int) {
        let one = PowerOfTen.value(digits)
        let (whole, part) = units.quotientAndRemainder(dividingBy: one)
        at += DigitWriter.write(whole, to: at)
        putFraction(part, digits: digits)
    }

    @inline(__always)
    private mutating func putFraction(_ part: UInt64, digits: Int) {
        let shown = fractionDigits ?? digits
        guard shown > 0 else { return }
        at.pointee = UInt8(ascii: ".")
        at += 1
        DigitWriter.write(part &* PowerOfTen.value(shown &- digits), digits: shown, to: at)
        at += shown
    }

    /// A value in thousandths, with three fraction digits.
    mutating func putThousandths(_ value: UInt64) {
        at += DigitWriter.write(value, fractionDigits: 3, to: at)
    }

    /// The same as ``put(_:digits:)`` for values that 64 bits may not hold.
    mutating func put(_ units: UInt128, digits: Int) {
        if units >> 64 == 0 { return put(UInt64(truncatingIfNeeded: units), digits: digits) }
        let one = UInt128(PowerOfTen.value(digits))
        let (whole, part) = units.quotientAndRemainder(dividingBy: one)
        let billions = UInt128(1_000_000_000_000_000_000)
        let (upper, lower) = whole.quotientAndRemainder(dividingBy: billions)
        if upper > 0 {
            at += DigitWriter.write(UInt64(truncatingIfNeeded: upper), to: at)
            DigitWriter.write(UInt64(truncatingIfNeeded: lower), digits: 18, to: at)
            at += 18
        } else {
            at += DigitWriter.write(UInt64(truncatingIfNeeded: lower), to: at)
        }
        putFraction(UInt64(truncatingIfNeeded: part), digits: digits)
    }
}
