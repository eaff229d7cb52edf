import Testing

@testable import Wire

@Suite struct AttemptBudgetTests {
    private let start: Int64 = 1_000 * .second

    /// Grants until none is left; the time moves on with the spacing.
    private func exhaust(_ budget: AttemptBudget, from time: Int64) -> (granted: Int, again: Int64) {
        var now = time
        var granted = 0
        for _ in 0..<1_000 {
            guard let later = budget.take(now) else {
                granted += 1
                continue
            }
            guard later - now <= AttemptBudget.spacingNanos else { return (granted, later) }
            now = later
        }
        return (granted, now)
    }

    @Test func whatNeverLeftIsGivenBack() {
        let budget = AttemptBudget(perWindow: 5, windowNanos: 300 * .second)
        for index in 0..<5 as Range<Int64> { #expect(budget.take(start + index * .second) == nil) }
        #expect(budget.take(start + 10 * .second) == start + 300 * .second)
        budget.giveBack(start + 2 * .second + 5)
        #expect(budget.used(start + 10 * .second) == 4)
        #expect(budget.take(start + 10 * .second) == nil)
        #expect(budget.take(start + 20 * .second) == start + 300 * .second)
        // None was taken that early.
        budget.giveBack(start - 1)
        #expect(budget.used(start + 20 * .second) == 5)
        // The one at two seconds is gone: after the one at a second that at three is the next to leave the window.
        #expect(budget.take(start + 300 * .second) == nil)
        #expect(budget.take(start + 300 * .second + 100 * .ms) == start + 301 * .second)
        #expect(budget.take(start + 301 * .second) == nil)
        #expect(budget.take(start + 301 * .second + 100 * .ms) == start + 303 * .second)
    }

    /// A name server that is away: slots try for ever, and when it is back there is budget.
    @Test func attemptsThatFailHereDoNotUseTheBudgetUp() {
        let budget = AttemptBudget(perWindow: 10, windowNanos: 300 * .second)
        var now = start
        for _ in 0..<2_000 {
            now += 100 * .ms
            #expect(budget.take(now) == nil)
            budget.giveBack(now + 1_000)
        }
        #expect(budget.used(now) == 0)
        #expect(exhaust(budget, from: now + .second).granted == 10)
    }

    @Test func spacingStaysWhenAttemptsAreGivenBack() {
        let budget = AttemptBudget(perWindow: 300, windowNanos: 300 * .second)
        for _ in 0..<AttemptBudget.burst {
            #expect(budget.take(start) == nil)
            budget.giveBack(start)
        }
        #expect(budget.take(start) == start + AttemptBudget.spacingNanos)
    }

    @Test func attemptsAreRememberedAcrossProcesses() throws {
        let before = AttemptBudget(perWindow: 8, windowNanos: 300 * .second)
        for index in 0..<6 as Range<Int64> { #expect(before.take(start + index * 10 * .second) == nil) }
        let end = start + 100 * .second
        let memory = before.memory(end)
        #expect(memory.grants.count == 6 && memory.blockedUntil == nil)
        // Its clock began anew: all of it lies before that.
        let later: Int64 = 5 * .second
        let shift = later - (end + 20 * .second)
        let after = AttemptBudget(perWindow: 8, windowNanos: 300 * .second)
        after.restore(.init(grants: memory.grants.map { $0 + shift }, blockedUntil: nil), later)
        #expect(after.used(later) == 6)
        let (granted, again) = exhaust(after, from: later)
        #expect(granted == 2)
        #expect(again == start + shift + 300 * .second)
    }

    @Test func whatLiesInTheFutureOrFarBackIsNotCounted() {
        let budget = AttemptBudget(perWindow: 8, windowNanos: 300 * .second)
        budget.restore(
            .init(
                grants: [start + 1, start - 300 * .second, start - 299 * .second, start], blockedUntil: nil),
            start)
        #expect(budget.used(start) == 2)
    }

    @Test func aBanOutlastsTheProcessButNotThreeDays() {
        let budget = AttemptBudget(perWindow: 8, windowNanos: 300 * .second)
        budget.restore(.init(grants: [], blockedUntil: start + 60 * .second), start)
        #expect(budget.take(start) == start + 60 * .second)
        #expect(budget.memory(start).blockedUntil == start + 60 * .second)
        #expect(budget.memory(start + 60 * .second).blockedUntil == nil)
        budget.restore(.init(grants: [], blockedUntil: .max), start)
        #expect(budget.take(start) == start + RetryAfter.longestNanos)
    }

    @Test func aSmallerBudgetThanBeforeHolds() {
        let budget = AttemptBudget(perWindow: 3, windowNanos: 300 * .second)
        budget.restore(.init(grants: (1...6).map { start - $0 * .second }, blockedUntil: nil), start)
        // Four of six must have left.
        #expect(budget.take(start) == start - 3 * .second + 300 * .second)
        #expect(budget.take(start + 297 * .second) == nil)
    }
}
