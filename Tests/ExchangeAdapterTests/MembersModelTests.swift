import MarketData
import Testing

@testable import ExchangeAdapter

/// Random schedules of up to four connections that bring the same contiguous ids, each with lags, cuts, joins, skips
/// and repeats of its own, against a model that remembers everything.
@Suite struct MembersModelTests {
    private struct Member {
        var isLive = false
        var generation: UInt32 = 0
        /// The exchange's next id for this connection.
        var next: Int64 = 0
        /// What follows the highest id that this connection delivered; 0: none.
        var position: Int64 = 0
        var lag: Int64 = 0
    }

    /// What is known of everything that was ever delivered and published.
    private struct Model {
        /// When each id was first delivered.
        var delivered: [Int64: Int64] = [:]
        /// Of these, those that are not published yet.
        var waiting: [Int64: Int64] = [:]
        var deliveries = 0
        var published: Set<Int64> = []
        var reported: Set<Int64> = []
        var repaired: Set<Int64> = []
        var first: Int64 = 0
        var highest: Int64 = 0
        var byLeg: [Set<Int64>] = [[], []]
        var firstOfLeg: [Int64] = [0, 0]
    }

    private struct Shape {
        var isPaired: Bool
        var members: [Int]
        var skips: Int
        var cuts: Int
        var isSlow: Bool
    }

    private static func shape(_ seed: Int) -> Shape {
        switch seed % 6 {
        case 0: Shape(isPaired: false, members: [0], skips: 20, cuts: 150, isSlow: false)
        case 1: Shape(isPaired: true, members: [0, 2], skips: 40, cuts: 300, isSlow: false)
        case 2: Shape(isPaired: true, members: [0, 1, 2, 3], skips: 15, cuts: 80, isSlow: false)
        case 3: Shape(isPaired: false, members: [0, 1], skips: 10, cuts: 50, isSlow: true)
        case 4: Shape(isPaired: true, members: [0, 2], skips: 8, cuts: 1_000, isSlow: true)
        default: Shape(isPaired: true, members: [0, 1, 2, 3], skips: 30, cuts: 40, isSlow: true)
        }
    }

