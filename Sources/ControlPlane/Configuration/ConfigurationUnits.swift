/// Readings of durations and sizes.
enum ConfigurationUnits {
    /// `250us`, `1ms`, `2s`, `5m`, `1h`, `100ns`, or `0`, in ns; nil for anything else.
    static func duration(_ text: String) -> Int64? {
        if text == "0" { return 0 }
        return scaled(
            text,
            units: [
                ("ns", 1), ("us", 1_000), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000),
                ("m", 60_000_000_000),
                ("h", 3_600_000_000_000),
            ])
    }

    /// `65536`, `64KiB`, `1MiB`, `2GiB`, in bytes; nil for anything else.
    static func bytes(_ text: String) -> Int? {
        if let plain = number(text[...]) { return Int(plain) }
        return scaled(text, units: [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)]).map {
            Int($0)
        }
    }

    /// A whole number in digits, with `_` between them allowed.
    static func number(_ text: Substring) -> Int64? {
        guard let first = text.utf8.first, first != UInt8(ascii: "_"), text.utf8.last != UInt8(ascii: "_")
        else {
            return nil
        }
        let digits = text.utf8.dropFirst(first == UInt8(ascii: "-") ? 1 : 0)
        guard !digits.isEmpty, digits.allSatisfy({ (48...57).contains($0) || $0 == UInt8(ascii: "_") }) else {
            return nil
        }
        return Int64(text.filter { $0 != "_" })
    }

    private static func scaled(_ text: String, units: [(String, Int64)]) -> Int64? {
        // Longest unit first, so that "ms" is not read as "s".
        for (unit, scale) in units.sorted(by: { $0.0.count > $1.0.count }) where text.hasSuffix(unit) {
            var digits = text.dropLast(unit.count)
            while digits.last == " " { digits.removeLast() }
            guard let value = number(digits), value >= 0 else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: scale)
            return overflow ? nil : product
        }
        return nil
    }

    /// For messages: 65536 → `64KiB`, 1000000 → `1000000`.
    static func text(bytes: Int) -> String {
        for (unit, scale) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        where bytes >= scale && bytes % scale == 0 {
            return "\(bytes / scale)\(unit)"
        }
        return "\(bytes)"
    }

    /// For messages: 1000000 → `1ms`.
    static func text(nanos: Int64) -> String {
        for (unit, scale) in [
            ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000),
            ("us", 1_000),
        ] as [(String, Int64)]
        where nanos >= scale && nanos % scale == 0 {
            return "\(nanos / scale)\(unit)"
        }
        return nanos == 0 ? "0" : "\(nanos)ns"
    }
}
