import MarketData

/// Writes times as integers: most are of the second that the one before was of, whose ten digits are kept.
struct TimeText: BitwiseCopyable {
    /// Least time that has nineteen digits, ns since the epoch: of 2001.
    private static var least: Int64 { 1_000_000_000_000_000_000 }
    private static var second: UInt64 { 1_000_000_000 }

    private var kept: UInt64 = .max
    private var firstDigits: UInt64 = 0
    private var lastDigits: UInt16 = 0

    /// hot: writes a time and returns the length; as ``DigitWriter/write(_:to:)-(Int64,_)``.
    @inline(__always)
    mutating func write(_ time: Int64, to out: UnsafeMutablePointer<UInt8>) -> Int {
        guard time >= TimeText.least else { return DigitWriter.write(time, to: out) }
        let nanos = UInt64(bitPattern: time)
        let second = nanos / TimeText.second
        if second != kept { keep(second) }
        let raw = UnsafeMutableRawPointer(out)
        raw.storeBytes(of: firstDigits, as: UInt64.self)
        (raw + 8).storeBytes(of: lastDigits, as: UInt16.self)
        DigitWriter.write(nanos &- second &* TimeText.second, digits: 9, to: out + 10)
        return 19
    }

    @inline(never)
    private mutating func keep(_ second: UInt64) {
        withUnsafeTemporaryAllocation(byteCount: 16 + DigitWriter.slack, alignment: 8) { room in
            guard let base = room.baseAddress else { return }
            DigitWriter.write(second, digits: 10, to: base.assumingMemoryBound(to: UInt8.self))
            firstDigits = base.load(as: UInt64.self)
            lastDigits = base.load(fromByteOffset: 8, as: UInt16.self)
            kept = second
        }
    }
}
