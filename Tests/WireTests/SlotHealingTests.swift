import Testing

@testable import Wire

/// What a slot does about streams, answers and requests that fail on a connection which otherwise works: it is not given
/// up before another one delivers, and nothing stays dead.
@Suite struct SlotHealingTests {
    private func answerList(_ slot: inout SlotHarness, _ side: Int, _ names: [String]) throws {
        let request = try #require(slot.sent(side).last { $0.method == .list })
        slot.machine.listed(
            side, generation: slot.machine.generation(of: side), id: request.id, names: names, slot.now)
        slot.take()
    }

    /// Live, and for a minute a payload a second on each stream.
    private func busy(streams: Int = 3, _ change: (inout ConnectionLimits) -> Void = { _ in }) throws
        -> SlotHarness
    {
        var slot = try SlotHarness(streams: streams, change: change)
        slot.goLive()
        pass(&slot, 60, 0, Array(0..<UInt32(streams)))
        #expect(slot.news().isEmpty)
        return slot
    }

    /// Seconds in which these streams alone bring data. Requests are accepted, lists show everything.
    private func pass(_ slot: inout SlotHarness, _ seconds: Int, _ side: Int, _ streams: [UInt32]) {
        for _ in 0..<seconds {
            slot.pass(.second)
            for stream in streams { slot.bring(stream, side) }
        }
    }

    private func drops(_ slot: SlotHarness) -> Bool {
        slot.actions.contains { if case .drop = $0 { true } else { false } }
    }

    /// Until a successor is dialled: answers lists and repeats, brings the streams that live. The seconds it took.
    private func secondsToMove(_ slot: inout SlotHarness, _ side: Int, alive: [UInt32], limit: Int) -> Int? {
        for second in 0..<limit {
            pass(&slot, 1, side, alive)
            if slot.opens(1 - side) { return second }
            for request in slot.sent(side) {
                if request.method == .list {
                    slot.machine.listed(
                        side, generation: slot.machine.generation(of: side), id: request.id,
                        names: ["s0", "s1", "s2"], slot.now)
                } else {
                    slot.machine.acknowledged(
                        side, generation: slot.machine.generation(of: side), id: request.id, slot.now)
                }
            }
            slot.actions.removeAll { if case .send = $0 { true } else { false } }
            slot.take()
        }
        return nil
    }

    private func handOver(_ slot: inout SlotHarness, to side: Int, alive: [UInt32]) {
        slot.opened(side)
        slot.acceptAll(side)
        for stream in alive { slot.bring(stream, side) }
        pass(&slot, 30, side, alive)
        slot.ended(1 - side, .stopped)
        slot.actions = []
    }

    @Test func aStreamThatDiesSoonAfterAnotherOnesMoveIsMovedToo() throws {
        var slot = try busy()
        #expect(secondsToMove(&slot, 0, alive: [0, 2], limit: 90) != nil)
        handOver(&slot, to: 1, alive: [0, 1, 2])
        pass(&slot, 30, 1, [0, 1, 2])
        // Stream 2 now. A slot is moved every ten minutes at most, and then it is.
        let seconds = try #require(secondsToMove(&slot, 1, alive: [0, 1], limit: 700))
        #expect(seconds > 60)
        #expect(!slot.reports.contains(.quiet(stream: "s2")))
    }

