/// What came of each trade of one stream, for as long as the stream is wanted.
struct Ledger {
    private enum Mark {
        static let delivered: UInt8 = 1
        static let reported: UInt8 = 2
    }

    /// The id of the first mark.
    private var first: Int64 = 0
    private var marks: [UInt8] = []

    /// Something came.
    var hasBegun: Bool { !marks.isEmpty }

    /// A trade came out. False where it did before.
    mutating func deliver(_ id: Int64) -> Bool {
        let place = place(of: id)
        guard marks[place] & Mark.delivered == 0 else { return false }
        marks[place] |= Mark.delivered
        return true
    }

    /// Ids were reported missing.
    mutating func report(_ first: Int64, _ last: Int64) {
        guard first <= last else { return }
        for id in first...last { marks[place(of: id)] |= Mark.reported }
    }

    private mutating func place(of id: Int64) -> Int {
        if marks.isEmpty { first = id }
        if id < first {
            marks.insert(contentsOf: repeatElement(0, count: Int(first - id)), at: 0)
            first = id
        }
        while id >= first + Int64(marks.count) { marks.append(0) }
        return Int(id - first)
    }

    /// The first id up to `last` of which nothing is known; nil: none.
    func firstUnknown(upTo last: Int64) -> Int64? {
        guard hasBegun else { return last > 0 ? last : nil }
        if let place = marks.firstIndex(of: 0) { return first + Int64(place) }
        return first + Int64(marks.count) <= last ? first + Int64(marks.count) : nil
    }
}
