import Testing
import Wire

@testable import ControlPlane

/// `exchanges[].network` and the proxy that the environment names.
@Suite struct NetworkConfigurationTests {
    private func load(
        _ network: String = "", endpoint: String = "wss://stream.example", environment: [String: String] = [:]
    ) throws(ConfigurationErrors) -> Configuration {
        var context = ConfigurationContext.forTests
        context.environment.merge(environment) { $1 }
        let yaml = """
            exchanges:
              - adapter: fake
                endpoint: \(endpoint)
                \(network)
                subscriptions:
                  - { type: trade, symbols: [BTCUSDT] }
            sink: { type: null }

            """
        return try Configuration.parse(yaml: yaml, file: "f.yaml", context: context).configuration
    }

    @Test func everyKeyIsTaken() throws {
        let network = try load(
            """
            network: { proxy: "http://p:1", ipFamily: v4, localAddress: 10.0.0.5, keepaliveIdle: 20s,
                  keepaliveInterval: 2s, keepaliveCount: 5, userTimeout: 1500ms, busyPoll: 50us, receiveBuffer: 1MiB }
                tls: { minimum: 1.3, records: openssl }
            """
        ).exchanges[0]
        var expected = NetworkSettings()
        expected.proxy = .always(try NetworkProxy("http://p:1"))
        expected.ipFamily = .v4
        expected.localAddress = HostAddress(literal: "10.0.0.5")
        expected.keepaliveIdleNanos = 20_000_000_000
        expected.keepaliveIntervalNanos = 2_000_000_000
        expected.keepaliveCount = 5
        expected.userTimeoutNanos = 1_500_000_000
        expected.busyPollNanos = 50_000
        expected.receiveBufferBytes = 1 << 20
        #expect(network.network == expected)
        #expect(network.tls.minimum == .tls13)
        #expect(network.tls.records == .openssl)
        #expect(try load().exchanges[0].network == NetworkSettings())
    }

    @Test func thePlanCarriesIt() throws {
        let configuration = try load("network: { ipFamily: v6 }")
        let plan = try configuration.plan(adapters: ConfigurationContext.forTests.adapters)
        #expect(plan.lanes[0].slots.allSatisfy { $0.network == configuration.exchanges[0].network })
        #expect(plan.lanes[0].slots[0].network.ipFamily == .v6)
    }

    @Test func theEnvironmentsProxyIsTaken() throws {
        func proxy(network: String = "", _ environment: [String: String]) throws -> ProxySettings {
            try load(network, environment: environment).exchanges[0].network.proxy
        }
        let upper = try NetworkProxy("http://upper:1")
        let lower = try NetworkProxy("http://lower:2")
        #expect(
            try proxy(["HTTPS_PROXY": "http://upper:1"]) == .environment(upper, except: ProxyExceptions("")))
        #expect(
            try proxy(["HTTPS_PROXY": "http://upper:1", "https_proxy": "lower:2", "NO_PROXY": ".a"])
                == .environment(lower, except: ProxyExceptions(".a")))
        #expect(try proxy(["HTTPS_PROXY": "", "http_proxy": "x:1", "ALL_PROXY": "y:1"]) == .none)
        #expect(try proxy(network: "network: { proxy: none }", ["HTTPS_PROXY": "http://upper:1"]) == .none)
        #expect(
            try proxy(network: "network: { proxy: \"lower:2\" }", ["HTTPS_PROXY": "http://upper:1"])
                == .always(lower))
    }

    @Test func aWrongProxyOfTheEnvironmentIsAnErrorOnlyWhereItWouldBeUsed() throws {
        let wrong = ["HTTPS_PROXY": "http://user:hunter2@p:0"]
        let error = #expect(throws: ConfigurationErrors.self) { try load(environment: wrong) }
        let text = error?.problems.map(\.description).joined(separator: "\n") ?? ""
        #expect(text.contains("the environment variable HTTPS_PROXY has no usable host or port"), "\(text)")
        #expect(text.contains("or set network.proxy: none") && !text.contains("hunter2"))
        #expect(try load("network: { proxy: none }", environment: wrong).exchanges[0].network.proxy == .none)
        #expect(try load(endpoint: "ws://stream.example", environment: wrong).exchanges.count == 1)
        #expect(try load(endpoint: "wss://localhost:9443", environment: wrong).exchanges.count == 1)
        #expect(
            try load(environment: wrong.merging(["NO_PROXY": "*"]) { $1 }).exchanges[0].network.proxy == .none
        )
    }

    @Test func aReloadNamesWhatNeedsARestart() throws {
        func changed(_ old: String, _ new: String) throws -> [String] {
            ConfigurationChange.keys(from: try load(old), to: try load(new))
        }
        #expect(try changed("", "") == [])
        #expect(
            try changed("", "network: { receiveBuffer: 1MiB, busyPoll: 50us }") == [
                "exchanges[fake].network.busyPoll", "exchanges[fake].network.receiveBuffer",
            ])
        #expect(
            try changed("network: { proxy: \"u:one@p:1\" }", "network: { proxy: \"u:two@p:1\" }") == [
                "exchanges[fake].network.proxy"
            ])
        #expect(
            try changed("network: { proxy: \"p:1\" }", "network: { proxy: \"p:2\" }") == [
                "exchanges[fake].network.proxy"
            ])
    }

    @Test func theSummaryNamesTheProxyWithoutItsUser() throws {
        let adapters = ConfigurationContext.forTests.adapters
        for (network, environment) in [
            ("network: { proxy: \"http://user:hunter2@p:3128\" }", [:]),
            ("", ["HTTPS_PROXY": "http://user:hunter2@p:3128"]),
        ] {
            let text = ConfigurationSummary.render(
                try load(network, environment: environment), adapters: adapters)
            #expect(text.contains("http://p:3128"), "\(text)")
            #expect(!text.contains("hunter2") && !text.contains("user:"))
        }
        let direct = ConfigurationSummary.render(
            try load(endpoint: "wss://localhost:1", environment: ["HTTPS_PROXY": "p:3128"]),
            adapters: adapters)
        #expect(!direct.contains("3128"))
    }
}
