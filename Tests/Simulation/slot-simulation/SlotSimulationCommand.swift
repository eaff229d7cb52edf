import ArgumentParser
import SlotSimulation

/// Simulated weeks of connection slots against a virtual exchange.
@main
struct SlotSimulationCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "slot-simulation",
        abstract: "Simulated weeks of connection slots against a virtual exchange.",
        discussion: """
            Each seed is a run of its own and always the same. A failure tells its seed, when and what did not hold,
            and the latest events; --seed N runs it again, --verbose with everything that happens.
            """)

    @Option(help: "Run this seed alone.") var seed: UInt64?
    @Option(help: "The first of --seeds.") var first: UInt64 = 1
    @Option(help: "How many seeds.") var seeds = 10_000
    @Option(help: "Simulated days of each.") var days = 7
    @Option(help: "Runs at once.") var threads = 2
    @Option(help: "Stop after so many failures.") var failures = 5
    @Option(help: "Make a mistake on purpose: \(Canary.allCases.map(\.rawValue).joined(separator: ", ")).")
    var canary: String?
    @Flag(help: "With --seed: tell everything that happens.") var verbose = false

    func validate() throws {
        guard days >= 3 else {
            throw ValidationError(
                "--days \(days) is too few: 3 are the least, for faults end 36 h before the end")
        }
        if let canary, Canary(rawValue: canary) == nil {
            throw ValidationError("--canary \(canary) is not known; see --help")
        }
    }

    func run() async throws {
        let canary = canary.flatMap(Canary.init)
        if let seed {
            let result = try Simulation(seed: seed, days: days, canary: canary, isVerbose: verbose).run()
            print(result)
            if let failure = result.failure { throw tell([failure]) }
            return
        }
        var runs = SimulationRuns(first: first, count: seeds)
        runs.days = days
        runs.threads = threads
        runs.canary = canary
        runs.failureLimit = failures
        let began = ContinuousClock.now
        let summary = try await runs.run()
        let elapsed = ContinuousClock.now - began
        let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
        print(
            """
            \(summary.runs) runs of \(days) days in \(tenths(seconds)) s (\(tenths(Double(summary.runs) / seconds)) a second): \
            \(summary.events / max(1, summary.runs)) events a run
            \(summary.slots) slots, \(summary.connections) connections, \(summary.faults) faults, \(summary.handovers) handovers, \
            \(summary.actions) actions
            \(summary.trades) trades: \(summary.delivered) delivered, \(summary.reported) reported missing, \
            \(summary.duplicates) repeats dropped
            fingerprint \(String(summary.fingerprint, radix: 16))
            """)
        if !summary.failures.isEmpty { throw tell(summary.failures) }
    }

    private func tenths(_ value: Double) -> String { String(Double(Int(value * 10)) / 10) }

    private func tell(_ failures: [SimulationFailure]) -> ExitCode {
        for failure in failures {
            print(
                "\nseed \(failure.seed) failed at \(failure.time): \(failure.invariant.rawValue): \(failure.text)"
            )
            for line in failure.trace { print("    \(line)") }
            print("    again: Tests/Simulation/run --seed \(failure.seed) --verbose")
        }
        return ExitCode.failure
    }
}
