import Testing

@testable import Wire

/// How long streams are silent, and how it is forgotten.
@Suite struct StreamActivityTests {
    private let day = StreamActivity.windowNanos
    private let activity = StreamActivity(capacity: 2)

    private func bring(_ now: Int64, member: Int = 0, generation: UInt32 = 1) {
        activity.record(stream: 1, member: member, generation: generation, now: now)
    }

    private func longest(_ now: Int64) -> Int64 { activity.longestSilence(stream: 1, now: now) }

    @Test func aSilenceIsForgottenAfterOneToTwoDays() {
        let start = 5 * day
        bring(start)
        bring(start + 1_000)
        #expect(longest(start + 1_000) == 1_000)
        // A payload every hundredth of a day: that becomes the habit.
        let step = day / 100
        for number in Int64(1)...99 { bring(start + number * step) }
        #expect(longest(start + 99 * step) == step)
        bring(start + 99 * step + 40 * step)
        #expect(longest(start + 139 * step) == 40 * step)
        var now = start + 139 * step
        for number in Int64(1)...250 {
            now = start + (139 + number) * step
            bring(now)
            if number <= 99 { #expect(longest(now) == 40 * step, "within a day") }
        }
        #expect(longest(now) == step)
        #expect(activity.read(stream: 1, member: 0).count == 352)
        #expect(activity.read(stream: 1, member: 0).first == start)
    }

    @Test func whatIsKnownOfAnyConnectionCounts() {
        let start = 5 * day
        bring(start, member: 0)
        bring(start + 70, member: 0)
        bring(start + 100, member: 3, generation: 9)
        bring(start + 130, member: 3, generation: 9)
        #expect(longest(start + 130) == 70)
        // Another generation begins: the time between is no silence of a connection.
        bring(start + 1_000, member: 3, generation: 10)
        #expect(longest(start + 1_000) == 70)
        // A member that nothing comes on any more is forgotten as well.
        for hour in Int64(1)...49 {
            bring(start + hour * day / 24, member: 3, generation: 10)
            bring(start + hour * day / 24 + 20, member: 3, generation: 10)
        }
        #expect(longest(start + 49 * day / 24 + 20) == day / 24 - 20)
    }

    @Test func anExcusedSilenceIsNoHabit() {
        let start = 5 * day
        bring(start)
        bring(start + 10)
        activity.excuse(stream: 1, member: 0, last: start + 10)
        bring(start + 5_000)
        #expect(longest(start + 5_000) == 10)
        bring(start + 5_040)
        #expect(longest(start + 5_040) == 40, "only that one is excused")
        activity.excuse(stream: 1, member: 0, last: start + 5_040)
        activity.excuse(stream: 1, member: 0, last: 0)
        bring(start + 9_000)
        #expect(longest(start + 9_000) == 3_960, "it was a habit after all")
    }

    @Test func whatThereIsNoRoomForIsIgnored() {
        activity.record(stream: 2, member: 0, generation: 1, now: 1)
        activity.excuse(stream: 2, member: 0, last: 1)
        #expect(activity.read(stream: 2, member: 0).count == 0)
        #expect(activity.longestSilence(stream: 2, now: 1) == 0)
    }
}
