import MarketData

/// Ids of trades and aggregate trades, wherever one is not simply the next one on the only connection that can bring
/// it.
extension EventWriter {
    /// Ids that go back and are not known must be newer than all before by so much, ns, to be a new count: trades of
    /// one instant may come late.
    static var restartMargin: Int64 { 1_000_000_000 }

    /// Deals with an event at the pending place.
    @usableFromInline @inline(never)
    mutating func arrive(_ kind: EventKind, _ index: Int, id: Int64, time: Int64, size: Int) {
        // Ids are positive. Whatever else the exchange may send is passed on, and tells nothing.
        guard id >= 0, id < .max else { return commit(kind, size) }
        let state = sequences.states + index
        let expected = state.pointee.expected
        var isFollowing = state.pointee.connection == source.connection
        if isTracking, advance(index, id) { isFollowing = true }
        if id == expected, expected > 0 {
            accept(kind, index, id: id, time: time, size: size)
        } else if id > expected, expected > 0 {
            let cause: GapCause =
                state.pointee.connection == SequenceTable.checkpoint
                ? .outage : isFollowing ? .sequence : .reconnect
            ahead(kind, index, id: id, time: time, size: size, cause: cause)
        } else if id < expected {
            behind(kind, index, id: id, time: time, size: size)
        } else {
            beginAnew(index, at: id)
            accept(kind, index, id: id, time: time, size: size)
        }
        if held.sequenceCount > 0 { reconsider(index) }
    }

    /// The next id: the event is published.
    private mutating func accept(_ kind: EventKind, _ index: Int, id: Int64, time: Int64, size: Int) {
        let state = sequences.states + index
        state.pointee.expected = id + 1
        state.pointee.newest = max(state.pointee.newest, time)
        state.pointee.connection = source.connection
        if source.isPaired {
            countWon()
            probeLead(sequences.progress(index), id)
        }
        commit(kind, size)
    }

    private mutating func commit(_ kind: EventKind, _ size: Int) {
        producer.commit(size)
        counters.received(kind, market: source.market)
    }

    /// Ids before this one are missing: the event waits where another connection may still bring them.
    private mutating func ahead(
        _ kind: EventKind, _ index: Int, id: Int64, time: Int64, size: Int, cause: GapCause
    ) {
        let history = sequences.history(index)
        if history.pointee.earlierTime > 0, time != absentInteger, time <= history.pointee.earlierTime {
            return ofEarlierCount(kind, index, id: id, size: size)
        }
        let state = sequences.states + index
        let waits = history.pointee.head != 0
        // The only connection cannot bring what it has jumped over.
        if !isTracking { _ = advance(index, id) }
        if waits || repairs(kind, market: source.market)
            || (isTracking && mayCome(index, upTo: id - 1, shard: source.shard))
        {
            if hold(kind, index, id: id, time: time, size: size, cause: cause) { return }
            // No room, although a place for each event of a frame is kept free: it goes on out of order.
            if waits { return commit(kind, size) }
        }
        let expected = state.pointee.expected
        jump(index, to: id, market: source.market)
        accept(kind, index, id: id, time: time, size: size)
        reportGap(
            index, first: expected, last: id - 1, state: .open, cause: cause, market: source.market,
            time: source.receivedTime)
    }

    /// The exchange has begun to count anew, and this is of the old count still.
    private mutating func ofEarlierCount(_ kind: EventKind, _ index: Int, id: Int64, size: Int) {
        let history = sequences.history(index)
        if isTracking { sequences.progress(index).next[source.member] = 0 }
        if id >= history.pointee.earlierFirst, id < history.pointee.earlierEnd {
            counters.duplicate(kind, market: source.market)
        } else {
            commit(kind, size)
        }
    }

