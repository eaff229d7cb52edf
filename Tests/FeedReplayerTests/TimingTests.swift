import Testing

@testable import feed_replayer

@Suite struct TimingTests {
    @Test func readsPaces() {
        #expect(Pacing(argument: "max") == .max)
        #expect(Pacing(argument: "recorded") == .recorded(speed: 1))
        #expect(Pacing(argument: "x2.5") == .recorded(speed: 2.5))
        #expect(Pacing(argument: "rate=10000") == .rate(10_000))
        #expect(Pacing(argument: "steady=10000") == .steady(10_000))
        for text in [
            "", "x", "x0", "x-1", "rate=", "rate=0", "rate=inf", "steady=0", "xnan", "fast", "rate=1e-300",
            "x1e300",
        ] {
            #expect(Pacing(argument: text) == nil, "\(text)")
        }
    }

    @Test func schedulesAndKnowsHowLateItIs() {
        var rate = Pacer(.rate(1000))
        rate.begin(now: 5_000)
        #expect(rate.due(recorded: nil) == 5_000)
        rate.used(due: 5_000, now: 6_000)
        rate.used(due: 1_005_000, now: 1_005_500)
        #expect(rate.due(recorded: nil) == 2_005_000)
        #expect(rate.latest == 1_000)
        // What was missed is left out; less than a slot is not.
        var steady = Pacer(.steady(1000))
        steady.begin(now: 5_000)
        steady.used(due: 5_000, now: 6_000)
        #expect(steady.due(recorded: nil) == 1_005_000)
        steady.used(due: 1_005_000, now: 9_005_000)
        #expect(steady.due(recorded: nil) == 10_005_000)
        #expect(steady.latest == 8_000_000)
        var recorded = Pacer(.recorded(speed: 10))
        recorded.begin(now: 100)
        #expect(recorded.due(recorded: 5_000) == 600)
        var unpaced = Pacer(.max)
        unpaced.begin(now: 7)
        #expect(unpaced.due(recorded: 1_000_000) == 7)
        unpaced.used(due: 7, now: 1_000)
        #expect(unpaced.latest == 0)
    }

    @Test func allowsFiveMessagesASecond() {
        var rate = MessageRate()
        let times: [Int64] = [0, 100, 200, 300, 400, 999, 1_000, 1_050, 1_100]
        let allowed = times.map { rate.allows(now: $0 * 1_000_000, limit: 5) }
        #expect(allowed == [true, true, true, true, true, false, true, false, true])
    }

    @Test func countsOnlyPongsThatCopyAPing() {
        var schedule = PingSchedule()
        schedule.begin(now: 0, interval: 20)
        #expect(schedule.due == 20)
        schedule.sent([1], now: 20, interval: 20)
        schedule.sent([2], now: 40, interval: 20)
        schedule.answered([])
        #expect(!schedule.isOverdue(now: 80, patience: 60))
        #expect(schedule.isOverdue(now: 81, patience: 60))
        schedule.answered([2])
        #expect(!schedule.isOverdue(now: 1_000, patience: 60))
    }

    @Test func readsAddresses() {
        #expect(ListenAddress("127.0.0.1:9443")?.clientHost == "localhost")
        #expect(ListenAddress("[::1]:0")?.host == "::1")
        #expect(ListenAddress("example.org:80")?.clientHost == "example.org")
        for text in ["", "9443", ":9443", "::1:9443", "host:", "host:70000", "host:x"] {
            #expect(ListenAddress(text) == nil, "\(text)")
        }
    }
}
