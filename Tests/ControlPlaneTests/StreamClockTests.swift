import Testing
import Wire

@testable import ControlPlane

@Suite struct StreamClockTests {
    private let second: Int64 = 1_000_000_000

    private func deadline(_ clock: StreamClock, id: UInt32, period: Int64? = nil) -> Int64? {
        clock.reading().deadline(
            lane: 0, slot: 0, stream: SlotStream(id: id, name: "s", period: period),
            limits: ConnectionLimits())
    }

    @Test func deadlinesCountFromTheLiveConnectionOrTheSubscription() throws {
        let plan = try Planner.plan([try PlannerTests.market(["A"], kinds: [.trade])], lanes: 1)
        let clock = StreamClock(plan: plan)
        #expect(deadline(clock, id: 0) == nil)
        clock.look(lane: 0, slots: 1, now: 5 * second) { _ in true }
        clock.look(lane: 0, slots: 1, now: 9 * second) { _ in true }
        // Nothing is known of a trade stream: ten minutes. A clockwork has five periods, and ten seconds at least.
        #expect(deadline(clock, id: 0) == 605 * second)
        #expect(deadline(clock, id: 0, period: second) == 15 * second)
        #expect(deadline(clock, id: 0, period: 3 * second) == 20 * second)
        clock.note(
            .init(lane: 0, slot: 0, add: [SlotStream(id: 7, name: "later")], remove: []), now: 100 * second)
        #expect(deadline(clock, id: 7) == 700 * second)
        // A new connection begins anew, for all.
        clock.look(lane: 0, slots: 2, now: 200 * second) { _ in false }
        #expect(deadline(clock, id: 0) == nil)
        clock.look(lane: 0, slots: 2, now: 201 * second) { _ in true }
        #expect(deadline(clock, id: 7) == 801 * second)
    }

    @Test func openFilesAreCounted() throws {
        #expect(try OpenFiles.verdict(sockets: 10, limit: 1_024) == nil)
        #expect(try OpenFiles.verdict(sockets: 500, limit: 1_024)?.contains("to 1100") == true)
        #expect(throws: OpenFilesError.self) { try OpenFiles.verdict(sockets: 1_000, limit: 1_024) }
        #expect(try OpenFiles.provide(sockets: 1) == nil)
    }
}
