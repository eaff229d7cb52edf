/// What came of each trade of one stream, for as long as the stream is wanted. Follows ids as the parser thread does:
/// what jumps over ids reports them missing, what was published already is dropped.
struct Ledger {
    private enum Mark {
        static let delivered: UInt8 = 1
        static let reported: UInt8 = 2
    }

    /// The first id that came.
    private var first: Int64 = 0
    /// What follows the highest id that came; 0: none came.
    private var expected: Int64 = 0
    private var marks: [UInt8] = []

    /// Something came.
    var hasBegun: Bool { expected > 0 }

    /// What an id came to.
    enum Finding {
        case delivered
        case duplicate
        case jumped(missing: Int64)
        case publishedTwice
    }

    /// A payload came.
    mutating func receive(_ id: Int64, dropsDuplicates: Bool, reportsGaps: Bool) -> Finding {
        guard expected > 0 else {
            first = id
            expected = id + 1
            marks.append(Mark.delivered)
            return .delivered
        }
        if id >= expected {
            let missing = id - expected
            for _ in 0..<missing { marks.append(reportsGaps ? Mark.reported : 0) }
            marks.append(Mark.delivered)
            expected = id + 1
            return missing == 0 ? .delivered : .jumped(missing: missing)
        }
        // Before the first one nothing was promised.
        guard id >= first else { return .duplicate }
        let place = Int(id - first)
        if marks[place] & Mark.delivered != 0 { return dropsDuplicates ? .duplicate : .publishedTwice }
        marks[place] |= Mark.delivered
        return .delivered
    }

    /// The first id up to `last` of which nothing is known; nil: none.
    func firstUnknown(upTo last: Int64) -> Int64? {
        guard expected > 0 else { return last > 0 ? 1 : nil }
        if let place = marks.firstIndex(of: 0) { return first + Int64(place) }
        return expected <= last ? expected : nil
    }
}