    /// An id below the expected one: a repeat, a new count, or late.
    private mutating func behind(_ kind: EventKind, _ index: Int, id: Int64, time: Int64, size: Int) {
        let state = sequences.states + index
        let history = sequences.history(index)
        let isKnown = history.pointee.stretches.contains(id, expected: state.pointee.expected)
        let newest = state.pointee.newest
        let isSettled =
            history.pointee.settledFrom > 0 && id >= history.pointee.settledFrom
            && newest == history.pointee.settledAfter
        if newest > 0, !isSettled, time != absentInteger,
            time > (isKnown ? newest : newest &+ EventWriter.restartMargin)
        {
            if history.pointee.head == 0 {
                restart(index, id: id, time: time)
                accept(kind, index, id: id, time: time, size: size)
                return reportRestart(index, id: id, market: source.market, received: source.receivedTime)
            }
            history.pointee.isRestarting = true
            if hold(kind, index, id: id, time: time, size: size, cause: .restart) { return }
            return commit(kind, size)
        }
        if isKnown {
            return counters.duplicate(kind, market: source.market)
        }
        takeIn(late: id...id, index, market: source.market)
        if source.isPaired { countWon() }
        commit(kind, size)
        // What lies below the first id of all was never told as missing.
        guard id > history.pointee.stretches.base else { return }
        reportGap(
            index, first: id, last: id, state: .repaired, cause: .sequence, market: source.market,
            time: source.receivedTime)
    }

    /// A new count begins with `id`.
    mutating func restart(_ index: Int, id: Int64, time: Int64) {
        let state = sequences.states + index
        let history = sequences.history(index)
        history.pointee.earlierFirst = history.pointee.stretches.lastFirst
        history.pointee.earlierEnd = state.pointee.expected
        history.pointee.earlierTime = state.pointee.newest
        beginAnew(index, at: id)
        state.pointee.expected = id
        state.pointee.newest = time
        sequences.progress(index).clear()
        history.pointee.settledFrom = 0
        history.pointee.epoch &+= 1
        history.pointee.askedTo = 0
    }

    /// Said once: the new count's ids from 0 did not come.
    mutating func reportRestart(_ index: Int, id: Int64, market: Int, received: Int64) {
        reportGap(
            index, first: 0, last: id - 1, state: .open, cause: .restart, market: market, time: received)
    }

    // MARK: Stretches

    /// An id follows that is further up than the expected one, so that there is a hole before it. Who tells of the hole
    /// counts it; holes that are forgotten for it are counted off here.
    mutating func jump(_ index: Int, to id: Int64, market: Int) {
        let history = sequences.history(index)
        history.pointee.market = UInt16(truncatingIfNeeded: market)
        let room = sequences.stretchRoom
        let change = history.pointee.stretches.jump(
            from: sequences.states[index].expected, to: id, most: stretchesMost(index, market: market),
            room: &room.pointee)
        if change != 1 { counters.openGap(change - 1, SequenceTable.kind(index), market: market) }
    }

    /// Ids below the expected one are done with that were not before. Holes are counted as they then are.
    mutating func takeIn(late ids: ClosedRange<Int64>, _ index: Int, market: Int) {
        let room = sequences.stretchRoom
        let change = sequences.history(index).pointee.stretches.insert(
            late: ids, most: stretchesMost(index, market: market), room: &room.pointee)
        if change != 0 { counters.openGap(change, SequenceTable.kind(index), market: market) }
    }

    private func stretchesMost(_ index: Int, market: Int) -> Int {
        repairs(SequenceTable.kind(index), market: market) ? Stretches.many : Stretches.few
    }

    /// Nothing is known of any id before this one.
    mutating func beginAnew(_ index: Int, at id: Int64) {
        uncountHoles(index)
        let room = sequences.stretchRoom
        sequences.history(index).pointee.stretches.begin(at: id, room: &room.pointee)
    }

    /// Holes that are about to be forgotten are counted no longer.
    func uncountHoles(_ index: Int) {
        let history = sequences.history(index)
        let holes = history.pointee.stretches.holeCount
        guard holes > 0 else { return }
        counters.openGap(-holes, SequenceTable.kind(index), market: Int(history.pointee.market))
    }

    // MARK: Members

    /// Notes how far the member at hand is; whether it brought an id of this sequence before.
    private mutating func advance(_ index: Int, _ id: Int64) -> Bool {
        let progress = sequences.progress(index)
        let member = source.member
        let isFollowing =
            progress.generations[member] == source.generation && progress.next[member] != 0
        if source.isPaired {
            countLost(progress, id, isFollowing: isFollowing)
            measureLead(progress, id)
        }
        if !isFollowing || id >= progress.next[member] { progress.next[member] = id + 1 }
        progress.generations[member] = source.generation
        return isFollowing
    }

