import Foundation

/// Times in servers' answers, as seconds since the epoch; nil for anything else.
enum UTCTime {
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
    static func http(_ text: some StringProtocol) -> Int? {
        let parts = text.split(separator: " ")
        guard parts.count == 6, parts[5] == "GMT", let month = months.firstIndex(of: String(parts[2])) else {
            return nil
        }
        return seconds(day: [Int(parts[3]), month + 1, Int(parts[1])], clock: parts[4])
    }

    /// `2026-11-28T16:00:00.123Z` (RFC 3339, in UTC); fractions are dropped.
    static func rfc3339(_ text: some StringProtocol) -> Int? {
        let parts = text.split(separator: "T")
        guard parts.count == 2, parts[1].hasSuffix("Z"), parts[1].utf8.count >= 9 else { return nil }
        return seconds(day: parts[0].split(separator: "-").map { Int($0) }, clock: parts[1].prefix(8))
    }

    private static func seconds(day: [Int?], clock: some StringProtocol) -> Int? {
        let numbers = (day + clock.split(separator: ":").map { Int($0) }).compactMap { $0 }
        let ranges = [1970...9999, 1...12, 1...31, 0...23, 0...59, 0...60]
        guard numbers.count == 6, zip(ranges, numbers).allSatisfy({ $0.contains($1) }) else { return nil }
        var parts = tm()
        parts.tm_year = Int32(numbers[0] - 1900)
        parts.tm_mon = Int32(numbers[1] - 1)
        parts.tm_mday = Int32(numbers[2])
        parts.tm_hour = Int32(numbers[3])
        parts.tm_min = Int32(numbers[4])
        parts.tm_sec = Int32(numbers[5])
        return timegm(&parts)
    }
}
