import MarketData
import Testing

@testable import feed_replayer

@Suite struct FaultGrammarTests {
    private func read(_ text: String) throws -> FaultCommand {
        try FaultGrammar.read(text, needsTarget: true)
    }

    @Test func readsCommands() throws {
        #expect(try read("cut 3") == FaultCommand(action: .cut, target: .number(3), text: "cut 3"))
        #expect(
            try read("  reset   connection 4\r")
                == FaultCommand(action: .reset, target: .number(4), text: "reset connection 4"))
        let stall = try read("stall all for 1.5s")
        #expect(stall.action == .stall && stall.target == .all && stall.duration == 1_500_000_000)
        #expect(
            try read("close 1011 any reason  so it  goes").action == .close(code: 1011, reason: "so it goes"))
        #expect(try read("close none oldest").action == .close(code: nil, reason: ""))
        #expect(
            try read("silent *@trade newest until resubscribed").action
                == .silent(StreamPattern(text: "*@trade"), healsOnSubscribe: true))
        #expect(try read("skip 3 all").action == .skip(count: 3, .all))
        #expect(try read("repeat 2 btcusdt@trade listener 9443").target == .listener("9443"))
        #expect(
            try read("repeat 2 btcusdt@trade 7").action
                == .repeatFrames(count: 2, StreamPattern(text: "btcusdt@trade")))
        #expect(try read("shutdown 2 lead 200ms").action == .shutdown(lead: 200_000_000))
        #expect(try read("slow 100 all").action == .slow(bytesPerSecond: 100))
        let refusal = try read("refuse 429 retry-after 2 for 5s")
        #expect(refusal.action == .refuse(status: 429, retryAfter: 2) && refusal.duration == 5_000_000_000)
        #expect(
            try read("refuse 418 retry-after-date 3s").action
                == .refuse(status: 418, retryAfter: .date(3_000_000_000)))
        #expect(
            try read("rest refuse 429 retry-after-date 1m").action
                == .rest(.refuse(status: 429, retryAfter: .date(60_000_000_000))))
        #expect(try read("lifetime 24h").action == .lifetime(86_400_000_000_000...86_400_000_000_000))
        #expect(try read("lifetime 1m..2m").action == .lifetime(60_000_000_000...120_000_000_000))
        #expect(try read("hang tls").action == .hang(.tls))
        #expect(try read("alert handshake").action == .handshakeAlert)
        #expect(try FaultGrammar.read("cut", needsTarget: false).target == nil)
    }

    @Test(arguments: [
        ("", "there is no command"), ("burn 3", "burn is none of cut, reset"),
        ("cut", "cut needs a connection"),
        ("cut 0", "0 is not expected"), ("cut all now", "now is not expected"),
        ("stall all for ever", "instead of \"ever\""), ("stall all for 5", "instead of \"5\""),
        ("close all", "a close code or none instead of \"all\""), ("close 70000 all", "instead of \"70000\""),
        ("silent all", "expected a stream"), ("refuse 99", "an HTTP status instead of \"99\""),
        ("hang", "hang needs a stage"), ("slow all", "bytes a second instead of \"all\""),
        ("cut all retry-after 3", "retry-after is not expected"),
        ("refuse 418 retry-after-date 3", "expected a time"),
        ("lifetime 5s..1s", "instead of \"5s..1s\""),
        ("skip 99999999999999999999 all", "a number of frames"), ("shutdown all lead 1s..2s", "not a range"),
    ])
    func saysWhatIsWrong(_ text: String, _ expected: String) {
        let error = #expect(throws: FaultSyntaxError.self) { try read(text) }
        #expect(error?.description.contains(expected) ?? false, "\(String(describing: error))")
    }

    @Test func readsRules() throws {
        #expect(try FaultRule.read("at 12s cut connection 3").trigger == .at(12_000_000_000))
        #expect(
            try FaultRule.read("every 30s..60s reset any").trigger == .every(30_000_000_000...60_000_000_000))
        let opened = try FaultRule.read("on open 2 silent btcusdt@trade")
        #expect(opened.trigger == .opened(2) && opened.command.target == nil)
        for wrong in ["cut 3", "at cut 3", "every 0s cut any", "on close cut 1", "on open cut", "at 1s cut"] {
            #expect(throws: FaultSyntaxError.self) { try FaultRule.read(wrong) }
        }
        let directory = try TemporaryDirectory()
        let path = try directory.write("script", "at 1s cut 1\n\n# nothing\nat 2s cut\n")
        let error = #expect(throws: ReplayerError.self) { try FaultRule.read(path: path) }
        #expect(error?.description.hasPrefix("\(path):4: cut needs") ?? false)
    }

    @Test func keepsTheSchedule() throws {
        var random = SplitMix64(seed: 3)
        var schedule = FaultSchedule([
            try FaultRule.read("at 2s cut 2"), try FaultRule.read("at 1s cut 1"),
            try FaultRule.read("every 3s cut 3"),
        ])
        #expect(schedule.nextDue == .max)
        schedule.begin(now: 1_000_000_000, &random)
        #expect(schedule.nextDue == 2_000_000_000)
        #expect(schedule.due(now: 1_999_999_999, &random).isEmpty)
        #expect(schedule.due(now: 3_500_000_000, &random).map(\.text) == ["cut 1", "cut 2"])
        #expect(schedule.due(now: 4_000_000_000, &random).map(\.text) == ["cut 3"])
        #expect(schedule.nextDue == 7_000_000_000)
        schedule.add(try FaultRule.read("at 1s cut 4"), now: 5_000_000_000, &random)
        #expect(schedule.due(now: 6_000_000_000, &random).map(\.text) == ["cut 4"])
        schedule.clear()
        #expect(schedule.nextDue == .max && schedule.due(now: .max, &random).isEmpty)
    }

    @Test func readsChances() throws {
        let chances = try FaultChances(reading: "cut=0.01/s,skip=0.5")
        #expect(chances.strikes.map(\.perSecond) == [0.01] && chances.skip == 0.5 && chances.concernsFrames)
        #expect(FaultChances().isNone && !chances.isNone)
        let more = try FaultChances(
            reading:
                "close-4000=0.2/s,close=0.1/s,refuse=0.1,refuse-503=0.2,refuse-418-3=0.3,hang=0.4,hang-accept=0.5,"
                + "hang-tls=0.6,alert-handshake=0.7")
        #expect(
            more.strikes.map(\.command.action) == [
                .close(code: 4_000, reason: ""), .close(code: 1_011, reason: ""),
            ])
        #expect(
            more.refusals == [
                .init(status: 429, retryAfter: 1, chance: 0.1),
                .init(status: 503, retryAfter: nil, chance: 0.2),
                .init(status: 418, retryAfter: 3, chance: 0.3),
            ])
        #expect(more.hangs == [.upgrade: 0.4, .accept: 0.5, .tls: 0.6] && more.handshakeAlert == 0.7)
        for wrong in [
            "cut=0.01", "skip=0.1/s", "skip=2", "burn=1", "cut", "", "cut=-1/s", "cut=x/s", "close-=0.1/s",
            "close-70000=0.1/s", "close-1008=0.1", "refuse-=0.1", "refuse-99=0.1", "refuse-503-=0.1",
            "refuse-503-1-1=0.1",
            "refuse-503-x=0.1", "refuse-503=0.1/s", "hang-upgrade=0.1", "alert-handshake=0.1/s",
        ] {
            #expect(throws: FaultSyntaxError.self) { try FaultChances(reading: wrong) }
        }
    }

    @Test func matchesStreams() {
        #expect(StreamPattern(text: "a@b").matches("a@b") && !StreamPattern(text: "a@b").matches("a@bc"))
        #expect(StreamPattern(text: "*@trade").matches("btc@trade") && StreamPattern.all.matches("x"))
        #expect(StreamPattern(text: "btc*@trade").matches("btcusdt@trade"))
        #expect(!StreamPattern(text: "ab*ba").matches("aba"))
    }

    /// Bytes that nobody meant are refused, and nothing else happens.
    @Test func survivesAnyWords() {
        var random = SplitMix64(seed: 11)
        let words = [
            "cut", "close", "skip", "silent", "every", "at", "on", "open", "for", "until", "1..2", "..", "5s",
            "-1s", "1e99h",
            "3", "all", "*", "@", "99999999999999999999", "reason", "lead", "listener", "", "\u{0}", "infs",
            "nans",
        ]
        var understood = 0
        for _ in 0..<20_000 {
            let line = (0..<random.below(6)).map { _ in words[random.below(words.count)] }.joined(
                separator: " ")
            if (try? FaultGrammar.read(line, needsTarget: false)) != nil { understood += 1 }
            _ = try? FaultRule.read(line)
            _ = try? FaultChances(reading: line.split(separator: " ").joined(separator: "="))
        }
        #expect(understood > 50)
    }
}
