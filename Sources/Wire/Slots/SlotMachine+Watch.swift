/// The watchdog of each stream. A connection that lives may have streams that do not: acknowledged and silent, or
/// silent from some moment on. Only market payloads count as life, and each stream is measured by its own figures.
///
/// A suspect is first checked (the exchange is asked what it holds subscribed), then asked for again, then moved to a
/// new connection; one that stays silent even there is taken for quiet and gets more patience. Nothing is unsubscribed
/// for it: a stream that was only quiet would lose what comes in that moment.
extension SlotMachine {
    /// Payloads from which a stream's rate is known well enough.
    private static let knownCount: Int64 = 20
    /// A silence of so many mean intervals is no chance: e^-30 where payloads come independently of one another.
    private static let meanIntervals: Int64 = 30
    /// How often its longest silence of late a stream may be silent, and how much longer at most, ns: a look costs
    /// little, and the longest silence of a day may be a night.
    private static let longestSilences: Int64 = 3
    private static let longerMaxNanos: Int64 = 900_000_000_000
    /// An acknowledgement is so old that the exchange's list must show the stream, ns.
    private static let listedNanos: Int64 = 2_000_000_000
    /// For a stream that was asked for again, at least and at most, ns.
    private static let leastChanceNanos: Int64 = 5_000_000_000
    private static let secondChanceNanos: Int64 = 30_000_000_000
    /// A slot is not moved for a stream more often than this, ns.
    static let moveNanos: Int64 = 600_000_000_000
    private static let patienceMax: Int64 = 64
    /// Patience is halved after this: as long as silences are remembered, ns.
    private static let patienceNanos = StreamActivity.windowNanos
    private static let leastWatchNanos: Int64 = 250_000_000

    mutating func watchStreams(_ now: Int64) {
        guard let primary, links[primary].phase == .open else {
            nextWatch = Int64.max
            return
        }
        var next = Int64.max
        for index in streams.indices {
            if streams[index].isRefused {
                if now < streams[index].retryAt {
                    next = min(next, streams[index].retryAt)
                } else {
                    askRefusedAgain(index)
                }
            } else if streams[index].acknowledged[primary] > 0 {
                next = min(next, watchStream(index, primary, now))
            }
        }
        // No later than that, because a stream may have become a busy one since: what it may be silent for is then less.
        nextWatch =
            next == Int64.max
            ? next
            : max(min(next, now + limits.streamSilenceFloorNanos), now + SlotMachine.leastWatchNanos)
    }

    /// Returns when the stream is to be looked at next.
    private mutating func watchStream(_ index: Int, _ side: Int, _ now: Int64) -> Int64 {
        if streams[index].patience > 1, now >= streams[index].patienceEnd {
            streams[index].patience /= 2
            streams[index].patienceEnd = now + SlotMachine.patienceNanos
        }
        let cell = activity.read(stream: streams[index].stream.id, member: leg * 2 + side)
        let isCurrent = cell.generation == links[side].generation
        if isCurrent, cell.count >= SlotMachine.knownCount {
            streams[index].meanNanos = max(1, (cell.last - cell.first) / (cell.count - 1))
        }
        let state = streams[index]
        let acknowledged = max(state.acknowledged[side], heldUpUntil)
        let last = isCurrent ? max(cell.last, acknowledged) : acknowledged
        if let since = suspectedSince(state), isCurrent, cell.last > since {
            streams[index].suspicion = .none
            streams[index].moveNotBefore = 0
            report(.revived(stream: state.stream.name))
        }
        switch streams[index].suspicion {
        case .none:
            let isOutrun = isOutrun(index, last: last, now)
            let due = isOutrun ? now : last + allowedSilence(state, now)
            guard now >= due else { return otherLegDeadline(due, now) }
            streams[index].suspicion = .probing(since: isCurrent ? cell.last : 0)
            report(.suspect(stream: state.stream.name, nanos: now - last))
            if canList, !links[side].answersNoList {
                if !links[side].isListOutstanding { links[side].isListWanted = true }
            } else {
                askAgain(index, side, isListed: true, now)
                return now
            }
            return now + SlotMachine.secondChanceNanos
        case .probing:
            if links[side].answersNoList {
                askAgain(index, side, isListed: true, now)
                return now
            }
            // The answer may have come when this side was not the primary yet.
            if !links[side].isListOutstanding { links[side].isListWanted = true }
            return now + SlotMachine.secondChanceNanos
        case .resubscribed(let since, let chance):
            let until = max(chance, heldUpUntil + SlotMachine.leastChanceNanos)
            guard now >= until else { return until }
            return moveOrGiveUp(index, since: since, now)
        case .moved(_, let until):
            guard now >= until else { return until }
            // The move has not had its turn yet, or is under way.
            guard !isMoveWanted, handover == nil else { return now + SlotMachine.leastChanceNanos }
            return giveUp(index, now)
        }
    }

