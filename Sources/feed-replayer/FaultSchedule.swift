import MarketData

/// A line of a fault script.
struct FaultRule: Equatable {
    enum Trigger: Equatable {
        /// Once, so long after the feed began. ns.
        case at(Int64)
        /// Again and again, after a time drawn from the range. ns.
        case every(ClosedRange<Int64>)
        /// When the so-manieth connection opens, from 1; nil: each.
        case opened(Int?)
    }

    var trigger: Trigger
    var command: FaultCommand

    /// `at 12s cut 3`, `every 30s..60s reset any`, `on open 2 silent btcusdt@trade`, `on open each slow 500`.
    static func read(_ line: some StringProtocol) throws(FaultSyntaxError) -> FaultRule {
        var words = FaultWords(line)
        let trigger: Trigger
        switch words.next() {
        case "at": trigger = .at(try words.duration("a time"))
        case "every":
            let range = try words.durations("a time")
            // Faster than the server looks after its schedule would be without end.
            guard range.lowerBound >= 1_000_000 else {
                throw FaultSyntaxError(description: "every needs 1ms or more")
            }
            trigger = .every(range)
        case "on":
            guard words.take("open") else { throw FaultSyntaxError(description: "on goes on with open") }
            if words.take("each") {
                trigger = .opened(nil)
            } else {
                trigger = .opened(
                    try words.number("which connection to open, as 1, 2 or each", 1...Int.max))
            }
        case let other:
            throw FaultSyntaxError(
                description: "a line begins with at, every or on open, not with \"\(other ?? "")\"")
        }
        let isOwn = if case .opened = trigger { true } else { false }
        return FaultRule(
            trigger: trigger, command: try FaultGrammar.read(words.rest(), needsTarget: !isOwn))
    }

    /// Whether a line is meant as a rule and not as a command.
    static func begins(_ line: some StringProtocol) -> Bool {
        var words = FaultWords(line)
        return ["at", "every", "on"].contains { words.take($0) }
    }

    /// Reads a script: a rule a line; empty lines and what follows a `#` do not count.
    static func read(path: String) throws(ReplayerError) -> [FaultRule] {
        let file = try FeedFile(path: path)
        var rules: [FaultRule] = []
        var number = 0
        try file.forEachLine { line throws(ReplayerError) in
            number += 1
            let text = String(decoding: line, as: UTF8.self).prefix { $0 != "#" }
            guard text.contains(where: { $0 != " " && $0 != "\t" && $0 != "\r" }) else { return }
            do throws(FaultSyntaxError) {
                rules.append(try FaultRule.read(text))
            } catch {
                throw .data("\(path):\(number): \(error.description)")
            }
        }
        return rules
    }
}

/// Which rules are due. Times are monotonic ns.
struct FaultSchedule {
    private var timed: [(due: Int64, rule: FaultRule)] = []
    /// Those that wait for the feed's beginning.
    private var scripted: [FaultRule]
    private var rules: [FaultRule]
    private(set) var nextDue = Int64.max

    init(_ rules: [FaultRule]) {
        scripted = rules
        self.rules = rules
    }

    /// The feed began: times count from here.
    mutating func begin(now: Int64, _ random: inout SplitMix64) {
        for rule in scripted { start(rule, now: now, &random) }
        scripted = []
    }

    /// A rule that comes later: its times count from now.
    mutating func add(_ rule: FaultRule, now: Int64, _ random: inout SplitMix64) {
        rules.append(rule)
        start(rule, now: now, &random)
    }

    /// Forgets all rules.
    mutating func clear() {
        scripted = []
        rules = []
        timed = []
        nextDue = .max
    }

    private mutating func start(_ rule: FaultRule, now: Int64, _ random: inout SplitMix64) {
        switch rule.trigger {
        case .at(let time): timed.append((now + time, rule))
        case .every(let range): timed.append((now + random.within(range), rule))
        case .opened: return
        }
        nextDue = timed.map(\.due).min() ?? .max
    }

    /// Commands that are due, in the order of their times.
    mutating func due(now: Int64, _ random: inout SplitMix64) -> [FaultCommand] {
        guard now >= nextDue else { return [] }
        var found: [(due: Int64, command: FaultCommand)] = []
        for index in timed.indices.reversed() where timed[index].due <= now {
            found.append((timed[index].due, timed[index].rule.command))
            if case .every(let range) = timed[index].rule.trigger {
                timed[index].due = now + random.within(range)
            } else {
                timed.remove(at: index)
            }
        }
        nextDue = timed.map(\.due).min() ?? .max
        return found.sorted { $0.due < $1.due }.map(\.command)
    }

    /// Commands for the connection that opened as the `count`th.
    func opened(count: Int) -> [FaultCommand] {
        rules.filter {
            if case .opened(let which) = $0.trigger { which == nil || which == count } else { false }
        }.map(\.command)
    }
}

extension SplitMix64 {
    /// A time of the range.
    mutating func within(_ range: ClosedRange<Int64>) -> Int64 {
        let width = UInt64(range.upperBound - range.lowerBound) + 1
        return range.lowerBound + Int64(next().multipliedFullWidth(by: width).high)
    }

    /// True with this probability.
    mutating func happens(_ probability: Double) -> Bool {
        Double(next() >> 11) * 0x1p-53 < probability
    }
}
