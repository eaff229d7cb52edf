import Testing

@testable import Wire

/// Requests: packed, paced, refused, and changed while the connection is open.
@Suite struct SlotRequestTests {
    @Test func requestsAreFullAndPaced() throws {
        var slot = try SlotHarness(streams: 40) {
            $0.namesPerRequest = 10
            $0.requestBytes = 60
        }
        slot.pass(0)
        slot.opened(0)
        let start = slot.now
        var times: [Int64] = []
        var names: [String] = []
        while slot.now < start + 10 * .second {
            for request in slot.sent(0) {
                times.append(slot.now)
                names += request.streams.map(\.name)
                #expect(request.streams.count <= 10)
                let bytes = SlotTestLanguage().subscribe(request.streams.map(\.name), id: .max).count
                #expect(bytes <= 60)
                // Nothing more would have fitted.
                if names.count < 40, request.streams.count < 10 {
                    #expect(bytes + 1 + "s\(names.count)".utf8.count > 60)
                }
            }
            slot.actions = []
            slot.pass(10 * .ms)
        }
        #expect(names == (0..<40).map { "s\($0)" })
        #expect(zip(times, times.dropFirst()).allSatisfy { $1 - $0 >= 250 * .ms })
    }

    @Test func pongsGoFirstAndCountAsWell() throws {
        var slot = try SlotHarness(streams: 6) { $0.namesPerRequest = 1 }
        slot.pass(0)
        slot.opened(0)
        #expect(slot.sent(0).count == 1)
        _ = slot.news()
        for _ in 0..<5 { slot.machine.pinged(0, generation: slot.machine.generation(of: 0), slot.now) }
        #expect(slot.news().isEmpty)
        slot.pass(250 * .ms)
        // The latest of five pings is answered.
        #expect(slot.news() == [.pong(side: 0)])
        slot.pass(249 * .ms)
        #expect(slot.sent(0).isEmpty)
        slot.pass(.ms)
        #expect(slot.sent(0).count == 1)
    }

    @Test func aRequestWithoutAnswerEndsTheConnection() throws {
        var slot = try SlotHarness()
        slot.pass(0)
        slot.opened(0)
        _ = slot.news()
        slot.pass(10 * .second)
        #expect(slot.reports.contains(.unanswered(id: 1)))
        #expect(slot.actions.contains(.drop(side: 0, cause: .request)))
    }

    /// Opens, answers each request, refuses those with `wrong`, until the slot is live. Returns the refusals.
    private func settle(_ slot: inout SlotHarness, wrong: String, id: Bool, isLate: Bool) -> Int {
        var refusals = 0
        for _ in 0..<400 where slot.machine.state != .live {
            slot.pass(250 * .ms)
            if slot.machine.state == .opening { slot.opened(0) }
            let requests = slot.sent(0)
            slot.actions.removeAll { if case .send = $0 { true } else { false } }
            let generation = slot.machine.generation(of: 0)
            for request in requests where slot.machine.generation(of: 0) == generation {
                guard request.streams.contains(where: { $0.name == wrong }) else {
                    slot.machine.acknowledged(0, generation: generation, id: request.id, slot.now)
                    continue
                }
                refusals += 1
                if isLate { slot.ended(0) }
                slot.machine.refused(0, generation: generation, id: id ? request.id : nil, slot.now)
                break
            }
            slot.take()
        }
        return refusals
    }

    @Test(arguments: [true, false], [true, false])
    func aWrongNameIsFoundAndAllOthersGoOn(tellsID: Bool, isLate: Bool) throws {
        var slot = try SlotHarness(streams: 100) { $0.namesPerRequest = 40 }
        let refusals = settle(&slot, wrong: "s63", id: tellsID, isLate: isLate)
        #expect(slot.machine.state == .live)
        #expect(slot.reports.count { $0 == .refusesStream(stream: "s63") } == 1)
        #expect(
            slot.reports.allSatisfy { if case .refusesStream(let name) = $0 { name == "s63" } else { true } }
        )
        #expect(slot.machine.streamCount == 99)
        #expect(refusals <= 8, "\(refusals)")
        // It is not asked for again.
        slot.pass(10 * .second)
        slot.ended(0)
        slot.pass(.second)
        slot.opened(0)
        slot.acceptAll(0)
        #expect(slot.machine.state == .live)
    }

    /// Two requests are open: the one that was lost is not the one that was refused.
    @Test func aRefusalWithoutAnIDBlamesNobodyWhereSeveralAreOpen() throws {
        var slot = try SlotHarness(streams: 2) { $0.namesPerRequest = 1 }
        slot.pass(0)
        slot.opened(0)
        slot.pass(250 * .ms)
        #expect(slot.sent(0).count == 2)
        slot.machine.refused(0, generation: slot.machine.generation(of: 0), id: nil, slot.now)
        slot.take()
        #expect(slot.machine.streamCount == 2)
        // From now on one at a time.
        _ = slot.news()
        slot.pass(.second)
        slot.opened(0)
        slot.pass(5 * .second)
        #expect(slot.sent(0).count == 1)
        slot.machine.acknowledged(0, generation: slot.machine.generation(of: 0), id: 1, slot.now)
        slot.pass(.second)
        #expect(slot.sent(0).count == 2)
    }

    @Test func aChangeAsksForWhatIsNewAndGivesUpWhatIsGone() throws {
        var slot = try SlotHarness(streams: 3)
        slot.goLive()
        slot.pass(.second)
        slot.machine.change(add: [SlotStream(id: 9, name: "new")], remove: [1], slot.now)
        slot.take()
        #expect(slot.sent(0).map(\.method) == [.unsubscribe])
        #expect(slot.sent(0).first?.streams.map(\.name) == ["s1"])
        // A full connection has room only when the answer is there.
        slot.pass(5 * .second)
        #expect(slot.sent(0).count == 1)
        slot.machine.acknowledged(0, generation: slot.machine.generation(of: 0), id: 2, slot.now)
        slot.take()
        #expect(slot.sent(0).last?.method == .subscribe)
        #expect(slot.sent(0).last?.streams.map(\.name) == ["new"])
        #expect(slot.machine.streamCount == 3)
    }

    @Test func whatWasNotAskedForYetIsSimplyLeftOut() throws {
        var slot = try SlotHarness(streams: 4) { $0.namesPerRequest = 1 }
        slot.pass(0)
        slot.opened(0)
        slot.machine.change(add: [], remove: [2, 3], slot.now)
        slot.acceptAll(0)
        #expect(slot.machine.state == .live)
        #expect(
            !slot.actions.contains {
                if case .send(_, let request) = $0 { request.method == .unsubscribe } else { false }
            })
        #expect(slot.machine.streamCount == 2)
    }

    @Test func aChangeReachesBothSidesOfAHandover() throws {
        var slot = try SlotHarness(streams: 2)
        slot.goLive()
        slot.pass(10 * .second)
        slot.machine.serverShutdown(0, generation: slot.machine.generation(of: 0), slot.now)
        slot.take()
        #expect(slot.opens(1))
        slot.opened(1)
        slot.pass(.second / 4)
        _ = slot.news()
        slot.machine.change(add: [SlotStream(id: 9, name: "new")], remove: [], slot.now)
        slot.pass(.second / 2)
        for side in 0..<2 {
            #expect(slot.sent(side).contains { $0.streams.map(\.name) == ["new"] }, "side \(side)")
        }
    }
}
