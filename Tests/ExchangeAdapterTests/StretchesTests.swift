import MarketData
import Testing

@testable import ExchangeAdapter

@Suite struct StretchesTests {
    /// Stretches beside a set that remembers everything.
    private struct Model {
        static let room = 10_000
        let most: Int
        var room: Int
        var stretches = Stretches()
        var seen: Set<Int64> = []
        let base: Int64 = 1_000
        var expected: Int64 = 1_001
        /// By what was told.
        var holes = 0

        init(most: Int, room: Int = Model.room) {
            self.most = most
            self.room = room
            stretches.begin(at: base, room: &self.room)
            seen = [base]
        }

        var missing: [Int64] { (base..<expected).filter { !seen.contains($0) } }

        mutating func follow() {
            seen.insert(expected)
            expected += 1
        }

        mutating func jump(over count: Int64) {
            let id = expected + count
            holes += stretches.jump(from: expected, to: id, most: most, room: &room)
            seen.insert(id)
            expected = id + 1
        }

        mutating func insert(_ ids: ClosedRange<Int64>) {
            holes += stretches.insert(late: ids, most: most, room: &room)
            seen.formUnion(ids)
        }
    }

    /// Whatever the order, what is remembered is right: all of it where there is room, and of what is forgotten nothing is
    /// called known. Holes are counted right either way.
    @Test(arguments: [8, 16, 1_024], 0..<70) func nothingUnseenIsKnown(most: Int, seed: Int) {
        var random = SplitMix64(seed)
        var model = Model(most: most)
        for turn in 0..<400 {
            let step = random.next(below: 8)
            if step < 3 {
                model.follow()
            } else if step < 5 {
                model.jump(over: 1 + Int64(random.next(below: 5)))
            } else {
                let id = model.expected - 1 - Int64(random.next(below: seed % 3 == 0 ? 60 : 800))
                let isKnown = model.stretches.contains(id, expected: model.expected)
                if isKnown {
                    #expect(model.seen.contains(id), "\(id) was never seen")
                } else if id >= 0 {
                    var last = id
                    while last - id < 3, !model.seen.contains(last + 1), last + 1 < model.expected {
                        last += 1
                    }
                    if !model.stretches.contains(last, expected: model.expected) { model.insert(id...last) }
                }
            }
            check(model, all: turn % 20 == 0)
        }
        for id in model.missing {
            if !model.stretches.contains(id, expected: model.expected) { model.insert(id...id) }
        }
        check(model, all: true)
        #expect(model.holes == 0, "all has come")
        model.stretches.begin(at: 5, room: &model.room)
        #expect(model.room == Model.room, "all memory was given back")
    }

    private func check(_ model: Model, all: Bool) {
        #expect(model.stretches.count <= model.most + 1)
        #expect(model.stretches.holeCount == model.holes)
        #expect(model.stretches.contains(model.expected - 1, expected: model.expected))
        #expect(!model.stretches.contains(model.expected, expected: model.expected))
        guard all else { return }
        let missing = model.missing
        let holes = missing.indices.count { $0 == 0 || missing[$0 - 1] != missing[$0] - 1 }
        guard model.most == 1_024 else { return #expect(model.holes <= holes) }
        #expect(model.holes == holes)
        var told: [Int64] = []
        var pieces = 0
        var next = model.base
        while next < model.expected,
            let piece = model.stretches.firstMissing(
                in: next...(model.expected - 1), expected: model.expected)
        {
            told += piece
            pieces += 1
            next = piece.upperBound + 1
        }
        #expect(told == missing)
        #expect(model.stretches.pieces(of: model.base...(model.expected - 1)) >= pieces)
        let unknown = (model.base..<model.expected).filter {
            !model.stretches.contains($0, expected: model.expected)
        }
        #expect(unknown == missing)
    }

    /// What a lane has for all is not exceeded; every sequence has some of its own.
    @Test func roomIsShared() {
        var model = Model(most: 1_024, room: 20)
        for _ in 0..<100 { model.jump(over: 2) }
        // 8 of its own, and 8 of the 20: the next step would take 16.
        #expect(model.stretches.count == 17 && model.holes == 16 && model.room == 12)
        for id in model.missing where !model.stretches.contains(id, expected: model.expected) {
            model.insert(id...id)
        }
        #expect(model.holes == 0)
        #expect(model.room == 20, "memory for many is given back with the last holes")
        var none = Model(most: 1_024, room: 0)
        for _ in 0..<100 { none.jump(over: 2) }
        #expect(none.stretches.count == 9 && none.room == 0)
        model.stretches.begin(at: 0, room: &model.room)
        none.stretches.begin(at: 0, room: &none.room)
    }

    @Test func tellsWhatALateIDDid() {
        var room = 0
        var stretches = Stretches()
        func insert(_ id: Int64) -> Int { stretches.insert(late: id...id, most: 8, room: &room) }
        stretches.begin(at: 100, room: &room)
        #expect(stretches.jump(from: 110, to: 113, most: 8, room: &room) == 1)
        // 110, 111 and 112 are missing; what lies below 100 is no hole.
        #expect(insert(99) == 0)
        #expect(insert(90) == 0)
        #expect(insert(111) == 1)
        #expect(insert(110) == -1)
        #expect(insert(112) == -1)
        for id in Int64(99)..<120 { #expect(stretches.contains(id, expected: 120)) }
        #expect(stretches.contains(90, expected: 120))
        #expect(!stretches.contains(91, expected: 120))
        #expect(!stretches.contains(120, expected: 120))
        #expect(stretches.lastFirst == 99 && stretches.base == 100)
        stretches.begin(at: 0, room: &room)
    }

    /// Nothing came yet, or the id 0 did.
    @Test func zerosBeginWithNought() {
        var room = 0
        var stretches = Stretches()
        #expect(!stretches.contains(0, expected: 0))
        #expect(stretches.contains(0, expected: 1))
        #expect(stretches.jump(from: 1, to: 3, most: 8, room: &room) == 1)
        #expect(stretches.firstMissing(in: 0...3, expected: 4) == 1...2)
        stretches.begin(at: 0, room: &room)
    }
}

extension SplitMix64 {
    init(_ seed: Int) { self.init(seed: UInt64(bitPattern: Int64(seed)) &* 0x9E37_79B9_7F4A_7C15) }

    mutating func next(below bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
