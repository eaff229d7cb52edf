import Testing

@testable import Wire

/// Dials, failures, back-off, budgets.
@Suite struct SlotOpeningTests {
    /// The waits that a machine told of.
    private func waits(_ reports: [SlotReport]) -> [Int64] {
        reports.compactMap { if case .waiting(let nanos) = $0 { nanos } else { nil } }
    }

    @Test func waitsDoubleUpToTheirLimitAndAreDrawnFromTheUpperHalf() throws {
        var seen: Set<Int64> = []
        for seed in 1...20 as ClosedRange<UInt64> {
            var slot = try SlotHarness(seed: seed)
            slot.pass(0)
            for failure in 0..<14 {
                slot.actions = []
                slot.ended(0, .connect)
                let wait = try #require(waits(slot.reports).last)
                let limit = min(100 * .ms << Int64(failure), 30 * .second)
                #expect(wait >= limit / 2 && wait <= limit, "failure \(failure): \(wait)")
                if failure == 13 { seen.insert(wait) }
                slot.pass(wait - 1)
                #expect(!slot.opens(0))
                slot.pass(1)
                #expect(slot.opens(0))
            }
        }
        #expect(seen.count > 15, "slots must not come back together")
    }

    @Test func aConnectionThatHeldIsMadeAnewAtOnce() throws {
        var slot = try SlotHarness()
        slot.pass(0)
        for _ in 0..<5 {
            slot.ended(0, .connect)
            slot.pass(30 * .second)
        }
        slot.opened(0)
        slot.acceptAll(0)
        slot.pass(60 * .second)
        _ = slot.news()
        slot.ended(0)
        slot.pass(20 * .ms)
        #expect(slot.opens(0))
        // And one that did not is not.
        slot.opened(0)
        _ = slot.news()
        slot.ended(0)
        slot.pass(20 * .ms)
        #expect(!slot.opens(0))
    }

    @Test func aDialThatFailsGoesToTheNextEndpoint() throws {
        var slot = try SlotHarness(hosts: 3)
        var endpoints: [Int?] = []
        for _ in 0..<4 {
            slot.pass(.second)
            endpoints.append(slot.dialled)
            slot.ended(0, .connect)
        }
        #expect(endpoints == [0, 1, 2, 0])
    }

    @Test(arguments: [401, 403, 404, 451])
    func aLastingRefusalClosesThatEndpointAlone(status: Int) throws {
        var slot = try SlotHarness(hosts: 2)
        slot.pass(0)
        #expect(slot.dialled == 0)
        slot.ended(0, .upgrade, status: status)
        slot.pass(.second)
        #expect(slot.dialled == 1)
        _ = slot.news()
        slot.ended(0, .upgrade, status: status)
        slot.pass(290 * .second)
        #expect(!slot.opens(0), "both refuse for five minutes")
        slot.pass(11 * .second)
        #expect(slot.dialled == 0)
    }

    @Test(
        arguments: [
            (429, nil, 30), (429, 120, 120), (418, nil, 300), (418, 3_600, 3_600), (418, 259_200, 259_200),
        ]
            as [(Int, Int64?, Int64)])
    func abanHoldsEverySlotOfTheAddress(status: Int, retryAfter: Int64?, wait: Int64) throws {
        let budget = AttemptBudget(perWindow: 300, windowNanos: 300 * .second)
        var one = try SlotHarness(hosts: 2, budget: budget)
        var other = try SlotHarness(hosts: 2, seed: 2, budget: budget)
        one.pass(0)
        one.ended(0, .upgrade, status: status, retryAfter: retryAfter.map { $0 * .second })
        _ = one.news()
        one.pass((wait - 1) * .second)
        other.pass((wait - 1) * .second)
        #expect(!one.opens(0) && !other.opens(0))
        one.pass(3 * .second)
        other.pass(3 * .second)
        #expect(one.opens(0) && other.opens(0))
    }

    @Test(arguments: [401, 403, 404, 451, 500, 503])
    func retryAfterIsHonouredWhateverTheStatus(status: Int) throws {
        var slot = try SlotHarness()
        slot.pass(0)
        slot.ended(0, .upgrade, status: status, retryAfter: 90 * .second)
        _ = slot.news()
        slot.pass(89 * .second)
        #expect(!slot.opens(0))
        slot.pass(2 * .second)
        #expect(slot.opens(0))
    }

    @Test func aThousandSlotsShareOneBudgetAndDoNotStampede() throws {
        let budget = AttemptBudget(perWindow: 300, windowNanos: 300 * .second)
        var slots = try (1...1_000).map { try SlotHarness(seed: UInt64($0), budget: budget) }
        var dials: [Int64] = []
        let start = slots[0].now
        // By steps of a tenth of a second, as if all had lost their connections at once.
        for step in 0..<3_400 as Range<Int64> {
            let time = start + step * 100 * .ms
            for index in slots.indices {
                while slots[index].machine.deadline <= time {
                    slots[index].machine.tick(time)
                    if slots[index].machine.actions.contains(where: {
                        if case .open = $0 { true } else { false }
                    }) {
                        dials.append(time)
                    }
                    slots[index].machine.actions = []
                }
            }
        }
        #expect(dials.count { $0 == start } == Int(AttemptBudget.burst))
        for (index, time) in dials.enumerated() where index >= 300 {
            #expect(time - dials[index - 300] >= 300 * .second)
        }
        #expect(dials.count { $0 - start < 10 * .second } <= Int(AttemptBudget.burst) + 200)
        #expect(dials.count >= 320, "the next window is used as well")
    }

    @Test func eventsOfAGenerationThatIsGoneAreIgnored() throws {
        var slot = try SlotHarness()
        slot.pass(0)
        let old = slot.machine.generation(of: 0)
        slot.ended(0, .connect)
        slot.pass(.second)
        slot.machine.opened(0, generation: old, slot.now)
        #expect(slot.machine.state == .opening)
        slot.machine.ended(0, generation: old, .ended, slot.now)
        #expect(slot.machine.state == .opening)
    }

    @Test func stopClosesWhatIsOpenAndDropsWhatIsOpening() throws {
        var slot = try SlotHarness()
        slot.goLive()
        slot.machine.stop(slot.now)
        #expect(slot.news() == [.close(side: 0)])
        #expect(!slot.machine.isStopped)
        slot.ended(0, .stopped)
        #expect(slot.machine.isStopped)
        slot.pass(.hour)
        #expect(slot.news().isEmpty)

        var opening = try SlotHarness()
        opening.pass(0)
        opening.machine.stop(opening.now)
        #expect(opening.machine.isStopped)
        #expect(opening.news().last == .drop(side: 0, cause: .stopped))
    }
}
