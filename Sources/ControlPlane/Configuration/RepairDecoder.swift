import ExchangeAdapter

/// Decodes `exchanges[].repair:`.
struct RepairDecoder {
    /// `exchanges[]`.
    let exchange: ConfigurationSection

    /// What an address may ask for is shared with whatever else runs there: half of it, unless the file says otherwise.
    func decode(for adapter: any ExchangeAdapter) -> RepairSettings {
        let second: Int64 = 1_000_000_000
        var repair = RepairSettings()
        let section = exchange.section("repair")
        guard let backfill = adapter.backfill else {
            if section?.bool("enabled", default: false) == true {
                section?.error("enabled", "the exchange serves nothing to fill gaps with; leave it out")
            }
            return repair
        }
        repair.weightPerMinute = backfill.weightPerMinute / 2
        // A stand-in of the exchange is not filled up with what really happened.
        repair.isEnabled = !exchange.has("endpoint") || exchange.has("restEndpoint")
        guard let section else { return repair }
        repair.isEnabled = section.bool("enabled", default: repair.isEnabled)
        repair.weightPerMinute = section.integer(
            "weightPerMinute", default: repair.weightPerMinute, in: 50...backfill.weightPerMinute)
        repair.holdNanos = section.duration("hold", default: repair.holdNanos, in: 0...60 * second)
        repair.giveUpNanos = section.duration(
            "giveUpAfter", default: repair.giveUpNanos, in: second...86_400 * second)
        repair.maxIDs = Int64(
            section.integer("maxIds", default: Int(repair.maxIDs), in: 1...100_000_000))
        repair.timeoutNanos = section.duration(
            "timeout", default: repair.timeoutNanos, in: second / 10...60 * second)
        if repair.isEnabled, exchange.has("endpoint"), !exchange.has("restEndpoint") {
            section.error(
                "enabled",
                "endpoint names another server than the exchange's own, and restEndpoint does not say where its past is"
                    + " served; add restEndpoint, or write enabled: false")
        }
        if repair.giveUpNanos < repair.holdNanos {
            section.error(
                section.has("giveUpAfter") ? "giveUpAfter" : "hold",
                "gaps are given up after \(HumanText.span(repair.giveUpNanos)), while events wait"
                    + " \(HumanText.span(repair.holdNanos)) for them; make hold the shorter one")
        }
        return repair
    }
}
