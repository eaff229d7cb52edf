import Batching
import CKernel

/// Batches that the sink cannot have now, on disk, and their way back: lane by lane in order. A lane is a topic and
/// ordering key; one that has nothing here is none of the spool's business. Belongs to the publisher thread.
///
/// While nothing is spooled it costs a look at two numbers for each batch.
public final class Spool {
    let store: SpoolStore
    let settings: SpoolSettings
    let ledger: PublishLedger
    /// What other threads may know.
    public let monitor: SpoolMonitor
    private let routes: RouteTable

    var lanes: [SpoolLane] = []
    private var laneNumbers: [LaneName: UInt32] = [:]
    /// A lane's number plus 1 by route; 0: not known yet.
    private var laneOfRoute: [UInt32] = []
    /// Lanes with batches that they could not take when these were read.
    var deferring: [UInt32] = []
    var nextDeferring = 0
    var deferredCount = 0
    /// Bytes of batches that were handed over and are not acknowledged, without those of lanes that stand still.
    var windowBytes = 0
    /// Batches handed over and not acknowledged.
    var handedCount = 0
    /// When anything was last acknowledged, monotonic ns.
    var progressAt: Int64 = 0
    var published = 0
    var probeAt: Int64 = 0
    var sweepAt: Int64 = 0
    private var secureAt: Int64 = 0
    private var timeAt: Int64 = 0
    private var isSecuring = false
    var watchdog = SpoolWatchdog()

    private struct LaneName: Hashable {
        var topic: String
        var orderingKey: String
    }

    /// Opens the directory, and takes over what an earlier run left there: its routes join `routes`, which nobody else
    /// may use yet, its events are in flight in `ledger`.
    ///
    /// - Parameter market: the ledger's index of an exchange's name.
    public convenience init(
        settings: SpoolSettings, routes: RouteTable, ledger: PublishLedger, market: (String) -> Int
    ) throws(SpoolError) {
        try self.init(settings: settings, routes: routes, ledger: ledger, market: market, files: SpoolFiles())
    }

    init(
        settings: SpoolSettings, routes: RouteTable, ledger: PublishLedger, market: (String) -> Int,
        files: SpoolFiles
    ) throws(SpoolError) {
        self.settings = settings
        self.routes = routes
        self.ledger = ledger
        monitor = SpoolMonitor(ledger: ledger, warnAge: settings.warnAge)
        store = try SpoolStore(settings: settings, monitor: monitor, files: files)
        try recover(market: market)
    }

    private func recover(market: (String) -> Int) throws(SpoolError) {
        let begun = ck_monotonic_nanos()
        let routes = routes
        let batches: Int = try withoutActuallyEscaping(market) { market throws(SpoolError) in
            var recovery = SpoolRecovery(store: store) { text in
                routes.append(
                    kind: text.kind, market: market(text.exchange), exchange: text.exchange,
                    symbol: text.symbol,
                    topic: text.topic, orderingKey: text.orderingKey,
                    origin: Route.Origin(runID: text.runID, collector: text.collector))
            } found: { [unowned self] route, header in
                lanes[Int(lane(of: route))].pending += 1
                ledger.recover(
                    market: route.market, kind: route.kind, events: Int(header.count),
                    bytes: Int(header.dataBytes))
            }
            try recovery.run()
            return recovery.batches
        }
        monitor.add(batches, to: .recovered)
        guard batches > 0 else { return }
        let milliseconds = (ck_monotonic_nanos() - begun) / 1_000_000
        monitor.note(
            information:
                "spool: \(batches) batches of an earlier run (\(store.bytes) bytes, read in \(milliseconds) ms)"
                + " are sent before newer ones of their topics and keys")
    }

    // MARK: Lanes

    func lane(of route: Route) -> UInt32 {
        if route.index < laneOfRoute.count, laneOfRoute[route.index] != 0 {
            return laneOfRoute[route.index] - 1
        }
        let number = lane(topic: route.topic, orderingKey: route.orderingKey)
        while laneOfRoute.count <= route.index { laneOfRoute.append(0) }
        laneOfRoute[route.index] = number + 1
        return number
    }

    private func lane(topic: String, orderingKey: String) -> UInt32 {
        let name = LaneName(topic: topic, orderingKey: orderingKey)
        if let known = laneNumbers[name] { return known }
        let number = UInt32(lanes.count)
        lanes.append(SpoolLane())
        laneNumbers[name] = number
        return number
    }

    /// Whether a batch of that route may go to the sink: none of its lane waits here, nor stands still with the sink.
    func admits(_ route: Route) -> Bool {
        if store.isEmpty { return true }
        let lane = lanes[Int(lane(of: route))]
        return lane.pending == 0 && lane.held == 0
    }

    // MARK: In

