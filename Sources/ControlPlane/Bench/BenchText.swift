import Rings
import Telemetry

/// What ``Bench`` measured, for people.
public enum BenchText {
    /// The budget stage by stage, then throughput and threads.
    public static func render(_ result: Bench.Result) -> String {
        (budget(result) + [""] + throughput(result) + [""] + threads(result)).joined(separator: "\n")
    }

    private static func budget(_ result: Bench.Result) -> [String] {
        var rows = [["stage", "p50", "p99", "p99.9", "mean", "of which here"]]
        var before = 0.0
        for (end, begin) in zip(result.end.stages, result.begin.stages) {
            let latency = end.latency.since(begin.latency)
            let mean = latency.mean
            rows.append(row(end.stage, latency) + [micros(mean - before)])
            before = mean
        }
        func merged(_ value: (CollectorSnapshot.LatencyCounts) -> LatencySnapshot) -> LatencySnapshot {
            func all(_ snapshot: CollectorSnapshot) -> LatencySnapshot {
                snapshot.latencies.reduce(into: LatencySnapshot()) { $0.merge(value($1)) }
            }
            return all(result.end).since(all(result.begin))
        }
        rows.append(row("closed → acknowledged", merged(\.publish)) + [micros(merged(\.publish).mean)])
        rows.append(row("sent → received", merged(\.feed)) + [micros(merged(\.feed).mean)])
        rows.append(row("sent → closed", merged(\.endToEnd)) + [""])
        return [
            "latency, µs: from the kernel's receipt until the stage is done; \"of which here\" is by means"
        ]
            + HumanText.table(rows)
    }

    private static func row(_ name: String, _ latency: LatencySnapshot) -> [String] {
        [name] + [0.5, 0.99, 0.999].map { micros(Double(latency.quantile($0))) } + [micros(latency.mean)]
    }

    private static func micros(_ nanos: Double) -> String { HumanText.fixed(nanos / 1_000) }

    private static func throughput(_ result: Bench.Result) -> [String] {
        let seconds = Double(result.end.time - result.begin.time) / 1e9
        func published(_ snapshot: CollectorSnapshot) -> Int {
            snapshot.events.reduce(0) { $0 + $1.published }
        }
        let events = published(result.end) - published(result.begin)
        let batches = result.end.publishing.batches - result.begin.publishing.batches
        let raw = result.end.publishing.rawBytes - result.begin.publishing.rawBytes
        let packed = result.end.publishing.compressedBytes - result.begin.publishing.compressedBytes
        return [
            "\(HumanText.count(Int(Double(events) / seconds))) events/s for \(HumanText.fixed(seconds)) s, draining included; "
                + "\(HumanText.fixed(Double(events) / Double(max(1, batches)))) events a batch, "
                + "\(HumanText.fixed(Double(raw) / Double(max(1, packed)))) bytes of JSON a byte sent"
        ]
    }

    private static func threads(_ result: Bench.Result) -> [String] {
        var rows = [["thread", "CPU", "turns/s", "busy turns/s", "busy", "stalls", "longest turn"]]
        let seconds = Double(result.end.time - result.begin.time) / 1e9
        for (end, begin) in zip(result.end.threads, result.begin.threads) {
            func rate(_ count: UInt64) -> String { HumanText.count(Int(Double(count) / seconds)) }
            rows.append([
                end.name, end.cpu.map { "\($0)" } ?? "any", rate(end.cycles - begin.cycles),
                rate(end.busyCycles - begin.busyCycles),
                "\(HumanText.fixed(Double(end.busyNanos - begin.busyNanos) / 1e7 / seconds)) %",
                "\(end.stalls - begin.stalls)",
                HumanText.duration(Int(end.longestCycleNanos)),
            ])
        }
        return HumanText.table(rows)
    }
}

extension LatencySnapshot {
    /// ns; 0 where there are none.
    var mean: Double { count == 0 ? 0 : Double(sum) / Double(count) }
}
