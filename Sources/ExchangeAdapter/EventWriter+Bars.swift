import MarketData

/// Closed bars, where their market is repaired. Bars do not wait for each other: what was missed is told as `open` and
/// published when it was fetched.
extension EventWriter {
    /// A closed bar was published; it stands at `event` still.
    @usableFromInline @inline(never)
    mutating func followBar(_ event: UnsafeRawPointer) {
        let bar = event.load(as: Kline.self)
        guard repairs(.kline, market: source.market), let interval = Interval(rawValue: bar.header.variant),
            let number = interval.number(opening: bar.openTime), number > 0
        else { return }
        let instrument = bar.header.instrument
        let last = bars.last(instrument, interval.rawValue)
        // The last one that came is of this run, or of the one before.
        let cause: GapCause = bars.isResumed(instrument, interval.rawValue) ? .outage : .sequence
        if number > last { bars.setLast(number, instrument, interval.rawValue) }
        if last == 0 || number == last + 1 || number == last { return }
        if number < last {
            settleBars(number...number, of: instrument, interval, as: .repaired, cause: cause)
        } else {
            missBars((last + 1)...(number - 1), of: instrument, interval, cause: cause)
        }
    }

    private mutating func missBars(
        _ numbers: ClosedRange<Int64>, of instrument: UInt32, _ interval: Interval, cause: GapCause
    ) {
        bars.add(.init(instrument: instrument, interval: interval.rawValue, numbers: numbers))
        counters.gap(.kline, market: source.market)
        counters.openGap(1, .kline, market: source.market)
        tellBars(numbers, of: instrument, interval, as: .open, cause: cause)
        let isTaken = repair?.missing[source.market].send(
            MissingRange(
                kind: .kline, variant: interval.rawValue, instrument: instrument, market: source.market,
                first: numbers.lowerBound, last: numbers.upperBound, cause: cause, epoch: 0,
                seen: source.now))
        if isTaken == true {
            holesTold += 1
        } else {
            settleBars(numbers, of: instrument, interval, as: .lost, cause: cause)
        }
    }

    /// A bar's part of ``take(_:now:)``.
    mutating func takeBars(_ delivery: RepairDelivery) {
        guard let interval = Interval(rawValue: delivery.range.variant),
            case .klines(let events) = delivery.events
        else { return }
        let instrument = delivery.range.instrument
        let cause = delivery.range.cause
        var next = delivery.ids.lowerBound
        for place in events.indices {
            let number = delivery.events.id(at: place)
            guard number >= next, number <= delivery.ids.upperBound else { continue }
            if number > next {
                settleBars(next...(number - 1), of: instrument, interval, as: delivery.others, cause: cause)
            }
            if bars.isMissing(number, instrument, interval.rawValue) {
                producer.commit(write(events[place]))
                counters.received(.kline, market: source.market)
                settleBars(number...number, of: instrument, interval, as: .repaired, cause: cause)
            }
            next = number + 1
        }
        guard next <= delivery.ids.upperBound else { return }
        settleBars(
            next...delivery.ids.upperBound, of: instrument, interval, as: delivery.others, cause: cause)
    }

    /// Room in the ring for everything that a delivery of bars can become.
    func room(forBarsOf delivery: RepairDelivery) -> Int {
        let gaps =
            2 * delivery.events.count + 2
            + bars.pieces(of: delivery.ids, delivery.range.instrument, delivery.range.variant)
        return delivery.events.count * (MemoryLayout<Kline>.stride + 32)
            + gaps * (MemoryLayout<Gap>.stride + 32)
    }

    /// Says of those of these bars that are missing what became of them.
    private mutating func settleBars(
        _ numbers: ClosedRange<Int64>, of instrument: UInt32, _ interval: Interval, as state: GapState,
        cause: GapCause
    ) {
        var pieces: [ClosedRange<Int64>] = []
        let change = bars.settle(numbers, instrument, interval.rawValue) { pieces.append($0) }
        if change != 0 { counters.openGap(change, .kline, market: source.market) }
        for piece in pieces { tellBars(piece, of: instrument, interval, as: state, cause: cause) }
    }

    private mutating func tellBars(
        _ numbers: ClosedRange<Int64>, of instrument: UInt32, _ interval: Interval, as state: GapState,
        cause: GapCause
    ) {
        if state != .open { counters.settled(numbers.count, as: state, .kline, market: source.market) }
        tellGap(
            .kline, variant: interval.rawValue, instrument: instrument,
            first: interval.opening(number: numbers.lowerBound),
            last: interval.opening(number: numbers.upperBound),
            state: state, cause: cause, market: source.market, time: source.receivedTime)
    }

    /// Before the first frame: bars that a checkpoint tells of as missing.
    mutating func resumeBars(_ hole: MissingRange) {
        bars.add(.init(instrument: hole.instrument, interval: hole.variant, numbers: hole.first...hole.last))
        counters.openGap(1, .kline, market: hole.market)
    }
}
