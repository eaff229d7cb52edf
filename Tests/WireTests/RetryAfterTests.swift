import Foundation
import Testing

@testable import Wire

@Suite struct RetryAfterTests {
    /// 1994-11-06 08:49:30 UTC, seven seconds before the date that RFC 9110 has as its example; ns.
    private let before: Int64 = 784_111_770_000_000_000

    @Test(
        arguments: [
            ("7", 7), (" 7 \t", 7), ("0", 0), ("007", 7), ("259200", 259_200), ("259201", 259_200),
            ("99999999999999999999999", 259_200),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 7), ("  Sun, 06 Nov 1994 08:49:37 GMT ", 7),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 7), ("Sun Nov  6 08:49:37 1994", 7),
            ("Sun, 06 Nov 1994 08:49:29 GMT", 0), ("Sat, 06 Nov 1993 08:49:37 GMT", 0),
            ("Tue, 08 Nov 1994 08:49:30 GMT", 172_800), ("Wed, 09 Nov 1994 08:49:31 GMT", 259_200),
            ("Fri, 31 Dec 9999 23:59:60 GMT", 259_200),
        ] as [(String, Int64)])
    func secondsAndDatesAreRead(_ text: String, seconds: Int64) {
        #expect(RetryAfter.nanos(text, wallNanos: before) == seconds * 1_000_000_000)
    }

    @Test(arguments: [
        "", " ", "-1", "1.5", "soon", "7s", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT", "Sun, 29 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT", "Sunday, 06-Nov-1994 08:49:37 GMT", "Sun Nov  6 08:49:37",
        "1994-11-06T08:49:37Z",
        "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, ０6 Nov 1994 08:49:37 GMT",
    ])
    func whatIsNeitherIsNothing(_ text: String) {
        #expect(RetryAfter.nanos(text, wallNanos: before) == nil, "\(text)")
    }

    /// A part of a second counts: not earlier than the date.
    @Test func theDateIsNotAnticipated() {
        let text = "Sun, 06 Nov 1994 08:49:37 GMT"
        #expect(RetryAfter.nanos(text, wallNanos: before + 400_000_000) == 6_600_000_000)
        #expect(RetryAfter.nanos(text, wallNanos: before + 6_999_999_999) == 1)
        #expect(RetryAfter.nanos(text, wallNanos: before + 7_000_000_000) == 0)
    }

    /// Two digits of a year are of the century that is nearer.
    @Test func shortYearsAreOfTheNearerCentury() {
        let newYear: Int64 = 4_070_908_799_000_000_000  // 2098-12-31 23:59:59
        #expect(RetryAfter.nanos("Thursday, 01-Jan-99 00:00:09 GMT", wallNanos: newYear) == 10_000_000_000)
        #expect(RetryAfter.nanos("Sunday, 06-Nov-94 08:49:37 GMT", wallNanos: newYear) == 0)
    }

    /// Every day from 1970 to 2105, against the system's calendar.
    @Test func everyDayIsReadAsTheSystemDoes() {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        for day in 1..<49_500 as Range<Int64> {
            let date = Date(timeIntervalSince1970: TimeInterval(day * 86_400))
            let parts = calendar.dateComponents([.year, .month, .day, .weekday], from: date)
            guard let year = parts.year, let month = parts.month, let number = parts.day,
                let week = parts.weekday
            else {
                Issue.record("no date")
                return
            }
            let text =
                "\(days[week - 1]), \(number < 10 ? "0" : "")\(number) \(months[month - 1]) \(year) 00:00:00 GMT"
            let before = (day * 86_400 - 60) * 1_000_000_000
            guard RetryAfter.nanos(text, wallNanos: before) == 60_000_000_000 else {
                Issue.record("\(text)")
                return
            }
        }
    }
}
