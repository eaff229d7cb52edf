import Synchronization

/// Many runs, on several threads.
public struct SimulationRuns: Sendable {
    /// The first seed.
    public var first: UInt64
    /// How many seeds.
    public var count: Int
    /// Simulated days of each.
    public var days = 7
    /// A mistake made on purpose.
    public var canary: Canary?
    /// Runs at once.
    public var threads = 2
    /// Failures after which no further run is begun.
    public var failureLimit = 5

    /// Runs of the seeds from `first`.
    public init(first: UInt64, count: Int) {
        self.first = first
        self.count = count
    }

    /// What all runs came to together.
    public struct Summary: Sendable {
        /// Runs that were begun.
        public var runs = 0
        /// Of runs, by seed.
        public var failures: [SimulationFailure] = []
        /// Sums over all runs.
        public var events = 0, actions = 0, faults = 0, connections = 0, trades = 0, delivered = 0
        /// Sums over all runs.
        public var duplicates = 0, reported = 0, handovers = 0, slots = 0
        /// Of all runs, in whichever order they ended.
        public var fingerprint: UInt64 = 0

        mutating func add(_ result: SimulationResult) {
            runs += 1
            events += result.events
            actions += result.actions
            faults += result.faults
            connections += result.connections
            trades += result.trades
            delivered += result.delivered
            duplicates += result.duplicates
            reported += result.reported
            handovers += result.handovers
            slots += result.slots
            fingerprint &+= result.fingerprint
            if let failure = result.failure { failures.append(failure) }
        }

        mutating func add(_ other: Summary) {
            runs += other.runs
            events += other.events
            actions += other.actions
            faults += other.faults
            connections += other.connections
            trades += other.trades
            delivered += other.delivered
            duplicates += other.duplicates
            reported += other.reported
            handovers += other.handovers
            slots += other.slots
            fingerprint &+= other.fingerprint
            failures += other.failures
            failures.sort { $0.seed < $1.seed }
        }
    }

    /// Runs them all, or until so many have failed.
    public func run() async throws -> Summary {
        let next = Turnstile()
        return try await withThrowingTaskGroup(of: Summary.self) { group in
            for _ in 0..<max(1, threads) {
                group.addTask {
                    var summary = Summary()
                    while let index = next.take(of: count), next.failures < failureLimit {
                        let run = try Simulation(seed: first &+ UInt64(index), days: days, canary: canary)
                        let result = run.run()
                        if result.failure != nil { next.countFailure() }
                        summary.add(result)
                    }
                    return summary
                }
            }
            var summary = Summary()
            for try await part in group { summary.add(part) }
            return summary
        }
    }
}

/// Hands out numbers, each once.
private final class Turnstile: Sendable {
    private let next = Atomic<Int>(0)
    private let failed = Atomic<Int>(0)

    func take(of count: Int) -> Int? {
        let index = next.add(1, ordering: .relaxed).oldValue
        return index < count ? index : nil
    }

    func countFailure() { failed.add(1, ordering: .relaxed) }
    var failures: Int { failed.load(ordering: .relaxed) }
}
