import CKernel
import ExchangeAdapter
import Foundation
import Logging
import MarketData
import Rings
import Synchronization

/// Fills the holes of all markets that share one address' budget: a thread of the control plane that asks for them, one
/// request at a time, and hands what it finds to the parsers.
final class RepairService: Sendable {
    /// A lane's mailbox and names.
    struct LaneEnd: Sendable {
        var mailbox: RepairMailbox
        var instruments: InstrumentTable
    }

    /// Figures of this moment.
    struct Figures: Sendable, Equatable {
        var counts = RepairCounts()
        var gapsWaiting = 0
        var usedWeight = 0
    }

    /// How long a hole may wait until it is looked at, ns.
    private static let lookNanos: Int64 = 10_000_000

    private let places: [Int: RepairClient.Place]
    private let markets: [Int: RepairPlanner.Market]
    private let lanes: [LaneEnd]
    private let logger: Logger
    private let isStopping = Atomic<Bool>(false)
    private let hasStopped = Atomic<Bool>(true)
    private let shown = Mutex(Figures())

    /// A hole, or what is left of it.
    struct Hole: Sendable {
        var range: MissingRange
        var ids: ClosedRange<Int64>
        /// How many deliveries its lane must have taken before it is filled; `.max`: none is under way.
        var delivery: Int
    }
    private struct Books {
        /// By lane: holes taken over.
        var taken: [Int]
        /// By lane: what is not known to be filled.
        var unfilled: [[Hole]]
    }
    /// As of the thread's last look.
    private let books: Mutex<Books>
    /// By lane: deliveries that are known to be safe.
    private let safe: Mutex<[Int]>

    /// - Parameters:
    ///   - places: where each market's past is served, by market; all of one pool.
    init(
        places: [Int: RepairClient.Place], markets: [Int: RepairPlanner.Market], lanes: [LaneEnd],
        logger: Logger
    ) {
        self.places = places
        self.markets = markets
        self.lanes = lanes
        self.logger = logger
        books = Mutex(
            Books(taken: lanes.map { _ in 0 }, unfilled: lanes.map { _ in [] }))
        safe = Mutex(lanes.map { _ in 0 })
    }

    /// How many holes of a lane have been taken over.
    func holesTaken(lane: Int) -> Int { books.withLock { $0.taken[lane] } }

    /// What is not filled of a lane's holes once its parser has taken so many deliveries; those are safe from then on.
    func unfilled(lane: Int, afterDelivery taken: Int) -> [Hole] {
        safe.withLock { $0[lane] = max($0[lane], taken) }
        return books.withLock { $0.unfilled[lane].filter { $0.delivery > taken } }
    }

    /// Figures of this moment.
    var figures: Figures { shown.withLock { $0 } }

    /// Starts the thread.
    func start() {
        hasStopped.store(false, ordering: .sequentiallyConsistent)
        let thread = Thread { [self] in
            run()
            hasStopped.store(true, ordering: .sequentiallyConsistent)
        }
        thread.name = "repair"
        thread.start()
    }

    /// Asks the thread to end. What it has not filled stays in the checkpoint.
    func stop() { isStopping.store(true, ordering: .sequentiallyConsistent) }

    /// Whether the thread has ended.
    var isStopped: Bool { hasStopped.load(ordering: .sequentiallyConsistent) }

    private func run() {
        guard let client = RepairClient() else {
            return logger.error("repair: out of memory; gaps are told, not filled")
        }
        var seed: UInt64 = 0
        _ = ck_random(&seed, 8)
        var planner = RepairPlanner(markets: markets, seed: seed, inquires: true)
        var undelivered: [(lane: Int, delivery: RepairDelivery)] = []
        var taken = lanes.map { _ in 0 }
        var sent: [[Hole]] = lanes.map { _ in [] }
        var booksDue: Int64 = 0
        while !isStopping.load(ordering: .relaxed) {
            let now = ck_monotonic_nanos()
            collect(&planner, now: now, taken: &taken)
            if let request = planner.next(now: now, realtime: ck_realtime_nanos()),
                let place = places[request.market]
            {
                let answer = client.fetch(request, at: place)
                planner.take(answer, of: request, now: ck_monotonic_nanos())
            }
            undelivered += planner.takeDeliveries()
            deliver(&undelivered, &sent)
            // Older books only tell of more than is missing still. With many holes they cost something.
            if now >= booksDue {
                keepBooks(planner, taken: taken, undelivered: undelivered, sent: &sent)
                booksDue = planner.gapCount > 100 ? now + 200_000_000 : 0
            }
            tell(&planner)
            let wait = min(
                RepairService.lookNanos, planner.wakeTime(now: now) - ck_monotonic_nanos())
            if wait > 0 { usleep(UInt32(wait / 1_000)) }
        }
    }

    private func keepBooks(
        _ planner: RepairPlanner, taken: [Int], undelivered: [(lane: Int, delivery: RepairDelivery)],
        sent: inout [[Hole]]
    ) {
        let safe = safe.withLock { $0 }
        for lane in sent.indices { sent[lane].removeAll { $0.delivery <= safe[lane] } }
        var unfilled = sent
        for one in undelivered {
            unfilled[one.lane].append(
                Hole(range: one.delivery.range, ids: one.delivery.ids, delivery: .max))
        }
        for one in planner.unfilled {
            unfilled[one.lane].append(Hole(range: one.range, ids: one.ids, delivery: .max))
        }
        let books = Books(taken: taken, unfilled: unfilled)
        self.books.withLock { $0 = books }
    }

    private func collect(_ planner: inout RepairPlanner, now: Int64, taken: inout [Int]) {
        for (index, lane) in lanes.enumerated() {
            for market in markets.keys {
                for range in lane.mailbox.missing[market].drain(limit: 1_024) {
                    let symbol = lane.instruments.instrument(at: range.instrument).symbol
                    planner.add(range, lane: index, symbol: symbol, now: now)
                    taken[index] += 1
                }
            }
        }
    }

    /// In order for each lane; what a parser has no room for now comes first the next time.
    private func deliver(
        _ undelivered: inout [(lane: Int, delivery: RepairDelivery)], _ sent: inout [[Hole]]
    ) {
        guard !undelivered.isEmpty else { return }
        var full: Set<Int> = []
        undelivered = undelivered.filter { one in
            if full.contains(one.lane) { return true }
            guard let number = lanes[one.lane].mailbox.deliver(one.delivery) else {
                full.insert(one.lane)
                return true
            }
            sent[one.lane].append(Hole(range: one.delivery.range, ids: one.delivery.ids, delivery: number))
            return false
        }
    }

    private func tell(_ planner: inout RepairPlanner) {
        for text in planner.takeTroubles() { logger.warning("repair: \(text)") }
        let now = ck_monotonic_nanos()
        let figures = Figures(
            counts: planner.counts, gapsWaiting: planner.gapCount, usedWeight: planner.usedWeight(now))
        shown.withLock { $0 = figures }
    }
}
