import MarketData

/// When a connection is to be replaced for its age.
struct RolloverClock {
    let limits: ConnectionLimits

    static let second: Int64 = 1_000_000_000
    static let day: Int64 = 86_400 * second
    /// A connection younger than this is not replaced only because the time of day is right.
    static let leastAge: Int64 = 3_600 * second

    /// The monotonic moment; `Int64.max`: never. `wallOffset`: what the monotonic clock lacks to the time since the
    /// epoch, ns.
    func retireTime(openedAt: Int64, wallOffset: Int64, random: inout SplitMix64) -> Int64 {
        guard limits.rolloverAfterNanos > 0 else { return Int64.max }
        let latest = openedAt + limits.rolloverAfterNanos
        let jitter = min(limits.rolloverJitterNanos, limits.rolloverAfterNanos / 2)
        var time = latest - random.next(below: jitter + 1)
        if let window = limits.rolloverWindow, window.length > 0,
            let start = lastStart(of: window, from: openedAt + wallOffset, to: latest + wallOffset)
        {
            let length = Int64(window.length) * RolloverClock.second
            time = min(start - wallOffset + random.next(below: length), latest)
        }
        return awayFromMinute(time, wallOffset: wallOffset, openedAt: openedAt, random: &random)
    }

    /// The last time that the window begins late enough after `from` and before `to`; since the epoch.
    private func lastStart(of window: DayWindow, from: Int64, to: Int64) -> Int64? {
        let begin = Int64(window.begin) * RolloverClock.second
        let start = (to - begin) / RolloverClock.day * RolloverClock.day + begin
        return start >= from + RolloverClock.leastAge ? start : nil
    }

    /// Bars close at full minutes, and the market is at its busiest then: not within 15 s of one. Only where a minute
    /// does not matter.
    private func awayFromMinute(
        _ time: Int64, wallOffset: Int64, openedAt: Int64, random: inout SplitMix64
    ) -> Int64 {
        let minute = 60 * RolloverClock.second
        guard limits.rolloverAfterNanos >= 20 * minute else { return time }
        let begin = (time + wallOffset) / minute * minute - wallOffset
        let second = time - begin
        guard second < 15 * RolloverClock.second || second >= 45 * RolloverClock.second else { return time }
        return begin + 15 * RolloverClock.second + random.next(below: 30 * RolloverClock.second)
    }
}
