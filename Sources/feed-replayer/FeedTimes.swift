/// Reads the times that recordings carry.
enum FeedTimes {
    /// Nanoseconds since the epoch of a time in ns, µs, ms or s, told apart by its size; a fraction is read exactly.
    /// nil where the text is no time.
    static func read(_ text: UnsafeRawBufferPointer) -> Int64? {
        var whole: Int64 = 0
        var fraction: Int64 = 0
        var fractionDigits = 0
        var hasPoint = false
        for byte in text {
            if byte == UInt8(ascii: "."), !hasPoint {
                hasPoint = true
                continue
            }
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            let digit = Int64(byte - UInt8(ascii: "0"))
            if hasPoint {
                guard fractionDigits < 9 else { continue }
                fraction = fraction * 10 + digit
                fractionDigits += 1
            } else {
                guard whole < Int64.max / 10 else { return nil }
                whole = whole * 10 + digit
            }
        }
        guard text.count > (hasPoint ? 1 : 0) else { return nil }
        // A time of this century has 10 digits in seconds, 13 in ms, 16 in µs and 19 in ns; 9·10^18 ns is in 2255.
        let unit: Int64 =
            switch whole {
            case ..<9_000_000_000: 1_000_000_000
            case ..<9_000_000_000_000: 1_000_000
            case ..<9_000_000_000_000_000: 1_000
            default: 1
            }
        var part = fraction * unit
        for _ in 0..<fractionDigits { part /= 10 }
        return whole * unit + part
    }

    /// The path of the sidecar that `feed` would have, without `.zst`.
    static func sidecar(of feed: String) -> String {
        var name = feed[...]
        if name.hasSuffix(".zst") { name = name.dropLast(4) }
        if let point = name.lastIndex(of: "."), name[point...].firstIndex(of: "/") == nil {
            name = name[..<point]
        }
        return name + ".recv"
    }
}
