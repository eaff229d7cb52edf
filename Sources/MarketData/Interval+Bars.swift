extension Interval {
    private static var day: Int64 { 86_400_000_000_000 }

    /// The length of a bar, ns; nil for the month, whose bars differ.
    public var nanos: Int64? {
        let minute: Int64 = 60_000_000_000
        switch self {
        case .second1: return 1_000_000_000
        case .minute1: return minute
        case .minute3: return 3 * minute
        case .minute5: return 5 * minute
        case .minute15: return 15 * minute
        case .minute30: return 30 * minute
        case .hour1: return 60 * minute
        case .hour2: return 120 * minute
        case .hour4: return 240 * minute
        case .hour6: return 360 * minute
        case .hour8: return 480 * minute
        case .hour12: return 720 * minute
        case .day1: return Interval.day
        case .day3: return 3 * Interval.day
        case .week1: return 7 * Interval.day
        case .month1: return nil
        }
    }

    /// Opening time of the bar of number 0: weeks begin on Mondays, the first of which was 5 January 1970.
    private var origin: Int64 { self == .week1 ? 4 * Interval.day : 0 }

    /// The number of the bar that opens at a time (ns since the epoch): bars that follow each other have numbers that do.
    /// nil for months, and for times at which no bar opens.
    public func number(opening time: Int64) -> Int64? {
        guard let nanos, time >= origin, (time - origin) % nanos == 0 else { return nil }
        return (time - origin) / nanos
    }

    /// When the bar of a number opens, ns since the epoch; for all but months.
    public func opening(number: Int64) -> Int64 { origin + number * (nanos ?? 0) }
}
