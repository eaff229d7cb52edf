import Testing

@testable import Wire

/// Watchdogs of connections and streams.
@Suite struct SlotWatchTests {
    /// The list of what is subscribed is asked for, and answered.
    private func answerList(_ slot: inout SlotHarness, _ side: Int, _ names: [String]) throws {
        let request = try #require(slot.sent(side).last { $0.method == .list })
        slot.machine.listed(
            side, generation: slot.machine.generation(of: side), id: request.id, names: names, slot.now)
        slot.take()
    }

    @Test func aSilentConnectionIsAskedAndThenReplaced() throws {
        var slot = try SlotHarness()
        slot.goLive()
        slot.pass(39 * .second, isAlive: false)
        #expect(!slot.reports.contains(.probed))
        slot.pass(2 * .second, isAlive: false)
        #expect(slot.reports.contains(.probed))
        #expect(slot.sent(0).last?.method == .list)
        slot.pass(6 * .second, isAlive: false)
        #expect(slot.actions.contains(.drop(side: 0, cause: .silence)))
        #expect(slot.opens(0) || slot.opens(1))
    }

    @Test func whereNothingCanBeAskedSilenceAloneCounts() throws {
        var slot = try SlotHarness(canList: false)
        slot.goLive()
        slot.pass(74 * .second, isAlive: false)
        #expect(slot.actions.isEmpty)
        slot.pass(2 * .second, isAlive: false)
        #expect(slot.actions.contains(.drop(side: 0, cause: .silence)))
    }

    /// Live, and one payload a second on all streams for a minute.
    private func busy(_ change: (inout ConnectionLimits) -> Void = { _ in }) throws -> SlotHarness {
        var slot = try SlotHarness(streams: 2, hosts: 2, change: change)
        slot.goLive()
        for _ in 0..<60 {
            slot.pass(.second)
            slot.bring(0, 0)
            slot.bring(1, 0)
        }
        #expect(slot.news().isEmpty)
        return slot
    }

    /// Only stream 0 goes on.
    private func passWithOneStream(_ slot: inout SlotHarness, seconds: Int, _ side: Int = 0) {
        for _ in 0..<seconds {
            slot.pass(.second)
            slot.bring(0, side)
        }
    }

    @Test func aStreamThatFallsSilentIsProbedAskedForAgainMovedAndAtLastTakenForQuiet() throws {
        var slot = try busy()
        passWithOneStream(&slot, seconds: 29)
        #expect(slot.reports.isEmpty, "30 mean intervals are no chance, fewer may be")
        passWithOneStream(&slot, seconds: 3)
        #expect(slot.reports.contains { if case .suspect("s1", _) = $0 { true } else { false } })
        try answerList(&slot, 0, ["s0", "s1"])
        #expect(slot.reports.contains(.resubscribed(stream: "s1", wasListed: true)))
        slot.pass(250 * .ms)
        #expect(slot.sent(0).last?.method == .repeated)
        #expect(!slot.sent(0).contains { $0.method == .unsubscribe }, "it may only be quiet")
        slot.acceptAll(0)
        slot.actions = []
        passWithOneStream(&slot, seconds: 28)
        #expect(!slot.opens(1))
        passWithOneStream(&slot, seconds: 3)
        #expect(slot.reports.contains(.handoverBegan(.move)))
        #expect(slot.dialled == 1, "to another place")
        slot.opened(1)
        slot.acceptAll(1)
        slot.bring(0, 1)
        slot.pass(4 * .second)
        #expect(slot.actions.contains(.close(side: 0)))
        slot.ended(0, .stopped)
        slot.actions = []
        passWithOneStream(&slot, seconds: 40, 1)
        #expect(slot.reports == [.quiet(stream: "s1")])
        // It gets more patience, and the slot is not turned over and over for it.
        slot.actions = []
        for _ in 0..<600 {
            passWithOneStream(&slot, seconds: 1, 1)
            let requests = slot.sent(1)
            slot.actions.removeAll { if case .send = $0 { true } else { false } }
            for request in requests {
                let generation = slot.machine.generation(of: 1)
                if request.method == .list {
                    slot.machine.listed(
                        1, generation: generation, id: request.id, names: ["s0", "s1"], slot.now)
                } else {
                    slot.machine.acknowledged(1, generation: generation, id: request.id, slot.now)
                }
            }
            slot.take()
        }
        #expect(!slot.opens(0))
    }

    @Test func aSubscriptionThatTheExchangeLostIsAskedForAgainWithoutGivingItUpFirst() throws {
        var slot = try busy()
        passWithOneStream(&slot, seconds: 32)
        try answerList(&slot, 0, ["s0"])
        #expect(slot.reports.contains(.resubscribed(stream: "s1", wasListed: false)))
        slot.pass(250 * .ms)
        #expect(slot.sent(0).last?.method == .subscribe)
        #expect(!slot.sent(0).contains { $0.method == .unsubscribe })
        slot.acceptAll(0)
        slot.bring(1, 0)
        passWithOneStream(&slot, seconds: 31)
        #expect(slot.reports.contains(.revived(stream: "s1")))
        #expect(!slot.opens(1))
    }

    @Test func aSuspectIsLookedAtAgainWhereItsProbeWasLostWithTheConnection() throws {
        var slot = try busy()
        passWithOneStream(&slot, seconds: 32)
        #expect(slot.sent(0).last?.method == .list)
        slot.ended(0)
        _ = slot.news()
        slot.pass(.second)
        slot.opened(0)
        slot.acceptAll(0)
        _ = slot.news()
        passWithOneStream(&slot, seconds: 700)
        #expect(slot.reports.contains { if case .suspect("s1", _) = $0 { true } else { false } })
    }

