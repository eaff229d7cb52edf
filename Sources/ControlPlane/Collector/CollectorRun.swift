import CKernel
import Logging
import Telemetry

/// A collector's life as a service: started, watched, drained when asked to stop.
public enum CollectorRun {
    /// How long a drain may take, ns: Kubernetes kills a pod 30 s after it asked it to stop.
    public static let graceNanos: Int64 = 25_000_000_000

    /// Runs until `stop` is requested.
    ///
    /// - Parameters:
    ///   - keepsAttempts: counts the connection attempts of an earlier run, and keeps those of this one, in the data
    ///     directory.
    ///   - reload: reads the configuration again, when SIGHUP asks for it; nil: nothing can be reloaded.
    ///   - watch: called about ten times a second with the collector.
    /// - Returns: the figures at the end, and whether all that was received was delivered.
    public static func run(
        _ configuration: Configuration, logger: Logger, stop: StopRequest, keepsAttempts: Bool = false,
        reload: (@Sendable () throws -> Configuration.Loaded)? = nil,
        watch: (Collector) async throws -> Void = { _ in }
    ) async throws -> (snapshot: CollectorSnapshot, isDelivered: Bool) {
        let collector = try Collector(configuration: configuration, logger: logger)
        var api: ManagementAPI?
        if let listen = configuration.api.listen {
            api = try await ManagementAPI.start(
                listen: listen, token: configuration.api.token, streams: collector
            ) { collector.snapshot() }
            logger.info(
                "API on http://\(api?.address.description ?? "") (/metrics, /healthz, /readyz, /v1/…)")
        }
        if keepsAttempts { collector.attempts.recover(now: ck_monotonic_nanos(), wall: ck_realtime_nanos()) }
        collector.threads.leavePinnedCPUs()
        try collector.start()
        logger.info("collecting", metadata: ["threads": "\(collector.threadSummary)"])
        var failure: (any Error)?
        var reloads = 0
        let ticker = Ticker(microseconds: 100_000)
        defer { ticker.stop() }
        while !stop.isRequested, failure == nil, !collector.ledger.hasEnded {
            await ticker.next()
            collector.look()
            if keepsAttempts { collector.attempts.keep(now: ck_monotonic_nanos(), wall: ck_realtime_nanos()) }
            if stop.reloads > reloads {
                reloads = stop.reloads
                collector.reload(reload, api: api)
            }
            do { try await watch(collector) } catch { failure = error }
        }
        logger.info("draining")
        let isDelivered = await collector.drain(graceNanos: collector.ledger.hasEnded ? 0 : graceNanos)
        if keepsAttempts {
            collector.attempts.keep(now: ck_monotonic_nanos(), wall: ck_realtime_nanos(), isLast: true)
        }
        collector.logNotices()
        await api?.stop()
        if let failure { throw failure }
        return (collector.snapshot(), isDelivered)
    }
}

extension Collector {
    fileprivate func reload(
        _ load: (@Sendable () throws -> Configuration.Loaded)?, api: ManagementAPI?
    ) {
        guard let load else {
            logger.warning("SIGHUP: there is no configuration file to reload, nothing was changed")
            return
        }
        Reload(
            running: configuration, subscriptions: live, logger: logger, load: load,
            replaceToken: { api?.replaceToken($0) }
        ).run()
    }

    /// `lane-0 on CPU 1, publish`.
    var threadSummary: String {
        threads.controls.map { control in
            threads.cpu(of: control).map { "\(control.name) on CPU \($0)" } ?? control.name
        }.joined(separator: ", ")
    }
}
