import Batching
import CKernel

/// The way back to the sink.
extension Spool {
    /// Batches that one cycle hands over at most, so that live ones are never far away.
    static let batchesPerCycle = 256
    /// A lane without an acknowledgement for so long stands still, ns.
    static let standstill: Int64 = 1_000_000_000

    private enum Offer {
        case taken
        /// Not now, others perhaps.
        case laneFull
        /// None now.
        case full
    }

    /// While the sink acknowledges nothing at all, reading on would only fill memory with places: a few a second must do.
    func mayRead(now: Int64) -> Bool {
        handedCount == 0 || now - progressAt < Spool.standstill || now >= probeAt
    }

    /// Hands over what the sink may have: first what lanes could not take before, then on from the cursor.
    func drain<S: Sink>(into sink: S, now: Int64) -> Int {
        if now >= sweepAt {
            sweepAt = now + 100_000_000
            sweep(now: now)
        }
        isHeldUp = false
        var work = drainDeferred(into: sink, now: now)
        guard !isHeldUp, mayRead(now: now) else { return work }
        let isProbe = handedCount > 0 && now - progressAt >= Spool.standstill
        if isProbe { probeAt = now + Spool.standstill }
        let limit = isProbe ? 16 : Spool.batchesPerCycle
        var seen = 0
        while seen < limit, windowBytes < settings.window {
            guard let batch = store.next(now: now) else { break }
            let lane = lane(of: batch.route)
            if lanes[Int(lane)].isDeferring {
                guard postpone(batch, lane: lane, now: now) else { return work }
            } else {
                switch offer(batch, lane: lane, to: sink, now: now) {
                case .taken: work += 1
                case .laneFull: guard postpone(batch, lane: lane, now: now) else { return work }
                case .full:
                    isHeldUp = true
                    return work
                }
            }
            store.advance(past: batch)
            seen += 1
        }
        return work
    }

    private func offer<S: Sink>(_ batch: StoredBatch, lane: UInt32, to sink: S, now: Int64) -> Offer {
        let number = Int(lane)
        let header = batch.record.header
        let bytes = Int(header.dataBytes)
        let lane = lanes[number]
        if lane.handed > 0, lane.standsStill || lane.handedBytes + bytes > settings.window / 4 {
            return .laneFull
        }
        switch sink.take(batch.view(lane: UInt32(number))) {
        case .full: return .full
        case .laneFull: return .laneFull
        case .accepted: break
        }
        batch.segment.settle(header, route: batch.record.route)
        if lanes[number].handed == 0 { lanes[number].progressAt = now }
        lanes[number].pass(1)
        lanes[number].handed += 1
        lanes[number].handedBytes += bytes
        windowBytes += bytes
        handedCount += 1
        monitor.add(1, to: .handed)
        monitor.add(Int(header.count), to: .eventsHanded)
        return .taken
    }

    /// Remembers a batch for when its lane takes it. False where too many are remembered already.
    private func postpone(_ batch: StoredBatch, lane number: UInt32, now: Int64) -> Bool {
        guard deferredCount < settings.deferredLimit else {
            // Nothing can be read on until one of these lanes takes something.
            isHeldUp = true
            return false
        }
        let lane = Int(number)
        lanes[lane].deferred.append(
            SpoolLane.Deferred(
                segment: batch.segment.number, record: UInt32(batch.index), offset: UInt32(batch.offset)))
        deferredCount += 1
        monitor.set(deferredCount, at: .deferred)
        guard !lanes[lane].isDeferring else { return true }
        lanes[lane].isDeferring = true
        lanes[lane].pause = 1_000_000
        lanes[lane].retryAt = now + lanes[lane].pause
        deferring.append(number)
        return true
    }

    private func drainDeferred<S: Sink>(into sink: S, now: Int64) -> Int {
        var work = 0
        var looked = 0
        while looked < 64, !deferring.isEmpty, work < Spool.batchesPerCycle, windowBytes < settings.window {
            if nextDeferring >= deferring.count { nextDeferring = 0 }
            let number = deferring[nextDeferring]
            looked += 1
            guard now >= lanes[Int(number)].retryAt else {
                if looked >= deferring.count { break }
                nextDeferring += 1
                continue
            }
            let (done, isFull) = drainDeferred(lane: number, into: sink, now: now)
            work += done
            if isFull {
                isHeldUp = true
                break
            }
            if lanes[Int(number)].deferred.isEmpty {
                lanes[Int(number)].isDeferring = false
                deferring.swapAt(nextDeferring, deferring.count - 1)
                deferring.removeLast()
            } else {
                nextDeferring += 1
            }
        }
        monitor.set(deferredCount, at: .deferred)
        return work
    }

    private func drainDeferred<S: Sink>(lane number: UInt32, into sink: S, now: Int64) -> (Int, isFull: Bool)
    {
        var work = 0
        while work < Spool.batchesPerCycle, let place = lanes[Int(number)].deferred.first {
            let batch: StoredBatch
            switch store.read(place, tries: lanes[Int(number)].readTries) {
            case .batch(let found): batch = found
            case .later:
                lanes[Int(number)].readTries += 1
                lanes[Int(number)].retryAt = now + SpoolStore.readPause
                return (work, false)
            case .lost:
                lanes[Int(number)].readTries = 0
                forget(first: number)
                continue
            }
            if lanes[Int(number)].readTries > 0 {
                lanes[Int(number)].readTries = 0
                monitor.reportRecovery("spool: \(batch.segment.path) is read again")
            }
            switch offer(batch, lane: number, to: sink, now: now) {
            case .taken:
                forget(first: number)
                lanes[Int(number)].pause = 1_000_000
                work += 1
            case .laneFull:
                pause(number, now: now)
                return (work, false)
            case .full: return (work, true)
            }
        }
        return (work, false)
    }

