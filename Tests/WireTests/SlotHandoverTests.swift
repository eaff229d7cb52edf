import MarketData
import Testing

@testable import Wire

/// Replacing connections that still work.
@Suite struct SlotHandoverTests {
    /// Live, with a successor that is open and has everything accepted.
    private func handingOver(streams: Int = 3, permits: HandoverPermits = HandoverPermits()) throws
        -> SlotHarness
    {
        var slot = try SlotHarness(streams: streams, permits: permits) { $0.streamSilenceNanos = 100 * .hour }
        slot.goLive()
        slot.pass(60 * .second)
        slot.machine.serverShutdown(0, generation: slot.machine.generation(of: 0), slot.now)
        slot.take()
        #expect(slot.opens(1))
        slot.opened(1)
        slot.acceptAll(1)
        return slot
    }

    private func isClosed(_ slot: SlotHarness, _ side: Int) -> Bool {
        slot.actions.contains(.close(side: side))
    }

    @Test func theOldOneGoesWhenTheNewOneDelivers() throws {
        var slot = try handingOver()
        for stream in 0..<3 as Range<UInt32> { slot.bring(stream, 0) }
        slot.pass(5 * .second)
        #expect(!isClosed(slot, 0), "the new one has brought nothing that the old one brings")
        slot.bring(0, 1)
        slot.bring(1, 1)
        slot.pass(5 * .second)
        #expect(!isClosed(slot, 0), "one stream is missing")
        slot.bring(2, 1)
        slot.pass(.second)
        #expect(isClosed(slot, 0))
        #expect(!slot.machine.isHandingOver)
        #expect(slot.machine.state == .live)
        slot.ended(0, .stopped)
        #expect(slot.machine.socketCount == 1)
    }

    @Test func streamsThatAreQuietOnBothDoNotHoldItUp() throws {
        var slot = try handingOver()
        slot.pass(2 * .second)
        #expect(isClosed(slot, 0))
    }

    @Test func aSuccessorThatDoesNotDeliverIsGivenUpAndTheOldOneGoesOn() throws {
        var slot = try SlotHarness {
            $0.rolloverAfterNanos = 2 * .hour
            $0.streamSilenceNanos = 100 * .hour
        }
        slot.goLive()
        slot.pass(2 * .hour)
        #expect(slot.opens(1))
        slot.opened(1)
        for _ in 0..<100 {
            slot.acceptAll(1)
            slot.bring(0, 0)
            slot.pass(.second)
        }
        #expect(slot.reports.contains(.handoverFailed(.rollover)))
        #expect(slot.actions.contains(.drop(side: 1, cause: .request)))
        #expect(!isClosed(slot, 0))
        #expect(slot.machine.state == .live)
        // An announced end does not wait until the rollover's next turn.
        _ = slot.news()
        slot.machine.serverShutdown(0, generation: slot.machine.generation(of: 0), slot.now)
        slot.take()
        #expect(slot.opens(1))
    }

    @Test func theSuccessorCarriesOnWhereTheOldOneEndsEarly() throws {
        var slot = try handingOver()
        slot.bring(0, 0)
        slot.ended(0)
        #expect(slot.reports.contains(.promoted))
        #expect(slot.machine.state == .live)
        #expect(slot.machine.socketCount == 1)
        #expect(!slot.opens(0))
    }

    @Test func aSuccessorWhoseEndIsAnnouncedTooTakesOverAndIsReplacedThen() throws {
        var slot = try handingOver()
        slot.machine.serverShutdown(1, generation: slot.machine.generation(of: 1), slot.now)
        slot.take()
        #expect(!slot.actions.contains { if case .drop = $0 { true } else { false } })
        for stream in 0..<3 as Range<UInt32> { slot.bring(stream, 1) }
        slot.pass(.second)
        #expect(isClosed(slot, 0))
        slot.ended(0, .stopped)
        slot.actions = []
        slot.pass(.second)
        #expect(slot.opens(0))
        #expect(!isClosed(slot, 1))
        slot.opened(0)
        slot.acceptAll(0)
        for stream in 0..<3 as Range<UInt32> { slot.bring(stream, 0) }
        slot.pass(.second)
        #expect(isClosed(slot, 1))
        slot.ended(1, .stopped)
        slot.actions = []
        slot.pass(60 * .second)
        #expect(!slot.opens(1), "what was announced of others does not concern this one")
    }

