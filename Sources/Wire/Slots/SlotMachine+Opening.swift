/// Opening, failing, backing off.
extension SlotMachine {
    /// Attempts in a row that fail at a leg's own host before it goes to the other leg's.
    private static let ownHostAttempts = 3

    /// Opens the primary where there is none and its time has come.
    mutating func openIfDue(_ now: Int64) {
        guard primary == nil, now >= nextAttempt else { return }
        guard let side = freeSide() else { return }
        if open(side, now) { primary = side }
    }

    /// A side without a connection; nil while both still close.
    func freeSide() -> Int? { (0..<2).first { links[$0].phase == .none } }

    /// False where the budget or the endpoints have to be waited for; ``nextAttempt`` is then set.
    mutating func open(_ side: Int, _ now: Int64) -> Bool {
        guard let endpoint = usableEndpoint(now) else {
            nextAttempt = endpointBlockedUntil.min() ?? now
            report(.waiting(nanos: nextAttempt - now))
            return false
        }
        if let later = budget.take(now) {
            // Who waits for the same window must not come back at the same moment.
            nextAttempt = later + random.next(below: min(max(later - now, 1), 1_000_000_000))
            if nextAttempt - now >= 1_000_000_000 {
                let wait = nextAttempt - now
                report(budget.isBlocked(now) ? .blocked(nanos: wait) : .outOfBudget(nanos: wait))
            }
            return false
        }
        generation &+= 1
        clear(side)
        links[side].phase = .opening
        links[side].generation = generation
        links[side].endpoint = endpoint
        nextEndpoint = endpoint
        actions.append(.open(side: side, generation: generation, endpoint: endpoint))
        return true
    }

    private func usableEndpoint(_ now: Int64) -> Int? {
        for step in 0..<endpointCount {
            let index = (nextEndpoint + step) % endpointCount
            if now >= endpointBlockedUntil[index] { return index }
        }
        return nil
    }

    /// The connection is gone.
    mutating func fail(_ side: Int, _ now: Int64) {
        let link = links[side]
        clear(side)
        guard link.phase != .closing else { return }
        guard !isStopping else { return }
        if isOneShot {
            stop(now)
            return
        }
        let wasOpen = link.phase == .open
        if !wasOpen {
            // The last one is the other leg's host: only where the own one fails again and again.
            let next = (link.endpoint + 1) % endpointCount
            let isOthers = hasOtherLeg && next == endpointCount - 1
            if !isOthers || attempts >= SlotMachine.ownHostAttempts { nextEndpoint = next }
        }
        attempts = wasOpen && now - link.openedAt >= SlotMachine.stableNanos ? 0 : attempts + 1
        let wait = backoff()
        guard side == primary else {
            handoverRetryAt = now + max(wait, 1_000_000_000)
            if let reason = endHandover()?.reason {
                report(.handoverFailed(reason))
                if reason != .serverShutdown { failedHandovers += 1 }
            }
            return
        }
        isMoveWanted = false
        forgetSuspects(now)
        let other = 1 - side
        if handover != nil, links[other].phase == .open || links[other].phase == .opening {
            primary = other
            endHandover()
            nextWatch = now
            report(.promoted)
            return
        }
        primary = nil
        nextAttempt = now + wait
        nextWatch = Int64.max
        report(.waiting(nanos: wait))
    }

    /// The first attempt after a connection that held comes at once; then the wait doubles up to its limit, drawn at
    /// random from its upper half.
    private mutating func backoff() -> Int64 {
        guard attempts > 0 else { return random.next(below: 20_000_000) }
        var wait = limits.backoffFirstNanos
        for _ in 0..<min(attempts - 1, 40) where wait < limits.backoffLastNanos { wait *= 2 }
        wait = min(wait, limits.backoffLastNanos)
        return wait / 2 + random.next(below: wait / 2 + 1)
    }

    /// What a refused upgrade says about further attempts.
    mutating func note(status: Int, retryAfterNanos: Int64?, endpoint: Int, _ now: Int64) {
        let asked = min(max(retryAfterNanos ?? 0, 0), RetryAfter.longestNanos)
        switch status {
        // The address as a whole has asked too often; 418 is a ban.
        case 429, 418:
            let usual = status == 418 ? limits.refusedNanos : limits.backoffLastNanos
            budget.block(until: now + (asked > 0 ? asked : usual))
        case 401, 403, 404, 451:
            endpointBlockedUntil[endpoint] = now + (asked > 0 ? asked : limits.refusedNanos)
        default: if asked > 0 { endpointBlockedUntil[endpoint] = now + asked }
        }
    }

    /// Pings are missing, or an answer is.
    mutating func watchLink(_ side: Int, _ now: Int64) {
        let silent = now - heardLast(links[side])
        if silent >= limits.silenceNanos {
            report(.silent(nanos: silent))
            return lose(side, .silence, now)
        }
        if let late = links[side].outstanding.first(where: { due($0) <= now }) {
            return unanswered(late.request, side, silent: silent, now)
        }
        if canList, !links[side].answersNoList, limits.probeAfterNanos > 0, silent >= limits.probeAfterNanos,
            !links[side].isListWanted, !links[side].isListOutstanding
        {
            links[side].isListWanted = true
            report(.probed)
        }
    }

    /// When bytes came last, as far as we would know of it.
    private func heardLast(_ link: SlotLink) -> Int64 { max(link.lastBytes, heldUpUntil) }

    /// When an answer is late.
    private func due(_ outstanding: SlotLink.Outstanding) -> Int64 {
        let time = outstanding.request.method == .list ? limits.probeAnswerNanos : limits.acknowledgementNanos
        return max(outstanding.due, heldUpUntil + time)
    }

    /// The earliest moment at which something must be done.
    func nextDeadline(_ now: Int64) -> Int64 {
        var next = Int64.max
        for link in links where link.phase == .open {
            if maySend(link) { next = min(next, link.nextSend) }
            guard !isStopping else { continue }
            let isProbing = link.isListWanted || link.isListOutstanding || link.answersNoList
            let patience =
                canList && limits.probeAfterNanos > 0 && !isProbing
                ? min(limits.probeAfterNanos, limits.silenceNanos) : limits.silenceNanos
            next = min(next, heardLast(link) + patience)
            for outstanding in link.outstanding { next = min(next, due(outstanding)) }
        }
        guard !isStopping, !isIdle else { return next }
        if primary == nil, freeSide() != nil { next = min(next, nextAttempt) }
        return min(next, nextWatch, nextHandoverTime())
    }
}
