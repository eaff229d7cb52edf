import MarketData

/// Tells events of one time apart by everything in them: 64 bits of all their figures. Two different ones have the same
/// with a chance of 1 in 2^64, and only 32 of one stream are ever compared.
@usableFromInline enum EventDigest {
    /// `body`: the event's figures behind its header, which are whole words without padding.
    @usableFromInline @inline(never)
    static func digest(_ body: UnsafeRawPointer, words: Int, last: Bool = false) -> Int64 {
        // Two words at a time, each pair with keys of its own, so that no multiplication waits for another.
        var key: UInt64 = 0x9E37_79B9_7F4A_7C15
        var sum: UInt64 = 0
        var index = 0
        while index &+ 1 < words {
            let offset = index &* 8
            sum &+= folded(
                body.load(fromByteOffset: offset, as: UInt64.self) ^ key,
                body.load(fromByteOffset: offset &+ 8, as: UInt64.self) ^ (key &+ 0xC2B2_AE3D_27D4_EB4F))
            key &+= 0x9E37_79B9_7F4A_7C15
            index &+= 2
        }
        let rest = index < words ? body.load(fromByteOffset: index &* 8, as: UInt64.self) : 0
        sum &+= folded(rest ^ key, (last ? 1 : 0) ^ (key &+ 0xC2B2_AE3D_27D4_EB4F))
        return Int64(bitPattern: sum)
    }

    @inline(__always)
    private static func folded(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }

    /// Bytes of an event's header, behind which its figures begin.
    @inlinable static var begin: Int { MemoryLayout<EventHeader>.size }

    /// 5 integers, 8 decimals, and whether it is closed.
    @inlinable static func kline(_ event: UnsafeRawPointer) -> Int64 {
        digest(event + begin, words: 21, last: event.assumingMemoryBound(to: Kline.self).pointee.isClosed)
    }
    /// 5 integers, 15 decimals.
    @inlinable static func ticker(_ event: UnsafeRawPointer) -> Int64 { digest(event + begin, words: 35) }
    /// 6 decimals.
    @inlinable static func miniTicker(_ event: UnsafeRawPointer) -> Int64 { digest(event + begin, words: 12) }
    /// 2 integers, a decimal.
    @inlinable static func averagePrice(_ event: UnsafeRawPointer) -> Int64 {
        digest(event + begin, words: 4)
    }
    /// An integer, 5 decimals.
    @inlinable static func markPrice(_ event: UnsafeRawPointer) -> Int64 { digest(event + begin, words: 11) }
}
