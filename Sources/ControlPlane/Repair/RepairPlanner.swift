import ExchangeAdapter
import MarketData
import Wire

/// Which holes are fetched next, and what follows from the answers: of all markets that share one budget. Pure: holes,
/// answers and times in, requests and deliveries out. One request is under way at a time.
///
/// Rules, in this order:
/// 1. A hole that is too large, or that the exchange does not serve, is *lost*, the latter after ``unservedGrace``: until then
///    another connection may bring it.
/// 2. A hole that is older than its market allows is *lost* as far as it was not filled.
/// 3. While the exchange says that it is asked too much, nobody is asked; after 451 never again.
/// 4. Holes that events wait for come first, then by age.
/// 5. An id that an answer jumps over is *absent* where a second answer, some time later, jumps over it too: the exchange
///    serves its past from a store that lags.
struct RepairPlanner {
    /// What is known of a hole that is not served before it is given up, ns.
    static let unservedGrace: Int64 = 5_000_000_000
    /// Before an id is asked for again that an answer has jumped over, ns.
    static let confirmationDelay: Int64 = 300_000_000
    /// Holes at a time; what is beyond is lost.
    static let capacity = 20_000
    /// Answers that cannot be used, or refusals of the request itself, before a hole is lost.
    static let failuresMax = 6

    /// How one market is repaired.
    struct Market {
        var backfill: any Backfill
        var settings: RepairSettings
    }

    /// A request that is to be made.
    struct Request {
        /// Which hole it is for.
        var gap: Int
        var market: Int
        var range: MissingRange
        var backfill: BackfillRequest
        var timeoutNanos: Int64
        /// Whether only how much is used is asked for.
        var isInquiry = false
    }

    /// What became of a request.
    enum Answer {
        /// Events, by rising ids.
        case events(RepairedEvents, receivedTime: Int64, usedWeight: Int?)
        /// Another status than 200.
        case status(Int, retryAfterSeconds: Int?, usedWeight: Int?)
        /// No answer.
        case failed(String)
        /// An answer that cannot be used.
        case unreadable(String, usedWeight: Int?)
    }

    private struct Gap {
        var number: Int
        var lane: Int
        var range: MissingRange
        var symbol: String
        /// The first id that nothing is known of.
        var next: Int64
        var notBefore: Int64
        var heldUntil: Int64
        var givenUp: Int64
        var failures = 0
        var lags = 0
        /// Up to here ids were jumped over by an earlier answer.
        var suspectedTo: Int64 = .min
        var isServed: Bool
    }

    private let markets: [Int: Market]
    private var budget: WeightBudget
    private var gaps: [Gap] = []
    private var made = 0
    private var random: UInt64
    private var pausedUntil: Int64 = 0
    /// When the budget allows what comes first; 0: it does.
    private var opensAt: Int64 = 0
    private var troubles = 0
    /// How much of the address' minute is used is known, by an answer.
    private var isInformed: Bool
    /// The exchange will not serve this address, whatever is asked.
    private(set) var isBarred = false
    /// For the parsers, by lane.
    private(set) var deliveries: [(lane: Int, delivery: RepairDelivery)] = []
    /// For the log: what went wrong since it was last taken.
    private(set) var troubleTexts: [String] = []
    private(set) var counts = RepairCounts()

    /// - Parameters:
    ///   - markets: by index in the lanes; all of one pool.
    ///   - seed: of the jitter in pauses.
    ///   - inquires: how much is used is asked before anything else.
    init(markets: [Int: Market], seed: UInt64, inquires: Bool = false) {
        self.markets = markets
        isInformed = !inquires
        let allowed = markets.values.map(\.backfill.weightPerMinute).min() ?? 0
        budget = WeightBudget(
            perMinute: min(allowed, markets.values.map(\.settings.weightPerMinute).min() ?? 0),
            allowed: allowed)
        random = seed | 1
    }

    /// What nothing is known of yet, by lane.
    var unfilled: [(lane: Int, range: MissingRange, ids: ClosedRange<Int64>)] {
        gaps.map { ($0.lane, $0.range, $0.next...$0.range.last) }
    }

    /// Holes that nothing is known of yet.
    var gapCount: Int { gaps.count }
    /// Weight spent within the last minute.
    mutating func usedWeight(_ now: Int64) -> Int { budget.used(now) }
    /// The most that was ever spent within a minute.
    var highestWeight: Int { budget.highest }

