/// The watchdog of each stream. A connection that lives may have streams that do not: acknowledged and silent, or
/// silent from some moment on. Only market payloads count as life, and each stream is measured by its own figures.
///
/// A suspect is first checked (the exchange is asked what it holds subscribed), then asked for again, then moved to a
/// new connection; one that stays silent even there is taken for quiet and gets more patience.
extension SlotMachine {
    /// Payloads from which a stream's rate is known well enough.
    private static let knownCount: Int64 = 20
    /// A silence of so many mean intervals is no chance: e^-30 where payloads come independently of one another.
    private static let meanIntervals: Int64 = 30
    /// How much longer than its longest silence so far a stream may be silent.
    private static let longestSilences: Int64 = 3
    /// An acknowledgement is so old that the exchange's list must show the stream, ns.
    private static let listedNanos: Int64 = 2_000_000_000
    /// For a stream that was asked for again, ns.
    private static let secondChanceNanos: Int64 = 30_000_000_000
    /// A slot is not moved for a stream more often than this, ns.
    private static let moveNanos: Int64 = 600_000_000_000
    private static let patienceMax: Int64 = 64
    private static let leastWatchNanos: Int64 = 250_000_000

    mutating func watchStreams(_ now: Int64) {
        guard let primary, links[primary].phase == .open else {
            nextWatch = Int64.max
            return
        }
        var next = Int64.max
        for index in streams.indices
        where !streams[index].isRefused && streams[index].acknowledged[primary] > 0 {
            next = min(next, watchStream(index, primary, now))
        }
        // No later than that, because a stream may have become a busy one since: what it may be silent for is then less.
        nextWatch =
            next == Int64.max
            ? next
            : max(min(next, now + limits.streamSilenceFloorNanos), now + SlotMachine.leastWatchNanos)
    }

    /// Returns when the stream is to be looked at next.
    private mutating func watchStream(_ index: Int, _ side: Int, _ now: Int64) -> Int64 {
        let state = streams[index]
        let acknowledged = state.acknowledged[side]
        let cell = activity.read(stream: state.stream.id, member: leg * 2 + side)
        let isCurrent = cell.generation == links[side].generation
        let last = isCurrent ? max(cell.last, acknowledged) : acknowledged
        if let since = suspectedSince(state), isCurrent, cell.last > since {
            streams[index].suspicion = .none
            report(.revived(stream: state.stream.name))
        }
        switch streams[index].suspicion {
        case .none:
            let due = suspicionTime(
                state, cell, isCurrent: isCurrent, last: last, acknowledged: acknowledged, now)
            guard now >= due else { return otherLegDeadline(due, now) }
            streams[index].suspicion = .probing(since: isCurrent ? cell.last : 0)
            report(.suspect(stream: state.stream.name, nanos: now - last))
            if canList {
                if !links[side].isListOutstanding { links[side].isListWanted = true }
            } else {
                askAgain(index, side, isListed: true, now)
            }
            return now + SlotMachine.secondChanceNanos
        case .probing:
            // The answer may have come when this side was not the primary yet.
            if !links[side].isListOutstanding { links[side].isListWanted = true }
            return now + SlotMachine.secondChanceNanos
        case .resubscribed(let since, let until):
            guard now >= until else { return until }
            let mayMove = state.patience == 1 && now >= moveNotBefore
            if mayMove {
                isMoveWanted = true
                moveNotBefore = now + SlotMachine.moveNanos
            }
            // Streams that are suspected together share one move.
            guard mayMove || isMoveWanted || handover != nil else { return giveUp(index, now) }
            streams[index].suspicion = .moved(
                since: since,
                until: now + SlotMachine.secondChanceNanos + limits.openNanos + limits.acknowledgementNanos)
            return now + SlotMachine.secondChanceNanos
        case .moved(_, let until): return now >= until ? giveUp(index, now) : until
        }
    }

    /// Another connection is the primary: what was suspected of the one before tells nothing of it.
    mutating func forgetSuspects() {
        for index in streams.indices {
            switch streams[index].suspicion {
            case .probing, .resubscribed: streams[index].suspicion = .none
            case .none, .moved: break
            }
        }
    }

    private func suspectedSince(_ state: SlotStreamState) -> Int64? {
        switch state.suspicion {
        case .none: nil
        case .probing(let since), .resubscribed(let since, _), .moved(let since, _): since
        }
    }

    /// Market silence, as far as one can tell.
    private mutating func giveUp(_ index: Int, _ now: Int64) -> Int64 {
        report(.quiet(stream: streams[index].stream.name))
        streams[index].patience = min(streams[index].patience * 2, SlotMachine.patienceMax)
        streams[index].suspicion = .none
        // Its silence counts anew from here.
        for side in 0..<2 where streams[index].acknowledged[side] > 0 {
            streams[index].acknowledged[side] = now
        }
        return now + limits.streamSilenceFloorNanos
    }

    /// When the stream has been silent for too long.
    private func suspicionTime(
        _ state: SlotStreamState, _ cell: StreamActivity.Cell, isCurrent: Bool, last: Int64,
        acknowledged: Int64,
        _ now: Int64
    ) -> Int64 {
        // The other leg has had something for a while that this one has not. One payload comes on both at different
        // times: a little later tells nothing.
        for member in (1 - leg) * 2..<(1 - leg) * 2 + 2 {
            let other = activity.read(stream: state.stream.id, member: member).last
            if other - last >= limits.legLagNanos, now - other >= limits.legLagNanos { return now }
        }
        let allowed: Int64
        let learnt = max(limits.streamSilenceFloorNanos, SlotMachine.longestSilences * cell.longestSilence)
        if let period = state.stream.period {
            allowed = max(learnt, 5 * period)
        } else if isCurrent, cell.count >= SlotMachine.knownCount {
            allowed = max(learnt, SlotMachine.meanIntervals * max(0, cell.last - acknowledged) / cell.count)
        } else {
            allowed = max(limits.streamSilenceNanos, learnt)
        }
        return last + allowed * state.patience
    }

    /// With a second leg there is more to see, sooner.
    private func otherLegDeadline(_ due: Int64, _ now: Int64) -> Int64 {
        hasOtherLeg ? min(due, now + limits.legLagNanos) : due
    }

    /// What the exchange holds subscribed, against what it should.
    mutating func compare(_ side: Int, with names: Set<String>, _ now: Int64) {
        for index in streams.indices where !streams[index].isRefused {
            let state = streams[index]
            guard state.acknowledged[side] > 0 else { continue }
            let isListed = names.contains(state.stream.name)
            if side == primary, case .probing = state.suspicion {
                askAgain(index, side, isListed: isListed, now)
            } else if !isListed, now - state.acknowledged[side] >= SlotMachine.listedNanos {
                // Lost before anybody missed it.
                askAgain(index, side, isListed: false, now)
            }
        }
        if side == primary { nextWatch = min(nextWatch, now) }
    }

    private mutating func askAgain(_ index: Int, _ side: Int, isListed: Bool, _ now: Int64) {
        let stream = streams[index].stream
        if isListed { links[side].toUnsubscribe.append(stream) }
        links[side].toSubscribe.append(stream.id)
        let since = suspectedSince(streams[index]) ?? now
        streams[index].suspicion = .resubscribed(since: since, until: now + SlotMachine.secondChanceNanos)
        report(.resubscribed(stream: stream.name, wasListed: isListed))
    }
}
