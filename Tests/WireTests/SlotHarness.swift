import MarketData

@testable import Wire

/// `+1 a,b`, `-2 a`, `?3`.
struct SlotTestLanguage: ControlLanguage {
    var canList = true
    func subscribe(_ names: [String], id: Int64) -> [UInt8] {
        Array("+\(id) \(names.joined(separator: ","))".utf8)
    }
    func unsubscribe(_ names: [String], id: Int64) -> [UInt8] {
        Array("-\(id) \(names.joined(separator: ","))".utf8)
    }
    func list(id: Int64) -> [UInt8]? { canList ? Array("?\(id)".utf8) : nil }
}

extension Int64 {
    static let ms: Int64 = 1_000_000
    static let second: Int64 = 1_000_000_000
    static let hour: Int64 = 3_600 * second
}

/// One machine, its clock, and what it wanted done.
struct SlotHarness {
    var machine: SlotMachine
    let activity = StreamActivity(capacity: 64)
    let budget: AttemptBudget
    var now: Int64 = 1_000 * .second
    /// All of it, in order.
    var actions: [SlotAction] = []
    let leg: Int

    init(
        streams: Int = 3, legs: Int = 1, leg: Int = 0, hosts: Int = 1, canList: Bool = true, seed: UInt64 = 1,
        budget: AttemptBudget = AttemptBudget(perWindow: 300, windowNanos: 300 * .second),
        permits: HandoverPermits = HandoverPermits(), change: (inout ConnectionLimits) -> Void = { _ in }
    ) throws {
        var limits = ConnectionLimits()
        limits.rolloverAfterNanos = 0
        limits.rolloverJitterNanos = 0
        change(&limits)
        let endpoints = try (0..<hosts).map { try Endpoint("ws://host\($0).test") }
        var plan = ConnectionPlan(
            slot: leg, shard: 0, leg: leg, market: 0, endpoint: endpoints[0], endpoints: endpoints,
            target: "/",
            streams: (0..<streams).map { SlotStream(id: UInt32($0), name: "s\($0)") },
            language: SlotTestLanguage(canList: canList), limits: limits)
        plan.legs = legs
        self.budget = budget
        self.leg = leg
        machine = SlotMachine(
            plan: plan, activity: activity, budget: budget, permits: permits, random: SplitMix64(seed: seed))
    }

    /// Time passes; the machine is woken whenever it wants to be.
    mutating func pass(_ nanos: Int64, isAlive: Bool = true) {
        let end = now + nanos
        take()
        while machine.deadline <= end {
            now = max(now, machine.deadline)
            if isAlive { for side in 0..<2 { machine.heard(side, at: now) } }
            machine.tick(now)
            take()
        }
        now = end
        if isAlive { for side in 0..<2 { machine.heard(side, at: now) } }
    }

    mutating func take() {
        actions += machine.actions
        machine.actions.removeAll()
    }

    /// What happened since this was asked last.
    mutating func news() -> [SlotAction] {
        take()
        defer { actions = [] }
        return actions
    }

    mutating func opened(_ side: Int) {
        machine.opened(side, generation: machine.generation(of: side), now)
        take()
    }

    mutating func ended(
        _ side: Int, _ cause: ConnectionEnd = .ended, status: Int = 0, retryAfter: Int64? = nil
    ) {
        machine.ended(
            side, generation: machine.generation(of: side), cause, status: status,
            retryAfterNanos: retryAfter,
            now)
        take()
    }

    /// Every request that was sent is accepted, until no more come.
    mutating func acceptAll(_ side: Int) {
        for _ in 0..<100 {
            let requests = sent(side)
            if requests.isEmpty, !machine.links[side].hasToSend { return }
            actions.removeAll { if case .send = $0 { true } else { false } }
            for request in requests where request.method != .list {
                machine.acknowledged(side, generation: machine.generation(of: side), id: request.id, now)
            }
            take()
            pass(250 * .ms)
        }
    }

    /// Requests among what was not asked for yet.
    func sent(_ side: Int) -> [SlotRequest] {
        actions.compactMap { if case .send(side, let request) = $0 { request } else { nil } }
    }

    var reports: [SlotReport] {
        actions.compactMap { if case .report(let report) = $0 { report } else { nil } }
    }

    func opens(_ side: Int) -> Bool {
        actions.contains { if case .open(side, _, _) = $0 { true } else { false } }
    }

    /// The endpoint of the last dial.
    var dialled: Int? {
        for case .open(_, _, let endpoint) in actions.reversed() { return endpoint }
        return nil
    }

    /// A payload came on a side.
    func bring(_ stream: UInt32, _ side: Int) {
        activity.record(
            stream: stream, member: leg * 2 + side, generation: machine.generation(of: side), now: now)
    }

    /// Open, subscribed, all streams alive.
    mutating func goLive() {
        pass(0)
        opened(0)
        acceptAll(0)
        _ = news()
    }
}