    @Test(arguments: 0..<120) func everythingOnceAndEveryHoleSaid(seed: Int) throws {
        var random = SplitMix64(seed)
        let shape = MembersModelTests.shape(seed)
        let bench = try WriterBench(isPaired: shape.isPaired)
        var members = Array(repeating: Member(), count: 4)
        var model = Model()
        var made: [Int64] = []  // by id - 1: when
        var isClosing = false
        for step in 0..<3_000 {
            bench.now += 1_000_000
            isClosing = step > 2_500
            if !isClosing {
                for _ in 0..<[0, 0, 1, 1, 2][random.next(below: 5)] { made.append(bench.now) }
            }
            for index in shape.members {
                if !members[index].isLive {
                    if !isClosing, random.next(below: 30) == 0 {
                        members[index].isLive = true
                        members[index].generation += 1
                        members[index].position = 0
                        members[index].next = Int64(made.count) + 1 - Int64(random.next(below: 3))
                        members[index].next = max(1, members[index].next)
                        members[index].lag = lag(&random, shape)
                        bench.open(index, members[index].generation)
                    }
                    continue
                }
                if random.next(below: shape.cuts) == 0 || step > 2_900 {
                    members[index].isLive = false
                    bench.close(index, members[index].generation)
                    #expect(bench.settle())
                    check(&model, bench, members, "close \(index)")
                    continue
                }
                if random.next(below: 100) == 0 { members[index].lag = lag(&random, shape) }
                while members[index].next <= made.count,
                    made[Int(members[index].next) - 1] + members[index].lag <= bench.now
                {
                    let id = members[index].next
                    members[index].next += 1
                    if random.next(below: shape.skips * 4) == 0 {
                        members[index].next += Int64(random.next(below: 6))
                        continue
                    }
                    deliver(id, index, &members, &model, bench, shape)
                    if random.next(below: 50) == 0 {
                        let again = max(model.first, id - Int64(random.next(below: 4)))
                        // One leg's late ids would make its loss smaller again, which is not counted.
                        let isOwn = !shape.isPaired || model.byLeg[index / 2].contains(again)
                        if members[index].position > again, model.delivered[again] != nil, isOwn {
                            deliver(again, index, &members, &model, bench, shape)
                        }
                    }
                }
            }
            #expect(bench.settle())
            check(&model, bench, members, "tick")
            // Nothing waits for what nobody can bring, or beyond its deadline.
            if let waiting = model.waiting.keys.min() {
                #expect(
                    members.contains { $0.isLive && $0.position < waiting },
                    "\(waiting) waits, and nobody can bring what is before it")
            }
            for (id, at) in model.waiting {
                #expect(bench.now - at <= HeldEvents.patience, "\(id) waits since \(bench.now - at) ns")
            }
        }
        finish(model, bench, shape)
    }

    private func lag(_ random: inout SplitMix64, _ shape: Shape) -> Int64 {
        Int64(random.next(below: shape.isSlow ? 400 : 20)) * 1_000_000
    }

    private func deliver(
        _ id: Int64, _ index: Int, _ members: inout [Member], _ model: inout Model, _ bench: WriterBench,
        _ shape: Shape
    ) {
        if model.first == 0 { model.first = id }
        model.deliveries += 1
        if model.delivered[id] == nil {
            model.delivered[id] = bench.now
            model.waiting[id] = bench.now
        }
        members[index].position = max(members[index].position, id + 1)
        if shape.isPaired {
            let leg = index / 2
            if model.firstOfLeg[leg] == 0 { model.firstOfLeg[leg] = id }
            model.byLeg[leg].insert(id)
        }
        #expect(bench.trade(id, on: index, members[index].generation))
        #expect(bench.settle())
        check(&model, bench, members, "\(id) on \(index)")
    }

    /// What has come out since the last look.
    private func check(_ model: inout Model, _ bench: WriterBench, _ members: [Member], _ context: String) {
        let outputs = bench.take()
        for (place, output) in outputs.enumerated() {
            switch output {
            case .event(_, let id):
                #expect(model.delivered[id] != nil, "\(id) was made up: \(context)")
                #expect(model.published.insert(id).inserted, "\(id) twice: \(context)")
                model.waiting[id] = nil
                if id > model.highest {
                    if model.highest > 0, id > model.highest + 1 {
                        let neighbours = outputs[max(0, place - 1)...min(outputs.count - 1, place + 1)]
                        #expect(
                            neighbours.contains {
                                if case .gap(model.highest + 1, id - 1, .open, _) = $0 { true } else { false }
                            }, "\(id) after \(model.highest) without a gap beside it: \(context)")
                    }
                    model.highest = id
                } else if id > model.first {
                    #expect(model.reported.contains(id), "\(id) came out of order: \(context)")
                }
            case .gap(let first, let last, .open, _):
                // The deadline of what waits behind the hole.
                let waited =
                    model.delivered.filter { $0.key > last && !model.published.contains($0.key) }
                    .values.min().map { bench.now - $0 } ?? 0
                for id in first...last {
                    #expect(!model.published.contains(id), "\(id) was there: \(context)")
                    #expect(model.reported.insert(id).inserted, "\(id) reported twice: \(context)")
                }
                let mayCome = members.contains { $0.isLive && $0.position <= last }
                #expect(
                    !mayCome || waited >= HeldEvents.patience - 1_000_000,
                    "\(first)...\(last) reported after \(waited) ns although it could come: \(context)")
            case .gap(let first, let last, let state, _):
                #expect(state == .repaired)
                #expect(first == last)
                #expect(model.reported.contains(first))
                #expect(model.published.contains(first))
                #expect(model.repaired.insert(first).inserted)
            }
        }
    }

    private func finish(_ model: Model, _ bench: WriterBench, _ shape: Shape) {
        #expect(model.published == Set(model.delivered.keys))
        #expect(bench.nextDeadline == nil)
        if model.highest > 0 {
            for id in model.first...model.highest where !model.published.contains(id) {
                #expect(model.reported.contains(id), "\(id) is missing and was not reported")
            }
        }
        // What was reported and came has been called repaired.
        #expect(model.repaired == model.reported.intersection(model.published))
        let counts = bench.counters.counts(.trade, market: 0)
        #expect(counts.received == model.deliveries)
        #expect(counts.duplicates == model.deliveries - model.published.count)
        #expect(bench.counters.waiting == 0)
        #expect((counts.gapsOpen == 0) == model.reported.isSubset(of: model.published))
        guard shape.isPaired else { return }
        #expect(
            bench.legs.won(leg: 0, market: 0) + bench.legs.won(leg: 1, market: 0) == model.published.count)
        for leg in 0..<2 where model.firstOfLeg[leg] > 0 {
            let last = model.byLeg[leg].max() ?? 0
            let lost = (model.firstOfLeg[leg]...max(last, model.firstOfLeg[leg]))
                .count { !model.byLeg[leg].contains($0) }
            let counted = bench.legs.lost(leg: leg, market: 0)
            if shape.members.count == 2 {
                #expect(counted == lost, "leg \(leg) lost \(lost), not \(counted)")
            } else {
                #expect(counted <= lost + lost / 4 + 10, "leg \(leg) lost \(lost), not \(counted)")
            }
        }
    }
}