    /// Puts a batch behind those of its lane. False where it can be put nowhere now: it stays in the ring.
    func take<S: Sink>(_ batch: BatchView, from sink: S, now: Int64) -> Bool {
        let route = batch.route
        let lane = lane(of: route)
        // What the sink holds of the lane came first, and must come first again after a restart.
        if lanes[Int(lane)].pending == 0 {
            guard !store.isResting(now: now),
                sink.secure(
                    .lane(topic: route.topic, orderingKey: route.orderingKey), { store($0, now: now) })
            else { return false }
        }
        let key = UInt64(route.index) << 32
        prepare(
            route: route, topic: route.topic, orderingKey: route.orderingKey, key: key, batch.payload.count)
        let entry = SpoolStore.Entry(
            form: .batch, payload: batch.payload, closedTime: batch.header.closedTime, route: route,
            routeKey: key,
            lane: lane, isHeld: false)
        guard let place = append(entry, now: now) else { return false }
        var receipt = BatchReceipt(batch)
        receipt.place = place
        lanes[Int(lane)].wait(for: route)
        if settings.fsync == .each {
            uncommitted.append(
                Uncommitted(receipt: receipt, header: batch.header, route: store.lastRoute))
        } else {
            ledger.spool(receipt)
        }
        return true
    }

    /// To be called when no more batches are taken for now, and before their memory is given back: makes them outlast the
    /// machine, where the policy wants it at once. False where that failed: then none of them is here.
    func commit() -> Bool {
        guard !uncommitted.isEmpty else { return true }
        defer { uncommitted.removeAll(keepingCapacity: true) }
        guard store.syncEach(now: ck_monotonic_nanos()) else {
            for batch in uncommitted {
                lanes[Int(batch.receipt.place.lane)].pass(1)
                store.withdraw(batch.receipt.place, batch.header, route: batch.route)
            }
            return false
        }
        for batch in uncommitted { ledger.spool(batch.receipt) }
        return true
    }

    /// A batch that was written in this cycle.
    private struct Uncommitted {
        var receipt: BatchReceipt
        var header: BatchHeader
        /// Its route's number in the segment.
        var route: UInt32
    }

    private var uncommitted: [Uncommitted] = []

    private func append(_ entry: SpoolStore.Entry, now: Int64) -> SpoolPlace? {
        var answer = store.append(entry, now: now)
        while answer == .full, settings.whenFull == .dropOldest, dropOldest(policy: .oldest) {
            answer = store.append(entry, now: now)
        }
        switch answer {
        case .stored(let place):
            if isFull {
                isFull = false
                monitor.reportRecovery("spool: there is room again")
            }
            return place
        case .full:
            isFull = true
            monitor.report(
                problem: "spool: \(settings.directory) holds \(store.bytes) bytes, and spool.maxBytes is"
                    + " \(settings.maxBytes): batches stay in memory and the exchange is held up, nothing is lost; see why"
                    + " the sink takes nothing, or raise spool.maxBytes")
            return nil
        case .failed: return nil
        }
    }

    private var isFull = false

    private func prepare(route: Route, topic: String, orderingKey: String, key: UInt64, _ payload: Int) {
        guard store.needsRoute(key, payload: payload) else { return }
        let origin = route.origin ?? settings.origin
        store.pendingRoute = SpoolRoute(
            destination: settings.destination, runID: origin.runID, collector: origin.collector,
            kind: route.kind,
            exchange: route.exchange, symbol: route.symbol, topic: topic, orderingKey: orderingKey)
    }

    // MARK: What the sink holds

    /// Puts a copy of what the sink holds and nothing else has on disk, lane by lane, where a lane's oldest batch was
    /// closed before `cutoff` (ns since the epoch).
    func secure<S: Sink>(_ sink: S, closedBefore cutoff: Int64, now: Int64) {
        guard !store.isResting(now: now) else { return }
        _ = sink.secure(.closedBefore(cutoff)) { held in store(held, now: now) }
        _ = store.syncEach(now: now)
    }

    private func store(_ held: HeldBatch, now: Int64) -> SpoolPlace? {
        let route = routes.route(Int(held.receipt.route))
        let lane = lane(topic: held.topic, orderingKey: held.orderingKey)
        let key = UInt64(route.index) << 32 | UInt64(lane + 1)
        let size = BatchHeader.size + held.messages.count
        prepare(route: route, topic: held.topic, orderingKey: held.orderingKey, key: key, size)
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
        defer { copy.deallocate() }
        copy[..<BatchHeader.size].initializeMemory(as: UInt8.self, repeating: 0)
        var header = BatchHeader()
        header.count = held.receipt.events
        header.dataBytes = held.receipt.bytes
        header.rawBytes = held.receipt.rawBytes
        header.number = held.receipt.number
        header.closedTime = held.receipt.closedTime
        copy.storeBytes(of: header, as: BatchHeader.self)
        UnsafeMutableRawBufferPointer(rebasing: copy[BatchHeader.size...]).copyMemory(from: held.messages)
        let entry = SpoolStore.Entry(
            form: .encoded, payload: UnsafeRawBufferPointer(copy), closedTime: held.receipt.closedTime,
            route: nil,
            routeKey: key, lane: lane, isHeld: true)
        guard let place = append(entry, now: now) else { return nil }
        lanes[Int(lane)].held += 1
        ledger.secure(held.receipt)
        return place
    }

