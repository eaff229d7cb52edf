import CKernel
import Foundation
import Logging
import Synchronization
import Wire

/// Keeps the recent connection attempts in a file, so that a collector which starts again does not forget what the
/// exchange remembers: its attempts of the last minutes, and a ban.
///
/// A file that is damaged or cannot be written costs a warning and nothing else.
final class AttemptKeeper: Sendable {
    /// Times are ns since the epoch: the monotonic clock does not outlast the machine's start.
    struct Document: Codable, Equatable {
        struct Budget: Codable, Equatable {
            var attempts: [Int64]
            var blockedUntil: Int64?
        }
        var version = 1
        var written: Int64
        var budgets: [String: Budget]
    }

    private struct State {
        var written: [Int] = []
        var nextWrite: Int64 = 0
        var hasComplained = false
    }

    /// Between two writes, ns.
    static let pauseNanos: Int64 = 2_000_000_000
    /// By how much clocks may differ that are the same for all that matters, ns.
    private static let clockNanos: Int64 = 5_000_000_000

    let path: String
    private let directory: String
    private let budgets: [(key: String, budget: AttemptBudget)]
    private let logger: Logger
    private let state = Mutex(State())

    /// - Parameters:
    ///   - directory: made where it is missing.
    ///   - budgets: by name; the first of each name counts.
    init(directory: String, budgets: [(key: String, budget: AttemptBudget)], logger: Logger) {
        self.directory = directory
        path = directory + "/attempts.json"
        var names: Set<String> = []
        self.budgets = budgets.filter { names.insert($0.key).inserted }
        self.logger = logger
    }

    /// Reads what an earlier run left. Call it before the first attempt. `now` is monotonic, `wall` since the epoch, ns.
    func recover(now: Int64, wall: Int64) {
        guard FileManager.default.fileExists(atPath: path) else { return }
        let document: Document
        do {
            document = try JSONDecoder().decode(Document.self, from: Data(contentsOf: URL(filePath: path)))
            guard document.version == 1 else { throw CollectorError("its version is \(document.version)") }
        } catch {
            logger.warning(
                """
                \(path) cannot be read, so the connection attempts of an earlier run are not counted: \
                \(AttemptKeeper.words(error)); it is replaced
                """)
            return
        }
        let offset = wall - now
        let isOfAnotherClock = document.written > wall + AttemptKeeper.clockNanos
        for (key, budget) in budgets {
            guard let kept = document.budgets[key] else { continue }
            // Nothing that this program has written overflows; what was tampered with is not a time.
            let grants = kept.attempts.filter { $0 > 0 && $0 <= wall }.map { $0 - offset }
            let blocked = isOfAnotherClock ? nil : kept.blockedUntil.flatMap { $0 > wall ? $0 - offset : nil }
            budget.restore(.init(grants: grants, blockedUntil: blocked), now)
            if let blocked {
                logger.warning(
                    "the exchange wanted no connection attempts for another \(min(blocked - now, RetryAfter.longestNanos) / 1_000_000_000) s when the last run ended"
                )
            }
        }
    }

    /// Writes what has changed, not more often than every ``pauseNanos`` unless `isLast`.
    func keep(now: Int64, wall: Int64, isLast: Bool = false) {
        let changes = budgets.map(\.budget.changes)
        let isDue = state.withLock { state in
            guard isLast || now >= state.nextWrite, changes != state.written else { return false }
            state.nextWrite = now + AttemptKeeper.pauseNanos
            state.written = changes
            return true
        }
        guard isDue else { return }
        let offset = wall - now
        var document = Document(written: wall, budgets: [:])
        for (key, budget) in budgets {
            let memory = budget.memory(now)
            document.budgets[key] = Document.Budget(
                attempts: memory.grants.map { $0 + offset },
                blockedUntil: memory.blockedUntil.map { $0 + offset })
        }
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true)
            var file = try FileReplacement(path)
            try file.append(JSONEncoder().encode(document))
            try file.finish()
            state.withLock { $0.hasComplained = false }
        } catch {
            let isNew = state.withLock { state in
                defer { state.hasComplained = true }
                // Tried again even where nothing changes any more.
                state.written = []
                return !state.hasComplained
            }
            guard isNew else { return }
            logger.warning(
                """
                connection attempts cannot be kept in \(path): \(AttemptKeeper.words(error)); after a restart the exchange's \
                limit of attempts may be exceeded; make collector.dataDirectory writable
                """)
        }
    }

    private static func words(_ error: any Error) -> String {
        switch error {
        case let error as CollectorError: "\(error)"
        case let error as FileReplacement.Failure: "\(error)"
        case is DecodingError: "it is no list of attempts (damaged, or cut short)"
        default: error.localizedDescription
        }
    }
}
