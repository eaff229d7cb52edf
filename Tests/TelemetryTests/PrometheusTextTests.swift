import MarketData
import Rings
import Testing

@testable import Telemetry

/// A reader of the text format, strict about its grammar.
struct MetricsReader {
    struct Malformed: Error, CustomStringConvertible {
        let description: String
    }

    private(set) var types: [String: String] = [:]
    private(set) var help: [String: String] = [:]
    /// Series with their labels sorted → value.
    private(set) var samples: [String: Double] = [:]
    private(set) var order: [String] = []

    init(_ text: String) throws {
        guard text.hasSuffix("\n") else { throw Malformed(description: "no newline at the end") }
        var family = ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            if line.hasPrefix("# HELP ") {
                let parts = line.dropFirst(7).split(separator: " ", maxSplits: 1)
                guard parts.count == 2, help[String(parts[0])] == nil else {
                    throw Malformed(description: "\(line)")
                }
                help[String(parts[0])] = String(parts[1])
            } else if line.hasPrefix("# TYPE ") {
                let parts = line.dropFirst(7).split(separator: " ")
                guard parts.count == 2, types[String(parts[0])] == nil, help[String(parts[0])] != nil,
                    ["counter", "gauge", "histogram"].contains(parts[1])
                else { throw Malformed(description: "\(line)") }
                family = String(parts[0])
                types[family] = String(parts[1])
            } else {
                try readSample(line, family: family)
            }
        }
    }

    private mutating func readSample(_ line: Substring, family: String) throws {
        var rest = line[...]
        let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == ":") }
        rest = rest.dropFirst(name.count)
        let suffixes = types[family] == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
        guard !name.isEmpty, suffixes.contains(where: { name == family + $0 }) else {
            throw Malformed(description: "sample of another family: \(line)")
        }
        var labels: [String] = []
        if rest.first == "{" {
            rest.removeFirst()
            while rest.first != "}" {
                let label = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
                rest = rest.dropFirst(label.count)
                guard !label.isEmpty, rest.hasPrefix("=\"") else {
                    throw Malformed(description: "label: \(line)")
                }
                rest = rest.dropFirst(2)
                var value = ""
                while let character = rest.popFirst(), character != "\"" {
                    guard character == "\\" else {
                        value.append(character)
                        continue
                    }
                    switch rest.popFirst() {
                    case "n": value += "\n"
                    case "\\": value += "\\"
                    case "\"": value += "\""
                    default: throw Malformed(description: "escape: \(line)")
                    }
                }
                labels.append("\(label)=\(value)")
                if rest.first == "," {
                    rest.removeFirst()
                } else if rest.first != "}" {
                    throw Malformed(description: "after a label: \(line)")
                }
            }
            rest.removeFirst()
        }
        guard rest.popFirst() == " ", let value = Double(rest) else {
            throw Malformed(description: "value: \(line)")
        }
        let series = "\(name){\(labels.sorted().joined(separator: ","))}"
        guard samples[series] == nil else { throw Malformed(description: "twice: \(series)") }
        samples[series] = value
        order.append(series)
    }
}

