import MarketData

extension ContinuityLedger.Book {
    /// How the stream is at a time. False: nothing has changed.
    mutating func look(isConnected: Bool, hasIDs: Bool, time: Int64) -> Bool {
        guard hasIDs else {
            let wanted: ContinuityLedger.State = isConnected ? .assumed : .gap
            if let last = series.intervals.last, last.to == nil, last.state == wanted { return false }
            series.end(at: time)
            series.add(.init(state: wanted, from: time, cause: isConnected ? nil : GapCause.reconnect.name))
            return true
        }
        guard isConnected else {
            guard series.goesOn else { return false }
            series.end(at: time)
            interruption = (time, time)
            return true
        }
        if series.goesOn, let until = interruption?.until, time - until > ContinuityLedger.interruptionMemory
        {
            interruption = nil
        }
        guard let last = series.intervals.indices.last else {
            series.add(.init(state: .proven, from: time))
            return true
        }
        if series.intervals[last].state == .proven {
            guard series.intervals[last].to != nil else { return false }
            // Ids tell what was missed meanwhile.
            series.intervals[last].to = nil
            if let since = interruption?.since { interruption = (since, time) }
        } else {
            series.end(at: time)
            series.add(.init(state: .proven, from: time))
        }
        return true
    }

    /// Ids are missing.
    mutating func open(_ ids: ClosedRange<Int64>, _ missing: Int64, _ cause: GapCause, _ time: Int64) {
        var from = series.intervals.last?.to ?? time
        if cause == .reconnect || cause == .outage, let last = interruption {
            if time - last.until <= ContinuityLedger.interruptionMemory { from = min(from, last.since) }
            interruption = nil
        }
        let after = series.usualState
        if let last = series.intervals.indices.last, series.intervals[last].to.map({ $0 > from }) ?? true {
            series.intervals[last].to = max(from, series.intervals[last].from)
        }
        series.add(
            .init(
                state: .gap, from: from, to: max(from, time), firstMissing: ids.lowerBound,
                lastMissing: ids.upperBound, missing: missing, cause: cause.name))
        series.add(.init(state: after, from: max(from, time)))
    }
}

extension ContinuityLedger.Series {
    /// Whether the last interval has not ended.
    var goesOn: Bool { intervals.last.map { $0.to == nil } ?? false }

    /// What it is when nothing is missing.
    fileprivate var usualState: ContinuityLedger.State {
        intervals.last { $0.state != .gap }?.state
            ?? ([EventKind.trade.name, EventKind.aggTrade.name].contains(type) ? .proven : .assumed)
    }

    mutating func end(at time: Int64) {
        guard let last = intervals.indices.last, intervals[last].to == nil else { return }
        intervals[last].to = max(time, intervals[last].from)
    }

    mutating func add(_ interval: ContinuityLedger.Interval) {
        intervals.append(interval)
        if intervals.count > ContinuityLedger.intervalsMax {
            // Gaps matter longest.
            let place = intervals.firstIndex { $0.state != .gap && $0.to != nil } ?? 0
            intervals.remove(at: place)
            forgotten += 1
        }
    }

    /// Whether a gap holds this id.
    func holds(_ id: Int64) -> Bool { gap(with: id) != nil }

    private func gap(with id: Int64) -> Int? {
        intervals.lastIndex {
            guard let first = $0.firstMissing, let last = $0.lastMissing else { return false }
            return $0.state == .gap && (first...last).contains(id)
        }
    }

    /// So many ids from this one on are not missing any more.
    mutating func settle(_ first: Int64, _ count: Int64) {
        guard let place = gap(with: first) else { return }
        let left = max(0, (intervals[place].missing ?? 0) - count)
        intervals[place].missing = left
        guard left == 0 else { return }
        // Everything is there: one stretch again with its neighbours.
        intervals[place] = .init(state: usualState, from: intervals[place].from, to: intervals[place].to)
        join(at: place)
        if place > 0 { join(at: place - 1) }
    }

    /// Makes one of an interval and the next, where they are of one state and meet.
    private mutating func join(at place: Int) {
        guard place + 1 < intervals.count, intervals[place].state == intervals[place + 1].state,
            intervals[place].state != .gap, intervals[place].to == intervals[place + 1].from
        else { return }
        intervals[place].to = intervals[place + 1].to
        intervals.remove(at: place + 1)
    }
}
