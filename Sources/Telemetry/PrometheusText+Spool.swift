extension PrometheusText {
    /// All 0 where there is no spool.
    static func addSpool(_ counts: CollectorSnapshot.SpoolCounts?, to page: inout MetricsPage) {
        let counts = counts ?? CollectorSnapshot.SpoolCounts()
        page.begin("collector_spool_bytes", .gauge, "Bytes on disk that wait for the sink.")
        page.sample([], counts.bytes)
        page.begin("collector_spool_oldest_seconds", .gauge, "Age of the oldest of these.")
        page.sample([], counts.oldestSeconds)
        page.begin("collector_spool_batches", .gauge, "Batches on disk that wait for the sink.")
        page.sample([], counts.batches)
        func counter(_ name: String, _ help: String, _ value: Int) {
            page.begin("collector_spool_\(name)_total", .counter, help)
            page.sample([], value)
        }
        counter("batches_stored", "Batches written to the spool.", counts.stored)
        counter("batches_handed", "Batches read back and handed to the sink.", counts.handed)
        counter("events_handed", "Events in these.", counts.eventsHanded)
        counter(
            "batches_acknowledged", "Batches of the spool that the sink acknowledged.", counts.acknowledged)
        counter("batches_recovered", "Batches that an earlier run left in the spool.", counts.recovered)
        counter("batches_dropped", "Batches that the spool dropped at a limit.", counts.dropped)
        counter("failures", "Writes, syncs and reads of the spool that failed.", counts.failures)
        counter(
            "stalls", "Times that the sink acknowledged nothing for 10 s although it reported no problem.",
            counts.stalls)
        counter(
            "damaged_bytes", "Bytes of the spool that were found damaged and skipped.", counts.damagedBytes)
    }
}
