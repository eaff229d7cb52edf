import ExchangeAdapter
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