    @Test func anAnnouncedEndKeepsTheSuccessorPastItsDeadline() throws {
        var slot = try handingOver()
        for _ in 0..<600 {
            slot.bring(0, 0)
            slot.pass(.second)
        }
        #expect(slot.machine.socketCount == 2)
        slot.ended(0)
        #expect(slot.reports.contains(.promoted))
    }

    @Test func legsNeverHandOverTogether() throws {
        let permits = HandoverPermits()
        var legs = try (0..<2).map { leg in
            try SlotHarness(legs: 2, leg: leg, seed: 7, permits: permits) {
                $0.rolloverAfterNanos = 2 * .hour
                $0.streamSilenceNanos = 100 * .hour
            }
        }
        for leg in 0..<2 { legs[leg].goLive() }
        for _ in 0..<130 {
            for leg in 0..<2 { legs[leg].pass(60 * .second) }
            #expect(!(legs[0].machine.isHandingOver && legs[1].machine.isHandingOver))
            guard let one = legs.indices.first(where: { legs[$0].machine.isHandingOver }) else { continue }
            let side = legs[one].machine.links[0].phase == .opening ? 0 : 1
            legs[one].opened(side)
            legs[one].acceptAll(side)
            legs[one].pass(3 * .second)
            legs[one].ended(1 - side, .stopped)
        }
        for leg in legs { #expect(leg.reports.contains { if case .handedOver = $0 { true } else { false } }) }
    }

    @Test func rolloverComesInItsWindowOfTheUTCDay() {
        var limits = ConnectionLimits()
        limits.rolloverWindow = DayWindow(begin: 23 * 3_600, end: 3_600)
        let day = 24 * Int64.hour
        var random = SplitMix64(seed: 5)
        var times: Set<Int64> = []
        // The nights in which Europe and America change their clocks are nights like all others.
        for date in [1_774_828_800, 1_793_491_200, 1_772_928_000, 1_793_577_600] as [Int64] {
            for hour in 0..<24 as Range<Int64> {
                let wall = date * .second + hour * .hour
                let opened = 5_000 * Int64.second
                let time = RolloverClock(limits: limits).retireTime(
                    openedAt: opened, wallOffset: wall - opened, random: &random)
                let ofDay = (time + wall - opened) % day
                // As late as it can be but for the end of a minute; a connection whose day ends before its second hour waits for no window.
                #expect(time <= opened + limits.rolloverAfterNanos + 45 * .second)
                #expect(time >= opened + .hour)
                if hour < 21, hour > 1 { #expect(ofDay >= 23 * .hour || ofDay < .hour, "\(hour)") }
                let second = ofDay / .second % 60
                #expect(second >= 15 && second < 45, "not at the end of a minute")
                times.insert(time)
            }
        }
        #expect(times.count > 80)
    }

    @Test func rolloverWithoutAWindowIsJittered() {
        let limits = ConnectionLimits()
        var random = SplitMix64(seed: 5)
        let times = (0..<200).map { _ in
            RolloverClock(limits: limits).retireTime(openedAt: 0, wallOffset: 0, random: &random)
        }
        #expect(times.allSatisfy { $0 <= limits.rolloverAfterNanos + 45 * .second })
        #expect(
            times.allSatisfy { $0 >= limits.rolloverAfterNanos - limits.rolloverJitterNanos - 60 * .second })
        #expect((times.max() ?? 0) - (times.min() ?? 0) > limits.rolloverJitterNanos * 8 / 10)
    }
}
