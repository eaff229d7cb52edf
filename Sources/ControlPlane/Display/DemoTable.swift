import MarketData
import Rings
import Telemetry

/// The live view of a collector in a terminal.
public enum DemoTable {
    /// A table of several lines, each at most `width` characters. Rates are those since `previous`, over `interval`
    /// seconds; latencies are those since `previous` too (the maximum since the start).
    public static func render(
        current: CollectorSnapshot, previous: CollectorSnapshot, interval: Double, width: Int
    ) -> String {
        let change = Change(current: current, previous: previous, interval: interval)
        var lines = [header(change), ""]
        lines += HumanText.table(rows(change))
        lines += ["", batches(change), queues(current)]
        if let connections = connections(current) { lines.append(connections) }
        if let error = current.lastError { lines.append("last error: \(error)") }
        return lines.map { clip($0, to: width) }.joined(separator: "\n")
    }

    /// The same in one line, for outputs that are no terminal.
    public static func line(current: CollectorSnapshot, previous: CollectorSnapshot, interval: Double)
        -> String
    {
        let change = Change(current: current, previous: previous, interval: interval)
        let latency = change.latencies.reduce(into: LatencySnapshot()) { $0.merge($1.internal) }
        return header(change) + " · \(HumanText.count(change.receivedTotal)) received"
            + " · \(HumanText.count(change.publishedTotal)) published"
            + " · internal p50 \(HumanText.duration(latency.quantile(0.5)))"
            + " p99 \(HumanText.duration(latency.quantile(0.99)))"
    }

    /// Two snapshots and what lies between them.
    private struct Change {
        var current: CollectorSnapshot
        var previous: CollectorSnapshot
        var interval: Double

        func rate(_ now: Int, _ before: Int) -> String {
            interval > 0 ? HumanText.count(Int((Double(max(0, now - before)) / interval).rounded())) : "–"
        }

        /// Events by kind, all exchanges together, in the order of the kinds; unknown last.
        var kinds:
            [(
                kind: EventKind?, now: [CollectorSnapshot.EventCounts],
                before: [CollectorSnapshot.EventCounts]
            )]
        {
            let all = EventKind.allCases.map(Optional.some) + [nil]
            return all.compactMap { kind in
                let now = current.events.filter { $0.kind == kind }
                guard now.contains(where: { $0.received > 0 }) else { return nil }
                return (kind, now, previous.events.filter { $0.kind == kind })
            }
        }

        /// Latencies since the earlier snapshot, by kind.
        var latencies: [CollectorSnapshot.LatencyCounts] {
            current.latencies.map { latency in
                let before = previous.latencies.first {
                    $0.kind == latency.kind && $0.exchange == latency.exchange
                }
                guard let before else { return latency }
                return CollectorSnapshot.LatencyCounts(
                    exchange: latency.exchange, kind: latency.kind,
                    internal: latency.internal.since(before.internal),
                    publish: latency.publish.since(before.publish), feed: latency.feed.since(before.feed))
            }
        }

        var receivedTotal: Int { current.events.map(\.received).reduce(0, +) }
        var publishedTotal: Int { current.events.map(\.published).reduce(0, +) }
    }

    private static func header(_ change: Change) -> String {
        let snapshot = change.current
        let states = snapshot.connectionsByState.filter { $0.value > 0 }.sorted { $0.key < $1.key }
        let connections =
            states.isEmpty ? "none" : states.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        let frames = snapshot.markets.map(\.frames).reduce(0, +)
        let bytes = snapshot.markets.map(\.bytes).reduce(0, +)
        let framesBefore = change.previous.markets.map(\.frames).reduce(0, +)
        let bytesBefore = change.previous.markets.map(\.bytes).reduce(0, +)
        let byteRate = change.interval > 0 ? Int(Double(max(0, bytes - bytesBefore)) / change.interval) : 0
        return
            "\(snapshot.name) · \(HumanText.clock(Int((snapshot.time - snapshot.startTime) / 1_000_000_000)))"
            + " · connections: \(connections) · \(change.rate(frames, framesBefore)) frames/s"
            + " · \(HumanText.bytes(byteRate))/s"
    }