    @Test func aStreamThatMovingDoesNotHelpIsMovedEverMoreRarely() throws {
        var slot = try busy()
        var side = 0
        var pauses: [Int] = []
        for _ in 0..<3 {
            pauses.append(try #require(secondsToMove(&slot, side, alive: [0, 2], limit: 20_000)))
            side = 1 - side
            handOver(&slot, to: side, alive: [0, 2])
        }
        #expect(pauses[1] > 300)
        #expect(pauses[2] > pauses[1], "\(pauses)")
    }

    @Test func aKnownStreamThatIsAcknowledgedInVainIsMissedSoonOnANewConnection() throws {
        var slot = try busy()
        slot.ended(0)
        slot.pass(.second)
        slot.opened(0)
        slot.acceptAll(0)
        slot.actions = []
        // Once a second before: thirty of these are no chance.
        pass(&slot, 29, 0, [0, 1])
        #expect(slot.reports.isEmpty)
        pass(&slot, 3, 0, [0, 1])
        #expect(slot.reports.contains { if case .suspect("s2", _) = $0 { true } else { false } })
    }

    @Test func aHandoverWaitsForStreamsThatAreOnlySlow() throws {
        var slot = try SlotHarness(streams: 2) { $0.rolloverAfterNanos = .hour }
        slot.goLive()
        for _ in 0..<2_000 where !slot.opens(1) {
            slot.pass(2 * .second)
            slot.bring(0, 0)
            slot.bring(1, 0)
        }
        slot.opened(1)
        slot.acceptAll(1)
        slot.bring(0, 1)
        slot.pass(5 * .second)
        #expect(!slot.actions.contains(.close(side: 0)), "stream 1 comes every two seconds")
        slot.pass(3 * .second)
        #expect(slot.actions.contains(.close(side: 0)), "quiet on both for more than three times that")
    }

    @Test func aListThatIsNotAnsweredEndsNoConnectionThatBringsData() throws {
        var slot = try busy()
        pass(&slot, 32, 0, [0, 1])
        #expect(slot.sent(0).last?.method == .list)
        slot.actions = []
        pass(&slot, 6, 0, [0, 1])
        #expect(!drops(slot))
        #expect(slot.sent(0).last?.method == .repeated, "it is asked for again all the same")
        // Nor is that answered: another connection is made first.
        pass(&slot, 11, 0, [0, 1])
        #expect(!drops(slot))
        #expect(slot.reports.contains(.handoverBegan(.move)))
        #expect(!slot.reports.contains { if case .silent = $0 { true } else { false } })
    }

    @Test func whereNothingComesAsItDidAListThatIsNotAnsweredEndsTheConnection() throws {
        var slot = try busy()
        // Bytes trickle, and no frame is ever whole.
        slot.pass(40 * .second)
        #expect(drops(slot))
    }

    @Test func aChangeThatIsRefusedLeavesAllOthersAlone() throws {
        var slot = try busy(streams: 3)
        slot.machine.change(
            add: [SlotStream(id: 7, name: "good"), SlotStream(id: 8, name: "bad")], remove: [], slot.now)
        slot.take()
        for _ in 0..<40 {
            pass(&slot, 1, 0, [0, 1, 2])
            let requests = slot.sent(0)
            slot.actions.removeAll { if case .send = $0 { true } else { false } }
            for request in requests {
                if request.streams.contains(where: { $0.name == "bad" }) {
                    slot.machine.refused(
                        0, generation: slot.machine.generation(of: 0), id: request.id, slot.now)
                } else {
                    slot.machine.acknowledged(
                        0, generation: slot.machine.generation(of: 0), id: request.id, slot.now)
                }
                slot.take()
            }
        }
        #expect(!drops(slot))
        #expect(!slot.opens(1))
        #expect(slot.reports.contains(.refusesStream(stream: "bad")))
        #expect(slot.machine.streamCount == 4)
        // It may have been the exchange's fault: it is asked for again by itself, and taken.
        slot.actions = []
        pass(&slot, 570, 0, [0, 1, 2])
        #expect(slot.sent(0).isEmpty || slot.machine.streamCount == 5)
        pass(&slot, 60, 0, [0, 1, 2])
        #expect(slot.sent(0).contains { $0.method == .subscribe && $0.streams.map(\.name) == ["bad"] })
        slot.acceptAll(0)
        #expect(slot.machine.streamCount == 5)
    }

    @Test func whereARefusalEndsConnectionsTheNameIsNotTriedAgain() throws {
        var slot = try busy()
        slot.machine.change(add: [SlotStream(id: 8, name: "bad")], remove: [], slot.now)
        slot.take()
        slot.pass(.second)
        let request = try #require(slot.sent(0).last)
        let generation = slot.machine.generation(of: 0)
        slot.ended(0)
        slot.machine.refused(0, generation: generation, id: request.id, slot.now)
        slot.take()
        slot.actions = []
        slot.pass(.second)
        slot.opened(0)
        slot.acceptAll(0)
        slot.actions = []
        pass(&slot, 4_000, 0, [0, 1, 2])
        #expect(!slot.sent(0).contains { $0.streams.contains { $0.name == "bad" } })
    }

    @Test func norWhereTheEndFollowsTheRefusal() throws {
        var slot = try busy()
        slot.machine.change(add: [SlotStream(id: 8, name: "bad")], remove: [], slot.now)
        slot.take()
        slot.pass(.second)
        let request = try #require(slot.sent(0).last)
        slot.machine.refused(0, generation: slot.machine.generation(of: 0), id: request.id, slot.now)
        slot.pass(.second)
        slot.ended(0)
        slot.pass(.second)
        slot.opened(0)
        slot.acceptAll(0)
        slot.actions = []
        pass(&slot, 4_000, 0, [0, 1, 2])
        #expect(!slot.sent(0).contains { $0.streams.contains { $0.name == "bad" } })
        #expect(slot.machine.state == .live)
    }

    @Test func whatOurOwnSideDoesNotReadIsNoSilence() throws {
        var slot = try busy()
        slot.machine.change(add: [SlotStream(id: 7, name: "new")], remove: [], slot.now)
        slot.take()
        // The parser stands still for ten minutes: nothing that comes is seen, nor are answers.
        for _ in 0..<600 {
            slot.pass(.second, isAlive: false)
            slot.machine.heldUp(slot.now)
        }
        #expect(!drops(slot))
        #expect(!slot.reports.contains { if case .suspect = $0 { true } else { false } })
        #expect(slot.machine.state == .live)
        // What is missing once it reads again is missing.
        slot.pass(11 * .second)
        #expect(slot.reports.contains { if case .unanswered = $0 { true } else { false } })
    }

    @Test func aSlowNetworkDoesNotLetRequestsPileUp() throws {
        var slot = try SlotHarness(streams: 10) { $0.namesPerRequest = 1 }
        slot.pass(0)
        slot.opened(0)
        slot.pass(5 * .second)
        #expect(slot.sent(0).count == 4)
        slot.machine.acknowledged(0, generation: slot.machine.generation(of: 0), id: 1, slot.now)
        slot.take()
        slot.pass(.second)
        #expect(slot.sent(0).count == 5)
    }

    @Test func nearItsEndAConnectionKeepsASubscribedSuccessor() throws {
        var slot = try SlotHarness {
            $0.rolloverAfterNanos = 23 * .hour
            $0.streamSilenceNanos = 100 * .hour
        }
        slot.goLive()
        // Only the old connection serves stream 2. No replacement comes to deliver, and the exchange ends it at 24 hours.
        let end = slot.now + 24 * .hour
        while slot.now < end {
            slot.pass(10 * .second)
            for side in 0..<2 where slot.opens(side) {
                slot.actions = []
                slot.opened(side)
            }
            for stream in 0..<3 as Range<UInt32> { slot.bring(stream, 0) }
            for side in 0..<2 { slot.acceptAll(side) }
            slot.bring(0, 1)
            slot.bring(1, 1)
        }
        slot.actions = []
        slot.ended(0)
        #expect(slot.reports.contains(.promoted))
        #expect(slot.machine.state == .live)
    }
}

/// How far the parser is behind.
@Suite struct ConsumerLagTests {
    @Test func aConsumerThatKeepsUpIsNeverFarBehind() {
        var lag = ConsumerLag(now: 0)
        for second in 1...100 as ClosedRange<Int64> {
            // Never empty, never more than what a second brings.
            let position = UInt64(second) * 1_000
            #expect(
                lag.look(position: position, consumed: position - 900, now: second * .second) <= 2 * .second)
        }
    }

    @Test func oneThatStandsStillIsTold() {
        var lag = ConsumerLag(now: 0)
        _ = lag.look(position: 1_000, consumed: 1_000, now: .second)
        for second in 2...60 as ClosedRange<Int64> {
            let found = lag.look(position: 1_000 + UInt64(second), consumed: 1_000, now: second * .second)
            #expect(found >= (second - 2) * .second)
        }
        #expect(lag.look(position: 1_060, consumed: 1_060, now: 61 * .second) == 0)
    }

    @Test func silenceIsNoLag() {
        var lag = ConsumerLag(now: 0)
        for second in 1...60 as ClosedRange<Int64> {
            #expect(lag.look(position: 500, consumed: 500, now: second * .second) == 0)
        }
    }
}
