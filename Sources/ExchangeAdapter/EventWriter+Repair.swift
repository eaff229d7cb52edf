import MarketData

/// Holes that are filled over REST: asked for when nothing else can fill them, and what was found put in its place.
extension EventWriter {
    /// The hole before the first event that waits is to be fetched, where that is wanted and was not done yet. False:
    /// nothing is to be waited for.
    mutating func awaitRepair(_ index: Int, before entry: HeldEvents.Entry, now: Int64) -> Bool {
        let history = sequences.history(index)
        let market = Int(history.pointee.market)
        guard let repair, let patience = repair.patience(SequenceTable.kind(index), market: market) else {
            return false
        }
        if history.pointee.askedTo < entry.id {
            guard ask(repair, index, to: entry, market: market) else { return false }
            history.pointee.deadline = entry.heldAt + patience
        }
        return now < history.pointee.deadline
    }

    private mutating func ask(
        _ repair: RepairMailbox, _ index: Int, to entry: HeldEvents.Entry, market: Int
    ) -> Bool {
        let kind = SequenceTable.kind(index)
        let history = sequences.history(index)
        let isTaken = repair.missing[market].send(
            MissingRange(
                kind: kind, instrument: SequenceTable.instrument(index), market: market,
                first: sequences.states[index].expected, last: entry.id - 1, cause: entry.cause,
                epoch: history.pointee.epoch, seen: entry.heldAt))
        guard isTaken else { return false }
        holesTold += 1
        history.pointee.askedTo = entry.id
        if !history.pointee.isCounted {
            history.pointee.isCounted = true
            counters.gap(kind, market: market)
            counters.openGap(1, kind, market: market)
        }
        return true
    }

    /// Whether what waits in a sequence waits for a repair, and not for another connection.
    func isAwaitingRepair(_ history: UnsafeMutablePointer<SequenceHistory>) -> Bool {
        history.pointee.head != 0 && history.pointee.askedTo >= held[history.pointee.head].pointee.id
    }

    /// The hole before what waits is closed.
    mutating func closeCounted(_ index: Int) {
        let history = sequences.history(index)
        guard history.pointee.isCounted else { return }
        history.pointee.isCounted = false
        counters.openGap(-1, SequenceTable.kind(index), market: Int(history.pointee.market))
    }

    // MARK: What was found

    /// Puts what was found of a hole in its place and says what became of each id. Called between two runs of frames.
    /// False where the event ring is too full for it: nothing was done then.
    /// `now`: monotonic ns.
    public mutating func take(_ delivery: RepairDelivery, now: Int64) -> Bool {
        let index = SequenceTable.index(delivery.range.kind, instrument: delivery.range.instrument)
        guard producer.reserve(room(for: delivery, index)) != nil else { return false }
        deliveriesTaken += 1
        source = RunSource()
        source.market = delivery.range.market
        source.receivedTime = delivery.receivedTime
        source.now = now
        if delivery.range.kind == .kline {
            takeBars(delivery)
            return true
        }
        // The last of a hole of an earlier run, which lies below all stretches.
        if delivery.range.isResumed, delivery.ids.upperBound == delivery.range.last {
            counters.openGap(-1, delivery.range.kind, market: source.market)
        }
        guard sequences.history(index).pointee.epoch == delivery.range.epoch else {
            // The count that the ids are of is gone, and so is what was known of them.
            report(delivery.ids, .lost, index, delivery.range.cause)
            return true
        }
        var next = delivery.ids.lowerBound
        var filled: ClosedRange<Int64>?
        for place in 0..<delivery.events.count {
            let id = delivery.events.id(at: place)
            guard id >= next, id <= delivery.ids.upperBound else { continue }
            if id > next {
                endRun(&filled, index, delivery.range.cause)
                settle(next...(id - 1), as: delivery.others, index, delivery.range.cause)
            }
            if put(delivery.events, place, id: id, index) {
                filled = (filled?.lowerBound ?? id)...id
            } else {
                endRun(&filled, index, delivery.range.cause)
            }
            next = id + 1
        }
        endRun(&filled, index, delivery.range.cause)
        if next <= delivery.ids.upperBound {
            settle(next...delivery.ids.upperBound, as: delivery.others, index, delivery.range.cause)
        }
        if held.sequenceCount > 0 {
            reconsider(index)
            _ = settle(now: source.now)
        }
        return true
    }

