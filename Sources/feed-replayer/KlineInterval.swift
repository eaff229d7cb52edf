/// The bar lengths of the spot market. All times in ms since the epoch, UTC.
struct KlineInterval: Equatable {
    /// As in the stream's name.
    var name: String
    /// nil for the calendar month.
    var length: Int64?
    /// Opening time of one bar: others lie whole lengths away.
    var anchor: Int64 = 0

    private static let minute: Int64 = 60_000
    private static let hour: Int64 = 3_600_000
    private static let day: Int64 = 86_400_000

    /// The bar of one second comes first: all others are made of it. Weeks begin on Mondays (5 January 1970).
    static let all: [KlineInterval] = [
        KlineInterval(name: "1s", length: 1_000), KlineInterval(name: "1m", length: minute),
        KlineInterval(name: "3m", length: 3 * minute), KlineInterval(name: "5m", length: 5 * minute),
        KlineInterval(name: "15m", length: 15 * minute), KlineInterval(name: "30m", length: 30 * minute),
        KlineInterval(name: "1h", length: hour), KlineInterval(name: "2h", length: 2 * hour),
        KlineInterval(name: "4h", length: 4 * hour), KlineInterval(name: "6h", length: 6 * hour),
        KlineInterval(name: "8h", length: 8 * hour), KlineInterval(name: "12h", length: 12 * hour),
        KlineInterval(name: "1d", length: day), KlineInterval(name: "3d", length: 3 * day),
        KlineInterval(name: "1w", length: 7 * day, anchor: 4 * day), KlineInterval(name: "1M", length: nil),
    ]

    /// Opening time of the bar that holds `time`.
    func open(_ time: Int64) -> Int64 {
        guard let length else { return KlineInterval.monthStart(KlineInterval.month(time)) }
        let offset = (time - anchor) % length
        return time - (offset < 0 ? offset + length : offset)
    }

    /// Opening time of the bar after the one that opens at `open`.
    func next(_ open: Int64) -> Int64 {
        guard let length else { return KlineInterval.monthStart(KlineInterval.month(open) + 1) }
        return open + length
    }

    /// Months since January of year 0, proleptic Gregorian.
    private static func month(_ time: Int64) -> Int64 {
        // Years are counted from March, so that the leap day ends a year; an era is 400 years of 146,097 days.
        let shifted = floorDivide(time, day) + 719_468
        let era = floorDivide(shifted, 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        return (era * 400 + yearOfEra) * 12 + (5 * dayOfYear + 2) / 153 + 2
    }

    private static func monthStart(_ month: Int64) -> Int64 {
        let fromMarch = month - 2
        let year = floorDivide(fromMarch, 12)
        let era = floorDivide(year, 400)
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (fromMarch - year * 12) + 2) / 5
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return (era * 146_097 + dayOfEra - 719_468) * day
    }

    private static func floorDivide(_ value: Int64, _ by: Int64) -> Int64 {
        value >= 0 ? value / by : -((-value + by - 1) / by)
    }
}