    private static func rows(_ change: Change) -> [[String]] {
        var rows = [
            [
                "type", "events/s", "received", "published", "in flight", "lost", "p50", "p99", "p99.9",
                "max",
                "publish p50", "p99",
            ]
        ]
        let latencies = change.latencies
        for (kind, now, before) in change.kinds {
            func sum(_ value: (CollectorSnapshot.EventCounts) -> Int) -> Int { now.map(value).reduce(0, +) }
            let ofKind = latencies.filter { $0.kind == kind }
            let inside = ofKind.reduce(into: LatencySnapshot()) { $0.merge($1.internal) }
            let publish = ofKind.reduce(into: LatencySnapshot()) { $0.merge($1.publish) }
            rows.append([
                kind?.name ?? "unknown",
                change.rate(sum(\.received), before.map(\.received).reduce(0, +)),
                HumanText.count(sum(\.received)), HumanText.count(sum(\.published)),
                HumanText.count(sum(\.inFlight)),
                HumanText.count(sum(\.droppedTotal) + sum(\.deadLettered)),
                HumanText.duration(inside.quantile(0.5)), HumanText.duration(inside.quantile(0.99)),
                HumanText.duration(inside.quantile(0.999)), HumanText.duration(inside.maximum),
                HumanText.duration(publish.quantile(0.5)), HumanText.duration(publish.quantile(0.99)),
            ])
        }
        return rows
    }

    private static func batches(_ change: Change) -> String {
        let now = change.current.publishing
        let before = change.previous.publishing
        var text = "batches \(HumanText.count(now.batches)) (\(change.rate(now.batches, before.batches))/s)"
        text += " · \(HumanText.bytes(now.rawBytes))"
        if now.compressedBytes > 0, now.compressedBytes != now.rawBytes {
            let ratio = Double(now.rawBytes) / Double(now.compressedBytes)
            text +=
                " → \(HumanText.bytes(now.compressedBytes)) after zstd (\(HumanText.fixed(ratio)) times smaller)"
        }
        return text + (now.sink.isEmpty ? "" : " · sink \(now.sink)")
    }

    private static func queues(_ snapshot: CollectorSnapshot) -> String {
        let parts = snapshot.queues.map {
            "\($0.name) \(HumanText.count($0.records)) (\(HumanText.bytes($0.bytes)))"
        }
        return "queues " + (parts.isEmpty ? "none" : parts.joined(separator: " · "))
    }

    /// What the connections went through; nil where nothing is to be told.
    private static func connections(_ snapshot: CollectorSnapshot) -> String? {
        var parts: [String] = []
        let handovers = snapshot.markets.reduce(into: [String: Int]()) {
            $0.merge($1.slots.handovers, uniquingKeysWith: +)
        }
        if !handovers.isEmpty {
            let reasons = handovers.sorted { $0.key < $1.key }.map {
                "\(HumanText.count($0.value)) \($0.key)"
            }
            parts.append("replaced \(reasons.joined(separator: ", "))")
        }
        let reconnects = snapshot.markets.reduce(0) { $0 + $1.reconnects.values.reduce(0, +) }
        if reconnects > 0 { parts.append("reconnects \(HumanText.count(reconnects))") }
        for leg in 0..<2 {
            let legs = snapshot.markets.flatMap(\.slots.legs)
            let all = legs.reduce(0) { $0 + $1.won }
            guard all > 0 else { continue }
            let won = legs.filter { $0.leg == leg }.reduce(0) { $0 + $1.won }
            parts.append("leg \(leg) first \(HumanText.fixed(100 * Double(won) / Double(all))) %")
        }
        if snapshot.silentStreamCount > 0 {
            parts.append(HumanText.plural(snapshot.silentStreamCount, "silent stream"))
        }
        return parts.isEmpty ? nil : "connections " + parts.joined(separator: " · ")
    }

    private static func clip(_ line: String, to width: Int) -> String {
        guard line.count > width, width > 1 else { return line }
        return line.prefix(width - 1) + "…"
    }
}
