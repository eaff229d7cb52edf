/// Faults by chance: `cut=0.01/s,skip=0.0001,refuse=0.1`.
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
    private(set) var refuse = 0.0
    private(set) var flood = 0.0
    private(set) var hang = 0.0

    /// What a chance a second can bring, by its name.
    static let perSecond = [
        "cut": "cut", "reset": "reset", "stall": "stall", "freeze": "freeze", "alert": "alert",
        "garbage": "garbage", "shutdown": "shutdown", "close": "close 1011", "slow": "slow 200",
    ]
    static let perOccasion = ["skip", "repeat", "silent", "deaf", "unanswered", "refuse", "flood", "hang"]

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
            if let command = FaultChances.perSecond[name] {
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

    private mutating func set(_ name: String, _ chance: Double) throws(FaultSyntaxError) {
        switch name {
        case "skip": skip = chance
        case "repeat": repeated = chance
        case "silent": silent = chance
        case "deaf": deaf = chance
        case "unanswered": unanswered = chance
        case "refuse": refuse = chance
        case "flood": flood = chance
        case "hang": hang = chance
        default:
            let known = (FaultChances.perSecond.keys.sorted() + FaultChances.perOccasion)
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
            && [left.refuse, left.flood, left.hang] == [right.refuse, right.flood, right.hang]
    }
}
