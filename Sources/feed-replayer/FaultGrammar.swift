/// What is wrong with a line of a script or a command.
struct FaultSyntaxError: Error, Equatable, CustomStringConvertible {
    var description: String
}

/// Reads commands: a verb, what it needs, and then clauses in any order.
///
/// `cut 3` · `stall all for 5s` · `close 4000 newest` · `silent btcusdt@trade any until resubscribed` ·
/// `refuse 429 retry-after 2 for 5s`
enum FaultGrammar {
    /// For help texts and for errors.
    static let verbs =
        "cut, reset, close, alert, garbage, stall, freeze, slow, silent, skip, repeat, deaf, unanswered, shutdown, "
        + "resume, refuse, flood, hang, welcome, lifetime, rest, connections, forget"

    /// `needsTarget`: the command has no connection of its own, so that it must name one.
    static func read(_ line: some StringProtocol, needsTarget: Bool) throws(FaultSyntaxError) -> FaultCommand
    {
        var words = FaultWords(line)
        guard let verb = words.next() else { throw FaultSyntaxError(description: "there is no command") }
        var command = FaultCommand(action: try readAction(verb, &words), text: words.text)
        try readClauses(&words, &command)
        if command.action.strikesConnections, needsTarget, command.target == nil {
            throw FaultSyntaxError(
                description:
                    "\(verb) needs a connection: its number, all, any, newest, oldest or listener PORT")
        }
        return command
    }

    private static func readAction(
        _ verb: String, _ words: inout FaultWords
    ) throws(FaultSyntaxError) -> FaultAction {
        switch verb {
        case "cut": return .cut
        case "reset": return .reset
        case "stall": return .stall
        case "freeze": return .freeze
        case "deaf": return .deaf
        case "unanswered": return .unanswered
        case "resume": return .resume
        case "shutdown": return .shutdown(lead: nil)
        case "flood": return .flood
        case "welcome": return .welcome
        case "connections": return .list
        case "forget": return .forget
        case "close":
            if words.take("none") { return .close(code: nil, reason: "") }
            return .close(code: UInt16(try words.number("a close code or none", 0...65_535)), reason: "")
        case "alert": return words.take("handshake") ? .handshakeAlert : .alert
        case "garbage":
            return .garbage(GarbageKind.allCases.first { words.take($0.rawValue) } ?? .text)
        case "slow":
            return .slow(bytesPerSecond: try words.number("bytes a second", 1...1_000_000_000))
        case "silent": return .silent(try words.pattern(), healsOnSubscribe: false)
        case "skip":
            return .skip(
                count: try words.number("a number of frames", 1...1_000_000_000), words.patternIfAny())
        case "repeat":
            return .repeatFrames(
                count: try words.number("a number of frames", 1...1_000_000_000), words.patternIfAny())
        case "refuse":
            return .refuse(status: try words.number("an HTTP status", 200...599), retryAfter: nil)
        case "hang":
            guard let stage = HandshakeStage.allCases.first(where: { words.take($0.rawValue) }) else {
                throw FaultSyntaxError(description: "hang needs a stage: accept, tls or upgrade")
            }
            return .hang(stage)
        case "rest": return .rest(try readRestFault(&words))
        case "lifetime":
            if words.take("none") { return .lifetime(nil) }
            return .lifetime(try words.durations("a time or none"))
        default:
            throw FaultSyntaxError(description: "\(verb) is none of \(verbs)")
        }
    }

    private static func readRestFault(_ words: inout FaultWords) throws(FaultSyntaxError) -> RestFault {
        switch words.next() {
        case "slow": return .slow(try words.duration("a time"))
        case "lag": return .lag(try words.duration("a time"))
        case "wrong": return .wrong
        case "refuse": return .refuse(status: try words.number("an HTTP status", 300...599), retryAfter: nil)
        case "lack": return .lack(count: try words.number("a number of trades", 0...1_000_000_000))
        case "well": return .well
        case let other:
            throw FaultSyntaxError(
                description:
                    "rest goes on with slow, lag, wrong, refuse, lack or well, not with \"\(other ?? "")\"")
        }
    }

