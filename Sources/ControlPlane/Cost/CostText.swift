import MarketData

/// An estimate for people.
enum CostText {
    /// Lines of the plan.
    static func render(_ estimate: CostEstimate) -> [String] {
        let rates = estimate.rates.sorted { $0.key < $1.key }.map { "\($0.key) \(fixed($0.value, 2))" }
        var lines = [
            "", "cost on Pub/Sub, estimated",
            "  for \(fixed(estimate.eventsPerSecond, 0)) events/s; of each symbol, by second: \(rates.joined(separator: ", "))",
            "  (your own: --rate trade=20). Publishing alone: each subscription's delivery costs as much again.",
        ]
        if estimate.streamsLeftOut > 0 {
            lines.append(
                "  Without \(HumanText.plural(estimate.streamsLeftOut, "all-market stream")), whose symbols are not known."
            )
        }
        lines.append("")
        var rows = [
            [
                "topics by", "delay", "topics", "events/batch", "requests/s", "billed/s", "$ a day",
                "busiest key",
            ]
        ]
        for row in estimate.rows {
            rows.append([
                row.layout == .configured ? "as configured" : row.layout.rawValue,
                HumanText.span(row.delayNanos),
                HumanText.count(row.topics), fixed(row.eventsPerBatch, 1), fixed(row.requestsPerSecond, 0),
                HumanText.bytes(Int(row.billedBytesPerSecond)), fixed(row.dollarsPerDay, 2),
                HumanText.bytes(Int(row.busiestKeyBytesPerSecond)) + "/s"
                    + (row.busiestKeyBytesPerSecond > 1e6 ? " (limit: 1 MB/s)" : ""),
            ])
        }
        return lines + HumanText.table(rows, names: 2).map { "  " + $0 }
    }

    private static func fixed(_ value: Double, _ digits: Int) -> String {
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = (value * scale).rounded()
        guard scaled.magnitude < 1e15 else { return "more" }
        let whole = Int(scaled)
        guard digits > 0 else { return HumanText.count(whole) }
        let text = String(whole)
        let padded = String(repeating: "0", count: max(0, digits + 1 - text.count)) + text
        return "\(padded.dropLast(digits)).\(padded.suffix(digits))"
    }
}
