import MarketData
import Testing

@testable import Wire

/// A leg that had to fall back on the other leg's host does not stay there: the failure of that host would take both.
@Suite struct LegHostTests {
    private let second: Int64 = 1_000_000_000

    /// A slot whose first host cannot be reached, and the moment at which it is open at the second one.
    private func fallenBack(legs: Int) throws -> (slot: SlotMachine, now: Int64) {
        let hosts = [try Endpoint("ws://a.test"), try Endpoint("ws://b.test")]
        var plan = ConnectionPlan(
            slot: 0, leg: 0, market: 0, endpoint: hosts[0], endpoints: hosts, target: "/stream")
        plan.legs = legs
        var slot = SlotMachine(
            plan: plan, activity: StreamActivity(capacity: 1),
            budget: AttemptBudget(perWindow: 300, windowNanos: 300 * second),
            permits: HandoverPermits(), random: SplitMix64(seed: 7))
        // With two legs the other one delivers meanwhile, and this one tries its own host for longer.
        let ownAttempts = legs == 2 ? 4 : 1
        var now: Int64 = 0
        for attempt in 0...ownAttempts {
            slot.tick(now)
            let next = try #require(opening(slot))
            #expect(next.endpoint == (attempt < ownAttempts ? 0 : 1))
            slot.actions = []
            now += second
            guard attempt < ownAttempts else {
                slot.opened(next.side, generation: next.generation, now)
                break
            }
            slot.ended(next.side, generation: next.generation, .connect, now)
            now += second
        }
        return (slot, now)
    }

    private func opening(_ slot: SlotMachine) -> (side: Int, generation: UInt32, endpoint: Int)? {
        for case .open(let side, let generation, let endpoint) in slot.actions {
            return (side, generation, endpoint)
        }
        return nil
    }

    /// When the next connection is opened while this one is heard of all the time, within a quarter of an hour, ns.
    private func nextOpening(_ slot: inout SlotMachine, after start: Int64) -> (time: Int64, endpoint: Int)? {
        var now = start
        while now < start + 900 * second {
            now += second
            for side in 0..<2 { slot.heard(side, at: now) }
            slot.tick(now)
            if let found = opening(slot) { return (now - start, found.endpoint) }
            slot.actions = []
        }
        return nil
    }

    @Test func aLegReturnsToItsHost() throws {
        var (slot, now) = try fallenBack(legs: 2)
        let next = try #require(nextOpening(&slot, after: now))
        #expect(next.endpoint == 0)
        #expect((300 * second...601 * second).contains(next.time))
    }

    @Test func aSingleLegStaysWhereItWorks() throws {
        var (slot, now) = try fallenBack(legs: 1)
        #expect(nextOpening(&slot, after: now) == nil)
    }
}
