import Testing

@testable import ControlPlane

@Suite struct ThreadPlanTests {
    @Test func aCpusetOfOnesOwnIsPinnedButForItsLastCPU() {
        #expect(ThreadPlan.exclusiveCPUs(allowed: [4, 5, 6, 7], online: 16) == [4, 5, 6])
        #expect(ThreadPlan.exclusiveCPUs(allowed: [3], online: 16) == [])
    }

    @Test func aSharedMachineIsNotPinned() {
        #expect(ThreadPlan.exclusiveCPUs(allowed: [0, 1], online: 2) == [])
    }

    @Test func autoIsReadAndShown() throws {
        let yaml = """
            collector: { pin: auto }
            exchanges: [{ adapter: binance, subscriptions: [{ type: trade, symbols: [BTCUSDT] }] }]
            sink: { type: "null" }
            """
        let loaded = try Configuration.parse(
            yaml: yaml, file: "f.yaml", context: .process(adapters: Adapters.all))
        #expect(loaded.configuration.collector.pinsByCpuset && loaded.configuration.collector.pin.isEmpty)
        #expect(ConfigurationSummary.render(loaded.configuration).contains("by the cpuset"))
    }

    @Test func microsecondsReachTheTarget() throws {
        let yaml = """
            exchanges:
              - { adapter: binance, timeUnit: microsecond, subscriptions: [{ type: trade, symbols: [BTCUSDT] }] }
            sink: { type: "null" }
            """
        let configuration = try Configuration.parse(
            yaml: yaml, file: "f.yaml", context: .process(adapters: Adapters.all)
        ).configuration
        let plan = try configuration.plan().lanes[0].slots[0]
        #expect(plan.target == "/stream?timeUnit=MICROSECOND")
    }
}
