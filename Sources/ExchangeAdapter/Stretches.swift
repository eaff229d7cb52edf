/// Which ids of a sequence were published: stretches of contiguous ids, rising, with holes between them. The last one is
/// still growing, and its end is kept by its owner. All zeros: it begins with id 0.
///
/// There are as many stretches as are needed, up to a limit; beyond it the lowest one is forgotten, and with it the hole
/// above it. What is forgotten counts as never seen, so that nothing is taken for a repeat wrongly, and its holes are counted
/// no longer: each function tells by how much the number of holes that are counted has changed.
///
/// Stretches below the growing one have memory of their own, which ``begin(at:room:)`` gives back.
struct Stretches: BitwiseCopyable {
    /// Stretches below the growing one that every sequence can have.
    static let few = 8
    /// The same, of sequences whose holes are filled over REST and thus may stay open for minutes.
    static let many = 1_024
    /// What all sequences of a lane can have together beyond the ``few`` of each: 1 MiB.
    static let roomOfLane = 65_536

    private struct Stretch: BitwiseCopyable {
        var first: Int64
        /// Behind its last id.
        var end: Int64
    }

    /// The first id of all: what is missing below it is not a hole, because nothing says that it was asked for.
    private(set) var base: Int64
    /// The growing stretch's first id.
    private(set) var lastFirst: Int64
    /// What is missing below it is not counted: it is below ``base``, or was forgotten.
    private var floor: Int64
    private var earlier: UnsafeMutablePointer<Stretch>?
    private var earlierCount: Int
    private var capacity: Int

    init() {
        base = 0
        lastFirst = 0
        floor = 0
        earlier = nil
        earlierCount = 0
        capacity = 0
    }

    /// Stretches, the growing one included.
    var count: Int { earlierCount + 1 }

    /// Holes that are counted.
    var holeCount: Int {
        // Each stretch has a hole below it but the lowest one.
        max(0, count - max(1, place(above: floor)))
    }

    /// Everything else is forgotten; a stretch begins with `id`. `room`: what is left of ``roomOfLane``.
    mutating func begin(at id: Int64, room: inout Int) {
        earlier?.deallocate()
        room += max(0, capacity - Stretches.few)
        self = Stretches()
        base = id
        lastFirst = id
        floor = id
    }

    /// The growing stretch ends before `expected`; the next one begins with `id`, further up. `most`: stretches below it.
    ///
    /// - Returns: by how much the number of holes has changed.
    mutating func jump(from expected: Int64, to id: Int64, most: Int, room: inout Int) -> Int {
        let forgotten = makePlace(most: most, room: &room)
        insert(Stretch(first: lastFirst, end: expected), at: earlierCount)
        lastFirst = id
        return 1 - forgotten
    }

    /// Whether `id`, which is below `expected`, was published.
    func contains(_ id: Int64, expected: Int64) -> Bool {
        if id >= lastFirst { return id < expected }
        let above = place(above: id)
        return above > 0 && id < end(above - 1, expected)
    }

    /// The first stretch of ids in a range below `expected` that were not published; nil where all were.
    func firstMissing(in ids: ClosedRange<Int64>, expected: Int64) -> ClosedRange<Int64>? {
        var first = ids.lowerBound
        var above = place(above: first)
        if above > 0 { first = max(first, end(above - 1, expected)) }
        // A stretch may be empty, and then the next hole follows at once.
        while above < count, self.first(above) <= first {
            first = max(first, end(above, expected))
            above += 1
        }
        guard first <= ids.upperBound else { return nil }
        return first...(above < count ? min(ids.upperBound, self.first(above) - 1) : ids.upperBound)
    }

    /// In how many pieces ids of a range are missing at most.
    func pieces(of ids: ClosedRange<Int64>) -> Int {
        place(above: ids.upperBound) - place(above: ids.lowerBound) + 1
    }

