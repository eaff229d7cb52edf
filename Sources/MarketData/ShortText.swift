/// A word of the exchange's as it was sent, within a fixed-size event: up to 24 letters, digits, `_` and `-`. All bits
/// zero is *absent*.
@frozen public struct ShortText: BitwiseCopyable, Sendable, Hashable {
    /// The bytes, the first one the lowest of the first word; 0 behind the last.
    public var first: UInt64 = 0
    /// Bytes 8…15.
    public var second: UInt64 = 0
    /// Bytes 16…23.
    public var third: UInt64 = 0

    /// The longest word that fits, bytes.
    @inlinable public static var lengthMax: Int { 24 }

    /// Absent.
    @inlinable public init() {}

    /// Those bytes; nil where they are too many, or others than letters, digits, `_` and `-`.
    @inlinable public init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count <= ShortText.lengthMax else { return nil }
        for index in 0..<bytes.count {
            let byte = bytes[index]
            guard byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 || byte == 0x5F || byte == 0x2D else {
                return nil
            }
            let bits = UInt64(byte) &<< UInt64(truncatingIfNeeded: (index & 7) &* 8)
            if index < 8 { first |= bits } else if index < 16 { second |= bits } else { third |= bits }
        }
    }

    /// Whether there is a word.
    @inlinable public var isPresent: Bool { first != 0 }

    /// Bytes of the word.
    @inlinable public var count: Int {
        if third != 0 { return 24 &- third.leadingZeroBitCount &>> 3 }
        if second != 0 { return 16 &- second.leadingZeroBitCount &>> 3 }
        return 8 &- first.leadingZeroBitCount &>> 3
    }

    /// Writes the word and returns its length. `out` has room for ``lengthMax`` bytes, and may be written up to there.
    @inlinable public func write(to out: UnsafeMutablePointer<UInt8>) -> Int {
        let raw = UnsafeMutableRawPointer(out)
        raw.storeBytes(of: first.littleEndian, as: UInt64.self)
        raw.storeBytes(of: second.littleEndian, toByteOffset: 8, as: UInt64.self)
        raw.storeBytes(of: third.littleEndian, toByteOffset: 16, as: UInt64.self)
        return count
    }
}

extension ShortText: CustomStringConvertible {
    /// The word; empty where absent.
    public var description: String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: ShortText.lengthMax) { bytes in
            guard let base = bytes.baseAddress else { return "" }
            return String(decoding: bytes[..<write(to: base)], as: UTF8.self)
        }
    }
}
