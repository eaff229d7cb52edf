import SlotSimulation
import Testing

/// A handful of seeds as ordinary tests; `Tests/Simulation/run` runs ten thousand.
@Suite struct SimulationTests {
    @Test(arguments: [UInt64](1...12))
    func everythingHolds(seed: UInt64) throws {
        let result = try Simulation(seed: seed).run()
        if let failure = result.failure {
            Issue.record(
                """
                seed \(seed), \(failure.time): \(failure.invariant.rawValue): \(failure.text)
                \(failure.trace.joined(separator: "\n"))
                """)
        }
        #expect(result.events > 100)
        #expect(result.connections > 0)
    }

    @Test func aSeedGivesTheSameRun() throws {
        for seed in UInt64(20)...22 {
            let one = try Simulation(seed: seed).run()
            let other = try Simulation(seed: seed).run()
            #expect(one.fingerprint == other.fingerprint)
            #expect(one.actions == other.actions)
            #expect(one.delivered == other.delivered)
        }
        #expect(
            try Simulation(seed: 20).run().fingerprint != Simulation(seed: 21).run().fingerprint)
    }

    /// A mistake that is made on purpose is found, and for what it is: the simulation can fail.
    @Test(arguments: Canary.allCases)
    func mistakesAreFound(canary: Canary) async throws {
        var runs = SimulationRuns(first: 1, count: 200)
        runs.canary = canary
        runs.failureLimit = 1
        let summary = try await runs.run()
        let failure = try #require(summary.failures.first, "\(canary) was not found in \(summary.runs) runs")
        #expect(canary.invariants.contains(failure.invariant), "\(failure.invariant): \(failure.text)")
    }
}