    /// A hole was seen.
    mutating func add(_ range: MissingRange, lane: Int, symbol: String, now: Int64) {
        guard let market = markets[range.market], range.first <= range.last else { return }
        made += 1
        counts.gaps += 1
        var gap = Gap(
            number: made, lane: lane, range: range, symbol: symbol, next: range.first, notBefore: now,
            heldUntil: range.seen + market.settings.holdNanos,
            givenUp: range.seen + market.settings.giveUpNanos,
            isServed: market.backfill.request(for: range, from: range.first, symbol: symbol) != nil)
        if !gap.isServed { gap.givenUp = min(gap.givenUp, range.seen + RepairPlanner.unservedGrace) }
        let isTooLarge = range.last - range.first >= market.settings.maxIDs
        if isTooLarge || gaps.count >= RepairPlanner.capacity || isBarred {
            return lose(gap, receivedTime: 0)
        }
        gaps.append(gap)
    }

    /// What is to be fetched now; nil where nothing is.
    mutating func next(now: Int64, realtime: Int64) -> Request? {
        giveUp(now: now, realtime: realtime)
        opensAt = 0
        guard now >= pausedUntil, let place = foremost(now), let market = markets[gaps[place].range.market],
            let backfill = market.backfill.request(
                for: gaps[place].range, from: gaps[place].next, symbol: gaps[place].symbol),
            let opening = budget.opening(for: backfill.weight, now: now)
        else { return nil }
        guard opening <= now else {
            opensAt = opening
            return nil
        }
        let inquiry = isInformed ? nil : market.backfill.usageRequest
        budget.begin((inquiry ?? backfill).weight)
        counts.requests += 1
        return Request(
            gap: inquiry == nil ? gaps[place].number : 0, market: gaps[place].range.market,
            range: gaps[place].range, backfill: inquiry ?? backfill,
            timeoutNanos: market.settings.timeoutNanos, isInquiry: inquiry != nil)
    }

    /// When ``next(now:realtime:)`` should be called again at the latest, monotonic ns.
    mutating func wakeTime(now: Int64) -> Int64 {
        var time = Int64.max
        for gap in gaps {
            time = min(time, gap.givenUp)
            if gap.isServed { time = min(time, max(gap.notBefore, pausedUntil, opensAt)) }
        }
        return max(time, now + 5_000_000)
    }

    /// Those that events wait for first, then the oldest.
    private func foremost(_ now: Int64) -> Int? {
        var best: Int?
        var bestRank: (Int, Int64) = (.max, .max)
        for (place, gap) in gaps.enumerated() where gap.isServed && gap.notBefore <= now {
            let rank = (gap.heldUntil > now ? 0 : 1, gap.range.seen)
            if rank < bestRank { (best, bestRank) = (place, rank) }
        }
        return best
    }

    // MARK: Answers

    /// What became of a request.
    mutating func take(_ answer: Answer, of request: Request, now: Int64) {
        var used: Int?
        switch answer {
        case .events(_, _, let weight), .status(_, _, let weight), .unreadable(_, let weight): used = weight
        case .failed: break
        }
        if case .failed = answer {} else { isInformed = true }
        budget.end(request.backfill.weight, used: used, now: now)
        let place = gaps.firstIndex { $0.number == request.gap }
        switch answer {
        case .events(let events, let received, _):
            troubles = 0
            if let place { take(events, of: request, at: place, received: received, now: now) }
        case .unreadable(let text, _):
            troubles = 0
            note("an answer that cannot be used: \(text)")
            if let place { fail(place, now: now) }
        case .failed(let text):
            note("no answer: \(text)")
            pause(backoff(troubles), now: now)
            troubles += 1
        case .status(let status, let retryAfter, _):
            refuse(status, retryAfter: retryAfter, place: place, now: now)
        }
    }

    private mutating func refuse(_ status: Int, retryAfter: Int?, place: Int?, now: Int64) {
        counts.refusals += 1
        let told = retryAfter.map {
            min(Int64(max($0, 1)), RetryAfter.longestNanos / 1_000_000_000) * 1_000_000_000
        }
        note("status \(status)" + (retryAfter.map { ", to be asked again in \($0) s" } ?? ""))
        switch status {
        case 418: pause(told ?? 300_000_000_000, now: now)
        case 429: pause(told ?? 60_000_000_000, now: now)
        case 403: pause(told ?? 60_000_000_000, now: now)
        case 451:
            isBarred = true
            for gap in gaps { lose(gap, receivedTime: 0) }
            gaps = []
        case 500...599, 408:
            pause(told ?? backoff(troubles), now: now)
            troubles += 1
        default: if let place { fail(place, now: now) }
        }
    }

