import Batching
import CKernel
import Publishing
import Synchronization
import Telemetry

extension Collector {
    /// The exchange's name in figures of batches that the spool holds of a market that is no longer configured.
    static let otherExchange = "other"

    /// The spool, with what an earlier run left in it; nil where there is to be none. Call it before any thread runs.
    func makeSpool() throws -> Spool? {
        let from = configuration.spool
        guard from.isEnabled else { return nil }
        var settings = SpoolSettings(
            directory: configuration.collector.dataDirectory + "/spool",
            destination: "Pub/Sub project \(configuration.sink.project)",
            origin: Route.Origin(runID: runID, collector: configuration.collector.name))
        settings.maxBytes = from.maxBytes
        settings.maxAge = from.maxAge
        settings.segmentBytes = from.segmentBytes
        settings.fsync = from.fsync
        settings.syncInterval = from.fsyncInterval
        settings.whenFull = from.whenFull
        settings.patience = from.after
        settings.warnAge = from.warnAge
        settings.window = min(settings.window, configuration.sink.maxInFlightBytes / 4)
        let names = configuration.exchanges.map(\.exchange)
        return try Spool(settings: settings, routes: routes, ledger: ledger) { exchange in
            names.firstIndex(of: exchange) ?? names.count
        }
    }

    func spoolCounts() -> CollectorSnapshot.SpoolCounts? {
        guard let monitor = spooling.monitor else { return nil }
        var counts = CollectorSnapshot.SpoolCounts()
        counts.bytes = monitor.value(.bytes)
        counts.segments = monitor.value(.segments)
        counts.batches = monitor.value(.batches)
        if let oldest = monitor.oldestTime {
            counts.oldestSeconds = Double(max(0, ck_realtime_nanos() - oldest)) / 1e9
        }
        counts.stored = monitor.value(.stored)
        counts.handed = monitor.value(.handed)
        counts.eventsHanded = monitor.value(.eventsHanded)
        counts.acknowledged = monitor.value(.acknowledged)
        counts.recovered = monitor.value(.recovered)
        counts.dropped = monitor.value(.dropped)
        counts.failures = monitor.value(.failures)
        counts.stalls = monitor.value(.stalls)
        counts.damagedBytes = monitor.value(.damagedBytes)
        counts.problem = monitor.problem.flatMap { $0.recovered == nil ? $0.text : nil }
        counts.holdsAllInFlight = ledger.oldestUnsafe == nil && counts.batches > 0
        return counts
    }
}

/// What the control plane knows of the spool.
final class Spooling: Sendable {
    private let state = Mutex<SpoolMonitor?>(nil)

    func begin(_ monitor: SpoolMonitor?) { state.withLock { $0 = monitor } }

    var monitor: SpoolMonitor? { state.withLock { $0 } }
    var isEnabled: Bool { monitor != nil }
}

/// How long a drain waits for a sink that gets nowhere, where a spool has what the sink holds.
final class DrainPatience: Sendable {
    private let state = Mutex((published: -1, since: Int64(0)))

    /// ns.
    static let nanos: Int64 = 2_000_000_000

    /// Whether nothing was acknowledged for that long.
    func isOver(_ ledger: PublishLedger) -> Bool {
        let now = ck_monotonic_nanos()
        let published = ledger.total(.batchesPublished)
        return state.withLock { state in
            if published != state.published { state = (published, now) }
            return now - state.since >= DrainPatience.nanos
        }
    }
}