    /// Asking again has not helped, or is no choice.
    private mutating func moveOrGiveUp(_ index: Int, since: Int64, _ now: Int64) -> Int64 {
        // Streams that are suspected together share one move.
        if !isMoveWanted, handover == nil {
            guard now >= streams[index].moveNotBefore else { return giveUp(index, now) }
            isMoveWanted = true
        }
        // One that moving does not help is moved for ever more rarely.
        streams[index].moveNotBefore = now + SlotMachine.moveNanos * streams[index].patience
        streams[index].suspicion = .moved(
            since: since,
            until: now + SlotMachine.secondChanceNanos + limits.openNanos + limits.acknowledgementNanos)
        return now + SlotMachine.secondChanceNanos
    }

    /// Another connection is the primary: what was suspected of the one before tells nothing of it.
    mutating func forgetSuspects(_ now: Int64) {
        for index in streams.indices {
            switch streams[index].suspicion {
            case .probing, .resubscribed: streams[index].suspicion = .none
            case .moved(let since, _):
                streams[index].suspicion = .moved(since: since, until: now + SlotMachine.secondChanceNanos)
            case .none: break
            }
        }
    }

    /// Whether any stream of those whose rate is known still comes as it did. Where none does, bytes may trickle all the
    /// same.
    func bringsWhatItDid(_ side: Int, _ now: Int64) -> Bool {
        streams.contains { state in
            guard state.acknowledged[side] > 0, state.meanNanos > 0 || state.stream.period != nil else {
                return false
            }
            let cell = activity.read(stream: state.stream.id, member: leg * 2 + side)
            return cell.generation == links[side].generation && now - cell.last < allowedSilence(state, now)
        }
    }

    /// The connection does not say what it holds: its suspects are asked for again as if it held them.
    mutating func suspectWithoutList(_ side: Int, _ now: Int64) {
        for index in streams.indices where streams[index].acknowledged[side] > 0 {
            if case .probing = streams[index].suspicion { askAgain(index, side, isListed: true, now) }
        }
        nextWatch = min(nextWatch, now)
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
        streams[index].patienceEnd = now + SlotMachine.patienceNanos
        streams[index].suspicion = .none
        for side in 0..<2 {
            // It is a habit after all.
            activity.excuse(stream: streams[index].stream.id, member: leg * 2 + side, last: 0)
            // Its silence counts anew from here.
            if streams[index].acknowledged[side] > 0 { streams[index].acknowledged[side] = now }
        }
        return now + limits.streamSilenceFloorNanos
    }

    /// Whether the other leg has had something for a while that this one has not.
    ///
    /// One payload comes on both at different times, so the other leg being ahead tells nothing yet. It is noted which of
    /// its payloads was well ahead; that one should have come here too some time later.
    private mutating func isOutrun(_ index: Int, last: Int64, _ now: Int64) -> Bool {
        guard hasOtherLeg else { return false }
        let lag = limits.legLagNanos
        if streams[index].outrun - last < lag { streams[index].outrun = 0 }
        if streams[index].outrun == 0 {
            for member in (1 - leg) * 2..<(1 - leg) * 2 + 2 {
                let other = activity.read(stream: streams[index].stream.id, member: member).last
                if other - last >= lag { streams[index].outrun = max(streams[index].outrun, other) }
            }
        }
        return streams[index].outrun > 0 && now - streams[index].outrun >= lag
    }

    /// For how long the stream may be silent, ns, also where this connection has not brought it yet.
    private func allowedSilence(_ state: SlotStreamState, _ now: Int64) -> Int64 {
        let longest = activity.longestSilence(stream: state.stream.id, now: now)
        let learnt = max(
            limits.streamSilenceFloorNanos,
            min(SlotMachine.longestSilences * longest, longest + SlotMachine.longerMaxNanos))
        let allowed: Int64
        if let period = state.stream.period {
            allowed = max(learnt, 5 * period)
        } else if state.meanNanos > 0 {
            allowed = max(learnt, SlotMachine.meanIntervals * state.meanNanos)
        } else {
            allowed = max(limits.streamSilenceNanos, learnt)
        }
        return allowed * state.patience
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
        let member = leg * 2 + side
        let cell = activity.read(stream: stream.id, member: member)
        let since = suspectedSince(streams[index]) ?? now
        // Whatever ends this silence now, it is not the market's doing alone.
        activity.excuse(stream: stream.id, member: member, last: cell.last)
        if isListed {
            // The exchange may count each repeat as one more stream, and end the connection for one too many.
            guard takesRepeats, limits.streamsPerConnection + links[side].repeats < limits.streamsHeld else {
                nextWatch = min(nextWatch, moveOrGiveUp(index, since: since, now))
                return
            }
            links[side].repeats += 1
            links[side].toRepeat.append(stream.id)
        } else {
            links[side].toSubscribe.append(stream.id)
            // Not looked for in the exchange's list until it has been acknowledged.
            streams[index].acknowledged[side] = 0
        }
        let chance = min(
            SlotMachine.secondChanceNanos,
            max(
                SlotMachine.leastChanceNanos,
                allowedSilence(streams[index], now)))
        streams[index].suspicion = .resubscribed(since: since, until: now + chance)
        report(.resubscribed(stream: stream.name, wasListed: isListed))
    }
}
