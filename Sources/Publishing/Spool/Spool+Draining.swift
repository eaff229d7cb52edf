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
                guard postpone(batch, lane: lane, now: now) else { break }
            } else {
                switch offer(batch.view(lane: lane), to: sink, now: now) {
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

    private func offer<S: Sink>(_ batch: BatchView, to sink: S, now: Int64) -> Offer {
        let number = Int(batch.place.lane)
        let bytes = Int(batch.header.dataBytes)
        let lane = lanes[number]
        if lane.handed > 0, lane.standsStill || lane.handedBytes + bytes > settings.window / 4 {
            return .laneFull
        }
        switch sink.take(batch) {
        case .full: return .full
        case .laneFull: return .laneFull
        case .accepted: break
        }
        if lanes[number].handed == 0 { lanes[number].progressAt = now }
        lanes[number].pending -= 1
        lanes[number].handed += 1
        lanes[number].handedBytes += bytes
        windowBytes += bytes
        handedCount += 1
        monitor.add(1, to: .handed)
        monitor.add(Int(batch.header.count), to: .eventsHanded)
        return .taken
    }

    /// Remembers a batch for when its lane takes it. False where too many are remembered already.
    private func postpone(_ batch: StoredBatch, lane number: UInt32, now: Int64) -> Bool {
        guard deferredCount < settings.deferredLimit else { return false }
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
            guard let batch = read(place, lane: number, now: now) else {
                // Nothing that can be read: another try, or it is gone.
                if store.segment(place.segment) == nil {
                    forget(first: number)
                } else {
                    pause(number, now: now)
                }
                return (work, false)
            }
            switch offer(batch, to: sink, now: now) {
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

    func read(_ place: SpoolLane.Deferred, lane: UInt32, now: Int64) -> BatchView? {
        guard let record = store.read(segment: place.segment, at: Int(place.offset), now: now),
            let segment = store.segment(place.segment), let route = segment.route(record.route)
        else { return nil }
        return BatchView(
            payload: record.payload, route: route,
            place: SpoolPlace(segment: place.segment, record: place.record, lane: lane),
            isEncoded: record.form == .encoded)
    }

    /// Looks which lanes stand still, and, where nothing waits any more, forgets what damage has left in the counts.
    private func sweep(now: Int64) {
        for index in lanes.indices
        where lanes[index].handed > 0 && !lanes[index].standsStill
            && now - lanes[index].progressAt >= Spool.standstill
        {
            lanes[index].standsStill = true
            windowBytes -= lanes[index].handedBytes
        }
        guard store.unread == 0, deferredCount == 0 else { return }
        for index in lanes.indices { lanes[index].pending = 0 }
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
        func drop(_ view: BatchView) {
            let lane = Int(view.place.lane)
            lanes[lane].pending -= 1
            ledger.drop(BatchReceipt(view), policy: policy)
            store.finish(view.place)
            batches += 1
            events += Int(view.header.count)
        }
        for number in deferring {
            while let first = lanes[Int(number)].deferred.first, first.segment == segment.number {
                if let view = read(first, lane: number, now: now) { drop(view) }
                forget(first: number)
            }
        }
        while let batch = store.next(now: now), batch.segment === segment {
            let view = batch.view(lane: lane(of: batch.route))
            store.advance(past: batch)
            drop(view)
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

    var reason: String {
        switch self {
        case .oldest: "spool.maxBytes is reached and spool.whenFull is dropOldest"
        case .aged: "they are older than spool.maxAge"
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
