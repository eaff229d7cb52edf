import CKernel
import ExchangeAdapter
import Foundation
import MarketData

/// The ledger of continuity: fed by gaps and by how streams fare, kept in the data directory.
extension Collector {
    /// Between two looks at all streams, ns.
    private static let ledgerPeriod: Int64 = 1_000_000_000

    private var ledgerPath: String { configuration.collector.dataDirectory + "/continuity.json" }

    /// Whether anything is kept: where something is repaired, there is a data directory that is ours.
    private var keepsLedger: Bool { configuration.exchanges.contains(where: \.repair.isEnabled) }

    /// Goes on from what the last run knew.
    func resumeContinuity() {
        guard keepsLedger, let data = FileManager.default.contents(atPath: ledgerPath) else { return }
        guard let found = try? JSONDecoder().decode(ContinuityLedger.Document.self, from: data) else {
            return logger.warning(
                "continuity: \(ledgerPath) cannot be read and is begun anew; what it told of earlier gaps is gone"
            )
        }
        let goOn = Set(
            checkpoint.sequences.map {
                ContinuityLedger.Key(
                    exchange: $0.name.exchange,
                    type: ContinuityLedger.type($0.name.kind, variant: $0.name.variant),
                    symbol: $0.name.symbol)
            })
        continuity.resume(found, alive: checkpoint.time, now: ck_realtime_nanos()) { key in
            ContinuityWatch.haveIDs.contains { key.type == $0.name } && goOn.contains(key)
        }
    }

    /// What is known of each instrument's continuity now.
    public func continuityDocument() -> ContinuityLedger.Document {
        continuity.document(time: ck_realtime_nanos())
    }

    /// Called several times a second.
    func lookAtContinuity(now: Int64) {
        let seen = ledgerTimes.withLock { times -> (changes: [ContinuityLedger.Look], isSweep: Bool)? in
            guard now >= times.nextLook else { return nil }
            times.nextLook = now + Collector.ledgerPeriod
            if let (plan, version) = live.fleet.plan(unless: times.watch?.version) {
                times.watch = ContinuityWatch(plan: plan, version: version)
            }
            return times.watch?.look(
                monitors: lanes.map(\.wireMonitor), activities: lanes.map(\.activity),
                clock: streamClock.reading())
        }
        guard let seen else { return }
        continuity.look(seen.changes, isSweep: seen.isSweep, time: ck_realtime_nanos())
        let mustWrite = ledgerTimes.withLock { times in
            now >= times.nextWrite && times.changes != continuity.changeCount
        }
        if mustWrite { writeContinuity() }
    }

    /// Replaces the file.
    func writeContinuity() {
        guard keepsLedger else { return }
        let begin = ck_monotonic_nanos()
        let changes = continuity.changeCount
        var problem = ""
        do throws(FileReplacement.Failure) {
            try continuityDocument().write(to: ledgerPath)
        } catch {
            problem = error.description
        }
        let end = ck_monotonic_nanos()
        let isNews = ledgerTimes.withLock { times in
            // A large ledger is written less often: it never takes more than a twentieth of a core.
            times.nextWrite = end + max(Collector.ledgerPeriod, 20 * (end - begin))
            times.changes = changes
            defer { times.problem = problem }
            return times.problem != problem
        }
        guard isNews else { return }
        if problem.isEmpty {
            logger.info("continuity: \(ledgerPath) is written again")
        } else {
            logger.warning(
                "continuity: \(problem); the next start will not know of earlier gaps"
            )
        }
    }
}

/// When the ledger is to be looked after next, monotonic ns.
struct LedgerTimes {
    var watch: ContinuityWatch?
    var nextLook: Int64 = 0
    var nextWrite: Int64 = 0
    /// What was written last.
    var changes = 0
    /// Why it was not.
    var problem = ""
}
