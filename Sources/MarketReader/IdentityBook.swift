/// Which trades were handed on, by exchange, symbol and type: after a crash a collector publishes again what it cannot
/// know to be safe, and redundant collectors publish everything twice.
struct IdentityBook {
    private struct Key: Hashable {
        var exchange: String
        var symbol: String
        var type: String
    }

    /// Ids that were seen, as stretches.
    private struct Stretches {
        var ranges: [Range<Int64>] = []
        var newest: Int64 = 0

        mutating func add(_ id: Int64) -> Bool {
            let above = ranges.partitioningIndex { $0.lowerBound > id }
            if above > 0, ranges[above - 1].contains(id) { return false }
            let joinsBelow = above > 0 && ranges[above - 1].upperBound == id
            let joinsAbove = above < ranges.count && ranges[above].lowerBound == id + 1
            switch (joinsBelow, joinsAbove) {
            case (true, true):
                ranges[above - 1] = ranges[above - 1].lowerBound..<ranges[above].upperBound
                ranges.remove(at: above)
            case (true, false): ranges[above - 1] = ranges[above - 1].lowerBound..<id + 1
            case (false, true): ranges[above] = id..<ranges[above].upperBound
            case (false, false):
                ranges.insert(id..<id + 1, at: above)
                if ranges.count > IdentityBook.stretchLimit { ranges.removeFirst() }
            }
            return true
        }
    }

    /// Of what lies below the oldest stretch that is remembered, everything counts as new: better twice than never.
    static let stretchLimit = 256
    /// An id that goes back, of a trade so much newer than all before, means that the exchange counts anew; ns.
    static let restartMargin: Int64 = 1_000_000_000

    private var seen: [Key: Stretches] = [:]

    /// False for a trade that was seen before. Events without an identity are always new.
    mutating func isNew(_ event: MarketEvent) -> Bool {
        guard let identity = event.identity, identity.id >= 0, identity.id < .max else { return true }
        let key = Key(exchange: event.exchange, symbol: event.symbol ?? "", type: event.type)
        var stretches = seen.removeValue(forKey: key) ?? Stretches()
        defer { seen[key] = stretches }
        if let last = stretches.ranges.last, identity.id < last.upperBound,
            let time = identity.time, time > stretches.newest + IdentityBook.restartMargin
        {
            stretches = Stretches()
        }
        stretches.newest = max(stretches.newest, identity.time ?? 0)
        return stretches.add(identity.id)
    }
}
