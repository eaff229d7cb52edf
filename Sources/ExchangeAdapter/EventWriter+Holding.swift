import MarketData

/// Events that wait for ids before them, which another connection of the shard may still bring.
extension EventWriter {
    /// Whether events wait.
    @inlinable public var isHolding: Bool { held.sequenceCount > 0 }

    /// When ``settle(now:)`` has something to do at the latest, monotonic ns; nil while nothing waits.
    public var nextDeadline: Int64? {
        guard held.sequenceCount > 0 else { return nil }
        return held.hasReleased ? 0 : held.earliest
    }

    /// Lets everything go on that has waited long enough, or whose predecessors are there or can no longer come.
    /// False where the ring is too full for it: to be called again.
    @discardableResult public mutating func settle(now: Int64) -> Bool {
        guard held.sequenceCount > 0, held.hasReleased || now >= held.earliest else { return true }
        held.earliest = .max
        var place = held.sequenceCount - 1
        var isDone = true
        while place >= 0 {
            let index = held.sequence(at: place)
            if isDone { isDone = drain(index, now: now) }
            if sequences.history(index).pointee.head != 0 {
                held.earliest = min(held.earliest, sequences.history(index).pointee.deadline)
            }
            place -= 1
        }
        held.hasReleased = !isDone
        counters.setWaiting(held.eventCount)
        return isDone
    }

    /// Before a frame: what may go on does, and every event of the frame has a place to wait in.
    @usableFromInline @inline(never)
    mutating func makeRoom(forFrameOf bytes: Int) -> Bool {
        let needed = min(bytes / 60 + 1, HeldEvents.capacity)
        while held.room < needed {
            let index = held.sequence(at: 0)
            sequences.history(index).pointee.isReleased = true
            guard drain(index, now: source.now) else { return false }
        }
        return settle(now: source.now)
    }

    /// Copies the event at the pending place. False where it has no place, or is a repeat, which then is counted.
    mutating func hold(
        _ kind: EventKind, _ index: Int, id: Int64, time: Int64, size: Int, cause: GapCause
    ) -> Bool {
        let history = sequences.history(index)
        // Its place: mostly behind all others.
        var before: UInt32 = 0
        if history.pointee.head != 0 {
            if history.pointee.isRestarting || held[history.pointee.tail].pointee.id < id {
                before = history.pointee.tail
            } else {
                var next = history.pointee.head
                while next != 0, held[next].pointee.id < id {
                    before = next
                    next = held[next].pointee.next
                }
                if next != 0, held[next].pointee.id == id {
                    counters.duplicate(kind, market: source.market)
                    return true
                }
            }
        }
        let entry = held.take(
            HeldEvents.Entry(
                id: id, time: time, heldAt: source.now, next: 0, size: UInt16(size), cause: cause,
                connection: source.connection), event: producer.pending)
        guard entry != 0 else { return false }
        isTracking = true
        if history.pointee.head == 0 {
            history.pointee.position = held.add(sequence: index)
            history.pointee.shard = UInt32(source.shard)
            history.pointee.market = UInt16(truncatingIfNeeded: source.market)
            history.pointee.deadline = source.now + HeldEvents.patience
            held.earliest = min(held.earliest, history.pointee.deadline)
        }
        if before == 0 {
            held[entry].pointee.next = history.pointee.head
            history.pointee.head = entry
        } else {
            held[entry].pointee.next = held[before].pointee.next
            held[before].pointee.next = entry
        }
        if history.pointee.tail == before || history.pointee.tail == 0 { history.pointee.tail = entry }
        counters.received(kind, market: source.market)
        counters.setWaiting(held.eventCount)
        if source.isPaired { countWon() }
        return true
    }

    /// After an id of a sequence has come: whether what waits in it may go on before the next frame.
    mutating func reconsider(_ index: Int) {
        let history = sequences.history(index)
        guard history.pointee.head != 0 else { return }
        let id = held[history.pointee.head].pointee.id
        if isAwaitingRepair(history), id > sequences.states[index].expected, !history.pointee.isRestarting {
            return
        }
        if id <= sequences.states[index].expected || history.pointee.isRestarting
            || !mayCome(index, upTo: id - 1, shard: Int(history.pointee.shard))
        {
            held.hasReleased = true
        }
    }

    /// Publishes what waits in a sequence as far as it may go on. False where the ring is too full.
    private mutating func drain(_ index: Int, now: Int64) -> Bool {
        let history = sequences.history(index)
        let state = sequences.states + index
        let kind = SequenceTable.kind(index)
        let market = Int(history.pointee.market)
        while history.pointee.head != 0 {
            let place = history.pointee.head
            let entry = held[place].pointee
            let event = held.event(place)
            let received = event.assumingMemoryBound(to: EventHeader.self).pointee.receivedTime
            guard producer.reserve(Int(entry.size) + MemoryLayout<Gap>.size + 32) != nil else { return false }
            if entry.id > state.pointee.expected {
                guard mayGoOn(index, entry, now: now) else { break }
                let expected = state.pointee.expected
                let isCounted = history.pointee.isCounted
                history.pointee.isCounted = false
                history.pointee.isReleased = false
                jump(index, to: entry.id, market: market)
                reportGap(
                    index, first: expected, last: entry.id - 1, state: .open, cause: entry.cause,
                    market: market, time: received, isCounted: isCounted)
            } else if entry.id < state.pointee.expected {
                if entry.cause == .restart {
                    restart(index, id: entry.id, time: entry.time)
                    reportRestart(index, id: entry.id, market: market, received: received)
                } else {
                    counters.droppedLater(kind, market: market)
                    pop(history)
                    continue
                }
            }
            closeCounted(index)
            producer.pending.copyMemory(from: event, byteCount: Int(entry.size))
            producer.commit(Int(entry.size))
            state.pointee.expected = entry.id + 1
            state.pointee.newest = max(state.pointee.newest, entry.time)
            state.pointee.connection = entry.connection
            pop(history)
            if history.pointee.head != 0 { history.pointee.deadline = oldest(history) + HeldEvents.patience }
        }
        if history.pointee.head == 0 {
            closeCounted(index)
            history.pointee.tail = 0
            history.pointee.isReleased = false
            history.pointee.isRestarting = false
            if let moved = held.removeSequence(at: history.pointee.position) {
                sequences.history(moved).pointee.position = history.pointee.position
            }
        }
        return true
    }

    /// Whether the first event that waits may go on although ids before it are missing. Another connection may bring
    /// them, and where none can any more, REST may.
    private mutating func mayGoOn(_ index: Int, _ entry: HeldEvents.Entry, now: Int64) -> Bool {
        let history = sequences.history(index)
        if history.pointee.isReleased || history.pointee.isRestarting {
            // It is not waited for, and yet to be fetched.
            _ = awaitRepair(index, before: entry, now: now)
            return true
        }
        if !isAwaitingRepair(history) {
            guard
                now >= history.pointee.deadline
                    || !mayCome(index, upTo: entry.id - 1, shard: Int(history.pointee.shard))
            else { return false }
        }
        return !awaitRepair(index, before: entry, now: now)
    }

    private mutating func pop(_ history: UnsafeMutablePointer<SequenceHistory>) {
        let place = history.pointee.head
        history.pointee.head = held[place].pointee.next
        held.giveBack(place)
    }

    /// When the one that waits longest came.
    private func oldest(_ history: UnsafeMutablePointer<SequenceHistory>) -> Int64 {
        var oldest = Int64.max
        var place = history.pointee.head
        while place != 0 {
            oldest = min(oldest, held[place].pointee.heldAt)
            place = held[place].pointee.next
        }
        return oldest
    }
}
