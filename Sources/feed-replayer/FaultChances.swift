/// Faults by chance: `cut=0.01/s,skip=0.0001,refuse=0.1,close-4000=0.01/s,refuse-418-3=0.02`.
struct FaultChances: Equatable {
    /// Strikes of a connection: each with its chance a second.
    private(set) var strikes: [(command: FaultCommand, perSecond: Double)] = []
    /// For each market frame of each connection.
    private(set) var skip = 0.0
    private(set) var repeated = 0.0
    /// For each stream that is subscribed.
    private(set) var silent = 0.0
    /// For each request.
    private(set) var deaf = 0.0
    private(set) var unanswered = 0.0
    /// For each connection that wants to open.
    private(set) var refusals: [Refusal] = []
    private(set) var flood = 0.0
    private(set) var hangs: [HandshakeStage: Double] = [:]
    private(set) var handshakeAlert = 0.0

    /// An upgrade that is answered with this status.
    struct Refusal: Equatable {
        var status: Int
        var retryAfter: RetryTime?
        var chance: Double
    }

    /// What a chance a second can bring, by its name.
    static let perSecond = [
        "cut": "cut", "reset": "reset", "stall": "stall", "freeze": "freeze", "alert": "alert",
        "garbage": "garbage", "shutdown": "shutdown", "close": "close 1011", "slow": "slow 200",
    ]
    static let perOccasion = [
        "skip", "repeat", "silent", "deaf", "unanswered", "refuse", "flood", "hang", "hang-accept",
        "hang-tls",
        "alert-handshake",
    ]
    /// Names with numbers in them, for help texts.
    static let numbered = ["close-CODE", "refuse-STATUS", "refuse-STATUS-RETRYSECONDS"]

    init() {}

    init(reading text: String) throws(FaultSyntaxError) {
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let pair = part.split(separator: "=", maxSplits: 1)
            let name = pair.first.map(String.init) ?? ""
            guard pair.count == 2 else {
                throw FaultSyntaxError(description: "expected NAME=CHANCE instead of \"\(part)\"")
            }
            let isRate = pair[1].hasSuffix("/s")
            guard let chance = Double(isRate ? pair[1].dropLast(2) : pair[1]), (0...1000).contains(chance),
                isRate || chance <= 1
            else { throw FaultSyntaxError(description: "\(pair[1]) is no chance") }
            if let command = try FaultChances.command(name) {
                guard isRate else {
                    throw FaultSyntaxError(description: "\(name) has a chance a second, as \(name)=0.01/s")
                }
                strikes.append((try FaultGrammar.read(command, needsTarget: false), chance))
            } else {
                guard !isRate else {
                    throw FaultSyntaxError(description: "\(name) has a chance each time, as \(name)=0.01")
                }
                try set(name, chance)
            }
        }
    }

    /// The strike of this name; nil: it is none, or comes each time.
    private static func command(_ name: String) throws(FaultSyntaxError) -> String? {
        guard name.hasPrefix("close-") else { return perSecond[name] }
        guard let code = UInt16(name.dropFirst("close-".count)) else {
            throw FaultSyntaxError(description: "\(name) names no close code, as close-1008 does")
        }
        return "close \(code)"
    }

    private static func refusal(
        _ name: String, _ chance: Double
    ) throws(FaultSyntaxError) -> Refusal {
        let parts = name.split(separator: "-", omittingEmptySubsequences: false).dropFirst()
        let numbers = parts.compactMap { Int($0) }
        guard numbers.count == parts.count, (1...2).contains(numbers.count), (200...599).contains(numbers[0]),
            numbers.count == 1 || (0...1_000_000).contains(numbers[1])
        else {
            throw FaultSyntaxError(
                description:
                    "\(name) names no status with or without seconds, as refuse-503 and refuse-418-3 do")
        }
        return Refusal(
            status: numbers[0], retryAfter: numbers.count == 2 ? .seconds(numbers[1]) : nil, chance: chance)
    }

    private mutating func set(_ name: String, _ chance: Double) throws(FaultSyntaxError) {
        switch name {
        case "skip": skip = chance
        case "repeat": repeated = chance
        case "silent": silent = chance
        case "deaf": deaf = chance
        case "unanswered": unanswered = chance
        case "refuse": refusals.append(Refusal(status: 429, retryAfter: 1, chance: chance))
        case _ where name.hasPrefix("refuse-"): refusals.append(try FaultChances.refusal(name, chance))
        case "flood": flood = chance
        case "hang": hangs[.upgrade] = chance
        case "hang-accept": hangs[.accept] = chance
        case "hang-tls": hangs[.tls] = chance
        case "alert-handshake": handshakeAlert = chance
        default:
            let known =
                FaultChances.perSecond.keys.sorted() + FaultChances.perOccasion + FaultChances.numbered
            throw FaultSyntaxError(
                description: "\(name) is none of \(known.joined(separator: ", "))")
        }
    }

    /// Whether market frames have chances, so that each must be looked at.
    var concernsFrames: Bool { skip > 0 || repeated > 0 }
    var isNone: Bool { self == FaultChances() }

    static func == (left: FaultChances, right: FaultChances) -> Bool {
        left.strikes.elementsEqual(right.strikes) { $0.command == $1.command && $0.perSecond == $1.perSecond }
            && [left.skip, left.repeated, left.silent, left.deaf, left.unanswered]
                == [right.skip, right.repeated, right.silent, right.deaf, right.unanswered]
            && left.refusals == right.refusals && left.hangs == right.hangs
            && [left.flood, left.handshakeAlert] == [right.flood, right.handshakeAlert]
    }
}
