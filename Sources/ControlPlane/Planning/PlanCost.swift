import Wire

/// What a plan costs: connections, requests, and how long they take.
public struct PlanCost: Sendable, Equatable {
    /// One connection's share.
    public struct Slot: Sendable, Equatable {
        /// Requests that ask for its streams.
        public var requests: Int
        /// From the start until its attempt is within the budget, ns.
        public var attemptNanos: Int64
        /// From the start until its last request is sent, ns; opening it comes on top.
        public var liveNanos: Int64
    }

    /// By lane and slot; slots without streams cost nothing.
    public var slots: [[Slot]] = []
    /// Connections.
    public var sockets = 0
    /// Requests, all connections together.
    public var requests = 0
    /// From the start until the last request is sent, ns; opening the connections comes on top.
    public var liveNanos: Int64 = 0
    /// Connection attempts of the first window.
    public var attempts = 0
    /// Attempts that the budget allows in a window.
    public var attemptsPerWindow = 0
    /// The window, ns.
    public var attemptWindowNanos: Int64 = 0
    /// Connections at once while each is replaced in its turn, by expectation.
    public var socketsAtRollover = 0
    /// Connections at once where the exchange ends all at the same time.
    public var socketsAtWorst = 0

    /// The costs of a plan whose connections are all opened at once.
    public init(_ plan: FleetPlan) {
        // The budget is the process's, so all markets have the same.
        let budget = plan.markets.first?.limits ?? ConnectionLimits()
        attemptsPerWindow = max(1, budget.attemptsPerWindow)
        attemptWindowNanos = budget.attemptWindowNanos
        let attempts = AttemptBudget(perWindow: attemptsPerWindow, windowNanos: attemptWindowNanos)
        var now: Int64 = 0
        var expected = 0.0
        for lane in plan.lanes {
            var costs: [Slot] = []
            for slot in lane.slots {
                guard !slot.streams.isEmpty else {
                    costs.append(Slot(requests: 0, attemptNanos: 0, liveNanos: 0))
                    continue
                }
                let requests = PlanCost.requests(slot)
                while let later = attempts.take(now) { now = later }
                let paced = Int64(max(0, requests - 1)) * slot.limits.frameSpacingNanos
                costs.append(Slot(requests: requests, attemptNanos: now, liveNanos: now + paced))
                sockets += 1
                self.requests += requests
                liveNanos = max(liveNanos, now + paced)
                expected += PlanCost.handover(slot.limits, pacedNanos: paced)
            }
            slots.append(costs)
        }
        self.attempts = min(sockets, attemptsPerWindow)
        socketsAtRollover = sockets + Int(expected.rounded(.up))
        socketsAtWorst = 2 * sockets
    }

    /// The share of the time of replacements in which a slot has two connections, if each comes at a time of its own.
    private static func handover(_ limits: ConnectionLimits, pacedNanos: Int64) -> Double {
        guard limits.rolloverAfterNanos > 0 else { return 0 }
        // Opening and the first data take about a second each.
        let overlap = Double(pacedNanos + 2_000_000_000)
        return min(1, overlap / Double(max(1, PlanCost.spread(limits))))
    }

    /// Over how long the replacements of connections that were made together are spread, ns.
    static func spread(_ limits: ConnectionLimits) -> Int64 {
        guard let window = limits.rolloverWindow, window.length > 0 else { return limits.rolloverJitterNanos }
        return Int64(window.length) * 1_000_000_000
    }

    /// Requests that a slot's streams take.
    static func requests(_ slot: ConnectionPlan) -> Int {
        guard let language = slot.language else { return 0 }
        return RequestPacking.requests(slot.streams.map(\.name), language: language, limits: slot.limits)
            .count
    }
}