    @Test func aPeriodicStreamIsKnownByItsPeriod() throws {
        var slot = try SlotHarness(streams: 0)
        slot.machine.change(add: [SlotStream(id: 0, name: "bar", period: 4 * .second)], remove: [], slot.now)
        slot.goLive()
        slot.pass(19 * .second)
        #expect(slot.reports.isEmpty)
        slot.pass(2 * .second)
        #expect(slot.reports.contains { if case .suspect("bar", _) = $0 { true } else { false } })
    }

    @Test func aStreamOfWhichNothingIsKnownGetsTenMinutes() throws {
        var slot = try SlotHarness(streams: 1)
        slot.goLive()
        slot.pass(599 * .second)
        #expect(slot.reports.isEmpty)
        slot.pass(2 * .second)
        #expect(slot.reports.contains { if case .suspect("s0", _) = $0 { true } else { false } })
    }

    @Test func theOtherLegTellsSooner() throws {
        var slot = try SlotHarness(streams: 1, legs: 2)
        slot.goLive()
        slot.pass(10 * .second)
        slot.bring(0, 0)
        // The same payload on the other leg, a little later: nothing is wrong.
        slot.pass(100 * .ms)
        slot.activity.record(stream: 0, member: 2, generation: 1, now: slot.now)
        slot.pass(60 * .second)
        #expect(slot.reports.isEmpty)
        slot.activity.record(stream: 0, member: 2, generation: 1, now: slot.now)
        slot.pass(5 * .second)
        #expect(slot.reports.contains { if case .suspect("s0", _) = $0 { true } else { false } })
    }

    @Test func theOtherLegTellsOfABusyStreamWhoseBytesTrickle() throws {
        var slot = try SlotHarness(streams: 1, legs: 2)
        slot.goLive()
        // An outage of a minute once: the stream's own figures would allow three now.
        slot.bring(0, 0)
        slot.pass(60 * .second)
        slot.bring(0, 0)
        for second in 1...20 {
            slot.pass(.second)
            slot.activity.record(stream: 0, member: 2, generation: 1, now: slot.now)
            // A frame in eight seconds, as one of 160 bytes at 20 bytes a second.
            if second % 8 == 0 { slot.bring(0, 0) }
            if second == 7 {
                #expect(slot.reports.contains { if case .suspect("s0", _) = $0 { true } else { false } })
            }
        }
    }

    @Test func whereTheExchangeMayTakeNoMoreAStreamIsMovedAtOnce() throws {
        var slot = try busy { ($0.streamsPerConnection, $0.streamsHeld) = (10, 10) }
        passWithOneStream(&slot, seconds: 32)
        try answerList(&slot, 0, ["s0", "s1"])
        slot.pass(250 * .ms)
        #expect(!slot.sent(0).contains { $0.method == .repeated })
        #expect(slot.reports.contains(.handoverBegan(.move)))
    }

    @Test func withTwoLegsAStreamIsMovedWithinItsHostBeforeItGoesToTheOtherLegs() throws {
        var slot = try SlotHarness(streams: 2, legs: 2, hosts: 2) {
            ($0.streamsPerConnection, $0.streamsHeld) = (10, 10)
        }
        slot.goLive()
        var places: [Int] = []
        var side = 0
        for _ in 0..<2 {
            for _ in 0..<60 {
                slot.pass(.second)
                slot.bring(0, side)
                slot.bring(1, side)
            }
            passWithOneStream(&slot, seconds: 32, side)
            try answerList(&slot, side, ["s0", "s1"])
            slot.pass(250 * .ms)
            places.append(try #require(slot.dialled))
            slot.opened(1 - side)
            slot.acceptAll(1 - side)
            slot.bring(0, 1 - side)
            slot.bring(1, 1 - side)
            slot.pass(2 * .second)
            slot.ended(side, .stopped)
            side = 1 - side
            slot.actions = []
            // A slot is not moved more often than that.
            for _ in 0..<600 {
                slot.pass(.second)
                slot.bring(0, side)
                slot.bring(1, side)
            }
        }
        #expect(places == [0, 1])
    }

    @Test func aRefusedRepeatGivesNothingUpAndIsNotTriedAgain() throws {
        var slot = try busy()
        passWithOneStream(&slot, seconds: 32)
        try answerList(&slot, 0, ["s0", "s1"])
        slot.pass(250 * .ms)
        let request = try #require(slot.sent(0).last)
        #expect(request.method == .repeated)
        _ = slot.news()
        slot.machine.refused(0, generation: slot.machine.generation(of: 0), id: request.id, slot.now)
        slot.take()
        #expect(slot.reports.contains(.refusesRepeats))
        #expect(!slot.reports.contains(.refusesStream(stream: "s1")))
        #expect(!slot.actions.contains { if case .drop = $0 { true } else { false } })
        #expect(slot.reports.contains(.handoverBegan(.move)))
        #expect(!slot.machine.takesRepeats)
    }

    @Test func patienceIsHalvedDayByDay() throws {
        var slot = try busy()
        passWithOneStream(&slot, seconds: 32)
        // Neither asking again nor moving is a choice.
        slot.machine.takesRepeats = false
        slot.machine.streams[1].moveNotBefore = .max
        try answerList(&slot, 0, ["s0", "s1"])
        #expect(slot.reports.contains(.quiet(stream: "s1")))
        #expect(slot.machine.streams[1].patience == 2)
        for _ in 0..<25 * 180 {
            slot.pass(20 * .second)
            for stream in UInt32(0)...1 { slot.bring(stream, 0) }
        }
        #expect(slot.machine.streams[1].patience == 1)
    }
}
