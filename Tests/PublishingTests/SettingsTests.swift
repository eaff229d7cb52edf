import MarketData
import SyntheticBatches
import Testing

@testable import Publishing

@Suite struct SettingsTests {
    @Test(arguments: [
        ("localhost:8085", PubSubEndpoint(isSecure: false, host: "localhost", port: 8085)),
        ("[::1]:8085", PubSubEndpoint(isSecure: false, host: "::1", port: 8085)),
        ("http://emulator", PubSubEndpoint(isSecure: false, host: "emulator", port: 80)),
        (
            "https://europe-west1-pubsub.googleapis.com/",
            PubSubEndpoint(isSecure: true, host: "europe-west1-pubsub.googleapis.com", port: 443)
        ),
        ("https://[2001:db8::2]:444", PubSubEndpoint(isSecure: true, host: "2001:db8::2", port: 444)),
    ])
    func endpointsAreRead(_ text: String, _ wanted: PubSubEndpoint) throws {
        #expect(try PubSubEndpoint(text, source: "x") == wanted)
    }

    @Test(arguments: [
        "", "localhost", ":8085", "localhost:", "localhost:0", "localhost:65536", "localhost:x", "ftp://a:1",
        "a b:1", "a/b:1", "https://", "user@host:1", "[::1]", "ho\nst:80",
    ])
    func badEndpointsAreRefused(_ text: String) {
        let error = #expect(throws: PublishError.self) {
            try PubSubEndpoint(text, source: "PUBSUB_EMULATOR_HOST")
        }
        #expect(error?.description.contains("PUBSUB_EMULATOR_HOST") == true)
        #expect(error?.description.contains("localhost:8085") == true)
    }

    @Test func badSettingsAreRefused() {
        let changes: [(String, (inout PubSubSettings) -> Void)] = [
            ("project", { $0.project = "" }), ("project", { $0.project = "a/b" }),
            ("collector", { $0.collector = "" }), ("budget", { $0.byteBudget = 1000 }),
            ("connections", { $0.connections = 9 }), ("in flight", { $0.maxRequests = 0 }),
            ("request", { $0.requestBytes = 10_000_000 }), ("in flight", { $0.wireBytes = 0 }),
            ("timeout", { $0.requestTimeout = 5 }), ("waits", { $0.slowRetry = 0 }),
        ]
        for (word, change) in changes {
            var settings = PubSubSettings(project: "test", collector: "c", runID: 1)
            #expect(throws: Never.self) { try settings.validate() }
            change(&settings)
            let error = #expect(throws: PublishError.self) { try settings.validate() }
            #expect(error?.description.contains(word) == true)
        }
    }

    @Test func backOffIsBoundedAndSpread() {
        var random = SplitMix64(seed: 1)
        let backoff = Backoff()
        for attempt in 1...2000 {
            let bound = attempt > 10 ? 60_000_000_000 : 100_000_000 << Int64(attempt - 1)
            let wait = backoff.wait(attempt: attempt, random: &random)
            #expect(wait >= 0 && wait < min(bound, 60_000_000_000))
        }
        var waits = (0..<1000).map { _ in backoff.wait(attempt: 20, random: &random) }
        waits.sort()
        #expect(waits[100] < 12_000_000_000 && waits[900] > 48_000_000_000)
    }
}