@Suite struct PrometheusTextTests {
    @Test func theContractsNamesAreThere() throws {
        let reader = try MetricsReader(PrometheusText.render(sampleSnapshot()))
        let names = """
            collector_events_received_total collector_events_published_total collector_events_duplicate_total
            collector_events_dead_lettered_total collector_events_dropped_total collector_events_in_flight
            collector_frames_received_total collector_bytes_received_total collector_connections
            collector_reconnects_total collector_gaps_total collector_gaps_open collector_internal_latency_seconds
            collector_publish_latency_seconds collector_feed_latency_seconds collector_publish_requests_total
            collector_batches_published_total collector_bytes_published_total collector_queue_depth
            collector_spool_bytes collector_spool_oldest_seconds collector_thread_stalls_total
            """.split { $0 == " " || $0 == "\n" }.map(String.init)
        for name in names { #expect(reader.types[name] != nil, "\(name)") }
        for (name, type) in reader.types {
            #expect((type == "counter") == name.hasSuffix("_total"), "\(name)")
        }
    }

    @Test func slotsAndLegs() throws {
        let samples = try MetricsReader(PrometheusText.render(sampleSnapshot())).samples
        for (series, value) in [
            ("collector_connections_planned{exchange=binance}", 2),
            ("collector_sockets{exchange=binance}", 3),
            ("collector_handovers_total{exchange=binance,reason=rollover}", 4),
            ("collector_handovers_total{exchange=binance,reason=move}", 1),
            ("collector_handovers_failed_total{exchange=binance}", 5),
            ("collector_handover_promotions_total{exchange=binance}", 6),
            ("collector_probes_total{exchange=binance}", 7),
            ("collector_stream_suspects_total{exchange=binance}", 8),
            ("collector_resubscriptions_total{exchange=binance}", 9),
            ("collector_stream_revivals_total{exchange=binance}", 10),
            ("collector_streams_refused_total{exchange=binance}", 11),
            ("collector_streams{exchange=binance,state=delivering}", 6),
            ("collector_streams{exchange=binance,state=silent}", 3),
            ("collector_stream_silence_seconds{exchange=binance}", 1.5),
            ("collector_leg_won_total{exchange=binance,leg=0}", 12),
            ("collector_leg_won_total{exchange=binance,leg=1}", 13),
            ("collector_leg_lost_total{exchange=binance,leg=0}", 2),
            ("collector_leg_lead_seconds_count{exchange=binance,leg=0}", 12),
            ("collector_leg_lead_seconds_count{exchange=binance,leg=1}", 0),
            ("collector_connection_attempts{}", 17), ("collector_connection_attempts_limit{}", 300),
        ] as [(String, Double)] { #expect(samples[series] == value, "\(series)") }
    }

    @Test func oneLegIsEnough() {
        var snapshot = sampleSnapshot()
        snapshot.markets[0].slots.shards = 2
        snapshot.markets[0].connections = ["open": 2, "waiting": 2]
        snapshot.markets[0].slots.shardsOpen = 2
        #expect(snapshot.unreadiness == nil)
        snapshot.markets[0].slots.shardsOpen = 1
        #expect(snapshot.unreadiness == "binance: 2 of 4 connections are open")
    }

    @Test func silenceOfAllStreamsIsUnreadiness() {
        var snapshot = sampleSnapshot()
        snapshot.markets[0].connections = ["open": 2]
        #expect(snapshot.unreadiness == nil)
        #expect(snapshot.silentStreams == ["binance btcusdt@trade"])
        #expect(snapshot.silentStreamCount == 3)
        snapshot.markets[0].slots.streams = ["silent": 9]
        #expect(
            snapshot.unreadiness == "binance: none of 9 streams delivers, 9 are overdue")
        // There is time yet.
        snapshot.markets[0].slots.streams = ["waiting": 9]
        #expect(snapshot.unreadiness == nil)
    }

    @Test func valuesAndLabels() throws {
        let samples = try MetricsReader(PrometheusText.render(sampleSnapshot())).samples
        #expect(samples["collector_events_received_total{exchange=binance,type=trade}"] == 100)
        #expect(samples["collector_events_received_total{exchange=binance,type=unknown}"] == 1)
        #expect(samples["collector_events_published_total{exchange=binance,type=trade}"] == 90)
        #expect(samples["collector_events_duplicate_total{exchange=binance,type=trade}"] == 4)
        #expect(samples["collector_events_dead_lettered_total{exchange=binance,type=trade}"] == 1)
        #expect(
            samples["collector_events_dropped_total{exchange=binance,policy=keep-newest,type=trade}"] == 2)
        #expect(samples["collector_events_in_flight{exchange=binance,type=trade}"] == 3)
        #expect(samples["collector_gaps_total{exchange=binance,type=trade}"] == 5)
        #expect(samples["collector_gaps_open{exchange=binance,type=trade}"] == 1)
        #expect(samples["collector_connections{exchange=binance,state=open}"] == 2)
        #expect(samples["collector_reconnects_total{cause=silence,exchange=binance}"] == 3)
        #expect(samples["collector_connection_attempts_failed_total{cause=resolve,exchange=binance}"] == 11)
        #expect(samples["collector_frames_ignored_total{exchange=binance}"] == 7)
        #expect(samples["collector_queue_depth{queue=frames-0}"] == 4)
        #expect(samples["collector_queue_capacity_bytes{queue=frames-0}"] == 65_536)
        #expect(samples["collector_thread_stalls_total{thread=parse-0}"] == 1)
        #expect(samples["collector_thread_busy_seconds_total{thread=parse-0}"] == 0.0025)
        #expect(samples["collector_thread_longest_cycle_seconds{thread=parse-0}"] == 0.0125)
        #expect(samples["collector_publish_requests_total{code=UNAVAILABLE}"] == 1)
        #expect(samples["collector_bytes_published_total{}"] == 3_000)
        #expect(samples["collector_info{name=test \"one\"\\two\nthree,version=1.2.3}"] == 1)
        #expect(samples["collector_start_time_seconds{}"] == 1_700_000_000.5)
    }

    @Test func histogramsAreCumulativeAndInSeconds() throws {
        let reader = try MetricsReader(PrometheusText.render(sampleSnapshot()))
        let prefix = "collector_internal_latency_seconds_bucket{exchange=binance,le="
        let buckets = reader.order.filter { $0.hasPrefix(prefix) }
        #expect(buckets.count == PrometheusText.latencyBounds.count + 1)
        let bounds = try buckets.map { series in
            let text = series.dropFirst(prefix.count).prefix { $0 != "," }
            return text == "+Inf" ? Double.infinity : try #require(Double(text))
        }
        #expect(bounds == bounds.sorted())
        #expect(bounds.first == 1e-6)
        #expect(bounds.dropLast().last == 10)
        let counts = buckets.compactMap { reader.samples[$0] }
        #expect(counts == counts.sorted())
        #expect(counts.first == 1)
        #expect(counts.dropLast().last == 99)
        #expect(counts.last == 100)
        #expect(
            reader.samples["collector_internal_latency_seconds_count{exchange=binance,type=trade}"] == 100)
        let sum = try #require(
            reader.samples["collector_internal_latency_seconds_sum{exchange=binance,type=trade}"])
        #expect(abs(sum - (900e-9 + 98 * 150e-6 + 20)) < 1e-9)
    }

    @Test func anEmptySnapshotIsAValidPage() throws {
        let reader = try MetricsReader(PrometheusText.render(CollectorSnapshot()))
        #expect(reader.samples["collector_batches_published_total{}"] == 0)
    }

    @Test func accountsAddUp() {
        let snapshot = sampleSnapshot()
        #expect(snapshot.events.allSatisfy { $0.unaccounted == 0 })
        var counts = snapshot.events[0]
        counts.published -= 1
        #expect(counts.unaccounted == 1)
    }

    @Test func readiness() {
        var snapshot = sampleSnapshot()
        #expect(snapshot.unreadiness == "binance: 2 of 3 connections are open")
        snapshot.markets[0].connections = ["open": 3, "connecting": 0]
        #expect(snapshot.unreadiness == nil)
        snapshot.undelivered = "disk full"
        #expect(snapshot.unreadiness == "disk full")
        #expect(CollectorSnapshot().unreadiness == "no exchange is connected yet")
    }
}
