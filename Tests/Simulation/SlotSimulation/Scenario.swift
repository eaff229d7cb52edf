import ExchangeAdapter
import MarketData
import Wire

/// Lengths of time, ns.
enum Time {
    static let millisecond: Int64 = 1_000_000
    static let second: Int64 = 1_000_000_000
    static let minute: Int64 = 60 * second
    static let hour: Int64 = 60 * minute
    static let day: Int64 = 24 * hour
}

/// What a run consists of; drawn from its seed.
///
/// Trades are few an hour, so that a week takes milliseconds; the limits that follow how often something comes (pings,
/// silences) are longer than in production by the same measure. Everything else is as there.
struct Scenario {
    struct Market {
        var name: String
        var hosts: Int
        var legs: Int
        var routes: Int
        var limits: ConnectionLimits
        var canList: Bool
        /// A stream that is held and silent delivers again when it is asked for once more; else only elsewhere.
        var repeatRevives: Bool
        /// What is asked for once more counts as one more stream.
        var countsRepeats: Bool
        /// Who asks for what he holds is refused.
        var refusesRepeats: Bool
        /// A connection is ended so long after a refusal, ns.
        var refusalNanos: Int64
        /// The exchange pings so often, ns.
        var pingNanos: Int64
        /// The exchange takes so many messages in a second.
        var messagesPerSecond: Int
        /// Streams that it has; the first ones are subscribed at the start.
        var streamCount: Int
        var subscribedCount: Int
        /// Between two faults, on average, ns.
        var faultNanos: Int64
        var faults: [FaultKind]
        /// Faults befall only connections of the first leg.
        var sparesSecondLeg: Bool
    }

    var markets: [Market]
    var laneCount: Int
    /// Between two changes of subscriptions, on average, ns; 0: none.
    var changeNanos: Int64
    /// Between two steps of the wall clock, on average, ns; 0: none.
    var clockStepNanos: Int64
    /// No fault later than this; the rest of the run must see everything live, ns after the start.
    var faultsUntil: Int64
    /// Length of the run, ns.
    var length: Int64

    init(days: Int, _ random: inout SimulationRandom) {
        length = Int64(days) * Time.day
        // The oldest connections of that time are renewed for their age before the end.
        faultsUntil = length - 36 * Time.hour
        laneCount = random.pick([1, 1, 2, 3])
        changeNanos = random.chance(perMille: 500) ? random.spread(Time.hour...Time.day) : 0
        clockStepNanos = random.chance(perMille: 300) ? random.spread(Time.hour...Time.day) : 0
        markets = []
        for index in 0..<random.pick([1, 1, 1, 2, 3]) { markets.append(Market(index, &random)) }
    }
}

extension Scenario.Market {
    init(_ index: Int, _ random: inout SimulationRandom) {
        name = "m\(index)"
        hosts = random.pick(1...3)
        legs = random.pick([1, 1, 2])
        routes = random.pick([1, 1, 2])
        canList = random.chance(perMille: 800)
        repeatRevives = random.chance(perMille: 700)
        countsRepeats = random.chance(perMille: 500)
        refusesRepeats = random.chance(perMille: 150)
        refusalNanos = random.pick([0, 0, Time.second, Time.hour])
        pingNanos = random.pick(5...30) * Time.minute
        var limits = ConnectionLimits()
        limits.silenceNanos = pingNanos * 15 / 4
        limits.probeAfterNanos = random.chance(perMille: 900) ? pingNanos * 2 : 0
        limits.streamSilenceNanos = random.pick(2...8) * Time.hour
        limits.streamSilenceFloorNanos = random.pick(10...90) * Time.minute
        limits.legLagNanos = random.pick(10...60) * Time.minute
        limits.streamsPerConnection = random.pick(2...10)
        limits.streamsHeld = limits.streamsPerConnection + random.pick([0, 1, 3, 20])
        limits.namesPerRequest = random.pick([1, 1, 2, 3, 8, 200])
        limits.requestBytes = random.pick([60, 100, 4_000])
        limits.attemptsPerWindow = random.pick([12, 20, 40, 300])
        if random.chance(perMille: 300) {
            let begin = random.pick(0...23) * 3_600
            limits.rolloverWindow = DayWindow(
                begin: begin, end: (begin + 3_600 * random.pick(1...6)) % 86_400)
        }
        if random.chance(perMille: 300) { limits.frameSpacingNanos = 125 * Time.millisecond }
        self.limits = limits
        messagesPerSecond = limits.frameSpacingNanos == 125 * Time.millisecond ? 10 : 5
        streamCount = random.pick(2...16)
        subscribedCount = random.pick(1...streamCount)
        sparesSecondLeg = legs == 2 && random.chance(perMille: 300)
        let isCalm = random.chance(perMille: 100)
        faultNanos = isCalm ? 0 : random.spread(20 * Time.minute...Time.day)
        let all = sparesSecondLeg ? FaultKind.ofConnections : FaultKind.allCases
        // Some of the kinds, so that each also comes without the others.
        let share = random.pick([200, 500, 1_000])
        faults = all.filter { _ in random.chance(perMille: share) }
        if faults.isEmpty { faults = [random.pick(all)] }
    }

    /// The most that a request may have, payload and frame header together.
    var requestBytesMax: Int { limits.requestBytes + 8 }
}

/// What the exchange, or the way to it, can do wrong.
enum FaultKind: UInt8, CaseIterable, Sendable {
    /// Ends without a close frame, or with one.
    case cut
    /// Nothing passes any more, in either direction, and nobody is told.
    case halfOpen
    /// No payloads; pings and answers go on.
    case stall
    /// One stream stops; the exchange still lists it.
    case silentStream
    /// One stream is dropped by the exchange, and not listed any more.
    case lostSubscription
    /// The next request on some connection is never answered, and not obeyed.
    case swallowedRequest
    /// The next request is obeyed and never answered.
    case lostAnswer
    /// The streams of the next request are acknowledged and never come.
    case silentAfterAcknowledgement
    /// Announced, with some time before the end.
    case shutdown
    /// All connections of a host at once.
    case hostCut
    /// All connections of a host, with an announcement.
    case hostShutdown
    /// Upgrades are refused for a while.
    case refused
    /// The host's name is unknown for a while.
    case unknownName
    /// Dials hang for a while.
    case hangingDials
    /// TCP is refused for a while.
    case connectRefused
    /// All hosts, for hours.
    case outage

    /// Those that befall one connection, and nobody else.
    static let ofConnections: [FaultKind] = [
        .cut, .halfOpen, .stall, .silentStream, .lostSubscription, .shutdown,
    ]
}

/// The requests of the virtual exchange; short, and long enough to be packed.
struct SimulationLanguage: ControlLanguage {
    var canList: Bool

    func subscribe(_ names: [String], id: Int64) -> [UInt8] { encode("+", names, id) }
    func unsubscribe(_ names: [String], id: Int64) -> [UInt8] { encode("-", names, id) }
    func list(id: Int64) -> [UInt8]? { canList ? encode("?", [], id) : nil }

    private func encode(_ method: String, _ names: [String], _ id: Int64) -> [UInt8] {
        Array("\(method)\(id) \(names.joined(separator: ","))".utf8)
    }
}