    private func forget(first number: UInt32) {
        _ = lanes[Int(number)].deferred.popFirst()
        deferredCount -= 1
    }

    private func pause(_ number: UInt32, now: Int64) {
        lanes[Int(number)].retryAt = now + lanes[Int(number)].pause
        lanes[Int(number)].pause = min(lanes[Int(number)].pause * 2, 100_000_000)
    }

    /// Looks which lanes stand still.
    private func sweep(now: Int64) {
        for index in lanes.indices
        where lanes[index].handed > 0 && !lanes[index].standsStill
            && now - lanes[index].progressAt >= Spool.standstill
        {
            lanes[index].standsStill = true
            windowBytes -= lanes[index].handedBytes
        }
    }

    /// Puts what damage took into the books: it is dropped, and its lanes wait for it no longer.
    func settleLosses() {
        guard !store.losses.isEmpty else { return }
        var batches = 0
        var events = 0
        for (route, share) in store.losses {
            lanes[Int(lane(of: route))].pass(share.batches)
            ledger.lose(share, of: route)
            batches += share.batches
            events += share.events
        }
        store.losses.removeAll()
        monitor.note(
            problem:
                "spool: \(batches) batches with \(events) events were lost (\(SpoolDrop.damaged.rawValue)):"
                + " \(SpoolDrop.damaged.reason)")
    }

    // MARK: Limits

    /// Deletes the oldest segment's batches that the sink does not hold. False where there are none.
    func dropOldest(policy: SpoolDrop) -> Bool {
        for segment in store.segments where !segment.isDone {
            let dropped = drop(segment, policy: policy)
            if dropped.batches > 0 {
                monitor.note(
                    problem: "spool: \(dropped.batches) batches with \(dropped.events) events were dropped"
                        + " (\(policy.rawValue)): \(policy.reason)")
                return true
            }
        }
        return false
    }

    func dropAged() {
        let limit = ck_realtime_nanos() - settings.maxAge
        while let segment = store.segments.first(where: { !$0.isDone }), segment.newestTime < limit,
            dropOldest(policy: .aged)
        {}
    }

    private func drop(_ segment: SpoolSegment, policy: SpoolDrop) -> (batches: Int, events: Int) {
        let now = ck_monotonic_nanos()
        var batches = 0
        var events = 0
        func drop(_ batch: StoredBatch) {
            let number = lane(of: batch.route)
            let view = batch.view(lane: number)
            lanes[Int(number)].pass(1)
            batch.segment.settle(view.header, route: batch.record.route)
            ledger.drop(BatchReceipt(view), policy: policy)
            store.finish(view.place)
            batches += 1
            events += Int(view.header.count)
        }
        for number in deferring {
            while let first = lanes[Int(number)].deferred.first, first.segment == segment.number {
                // What cannot be read is counted when the segment is done.
                if case .batch(let batch) = store.read(first, tries: .max) { drop(batch) }
                forget(first: number)
            }
        }
        while let batch = store.next(now: now), batch.segment === segment {
            store.advance(past: batch)
            drop(batch)
        }
        monitor.add(batches, to: .dropped)
        return (batches, events)
    }

    // MARK: Watching

    /// Says so when the sink seems well and yet takes nothing of what waits.
    func watch(now: Int64) {
        let isWaiting = store.undone > 0
        let progress = monitor.value(.acknowledged) + monitor.value(.dropped)
        guard watchdog.stalls(isWaiting: isWaiting && ledger.isHealthy, progress: progress, now: now) else {
            return
        }
        monitor.add(1, to: .stalls)
        monitor.note(
            problem: "spool: none of \(store.undone) batches was acknowledged for"
                + " \(SpoolWatchdog.patience / 1_000_000_000) s although the sink reports no problem; see the state of"
                + " the sink's service")
    }
}

/// Why batches of the spool are dropped; the label of the metric.
public enum SpoolDrop: String, Sendable, CaseIterable {
    /// `spool.maxBytes` was reached, and `spool.whenFull` is dropOldest.
    case oldest = "spool-oldest"
    /// `spool.maxAge` was reached.
    case aged = "spool-aged"
    /// The disk gave something else back than was written.
    case damaged = "spool-damaged"

    var reason: String {
        switch self {
        case .oldest: "spool.maxBytes is reached and spool.whenFull is dropOldest"
        case .aged: "they are older than spool.maxAge"
        case .damaged: "the disk gave something else back than was written; see its state (dmesg)"
        }
    }
}

/// Watches whether the spool gets on.
struct SpoolWatchdog {
    /// Without progress for so long it stalls, ns.
    static let patience: Int64 = 10_000_000_000
    private var since: Int64?
    private var seen = 0

    /// Whether a stall begins, or has gone on for another ``patience``.
    mutating func stalls(isWaiting: Bool, progress: Int, now: Int64) -> Bool {
        guard isWaiting, progress == seen, let since else {
            self.since = isWaiting ? now : nil
            seen = progress
            return false
        }
        guard now - since >= SpoolWatchdog.patience else { return false }
        self.since = now
        return true
    }
}
