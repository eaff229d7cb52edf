import CKernel
import ExchangeAdapter
import Logging
import Wire

/// Holes are filled over REST, a thread for each budget that an exchange has of this address.
extension Collector {
    /// The services of a configuration.
    func makeRepairServices(adapters: [any ExchangeAdapter]) -> [RepairService] {
        var pools: [String: (places: [Int: RepairClient.Place], markets: [Int: RepairPlanner.Market])] = [:]
        for (market, exchange) in configuration.exchanges.enumerated() where exchange.repair.isEnabled {
            guard let backfill = adapters[market].backfill else { continue }
            var endpoint = exchange.restEndpoint ?? backfill.defaultEndpoint
            while endpoint.hasSuffix("/") { endpoint.removeLast() }
            pools[backfill.pool, default: ([:], [:])].places[market] = RepairClient.Place(
                endpoint: endpoint, tls: exchange.tls, proxy: exchange.network.proxy,
                backfill: backfill)
            pools[backfill.pool]?.markets[market] = RepairPlanner.Market(
                backfill: backfill, settings: exchange.repair)
        }
        let ends = lanes.map { RepairService.LaneEnd(mailbox: $0.repair, instruments: $0.instruments) }
        return pools.sorted { $0.key < $1.key }.map { _, pool in
            RepairService(places: pool.places, markets: pool.markets, lanes: ends, logger: logger)
        }
    }
}

/// The checkpoint: how far everything is safe.
extension Collector {
    private static func checkpointPath(_ configuration: Configuration) -> String {
        configuration.collector.dataDirectory + "/checkpoint"
    }

    /// What the last run left; nothing where no market is repaired or the file cannot be used, which is said.
    static func checkpoint(_ configuration: Configuration, logger: Logger) -> Checkpoint {
        guard configuration.exchanges.contains(where: \.repair.isEnabled) else { return Checkpoint() }
        let path = checkpointPath(configuration)
        do throws(Checkpoint.Unusable) {
            guard let found = try Checkpoint.read(from: path) else { return Checkpoint() }
            let age = HumanText.span(max(0, ck_realtime_nanos() - found.time))
            logger.info(
                "checkpoint: \(found.sequences.count) sequences go on where they were \(age) ago, \(found.holes.count) gaps are to be filled"
            )
            return found
        } catch {
            logger.error(
                "checkpoint: \(path) is not used: \(error); the collector goes on without it, and what was missed before this start is not repaired"
            )
            return Checkpoint()
        }
    }

    /// Age of what a start after a crash would go on from; nil: nothing is written.
    func checkpointSeconds(now: Int64) -> Double? {
        guard let keeper = keeper.withLock({ $0 }) else { return nil }
        let written = [keeper.lastWritten, checkpoint.time].first { $0 > 0 } ?? startTime
        return Double(max(0, now - written)) / 1e9
    }

    /// Writes checkpoints from now on, where something is repaired.
    func startCheckpoints(_ services: [RepairService]) {
        let markets = Set(
            configuration.exchanges.indices.filter { configuration.exchanges[$0].repair.isEnabled })
        guard !markets.isEmpty else { return }
        let code = ck_make_directories(configuration.collector.dataDirectory)
        if code < 0 {
            logger.error("checkpoint: cannot make \(configuration.collector.dataDirectory): errno \(-code)")
        }
        let ends = lanes.map {
            CheckpointKeeper.LaneEnd(
                commands: $0.parserCommands, instruments: $0.instruments, eventRing: $0.eventRing)
        }
        let made = CheckpointKeeper(
            path: Collector.checkpointPath(configuration), lanes: ends, markets: markets,
            batchRing: batchRing,
            batches: batchMonitor, ledger: ledger, repairs: services, resumed: checkpoint, logger: logger)
        keeper.withLock { $0 = made }
        made.start()
    }

    /// After everything has been drained, while the parsers still run.
    func beginLastCheckpoint(deadline: Int64) async {
        guard let keeper = keeper.withLock({ $0 }) else { return }
        keeper.requestLast()
        await wait(until: min(deadline, ck_monotonic_nanos() + Collector.lastCheckpointNanos)) {
            keeper.hasCopiedLast || keeper.hasWrittenLast
        }
    }

    /// After everything is acknowledged, or in the spool.
    func endLastCheckpoint(deadline: Int64) async {
        guard let keeper = keeper.withLock({ $0 }) else { return }
        if keeper.hasCopiedLast {
            await wait(until: min(deadline, ck_monotonic_nanos() + Collector.lastCheckpointNanos)) {
                keeper.hasWrittenLast
            }
        }
        keeper.stop()
        await wait(until: ck_monotonic_nanos() + Collector.lastCheckpointNanos) { keeper.isStopped }
        if !keeper.hasWrittenLast {
            logger.warning(
                "checkpoint: the last one could not be written in time; the next start fetches again what came since the one before"
            )
        }
    }

    /// How long each half of the last checkpoint may take, ns.
    private static let lastCheckpointNanos: Int64 = 2_000_000_000
}