    private mutating func take(
        _ events: RepairedEvents, of request: Request, at place: Int, received: Int64, now: Int64
    ) {
        let last = gaps[place].range.last
        var highest = gaps[place].next - 1
        for index in 0..<events.count {
            let id = events.id(at: index)
            guard id > highest else {
                note("an answer whose ids do not rise from \(gaps[place].next): \(id) after \(highest)")
                return fail(place, now: now)
            }
            highest = id
        }
        guard events.count > 0 else { return wait(place, now: now) }
        let proven = min(last, highest)
        let settled = settledID(events, gap: gaps[place], proven: proven)
        if settled < proven { gaps[place].suspectedTo = max(gaps[place].suspectedTo, proven) }
        if settled >= gaps[place].next {
            deliver(events, gap: gaps[place], to: settled, received: received)
            gaps[place].next = settled + 1
            gaps[place].lags = 0
            gaps[place].failures = 0
        }
        if gaps[place].next > last {
            gaps.remove(at: place)
        } else if settled < proven {
            gaps[place].notBefore = now + RepairPlanner.confirmationDelay
        } else if events.count < request.backfill.limit {
            // The store is behind.
            wait(place, now: now)
        }
    }

    /// Up to which id an answer settles everything: before the first one that it jumps over and that was not jumped over
    /// before.
    private func settledID(_ events: RepairedEvents, gap: Gap, proven: Int64) -> Int64 {
        var next = gap.next
        for index in 0..<events.count {
            let id = min(events.id(at: index), proven + 1)
            if id > next, id - 1 > gap.suspectedTo { return max(gap.suspectedTo, next - 1) }
            next = id + 1
            if next > proven { break }
        }
        return proven
    }

    private mutating func deliver(_ events: RepairedEvents, gap: Gap, to last: Int64, received: Int64) {
        var first = gap.next
        var place = 0
        var count = 0
        while count < events.count, events.id(at: count) <= last { count += 1 }
        repeat {
            let end = min(count, place + RepairMailbox.eventsPerDelivery)
            let lastID = end == count ? last : events.id(at: end - 1)
            let part = events[place..<end]
            counts.events += part.count
            deliveries.append(
                (
                    gap.lane,
                    RepairDelivery(
                        range: gap.range, ids: first...lastID, events: part, others: .absent,
                        receivedTime: received)
                ))
            first = lastID + 1
            place = end
        } while place < count
    }

    /// Takes what is for the parsers.
    mutating func takeDeliveries() -> [(lane: Int, delivery: RepairDelivery)] {
        defer { deliveries = [] }
        return deliveries
    }

    /// Takes what is for the log.
    mutating func takeTroubles() -> [String] {
        defer { troubleTexts = [] }
        return troubleTexts
    }

    // MARK: Giving up

    private mutating func giveUp(now: Int64, realtime: Int64) {
        guard gaps.contains(where: { $0.givenUp <= now }) else { return }
        let old = gaps.filter { $0.givenUp <= now }
        gaps.removeAll { $0.givenUp <= now }
        for gap in old { lose(gap, receivedTime: realtime) }
    }

    private mutating func lose(_ gap: Gap, receivedTime: Int64) {
        counts.lost += 1
        let none: RepairedEvents =
            switch gap.range.kind {
            case .trade: .trades([])
            case .aggTrade: .aggTrades([])
            default: .klines([])
            }
        deliveries.append(
            (
                gap.lane,
                RepairDelivery(
                    range: gap.range, ids: gap.next...gap.range.last, events: none, others: .lost,
                    receivedTime: receivedTime)
            ))
    }

    private mutating func fail(_ place: Int, now: Int64) {
        gaps[place].failures += 1
        gaps[place].notBefore = now + backoff(gaps[place].failures)
        guard gaps[place].failures >= RepairPlanner.failuresMax else { return }
        lose(gaps.remove(at: place), receivedTime: 0)
    }

    private mutating func wait(_ place: Int, now: Int64) {
        gaps[place].notBefore = now + backoff(gaps[place].lags)
        gaps[place].lags += 1
    }

    private mutating func pause(_ nanos: Int64, now: Int64) { pausedUntil = max(pausedUntil, now + nanos) }

    private mutating func note(_ text: String) {
        if troubleTexts.count < 16 { troubleTexts.append(text) }
    }

    /// A quarter of a second, doubled each time up to half a minute, of which a random half is taken off.
    private mutating func backoff(_ times: Int) -> Int64 {
        let full = min(30_000_000_000, Int64(250_000_000) << Int64(min(times, 7)))
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        return full / 2 + Int64(random % UInt64(full / 2))
    }
}

/// What was done about holes.
public struct RepairCounts: Sendable, Equatable {
    /// Holes asked for.
    public var gaps = 0
    /// Requests made.
    public var requests = 0
    /// Of these, refused by status.
    public var refusals = 0
    /// Events found.
    public var events = 0
    /// Holes given up, in whole or in part.
    public var lost = 0
}
