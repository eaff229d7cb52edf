/// Which ids of a sequence were published: up to eight stretches of contiguous ids, rising, with holes between them.
/// The last one is still growing, and its end is kept by its owner. Where there are more holes than that, the lowest
/// stretch is forgotten: what is forgotten counts as never seen, so that nothing is taken for a repeat wrongly.
struct Stretches: BitwiseCopyable {
    static let capacity = 8

    private var firsts: SIMD8<Int64>
    /// Behind each stretch's last id; unused for the last one.
    private var ends: SIMD8<Int64>
    private(set) var count: Int
    /// The first id of all: what is missing below it is not a hole, because nothing says that it was asked for.
    private(set) var base: Int64

    init() {
        firsts = SIMD8()
        ends = SIMD8()
        count = 0
        base = 0
    }

    /// The growing stretch's first id.
    var lastFirst: Int64 { count == 0 ? 0 : firsts[count - 1] }

    /// Everything else is forgotten; a stretch begins with `id`.
    mutating func begin(at id: Int64) {
        firsts[0] = id
        count = 1
        base = id
    }

    /// The growing stretch ends before `expected`; the next one begins with `id`, further up.
    mutating func jump(from expected: Int64, to id: Int64) {
        guard count > 0 else { return begin(at: id) }
        ends[count - 1] = expected
        if count == Stretches.capacity { remove(at: 0) }
        firsts[count] = id
        count += 1
    }

    /// Whether `id`, which is below `expected`, was published.
    func contains(_ id: Int64, expected: Int64) -> Bool {
        for index in 0..<count where id >= firsts[index] && id < end(index, expected) { return true }
        return false
    }

    /// What a late id did.
    enum Late {
        /// It lies below the first id of all.
        case below
        /// It lies at the end of a hole, of which something is left.
        case inHole
        /// It lies in the middle of a hole, which now is two.
        case split
        /// It was the last one missing in its hole.
        case filled
    }

    /// The first stretch of ids in a range below `expected` that were not published; nil where all were.
    func firstMissing(in ids: ClosedRange<Int64>, expected: Int64) -> ClosedRange<Int64>? {
        var first = ids.lowerBound
        for index in 0..<count {
            if first < firsts[index] { return first...min(ids.upperBound, firsts[index] - 1) }
            first = max(first, end(index, expected))
            if first > ids.upperBound { return nil }
        }
        return first...ids.upperBound
    }

    /// Takes in ids below `expected` of which none was published before.
    mutating func insert(late ids: ClosedRange<Int64>, expected: Int64) -> Late {
        let id = ids.lowerBound
        var above = 0
        while above < count, firsts[above] <= id { above += 1 }
        let isInHole = id > base
        let joinsBelow = above > 0 && ends[above - 1] == id
        let joinsAbove = above < count && firsts[above] == ids.upperBound + 1
        if joinsBelow, joinsAbove {
            ends[above - 1] = ends[above]
            remove(at: above)
            return isInHole ? .filled : .below
        }
        if joinsBelow {
            ends[above - 1] = ids.upperBound + 1
        } else if joinsAbove {
            firsts[above] = id
        } else if count < Stretches.capacity || above > 0 {
            if count == Stretches.capacity {
                remove(at: 0)
                above -= 1
            }
            insert(ids, at: above)
        }
        guard isInHole else { return .below }
        return joinsBelow || joinsAbove ? .inHole : .split
    }

    private func end(_ index: Int, _ expected: Int64) -> Int64 {
        index == count - 1 ? expected : ends[index]
    }

    private mutating func remove(at index: Int) {
        for next in index + 1..<max(index + 1, count) {
            firsts[next - 1] = firsts[next]
            ends[next - 1] = ends[next]
        }
        count -= 1
    }

    private mutating func insert(_ ids: ClosedRange<Int64>, at index: Int) {
        for previous in stride(from: count - 1, through: index, by: -1) {
            firsts[previous + 1] = firsts[previous]
            ends[previous + 1] = ends[previous]
        }
        firsts[index] = ids.lowerBound
        ends[index] = ids.upperBound + 1
        count += 1
    }
}
