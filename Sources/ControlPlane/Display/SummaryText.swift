import Telemetry

/// The account at the end of a run: nothing received may be missing.
public enum SummaryText {
    /// A table by exchange and type with a last line that begins with `OK` or `NOT OK`. After a drain nothing is in
    /// flight; what still is was not published and makes the account not OK, unless the spool has it.
    public static func render(_ snapshot: CollectorSnapshot) -> (text: String, isBalanced: Bool) {
        let events = snapshot.events.filter { $0.received > 0 || $0.published > 0 }
        var rows = [
            [
                "exchange", "type", "received", "published", "duplicates", "dead letters", "dropped",
                "in flight",
            ]
        ]
        for counts in events {
            rows.append([
                counts.exchange, counts.type, HumanText.count(counts.received),
                HumanText.count(counts.published),
                HumanText.count(counts.duplicates), HumanText.count(counts.deadLettered),
                HumanText.count(counts.droppedTotal), HumanText.count(counts.inFlight),
            ])
        }
        func sum(_ value: (CollectorSnapshot.EventCounts) -> Int) -> Int { events.map(value).reduce(0, +) }
        let received = sum(\.received)
        rows.append([
            "all", "", HumanText.count(received), HumanText.count(sum(\.published)),
            HumanText.count(sum(\.duplicates)),
            HumanText.count(sum(\.deadLettered)), HumanText.count(sum(\.droppedTotal)),
            HumanText.count(sum(\.inFlight)),
        ])
        var lines = HumanText.table(rows, names: 2)
        let publishing = snapshot.publishing
        lines.append("")
        lines.append(
            "\(HumanText.count(publishing.batches)) batches, \(HumanText.bytes(publishing.rawBytes)) of JSON,"
                + " \(HumanText.bytes(publishing.compressedBytes)) handed to the sink"
                + (publishing.sink.isEmpty ? "" : " (\(publishing.sink))"))
        let gaps = sum(\.gaps)
        if gaps > 0 {
            lines.append("\(HumanText.count(gaps)) gaps seen, \(HumanText.count(sum(\.gapsOpen))) still open")
        }
        let spooled = snapshot.spool.map { $0.holdsAllInFlight ? $0.batches : 0 } ?? 0
        let wrong = events.filter { $0.unaccounted != 0 || ($0.inFlight != 0 && spooled == 0) }
        if wrong.isEmpty, spooled > 0 {
            lines.append(
                "OK: \(HumanText.count(sum(\.inFlight))) events in \(HumanText.count(spooled)) batches wait in the"
                    + " spool for the next start, all others are accounted for")
        } else if wrong.isEmpty {
            let isPlain = received == sum(\.published)
            lines.append(
                "OK: received \(HumanText.count(received)) = "
                    + (isPlain ? "published" : "published + duplicates + dead letters + dropped"))
        } else {
            let parts = wrong.map { counts in
                let what = [
                    counts.inFlight == 0 ? nil : "\(HumanText.count(counts.inFlight)) not published",
                    counts.unaccounted == 0 ? nil : "\(HumanText.count(counts.unaccounted)) unaccounted for",
                ].compactMap(\.self)
                return "\(counts.exchange) \(counts.type): \(what.joined(separator: ", "))"
            }
            lines.append("NOT OK: " + parts.joined(separator: "; "))
        }
        return (lines.joined(separator: "\n"), wrong.isEmpty)
    }
}