    private static func readClauses(
        _ words: inout FaultWords, _ command: inout FaultCommand
    ) throws(FaultSyntaxError) {
        while let word = words.next() {
            switch (word, command.action) {
            case ("all", _): command.target = .all
            case ("any", _): command.target = .any
            case ("newest", _): command.target = .newest
            case ("oldest", _): command.target = .oldest
            case ("connection", _):
                command.target = .number(try words.number("a connection's number", 1...Int.max))
            case ("listener", _):
                guard let name = words.next() else {
                    throw FaultSyntaxError(description: "listener needs a port, or ADDRESS:PORT")
                }
                command.target = .listener(name)
            case ("for", _): command.duration = try words.duration("a time")
            case ("retry-after", .refuse(let status, _)):
                let seconds = try words.number("seconds", 0...1_000_000)
                command.action = .refuse(status: status, retryAfter: .seconds(seconds))
            case ("retry-after-date", .refuse(let status, _)):
                command.action = .refuse(status: status, retryAfter: .date(try words.duration("a time")))
            case ("retry-after", .rest(.refuse(let status, _))):
                let seconds = try words.number("seconds", 0...1_000_000)
                command.action = .rest(.refuse(status: status, retryAfter: .seconds(seconds)))
            case ("retry-after-date", .rest(.refuse(let status, _))):
                let time = try words.duration("a time")
                command.action = .rest(.refuse(status: status, retryAfter: .date(time)))
            case ("lead", .shutdown):
                command.action = .shutdown(lead: try words.duration("a time"))
            case ("until", .silent(let pattern, _)):
                guard words.take("resubscribed") else {
                    throw FaultSyntaxError(description: "until goes on with resubscribed")
                }
                command.action = .silent(pattern, healsOnSubscribe: true)
            case ("reason", .close(let code, _)):
                command.action = .close(code: code, reason: String(words.rest().prefix(100)))
            default:
                guard let number = Int(word), number > 0 else {
                    throw FaultSyntaxError(description: "\(word) is not expected in \"\(words.text)\"")
                }
                command.target = .number(number)
            }
        }
    }
}

/// The words of a line, taken from the front.
struct FaultWords {
    let text: String
    private var words: ArraySlice<Substring>

    init(_ line: some StringProtocol) {
        let split = Substring(line).split { $0 == " " || $0 == "\t" || $0 == "\r" }
        words = split[...]
        text = split.joined(separator: " ")
    }

    mutating func next() -> String? { words.popFirst().map(String.init) }

    /// Takes the next word where it is this one.
    mutating func take(_ word: String) -> Bool {
        guard words.first.map({ $0 == word }) ?? false else { return false }
        words.removeFirst()
        return true
    }

    mutating func rest() -> String {
        defer { words = [] }
        return words.joined(separator: " ")
    }

    mutating func number(_ what: String, _ range: ClosedRange<Int>) throws(FaultSyntaxError) -> Int {
        let word = next() ?? ""
        guard let number = Int(word), range.contains(number) else {
            throw FaultSyntaxError(description: "expected \(what) instead of \"\(word)\" in \"\(text)\"")
        }
        return number
    }

    mutating func pattern() throws(FaultSyntaxError) -> StreamPattern {
        let found = patternIfAny()
        guard found != .all || text.contains("*") else {
            throw FaultSyntaxError(
                description: "expected a stream, as btcusdt@trade or *@trade, in \"\(text)\"")
        }
        return found
    }

    /// The next word where it is a stream's name, else all streams.
    mutating func patternIfAny() -> StreamPattern {
        guard let word = words.first, word.contains(where: { "@*!".contains($0) }) else { return .all }
        words.removeFirst()
        return StreamPattern(text: String(word))
    }

    mutating func duration(_ what: String) throws(FaultSyntaxError) -> Int64 {
        let range = try durations(what)
        guard range.lowerBound == range.upperBound else {
            throw FaultSyntaxError(description: "expected one time, not a range, in \"\(text)\"")
        }
        return range.lowerBound
    }

    /// `5s`, `200ms`, `1.5m`, `24h`, or a range of them, `30s..60s`.
    mutating func durations(_ what: String) throws(FaultSyntaxError) -> ClosedRange<Int64> {
        let word = next() ?? ""
        let parts = word.components(separatedBy: "..")
        let times = parts.compactMap(FaultWords.nanos)
        guard times.count == parts.count, times.count <= 2, let first = times.first, let last = times.last,
            first <= last
        else {
            throw FaultSyntaxError(
                description:
                    "expected \(what), as 200ms, 5s, 2m, 24h or 30s..60s, instead of \"\(word)\" in \"\(text)\""
            )
        }
        return first...last
    }

    /// Nanoseconds of a time with its unit.
    static func nanos(_ text: String) -> Int64? {
        let units: [(String, Double)] = [("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)]
        for (unit, nanos) in units where text.hasSuffix(unit) {
            guard let value = Double(text.dropLast(unit.count)), value >= 0, value < 1e7 else { return nil }
            return Int64(value * nanos)
        }
        return nil
    }
}

extension String {
    /// As Foundation's, which nothing else here needs.
    fileprivate func components(separatedBy separator: String) -> [String] {
        guard let found = firstRange(of: separator) else { return [self] }
        return [String(self[..<found.lowerBound])]
            + String(self[found.upperBound...]).components(separatedBy: separator)
    }
}
