/// Replacing a connection that still works: the new one delivers before the old one goes.
extension SlotMachine {
    /// How often the streams of a successor are looked at, ns: at first, and at the least. Between these, every fiftieth
    /// of the time that the replacement has taken, which makes it so much longer and no busier.
    private static let checkNanos: Int64 = 20_000_000
    private static let slowestCheckNanos: Int64 = 1_000_000_000
    /// A stream that brought nothing on either connection for so long after its acknowledgement is quiet, ns: as many of
    /// its mean intervals or periods, but not less than this, and not more where there is no time.
    private static let settleIntervals: Int64 = 3
    private static let settleNanos: Int64 = 1_000_000_000
    private static let settleMaxNanos: Int64 = 20_000_000_000
    private static let settleHurryNanos: Int64 = 4_000_000_000
    /// So long before the exchange ends a connection for its age its end is near, ns.
    private static let endNearNanos: Int64 = 1_800_000_000_000
    /// For the successor to deliver what the primary delivers, once all is acknowledged, ns.
    private static let deliverNanos: Int64 = 60_000_000_000

    mutating func advanceHandover(_ now: Int64) {
        if let current = handover { watch(current, now) } else { beginHandover(now) }
    }

    private func wantedHandover(_ now: Int64) -> HandoverReason? {
        guard let primary, links[primary].phase == .open else { return nil }
        if isShutdownAnnounced { return .serverShutdown }
        return isMoveWanted && now >= moveNotBefore ? .move : nil
    }

    private mutating func beginHandover(_ now: Int64) {
        guard let primary, links[primary].phase == .open, now >= handoverRetryAt else { return }
        guard let reason = wantedHandover(now) ?? (now >= links[primary].retireAt ? .rollover : nil) else {
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
        if now >= deadline(of: current) {
            // The primary's end is near: a successor that is subscribed is not given up for streams that seem late.
            if isShutdownAnnounced || now >= endNear(primary), links[side].phase == .open,
                links[side].isSubscribed
            {
                handover?.deadline = now + SlotMachine.deliverNanos
                return
            }
            report(.handoverFailed(current.reason))
            drop(side, .request)
            endHandover()
            failedHandovers += 1
            nextEndpoint = (nextEndpoint + 1) % endpointCount
            handoverRetryAt = min(now + retryWait(), max(now + 60_000_000_000, endNear(primary)))
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
        if current.reason == .move { moveNotBefore = now + SlotMachine.moveNanos }
        failedHandovers = 0
        attempts = 0
        endHandover()
        forgetSuspects(now)
        nextWatch = now
        report(.handedOver(current.reason, nanos: now - current.beganAt))
    }

    /// A minute at first, then longer, so that a stream which only the old connection serves does not keep the slot
    /// turning.
    private func retryWait() -> Int64 {
        isShutdownAnnounced ? 1_000_000_000 : 60_000_000_000 << Int64(min(failedHandovers, 6))
    }

    /// When a successor that does not deliver is given up.
    private func deadline(of handover: Handover) -> Int64 {
        max(handover.deadline, heldUpUntil + SlotMachine.deliverNanos)
    }

    /// From when on the primary's end is near, for its age.
    private func endNear(_ primary: Int) -> Int64 {
        links[primary].openedAt + max(0, limits.lifetimeNanos - SlotMachine.endNearNanos)
    }

    /// How long a stream may be silent on both connections before it is taken for quiet, ns.
    private func settleTime(_ state: SlotStreamState) -> Int64 {
        let interval = state.stream.period ?? state.meanNanos
        let most = isShutdownAnnounced ? SlotMachine.settleHurryNanos : SlotMachine.settleMaxNanos
        return min(max(SlotMachine.settleNanos, SlotMachine.settleIntervals * interval), most)
    }

    /// Whether the successor has brought each stream, or the stream has been quiet on both since it was asked for.
    private func delivers(_ side: Int, insteadOf primary: Int, _ now: Int64) -> Bool {
        for state in streams where !state.isRefused {
            let acknowledged = state.acknowledged[side]
            guard acknowledged > 0 else { return false }
            let new = activity.read(stream: state.stream.id, member: leg * 2 + side)
            if new.generation == links[side].generation { continue }
            guard now - acknowledged >= settleTime(state) else { return false }
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
            var due = links[primary].retireAt
            if isMoveWanted { due = min(due, max(moveNotBefore, 0)) }
            if isShutdownAnnounced { due = 0 }
            return due == Int64.max ? due : max(due, handoverRetryAt)
        }
        let side = 1 - primary
        return links[side].phase == .open && links[side].isSubscribed
            ? min(current.nextCheck, deadline(of: current)) : deadline(of: current)
    }
}
