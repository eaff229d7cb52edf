import MarketData

/// Which connections there are, and which of them is at hand.
extension EventWriter {
    /// What each link of the lane brings, by link index. Called at the start, and whenever links are added.
    public mutating func setLinks(_ links: [ParserLink]) {
        self.links = links
        let shards = (links.map(\.shard).max() ?? -1) + 1
        while members.count < shards { members.append(LiveMembers()) }
    }

    /// A run of frames of a link follows. `now`: monotonic ns.
    public mutating func beginRun(link: Int, generation: UInt32, receivedTime: Int64, now: Int64) {
        let place = links[link]
        if !members[place.shard].isLive(place.member)
            || members[place.shard].generations[place.member] != generation
        {
            opened(link: link, generation: generation)
        }
        live = members[place.shard]
        source.market = place.market
        source.shard = place.shard
        source.member = place.member
        source.generation = generation
        source.connection =
            UInt64(truncatingIfNeeded: link) << 34 | UInt64(truncatingIfNeeded: place.member) << 32
            | UInt64(generation)
        source.isPaired = place.isPaired
        source.receivedTime = receivedTime
        source.now = now
        isTracking = place.isPaired || held.sequenceCount > 0 || live.hasOther(than: place.member)
    }

    /// A connection is open: what it brings may be waited for.
    public mutating func opened(link: Int, generation: UInt32) {
        let place = links[link]
        members[place.shard].mask |= 1 << UInt8(place.member)
        members[place.shard].generations[place.member] = generation
    }

    /// A connection has ended: nothing is waited for any longer that only it could bring.
    public mutating func closed(link: Int, generation: UInt32) {
        let place = links[link]
        guard members[place.shard].generations[place.member] == generation else { return }
        members[place.shard].mask &= ~(1 << UInt8(place.member))
        held.hasReleased = held.sequenceCount > 0
    }

    /// A stream of the instrument is no longer asked for: what comes after it is asked for again is a beginning.
    public mutating func forget(_ kind: EventKind, variant: UInt8, instrument: UInt32) {
        switch kind {
        case .trade, .aggTrade:
            let index = SequenceTable.index(kind, instrument: instrument)
            // What waits is of the old stretch, and must be through before it is forgotten.
            if sequences.history(index).pointee.head != 0 {
                held.hasReleased = true
                guard settle(now: .max) else { return }
            }
            uncountHoles(index)
            sequences.forget(index)
        case .gap, .deadLetter, .depth: break
        case .kline:
            recent.forget(row: RecentEvents.row(kind, variant: variant), instrument: instrument)
            bars.forgetLast(instrument, variant)
        default: recent.forget(row: RecentEvents.row(kind, variant: variant), instrument: instrument)
        }
    }
}