    /// Takes in ids below `expected` of which none was published before. `most`: stretches below the growing one.
    ///
    /// - Returns: by how much the number of holes has changed: -1 where these were the last ones missing in theirs, 1 where
    ///   they lie in its middle, so that it is two now.
    mutating func insert(late ids: ClosedRange<Int64>, most: Int, room: inout Int) -> Int {
        guard ids.lowerBound < lastFirst else { return 0 }
        var above = place(above: ids.lowerBound)
        let isCounted = first(above) > floor
        let joinsBelow = above > 0 && end(above - 1, .max) == ids.lowerBound
        let joinsAbove = first(above) == ids.upperBound + 1
        if joinsBelow, joinsAbove {
            setFirst(above, first(above - 1))
            remove(at: above - 1)
            shrink(room: &room)
            return isCounted ? -1 : 0
        }
        if joinsBelow {
            earlier?[above - 1].end = ids.upperBound + 1
            return 0
        }
        if joinsAbove {
            setFirst(above, ids.lowerBound)
            return 0
        }
        // What nobody counts is remembered as long as it takes no more memory.
        guard isCounted || earlierCount < Stretches.few else { return 0 }
        let before = earlierCount
        let forgotten = makePlace(most: most, room: &room)
        above -= before - earlierCount
        // The hole itself may be what was forgotten.
        guard above >= 0, first(above) > floor || !isCounted else { return -forgotten }
        insert(Stretch(first: ids.lowerBound, end: ids.upperBound + 1), at: above)
        return (isCounted ? 1 : 0) - forgotten
    }

    // MARK: Places: of the stretches below the growing one, and behind them of that

    private func first(_ place: Int) -> Int64 {
        guard place < earlierCount, let earlier else { return lastFirst }
        return earlier[place].first
    }

    private func end(_ place: Int, _ expected: Int64) -> Int64 {
        guard place < earlierCount, let earlier else { return expected }
        return earlier[place].end
    }

    private mutating func setFirst(_ place: Int, _ id: Int64) {
        guard place < earlierCount, let earlier else { return lastFirst = id }
        earlier[place].first = id
    }

    /// The lowest one whose first id is above `id`; ``count`` where none is.
    private func place(above id: Int64) -> Int {
        if id >= lastFirst { return count }
        var low = 0
        var high = earlierCount
        while low < high {
            let middle = (low + high) / 2
            if first(middle) <= id { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func insert(_ stretch: Stretch, at place: Int) {
        guard let earlier else { return }
        (earlier + place + 1).update(from: earlier + place, count: earlierCount - place)
        earlier[place] = stretch
        earlierCount += 1
    }

    private mutating func remove(at place: Int) {
        guard let earlier else { return }
        earlierCount -= 1
        (earlier + place).update(from: earlier + place + 1, count: earlierCount - place)
    }

    // MARK: Memory

    /// There is a place for one more.
    ///
    /// - Returns: how many holes are no longer counted for that.
    private mutating func makePlace(most: Int, room: inout Int) -> Int {
        if earlierCount < min(capacity, most) { return 0 }
        let larger = capacity == 0 ? Stretches.few : 2 * capacity
        let cost = capacity == 0 ? 0 : capacity
        if larger <= most, cost <= room {
            resize(larger, room: &room)
            return 0
        }
        let isCounted = first(1) > floor
        remove(at: 0)
        floor = max(floor, first(0))
        return isCounted ? 1 : 0
    }

    /// Memory that was needed for many is given back when there are few again.
    private mutating func shrink(room: inout Int) {
        if capacity > Stretches.few, earlierCount <= Stretches.few / 2 { resize(Stretches.few, room: &room) }
    }

    private mutating func resize(_ capacity: Int, room: inout Int) {
        let memory = UnsafeMutablePointer<Stretch>.allocate(capacity: capacity)
        if let earlier {
            memory.update(from: earlier, count: earlierCount)
            earlier.deallocate()
            room -= capacity - self.capacity
        }
        earlier = memory
        self.capacity = capacity
    }
}
