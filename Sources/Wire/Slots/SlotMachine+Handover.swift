/// Replacing a connection that still works: the new one delivers before the old one goes.
extension SlotMachine {
    /// How often the streams of a successor are looked at, ns: at first, and at the least. Between these, every fiftieth
    /// of the time that the replacement has taken, which makes it so much longer and no busier.
    private static let checkNanos: Int64 = 20_000_000
    private static let slowestCheckNanos: Int64 = 1_000_000_000
    /// A stream that brought nothing on either connection for so long after its acknowledgement is quiet, ns.
    private static let settleNanos: Int64 = 1_000_000_000
    /// For the successor to deliver what the primary delivers, once all is acknowledged, ns.
    private static let deliverNanos: Int64 = 60_000_000_000

    mutating func advanceHandover(_ now: Int64) {
        if let current = handover { watch(current, now) } else { beginHandover(now) }
    }

    private var wantedHandover: HandoverReason? {
        guard let primary, links[primary].phase == .open else { return nil }
        if isShutdownAnnounced { return .serverShutdown }
        return isMoveWanted ? .move : nil
    }

    private mutating func beginHandover(_ now: Int64) {
        guard let primary, links[primary].phase == .open, now >= handoverRetryAt else { return }
        guard let reason = wantedHandover ?? (now >= links[primary].retireAt ? .rollover : nil) else {
            return
        }
        let side = 1 - primary
        guard links[side].phase == .none else {
            handoverRetryAt = now + 100_000_000
            return
        }
        // An announced end does not wait for its turn.
        let needsPermit = reason != .serverShutdown
        guard !needsPermit || permits.take(shard) else {
            handoverRetryAt = now + 1_000_000_000 + random.next(below: 1_000_000_000)
            return
        }
        switch reason {
        // The preferred one for a planned replacement.
        case .rollover: nextEndpoint = 0
        case .move: nextEndpoint = endpointToMoveTo(from: primary)
        case .serverShutdown: break
        }
        guard open(side, now) else {
            if needsPermit { permits.release(shard) }
            handoverRetryAt = max(nextAttempt, now + 100_000_000)
            return
        }
        let requests = Int64(
            streams.count / max(1, min(limits.namesPerRequest, limits.requestBytes / 24)) + 1)
        links[side].isOfMove = reason == .move
        handover = Handover(
            reason: reason, beganAt: now,
            deadline: now + limits.openNanos + requests * limits.frameSpacingNanos
                + limits.acknowledgementNanos
                + SlotMachine.deliverNanos, hasPermit: needsPermit, nextCheck: now)
        report(.handoverBegan(reason))
    }

    /// A new place for a stream that the primary does not serve. The last endpoint is the other leg's, whose end would
    /// then take both: before that comes another connection to the same one.
    private func endpointToMoveTo(from primary: Int) -> Int {
        let next = (links[primary].endpoint + 1) % endpointCount
        guard hasOtherLeg, next == endpointCount - 1, !links[primary].isOfMove else { return next }
        return links[primary].endpoint
    }

    private mutating func watch(_ current: Handover, _ now: Int64) {
        guard let primary else { return }
        let side = 1 - primary
        if now >= current.deadline {
            // The primary's end is near: a successor that is subscribed is not given up for streams that seem late.
            if isShutdownAnnounced, links[side].phase == .open, links[side].isSubscribed {
                handover?.deadline = now + SlotMachine.deliverNanos
                return
            }
            report(.handoverFailed(current.reason))
            drop(side, .request)
            endHandover()
            failedHandovers += 1
            nextEndpoint = (nextEndpoint + 1) % endpointCount
            handoverRetryAt = now + retryWait()
            return
        }
        guard links[side].phase == .open, links[side].isSubscribed, now >= current.nextCheck else { return }
        guard delivers(side, insteadOf: primary, now) else {
            let pause = max(SlotMachine.checkNanos, (now - current.beganAt) / 50)
            handover?.nextCheck = now + min(pause, SlotMachine.slowestCheckNanos)
            return
        }
        close(primary)
        self.primary = side
        isMoveWanted = false
        failedHandovers = 0
        attempts = 0
        endHandover()
        forgetSuspects()
        nextWatch = now
        report(.handedOver(current.reason, nanos: now - current.beganAt))
    }

    /// A minute at first, then longer, so that a stream which only the old connection serves does not keep the slot
    /// turning.
    private func retryWait() -> Int64 {
        isShutdownAnnounced ? 1_000_000_000 : 60_000_000_000 << Int64(min(failedHandovers, 6))
    }

    /// Whether the successor has brought each stream, or the stream has been quiet on both since it was asked for.
    private func delivers(_ side: Int, insteadOf primary: Int, _ now: Int64) -> Bool {
        for state in streams where !state.isRefused {
            let acknowledged = state.acknowledged[side]
            guard acknowledged > 0 else { return false }
            let new = activity.read(stream: state.stream.id, member: leg * 2 + side)
            if new.generation == links[side].generation { continue }
            guard now - acknowledged >= SlotMachine.settleNanos else { return false }
            let old = activity.read(stream: state.stream.id, member: leg * 2 + primary)
            if old.generation == links[primary].generation, old.last > acknowledged { return false }
        }
        return true
    }

    /// Nothing is handed over any more.
    @discardableResult mutating func endHandover() -> Handover? {
        guard let ended = handover else { return nil }
        if ended.hasPermit { permits.release(shard) }
        handover = nil
        return ended
    }

    func nextHandoverTime() -> Int64 {
        guard let primary, links[primary].phase == .open else { return Int64.max }
        guard let current = handover else {
            let due = wantedHandover == nil ? links[primary].retireAt : 0
            return due == Int64.max ? due : max(due, handoverRetryAt)
        }
        let side = 1 - primary
        return links[side].phase == .open && links[side].isSubscribed
            ? min(current.nextCheck, current.deadline) : current.deadline
    }
}