    /// Whether an open connection may still bring ids up to `last`: one that is not past them.
    func mayCome(_ index: Int, upTo last: Int64, shard: Int) -> Bool {
        let progress = sequences.progress(index)
        let live = members[shard]
        for member in 0..<4 where live.isLive(member) {
            guard progress.generations[member] == live.generations[member], progress.next[member] > last
            else { return true }
        }
        return false
    }

    // MARK: What legs are worth

    /// Ids that the leg at hand has skipped on its own.
    private func countLost(_ progress: MemberProgress, _ id: Int64, isFollowing: Bool) {
        let leg = source.leg
        let other = source.member ^ 1
        let otherNext = progress.next[other]
        let otherIsLive = live.isLive(other)
        let before = progress.legNext[leg]
        var lost: Int64 = 0
        if before != 0, id > before {
            if !otherIsLive {
                lost = id - before
            } else if !isFollowing {
                // The one that hands over may still bring them.
                progress.owed[leg] = id
            }
        }
        if id >= before { progress.legNext[leg] = id + 1 }
        let owed = progress.owed[leg]
        if owed != 0, id >= owed - 1 {
            if otherNext >= owed {
                progress.owed[leg] = 0
            } else if !otherIsLive {
                lost += otherNext == 0 ? 0 : owed - otherNext
                progress.owed[leg] = 0
            }
        }
        if lost > 0 { legs.countLost(lost, leg: leg, market: source.market) }
    }

    @usableFromInline mutating func countWon() { legs.countWon(leg: source.leg, market: source.market) }

    // Leads are measured with one id of a sequence at a time: to measure only the latest one would leave out all that are
    // longer than the time between two trades.

    /// An id has come first on the leg at hand: by how much is told when it comes on the other.
    private func probeLead(_ progress: MemberProgress, _ id: Int64) {
        guard progress.probe[0] == 0 else { return }
        progress.probe[0] = id + 1
        progress.probeReceived[0] = source.receivedTime
        progress.probeConnection[0] = source.connection
    }

    private mutating func measureLead(_ progress: MemberProgress, _ id: Int64) {
        let probe = progress.probe[0]
        guard probe != 0, id + 1 >= probe,
            RunSource.leg(ofConnection: progress.probeConnection[0]) != source.leg
        else { return }
        if id + 1 == probe {
            countLead(over: progress.probeConnection[0], received: progress.probeReceived[0])
        }
        progress.probe[0] = 0
    }

    /// What another leg brought has come on the one at hand.
    mutating func countLead(over connection: UInt64, received: Int64) {
        legs.recordLead(
            source.receivedTime - received, leg: RunSource.leg(ofConnection: connection),
            market: source.market)
    }

    // MARK: Gaps

    /// A gap is an event of its own, a count, and a notice for the log; so is what came late of one, uncounted. An
    /// event at the pending place must have been committed or copied before.
    mutating func reportGap(
        _ index: Int, first: Int64, last: Int64, state: GapState, cause: GapCause, market: Int, time: Int64,
        isCounted: Bool = false
    ) {
        let kind = SequenceTable.kind(index)
        let instrument = SequenceTable.instrument(index)
        if state == .open {
            // One that was waited for is counted already.
            if !isCounted {
                counters.gap(kind, market: market)
                if first <= last { counters.openGap(1, kind, market: market) }
            }
        } else {
            counters.settled(Int(clamping: last - first + 1), as: state, kind, market: market)
        }
        tellGap(
            kind, instrument: instrument, first: first, last: last, state: state, cause: cause,
            market: market,
            time: time)
    }

    /// The event and the notice.
    mutating func tellGap(
        _ kind: EventKind, variant: UInt8 = 0, instrument: UInt32, first: Int64, last: Int64, state: GapState,
        cause: GapCause, market: Int, time: Int64
    ) {
        gapNotices.send(
            GapNotice(
                time: time, kind: kind, variant: variant, instrument: instrument, firstMissing: first,
                lastMissing: last,
                state: state, cause: cause))
        var header = EventHeader(
            kind: .gap, variant: kind.rawValue, instrument: instrument, receivedTime: time)
        if kind == .kline { header.flags = Gap.flags(interval: variant) }
        begin(Gap.self).initialize(
            to: Gap(
                header: header,
                firstMissing: first, lastMissing: last, state: state, cause: cause))
        producer.commit(MemoryLayout<Gap>.size)
        counters.received(.gap, market: market)
    }
}
