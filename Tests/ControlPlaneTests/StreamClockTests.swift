import Testing

@testable import ControlPlane
@testable import Wire

@Suite struct StreamClockTests {
    private let second: Int64 = 1_000_000_000

    private func deadline(_ clock: StreamClock, id: UInt32, live: Int64, period: Int64? = nil) -> Int64 {
        clock.reading().deadline(
            lane: 0, liveSince: live, stream: SlotStream(id: id, name: "s", period: period),
            limits: ConnectionLimits())
    }

    @Test func deadlinesCountFromTheLiveConnectionOrTheSubscription() throws {
        let plan = try Planner.plan([try PlannerTests.market(["A"], kinds: [.trade])], lanes: 1)
        let clock = StreamClock(plan: plan)
        // Nothing is known of a trade stream: ten minutes. A clockwork has five periods, and ten seconds at least.
        #expect(deadline(clock, id: 0, live: 5 * second) == 605 * second)
        #expect(deadline(clock, id: 0, live: 5 * second, period: second) == 15 * second)
        #expect(deadline(clock, id: 0, live: 5 * second, period: 3 * second) == 20 * second)
        clock.note(
            .init(lane: 0, slot: 0, add: [SlotStream(id: 7, name: "later")], remove: []), now: 100 * second)
        #expect(deadline(clock, id: 7, live: 5 * second) == 700 * second)
        // A new connection begins anew, for all.
        #expect(deadline(clock, id: 7, live: 201 * second) == 801 * second)
        #expect(
            clock.reading().asked(lane: 0, id: 7) == 100 * second
                && clock.reading().asked(lane: 0, id: 0) == 0)
    }

    private func leg(
        open: [UInt32?], generations: [UInt32], last: [Int64], counts: [Int64] = [5, 7],
        deadline: Int64? = 600,
        asked: Int64 = 0
    ) -> LegView {
        LegView(
            sides: (0..<2).map { side in
                LegView.Side(
                    open: open[side],
                    cell: .init(
                        generation: generations[side], first: last[side], last: last[side],
                        count: counts[side]))
            }, deadline: deadline, asked: asked)
    }

    /// What an earlier connection brought says nothing of the one that is open.
    @Test func aStreamDeliversOnTheConnectionThatIsOpen() {
        let delivers = leg(open: [1, nil], generations: [1, 0], last: [100, 0], counts: [5, 0])
        #expect(LegView.state(of: [delivers], now: 10_000) == .delivering)
        #expect(delivers.messages == 5 && delivers.last == 100)
        // Made anew on the same side, then on the other.
        for open in [[2, nil], [nil, 2]] as [[UInt32?]] {
            let anew = leg(open: open, generations: [1, 0], last: [100, 0], counts: [5, 0])
            #expect(LegView.state(of: [anew], now: 599) == .waiting)
            #expect(LegView.state(of: [anew], now: 600) == .silent)
            #expect(anew.messages == 0 && anew.last == 100)
        }
        let down = leg(open: [nil, nil], generations: [1, 0], last: [100, 0], deadline: nil)
        #expect(LegView.state(of: [down], now: 599) == .connecting)
        // Handing over: either brings it.
        let both = leg(open: [1, 2], generations: [1, 2], last: [100, 101])
        #expect(LegView.state(of: [both], now: 600) == .delivering && both.messages == 7)
        // Given up and asked for again on one connection.
        let again = leg(open: [1, nil], generations: [1, 0], last: [100, 0], asked: 101)
        #expect(LegView.state(of: [again], now: 599) == .waiting)
    }

    @Test func oneLegIsEnough() {
        let silent = leg(open: [2, nil], generations: [1, 0], last: [100, 0])
        let delivers = leg(open: [nil, 1], generations: [0, 1], last: [0, 200], deadline: 900)
        #expect(LegView.state(of: [silent, delivers], now: 1_000) == .delivering)
        #expect(LegView.state(of: [silent, silent], now: 1_000) == .silent)
        #expect(LegView.state(of: [], now: 1_000) == .connecting)
    }

    @Test func openFilesAreCounted() throws {
        #expect(try OpenFiles.verdict(sockets: 10, limit: 1_024) == nil)
        #expect(try OpenFiles.verdict(sockets: 500, limit: 1_024)?.contains("to 1100") == true)
        #expect(throws: OpenFilesError.self) { try OpenFiles.verdict(sockets: 1_000, limit: 1_024) }
        #expect(try OpenFiles.provide(sockets: 1) == nil)
    }
}