    /// Room in the ring for everything that a delivery can become.
    private func room(for delivery: RepairDelivery, _ index: Int) -> Int {
        if delivery.range.kind == .kline { return room(forBarsOf: delivery) }
        // Each event may have a gap event before it and one behind it, and so has each piece that is settled.
        let gap = MemoryLayout<Gap>.stride + 32
        return delivery.events.count * (2 * gap + MemoryLayout<AggTrade>.stride + 32)
            + (2 + sequences.history(index).pointee.stretches.pieces(of: delivery.ids)) * gap
    }

    private mutating func endRun(_ filled: inout ClosedRange<Int64>?, _ index: Int, _ cause: GapCause) {
        if let ids = filled { report(ids, .repaired, index, cause) }
        filled = nil
    }

    private mutating func report(
        _ ids: ClosedRange<Int64>, _ state: GapState, _ index: Int, _ cause: GapCause
    ) {
        reportGap(
            index, first: ids.lowerBound, last: ids.upperBound, state: state, cause: cause,
            market: source.market, time: source.receivedTime)
    }

    /// Publishes an event that was found. False where it has come meanwhile.
    private mutating func put(_ events: RepairedEvents, _ place: Int, id: Int64, _ index: Int) -> Bool {
        let kind = SequenceTable.kind(index)
        let state = sequences.states + index
        let history = sequences.history(index)
        if id < state.pointee.expected {
            guard !history.pointee.stretches.contains(id, expected: state.pointee.expected) else {
                counters.duplicate(kind, market: source.market)
                return false
            }
            takeIn(late: id...id, index, market: source.market)
        } else {
            // A hole begins at what was expected, but for one of an earlier run: nothing is known of what is before it.
            if id > state.pointee.expected { beginAnew(index, at: id) }
            state.pointee.expected = id + 1
        }
        let size: Int
        let time: Int64
        switch events {
        case .trades(let events):
            size = write(events[place])
            time = events[place].tradeTime
        case .aggTrades(let events):
            size = write(events[place])
            time = events[place].tradeTime
        case .klines(let events):
            size = write(events[place])
            time = events[place].closeTime
        }
        state.pointee.newest = max(state.pointee.newest, time)
        producer.commit(size)
        counters.received(kind, market: source.market)
        return true
    }

    mutating func write<Event: BitwiseCopyable>(_ event: Event) -> Int {
        let room = begin(Event.self)
        room.initialize(to: event)
        UnsafeMutableRawPointer(room).assumingMemoryBound(to: EventHeader.self).pointee.flags |= 1
        return MemoryLayout<Event>.size
    }

    /// Says of all ids in a range that did not come after all what became of them; from then on they are done with.
    private mutating func settle(
        _ ids: ClosedRange<Int64>, as state: GapState, _ index: Int, _ cause: GapCause
    ) {
        let sequence = sequences.states + index
        let history = sequences.history(index)
        var next = ids.lowerBound
        while next <= ids.upperBound, next < sequence.pointee.expected {
            let last = min(ids.upperBound, sequence.pointee.expected - 1)
            guard
                let missing = history.pointee.stretches.firstMissing(
                    in: next...last, expected: sequence.pointee.expected)
            else {
                next = last + 1
                continue
            }
            takeIn(late: missing, index, market: source.market)
            report(missing, state, index, cause)
            next = missing.upperBound + 1
        }
        guard next <= ids.upperBound else { return }
        if history.pointee.settledFrom == 0 || history.pointee.settledAfter != sequence.pointee.newest {
            history.pointee.settledFrom = next
            history.pointee.settledAfter = sequence.pointee.newest
        }
        if next > sequence.pointee.expected { beginAnew(index, at: next) }
        sequence.pointee.expected = ids.upperBound + 1
        report(next...ids.upperBound, state, index, cause)
    }
}
