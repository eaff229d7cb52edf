/// How long a server wants to be left alone: `Retry-After` (RFC 9110, section 10.2.3), seconds or a date.
public enum RetryAfter {
    /// More is taken for this, ns. Binance's bans last up to three days.
    public static let longestNanos: Int64 = 3 * 86_400_000_000_000

    /// From now on, 0 to ``longestNanos``, ns; nil: neither a number of seconds nor a date.
    ///
    /// - Parameters:
    ///   - value: of the field.
    ///   - wallNanos: the time now since the epoch, ns, which a date is compared with.
    public static func nanos(_ value: some StringProtocol, wallNanos: Int64) -> Int64? {
        let text = trimmed(value)
        if !text.isEmpty, text.allSatisfy(isDigit) {
            // So many digits are more than the limit, however they go on.
            guard text.count <= 12, let seconds = number(text[...]) else { return longestNanos }
            return min(seconds, longestNanos / 1_000_000_000) * 1_000_000_000
        }
        guard let date = secondsSinceEpoch(text, now: wallNanos / 1_000_000_000) else { return nil }
        guard date > wallNanos / 1_000_000_000 else { return 0 }
        guard date - wallNanos / 1_000_000_000 <= longestNanos / 1_000_000_000 else { return longestNanos }
        return min(date * 1_000_000_000 - wallNanos, longestNanos)
    }

    // MARK: Dates (RFC 9110, section 5.6.7)

    /// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` or `Sun Nov  6 08:49:37 1994`.
    private static func secondsSinceEpoch(_ text: [UInt8], now: Int64) -> Int64? {
        let words = text.split(separator: UInt8(ascii: " "))
        switch words.count {
        case 6:
            guard words[0].count == 4, words[0].last == UInt8(ascii: ","), isGMT(words[5]),
                words[1].count == 2, words[3].count == 4
            else { return nil }
            return seconds(day: words[1], month: words[2], year: number(words[3]), time: words[4])
        case 4:
            let parts = words[1].split(separator: UInt8(ascii: "-"))
            guard words[0].last == UInt8(ascii: ","), isGMT(words[3]), parts.count == 3, parts[0].count == 2,
                parts[2].count == 2, let short = number(parts[2])
            else { return nil }
            return seconds(day: parts[0], month: parts[1], year: fullYear(short, now: now), time: words[2])
        case 5:
            guard words[0].count == 3, words[4].count == 4, words[2].count <= 2 else { return nil }
            return seconds(day: words[2], month: words[1], year: number(words[4]), time: words[3])
        default: return nil
        }
    }

    /// Of two digits: what would be more than fifty years from now is of the century before.
    private static func fullYear(_ short: Int64, now: Int64) -> Int64 {
        let thisYear = 1970 + now / 31_556_952
        let year = thisYear / 100 * 100 + short
        return year > thisYear + 50 ? year - 100 : year
    }

    private static func seconds(
        day: ArraySlice<UInt8>, month: ArraySlice<UInt8>, year: Int64?, time: ArraySlice<UInt8>
    ) -> Int64? {
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let clock = time.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard let day = number(day), let year,
            let index = months.firstIndex(where: { month.elementsEqual($0.utf8) }),
            clock.count == 3, clock.allSatisfy({ $0.count == 2 }), let hour = number(clock[0]),
            let minute = number(clock[1]), let second = number(clock[2]),
            (1...daysOfMonth(index + 1, year)).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }
        return days(year, Int64(index + 1), day) * 86_400 + hour * 3_600 + minute * 60 + second
    }

    private static func daysOfMonth(_ month: Int, _ year: Int64) -> Int64 {
        switch month {
        case 2: year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400)) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Since 1970-01-01 in the Gregorian calendar. A year is counted from March, so that its leap day is the last one.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let fromMarch = month > 2 ? month - 3 : month + 9
        let year = month > 2 ? year : year - 1
        let leapDays = year / 4 - year / 100 + year / 400
        return year * 365 + leapDays + (153 * fromMarch + 2) / 5 + day - 719_469
    }

    // MARK: Text

    private static func trimmed(_ value: some StringProtocol) -> [UInt8] {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }
        let bytes = Array(value.utf8)
        guard let first = bytes.firstIndex(where: { !isBlank($0) }),
            let last = bytes.lastIndex(where: { !isBlank($0) })
        else { return [] }
        return Array(bytes[first...last])
    }

    private static func isGMT(_ word: ArraySlice<UInt8>) -> Bool { word.elementsEqual("GMT".utf8) }
    private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

    /// Up to twelve digits.
    private static func number(_ digits: ArraySlice<UInt8>) -> Int64? {
        guard !digits.isEmpty, digits.count <= 12, digits.allSatisfy(isDigit) else { return nil }
        return digits.reduce(0) { $0 * 10 + Int64($1 - 0x30) }
    }
}
