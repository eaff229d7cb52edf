/// Figures for people, without Foundation and without a locale.
public enum HumanText {
    /// 1234567 → `1,234,567`.
    public static func count(_ value: Int) -> String {
        let digits = Array(String(value.magnitude))
        var text = value < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index).isMultiple(of: 3) { text.append(",") }
            text.append(digit)
        }
        return text
    }

    /// `1 stream`, `1,234 streams`.
    static func plural(_ value: Int, _ word: String) -> String {
        "\(count(value)) \(word)\(value == 1 ? "" : "s")"
    }

    /// 1234567 → `1.2 MB`; powers of ten.
    public static func bytes(_ value: Int) -> String {
        scaled(Double(value), ["B", "kB", "MB", "GB", "TB", "PB"], step: 1000)
    }

    /// A duration in ns: 1234567 → `1.2 ms`; `–` for 0, which stands for none.
    public static func duration(_ nanos: Int) -> String {
        guard nanos > 0 else { return "–" }
        let value = Double(nanos)
        if value >= 999.5e6 { return fixed(value / 1e9) + " s" }
        return scaled(value, ["ns", "µs", "ms"], step: 1000)
    }

    /// A longer duration in ns, in its largest unit: `0 s`, `250 ms`, `1.5 s`, `5 min`, `22.5 h`, `3 d`.
    public static func span(_ nanos: Int64) -> String {
        for (unit, length) in [("d", 86_400e9), ("h", 3_600e9), ("min", 60e9)]
        where Double(nanos) >= (unit == "d" ? 2 : 1) * length {
            return trimmed(Double(nanos) / length) + " " + unit
        }
        return nanos <= 0
            ? "0 s" : nanos >= 1_000_000_000 ? trimmed(Double(nanos) / 1e9) + " s" : duration(Int(nanos))
    }

    private static func trimmed(_ value: Double) -> String {
        let text = fixed(value)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }

    /// Seconds: 3723 → `1:02:03`.
    public static func clock(_ seconds: Int) -> String {
        let seconds = max(0, seconds)
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(seconds / 3600):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
    }

    private static func scaled(_ value: Double, _ units: [String], step: Double) -> String {
        var value = value
        var index = 0
        // 999.5 would be shown as 1000.
        while value >= 999.5, index < units.count - 1 {
            value /= step
            index += 1
        }
        return (index == 0 ? "\(Int(value.rounded()))" : fixed(value)) + " " + units[index]
    }

    /// One digit behind the point below 100, none above.
    static func fixed(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "–" }
        if abs(value) >= 99.95 { return "\(Int(value.rounded()))" }
        let tenths = Int((value * 10).rounded())
        return "\(tenths < 0 ? "-" : "")\(tenths.magnitude / 10).\(tenths.magnitude % 10)"
    }

    /// Columns of cells: the first `names` flush left, the others flush right.
    static func table(_ rows: [[String]], names: Int = 1, gap: String = "  ") -> [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        return rows.map { row in
            row.enumerated().map { index, cell in
                let fill = String(repeating: " ", count: widths[index] - cell.count)
                return index < names ? cell + fill : fill + cell
            }.joined(separator: gap)
        }
    }
}
