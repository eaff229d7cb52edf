import ArgumentParser

/// How fast the feed is sent.
enum Pacing: Equatable, ExpressibleByArgument {
    /// At the feed's own times, divided by the factor.
    case recorded(speed: Double)
    /// So many market frames a second; what was missed is made up for at once.
    case rate(Double)
    /// So many market frames a second at most: what was missed is left out of the schedule.
    case steady(Double)
    /// As fast as it is read.
    case max

    init?(argument: String) {
        // Factors and rates outside of this make no sense, and no exact schedule.
        let range = 0.001...1e9
        if argument == "max" {
            self = .max
        } else if argument == "recorded" {
            self = .recorded(speed: 1)
        } else if argument.hasPrefix("x"), let speed = Double(argument.dropFirst()), range.contains(speed) {
            self = .recorded(speed: speed)
        } else if argument.hasPrefix("rate="), let rate = Double(argument.dropFirst(5)),
            range.contains(rate)
        {
            self = .rate(rate)
        } else if argument.hasPrefix("steady="), let rate = Double(argument.dropFirst(7)),
            range.contains(rate)
        {
            self = .steady(rate)
        } else {
            return nil
        }
    }
}

/// Keeps the schedule of the feed and knows how late it runs.
struct Pacer {
    private let pacing: Pacing
    private var start: Int64 = 0
    private var slots: Int64 = 0
    /// How much later than due the latest frame was made, ns.
    private(set) var latest: Int64 = 0

    init(_ pacing: Pacing) { self.pacing = pacing }

    /// Whether frames have due times at all.
    var isTimed: Bool { pacing != .max }

    /// The feed begins. `now`: monotonic ns.
    mutating func begin(now: Int64) { start = now }

    /// When the next slot is due, monotonic ns. `recorded`: the frame's own time, ns after the beginning.
    func due(recorded: Int64?) -> Int64 {
        switch pacing {
        case .max: return start
        case .rate(let rate), .steady(let rate): return after(Double(slots) * 1e9 / rate)
        case .recorded(let speed): return after(Double(recorded ?? 0) / speed)
        }
    }

    /// A moment that no clock reaches stands for all that lie behind it.
    private func after(_ nanos: Double) -> Int64 { start + Int64(Swift.min(nanos, 4e18)) }

    /// A slot was used at `now`.
    mutating func used(due: Int64, now: Int64) {
        slots += 1
        if isTimed { latest = Swift.max(latest, now - due) }
        // Less than a slot is the loop's own turn, and would add up.
        if case .steady(let rate) = pacing, Double(now - due) > 1e9 / rate { start += now - due }
    }
}
