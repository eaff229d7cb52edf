import MarketData

/// Eight bytes at a time in a general-purpose register ("SWAR"). The first byte in memory is the lowest of the word.
public enum Word {
    /// The byte in all eight places.
    @inlinable @inline(__always) static func splat(_ byte: UInt8) -> UInt64 {
        UInt64(byte) &* 0x0101_0101_0101_0101
    }

    /// The eight bytes from `at` on.
    @inlinable @inline(__always) public static func load(_ at: UnsafeRawPointer) -> UInt64 {
        UInt64(littleEndian: at.loadUnaligned(as: UInt64.self))
    }

    /// The lowest `count` (0…7) bytes of a word.
    @inlinable @inline(__always) public static func prefix(_ word: UInt64, _ count: Int) -> UInt64 {
        word & ((1 &<< UInt64(truncatingIfNeeded: count &* 8)) &- 1)
    }

    /// Bit 7 of each byte that ends or interrupts a string: quote, backslash, below 0x20. Exact for the first of
    /// them; borrows may mark others behind it.
    @inlinable @inline(__always) static func stringStops(_ word: UInt64) -> UInt64 {
        let quote = word ^ splat(0x22)
        let backslash = word ^ splat(0x5C)
        let stops =
            ((quote &- splat(1)) & ~quote) | ((backslash &- splat(1)) & ~backslash)
            | ((word &- splat(0x20)) & ~word)
        return stops & splat(0x80)
    }

    /// How many of the eight bytes are digits before the first that is none, where `word` was xor-ed with
    /// ``zeroDigits``.
    @inlinable @inline(__always) static func digitCount(_ word: UInt64) -> Int {
        // 0x0A + 0x76 = 0x80; a carry only spoils bytes behind the first non-digit.
        let others = ((word &+ splat(0x76)) | word) & splat(0x80)
        return others.trailingZeroBitCount &>> 3
    }

    /// Eight times the character 0.
    @inlinable @inline(__always) static var zeroDigits: UInt64 { 0x3030_3030_3030_3030 }

    /// The value of eight bytes of 0…9, the first of the highest weight: pairs, then fours, then eight in parallel.
    @inlinable @inline(__always) static func value(_ digits: UInt64) -> UInt64 {
        let pairs = (digits &* 10) &+ (digits &>> 8)
        let mask: UInt64 = 0x0000_00FF_0000_00FF
        let high = (pairs & mask) &* 0x000F_4240_0000_0064
        let low = ((pairs &>> 16) & mask) &* 0x0000_2710_0000_0001
        return (high &+ low) &>> 32
    }

    /// The value of the first `count` (1…8) of eight bytes of 0…9.
    @inlinable @inline(__always) static func value(_ digits: UInt64, count: Int) -> UInt64 {
        value(digits &<< UInt64(truncatingIfNeeded: (8 &- count) &* 8))
    }

    /// Whether two stretches are the same. Up to seven bytes past either end are read, and not compared.
    @inlinable @inline(__always) public static func areEqual(
        _ left: UnsafeRawPointer, _ right: UnsafeRawPointer, count: Int
    ) -> Bool {
        var index = 0
        while index &+ 8 <= count {
            if load(left + index) != load(right + index) { return false }
            index &+= 8
        }
        return prefix(load(left + index) ^ load(right + index), count &- index) == 0
    }
}
