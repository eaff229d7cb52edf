import MarketData

/// Tells events of one time apart by everything in them: 64 bits of all their figures. Two different ones have the same
/// with a chance of 1 in 2^64, and only 32 of one stream are ever compared.
@usableFromInline enum EventDigest {
    /// `body`: the event's figures behind its header, which are whole words without padding.
    @usableFromInline @inline(never)
    static func digest(_ body: UnsafeRawPointer, words: Int, last: Bool = false) -> Int64 {
        // Two chains, so that one multiplication need not wait for the other.
        var even: UInt64 = last ? 1 : 0
        var odd: UInt64 = 0x9E37_79B9_7F4A_7C15
        var index = 0
        while index &+ 1 < words {
            even = mix(even, body.load(fromByteOffset: index &* 8, as: UInt64.self))
            odd = mix(odd, body.load(fromByteOffset: index &* 8 &+ 8, as: UInt64.self))
            index &+= 2
        }
        if index < words { even = mix(even, body.load(fromByteOffset: index &* 8, as: UInt64.self)) }
        return Int64(bitPattern: mix(even, odd))
    }

    @inline(__always)
    private static func mix(_ state: UInt64, _ word: UInt64) -> UInt64 {
        let product = (state ^ word) &* 0xFF51_AFD7_ED55_8CCD
        return product ^ product &>> 32
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