    // MARK: A cycle

    /// Takes acknowledgements, puts what has waited with the sink for too long on disk, and hands over what the sink may
    /// have. `now`: monotonic ns. Returns how much was done.
    func doWork<S: Sink>(_ sink: S, now: Int64) -> Int {
        var work = takeAcknowledgements(now: now)
        settleLosses()
        if let oldest = ledger.oldestHeldTime, now >= secureAt {
            secureAt = now + settings.patience / 10
            let cutoff = ck_realtime_nanos() - settings.patience
            if oldest < cutoff { secure(sink, closedBefore: cutoff, now: now) }
        }
        guard !store.isEmpty || now >= timeAt else { return work }
        if store.unread > 0 || deferredCount > 0 { work += drain(into: sink, now: now) }
        if now >= timeAt {
            timeAt = now + (store.isEmpty ? 1_000_000_000 : 100_000_000)
            store.keepTime(now: now)
            if settings.maxAge > 0 { dropAged() }
            watch(now: now)
            store.tell()
        }
        return work
    }

    private func takeAcknowledgements(now: Int64) -> Int {
        let published = ledger.total(.batchesPublished)
        if published != self.published {
            self.published = published
            progressAt = now
        }
        return ledger.fetchSpooled { receipt in
            let number = Int(receipt.place.lane)
            let isHeld = receipt.isSecured
            if !isHeld { release(bytes: Int(receipt.bytes), of: number, now: now) }
            guard isHeld ? receipt.endsRecord : receipt.endsBatch else { return }
            store.finish(receipt.place)
            monitor.add(1, to: .acknowledged)
            if isHeld {
                lanes[number].held -= 1
            } else {
                lanes[number].handed -= 1
                handedCount -= 1
            }
        }
    }

    private func release(bytes: Int, of lane: Int, now: Int64) {
        lanes[lane].handedBytes -= bytes
        lanes[lane].progressAt = now
        if lanes[lane].standsStill {
            // What else it has counts again.
            lanes[lane].standsStill = false
            windowBytes += lanes[lane].handedBytes
        } else {
            windowBytes -= bytes
        }
    }

    /// Whether anything waits here.
    var isEmpty: Bool { store.isEmpty }

    /// Whether ``doWork(_:now:)`` would find something to do at once.
    func hasInput(now: Int64) -> Bool {
        store.unread > 0 && !isHeldUp && windowBytes < settings.window && now >= store.cursor.retryAt
            && mayRead(now: now)
    }

    /// Nothing could be handed over the last time.
    var isHeldUp = false

    /// Until the next deadline, ns. `isBlocked`: a batch waits in the ring that it could not take.
    func parkLimit(isBlocked: Bool) -> Int64 {
        if deferredCount > 0 { return 2_000_000 }
        if isBlocked || !store.isEmpty { return 20_000_000 }
        // What the sink holds is looked at when it may have waited for too long.
        return ledger.oldestHeldTime == nil ? 1_000_000_000 : settings.patience / 10
    }

    /// What the sink holds goes to disk, then everything is made to last.
    func close<S: Sink>(_ sink: S) {
        let now = ck_monotonic_nanos()
        _ = takeAcknowledgements(now: now)
        secure(sink, closedBefore: .max, now: now)
        if store.undone > 0 {
            monitor.note(
                information:
                    "spool: \(store.undone) batches (\(store.bytes) bytes) stay in \(settings.directory) and are"
                    + " sent at the next start")
        }
        store.close()
    }
}

/// A topic and ordering key, as the spool knows it.
struct SpoolLane {
    /// Batches here that were not handed over.
    var pending = 0
    /// This run's route, told that its batches wait.
    private var route: Route?
    /// Batches that the sink had before they were stored, and that are not acknowledged.
    var held = 0
    /// Batches handed over and not acknowledged, and their bytes.
    var handed = 0
    /// See ``handed``.
    var handedBytes = 0
    /// When something of these was handed over after nothing was, or acknowledged; monotonic ns.
    var progressAt: Int64 = 0
    /// Has had no acknowledgement for a while: what it holds does not count against the window.
    var standsStill = false
    /// Batches that were read past, in order.
    var deferred = Queue<Deferred>()
    /// Whether it is in the list of those that have any.
    var isDeferring = false
    /// How often the first of them could not be read.
    var readTries = 0
    /// When the first of them is tried again, and the pause after that, monotonic ns.
    var retryAt: Int64 = 0
    var pause: Int64 = 0

    /// A batch of this run joins those that wait.
    mutating func wait(for route: Route) {
        pending += 1
        guard pending == 1 || self.route !== route else { return }
        self.route?.setWaiting(false)
        self.route = route
        route.setWaiting(true)
    }

    /// So many batches wait no longer.
    mutating func pass(_ batches: Int) {
        pending -= batches
        if pending == 0 { route?.setWaiting(false) }
    }

    /// Where a batch is.
    struct Deferred {
        var segment: UInt32
        var record: UInt32
        var offset: UInt32
    }
}
