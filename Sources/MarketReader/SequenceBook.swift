/// Sequences of one topic and one run of a collector: tells new events from repeats, and knows the holes.
struct SequenceBook {
    enum Verdict: Equatable {
        case new
        /// It was called missing, or lies before the beginning.
        case late
        case repeated
    }

    private struct Hole {
        var first: UInt64
        var last: UInt64
        var since: Double
        var isTold: Bool
    }

    /// Holes that are remembered for late events. Of older ones everything counts as new: better twice than never.
    static let holeLimit = 10_000

    private var next: UInt64?
    private var floor: UInt64 = 0
    private var holes: [Hole] = []
    private var untold = 0

    /// `begin`: the first sequence to expect; nil where the subscription may be younger than the topic. Then the first
    /// that comes is the beginning, and what lies before it is taken when it comes but never called missing.
    init(begin: UInt64?) { next = begin }

    mutating func see(_ sequence: UInt64, now: Double) -> Verdict {
        if next == nil, sequence > 1 {
            add(Hole(first: 1, last: sequence - 1, since: now, isTold: true))
        }
        let expected = next ?? sequence
        if sequence >= expected {
            if sequence > expected {
                add(Hole(first: expected, last: sequence - 1, since: now, isTold: false))
            }
            next = sequence + 1
            return .new
        }
        let index = holes.partitioningIndex { $0.first > sequence } - 1
        guard index >= 0, sequence <= holes[index].last else { return sequence < floor ? .late : .repeated }
        let hole = holes[index]
        var parts: [Hole] = []
        if hole.first < sequence {
            parts.append(Hole(first: hole.first, last: sequence - 1, since: hole.since, isTold: hole.isTold))
        }
        if sequence < hole.last {
            parts.append(Hole(first: sequence + 1, last: hole.last, since: hole.since, isTold: hole.isTold))
        }
        holes.replaceSubrange(index...index, with: parts)
        if !hole.isTold { untold += parts.count - 1 }
        return hole.isTold ? .late : .new
    }

    private mutating func add(_ hole: Hole) {
        holes.append(hole)
        if !hole.isTold { untold += 1 }
        if holes.count > SequenceBook.holeLimit, holes[0].isTold { floor = holes.removeFirst().last + 1 }
    }

    /// The first sequence that is still waited for; nil while none is.
    var barrier: UInt64? { untold == 0 ? nil : holes.first { !$0.isTold }?.first }

    /// Calls the holes missing that are there since `before` or longer, the first `limit` of them.
    mutating func giveUp(before: Double, limit: Int = .max) -> [ClosedRange<UInt64>] {
        guard untold > 0 else { return [] }
        var told: [ClosedRange<UInt64>] = []
        for index in holes.indices where !holes[index].isTold && holes[index].since <= before {
            guard told.count < limit else { break }
            holes[index].isTold = true
            told.append(holes[index].first...holes[index].last)
        }
        untold -= told.count
        return told
    }
}

extension RandomAccessCollection {
    /// The first index whose element satisfies a condition that all behind it satisfy, too.
    func partitioningIndex(where condition: (Element) -> Bool) -> Index {
        var low = startIndex
        var count = self.count
        while count > 0 {
            let middle = index(low, offsetBy: count / 2)
            if condition(self[middle]) {
                count /= 2
            } else {
                low = index(after: middle)
                count -= count / 2 + 1
            }
        }
        return low
    }
}
