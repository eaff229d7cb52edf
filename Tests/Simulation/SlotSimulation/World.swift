import Wire

/// A stream of the virtual exchange.
struct VirtualStream {
    let market: Int
    let name: String
    let route: String
    /// The exchange refuses to hear of it.
    let isWrong: Bool
    /// Between two trades, on average, ns.
    let interval: Int64
    /// Hours of the day in which it trades.
    let activeHours: Int64
    let salt: UInt64
    /// The next trade's id; they begin with 1.
    var nextID: Int64 = 1

    var isWanted = false
    /// Since when it is, or is not.
    var changedAt: Int64 = 0
    var lane = 0
    /// In the lane.
    var id: UInt32 = 0
    /// Open connections that carry it, as the exchange sees it.
    var subscribers: [Int] = []
    /// Since when no connection carries it although it is wanted; 0: one does.
    var unownedSince: Int64 = 0
    /// Since when no connection that carries it delivers it; 0: one does, or none carries it.
    var deadSince: Int64 = 0
    /// Trades up to here may be missing: something was in the way that no other connection made up for.
    var excusedUntil: Int64 = 0
    /// Requests that were refused for its name.
    var refusals = 0

    /// When a trade happens: evenly spaced within the active hours, off by less than the spacing.
    func time(of id: Int64) -> Int64 {
        let jitter = Int64(SimulationRandom.mix(salt &+ UInt64(id)) % UInt64(interval * 9 / 10))
        let active = id * interval + jitter
        let day = activeHours * Time.hour
        return active / day * Time.day + active % day
    }
}

/// A host of the virtual exchange.
struct VirtualHost {
    /// The way there, ns.
    var latency: Int64
    var unknownUntil = Int64.min
    var hangsUntil = Int64.min
    var closedUntil = Int64.min
    var refusesUntil = Int64.min
    var status = 0
    var retryAfterNanos: Int64?
}

/// A market of the virtual exchange.
struct VirtualMarket {
    var hosts: [VirtualHost]
    /// When upgrades arrived within the last window.
    var attempts: [Int64] = []
    /// From here on nothing that befell the market, and no answer to it, excuses that a stream is not carried.
    var troubleUntil: Int64 = 0
    /// Requests to come that are not answered, not obeyed, or obeyed in vain.
    var toSwallow = 0
    var toLoseAnswer = 0
    var toSilence = 0
}

/// A way to the exchange that is being tried.
struct Attempt {
    var link: Int
    var generation: UInt32
    var host: Int
    var target: String
    var cause = ConnectionEnd.connect
    var status = 0
    var retryAfterNanos: Int64?
}

/// A connection as the exchange sees it.
struct VirtualConnection {
    struct Request {
        var request: SlotRequest
        var bytes: Int
        var sentAt: Int64
        /// What the answer says.
        var isRefused = false
        var tellsID = true
        var names: [String] = []
        var isAnswered = false
    }

    let link: Int
    let generation: UInt32
    let market: Int
    let host: Int
    let target: String
    let latency: Int64
    var openedAt: Int64
    /// For the exchange.
    var isOpen = true
    /// Nothing passes any more.
    var isHalfOpen = false
    var isStalled = false
    /// Does not listen any more after a request that it did not understand.
    var isBroken = false
    /// Something befell it that it did not deserve.
    var isFaulty = false
    /// When its end was announced; 0: it was not.
    var announcedAt: Int64 = 0
    /// Indices of streams.
    var subscriptions: [Int] = []
    /// Subscribed, and not delivered.
    var silent: [Int] = []
    /// Of these, what the exchange does not list.
    var unlisted: [Int] = []
    /// Names that were asked for while they were held.
    var repeats = 0
    var requests: [Request] = []
    var firstUnanswered = 0
    /// When messages of the last second arrived.
    var messages: [Int64] = []
}

/// What the I/O thread holds for one side of a slot.
struct VirtualLink {
    enum Phase { case none, opening, open, closing }
    var phase = Phase.none
    var generation: UInt32 = 0
    var connection = -1
    var lastBytes: Int64 = 0
}

/// A slot and its machine.
struct VirtualSlot {
    let lane: Int
    let market: Int
    let shard: Int
    let leg: Int
    var plan: ConnectionPlan
    var machine: SlotMachine
    /// When a timer event will come for it.
    var timerAt = Int64.max
    /// Why it hands over, while it does.
    var handover: HandoverReason?
    /// Times that it was refused what it holds.
    var refusedRepeats = 0
    /// In the hour at hand.
    var actions = 0
    var ticks = 0
}

/// A lane: what its slots share.
struct VirtualLane {
    let activity: StreamActivity
    let permits: HandoverPermits
    let parser: LaneParser
    /// When the parser will be woken for events that wait.
    var settleAt = Int64.max
}
