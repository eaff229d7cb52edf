import Rings

/// Prometheus' text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
public enum PrometheusText {
    /// For the `Content-Type` header.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// Upper bounds of the latency buckets, ns: 1, 2, 5 from 1 µs to 10 s.
    public static let latencyBounds: [Int] = {
        var bounds: [Int] = []
        var decade = 1_000
        while decade < 10_000_000_000 {
            bounds += [decade, 2 * decade, 5 * decade]
            decade *= 10
        }
        return bounds + [10_000_000_000]
    }()

    /// All metrics of a snapshot.
    public static func render(_ snapshot: CollectorSnapshot) -> String {
        var page = MetricsPage()
        addEvents(snapshot, to: &page)
        addMarkets(snapshot, to: &page)
        addSlots(snapshot, to: &page)
        addPublishing(snapshot.publishing, time: snapshot.time, to: &page)
        addSpool(snapshot.spool, to: &page)
        if let seconds = snapshot.checkpointSeconds {
            page.begin(
                "collector_checkpoint_age_seconds", .gauge,
                "Age of the checkpoint from which a start after a crash would go on.")
            page.sample([], seconds)
        }
        addQueuesAndThreads(snapshot, to: &page)
        addLatencies(snapshot, to: &page)
        page.begin("collector_info", .gauge, "The collector's version and name; always 1.")
        page.sample([("name", snapshot.name), ("version", snapshot.version)], 1)
        page.begin(
            "collector_start_time_seconds", .gauge, "When the collector began, seconds since the epoch.")
        page.sample([], seconds: Int(snapshot.startTime))
        return page.text
    }

    private static func addEvents(_ snapshot: CollectorSnapshot, to page: inout MetricsPage) {
        func family(
            _ name: String, _ type: MetricsPage.Kind, _ help: String,
            _ value: (CollectorSnapshot.EventCounts) -> Int
        ) {
            page.begin(name, type, help)
            for counts in snapshot.events {
                page.sample([("exchange", counts.exchange), ("type", counts.type)], value(counts))
            }
        }
        family(
            "collector_events_received_total", .counter,
            "Events read, duplicates, dead letters and recovered ones included.",
            \.received)
        family(
            "collector_events_recovered_total", .counter,
            "Events among these that an earlier run left in the spool.", \.recovered)
        family(
            "collector_events_published_total", .counter, "Events that the sink acknowledged.", \.published)
        family(
            "collector_events_duplicate_total", .counter, "Events dropped because they had come before.",
            \.duplicates)
        family(
            "collector_events_dead_lettered_total", .counter, "Frames that could not be read.", \.deadLettered
        )
        page.begin(
            "collector_events_dropped_total", .counter, "Events dropped by a full queue, by its policy.")
        for counts in snapshot.events {
            for (policy, count) in counts.dropped.sorted(by: { $0.key < $1.key }) {
                page.sample(
                    [("exchange", counts.exchange), ("type", counts.type), ("policy", policy)], count)
            }
        }
        family("collector_events_in_flight", .gauge, "Events received and not yet acknowledged.", \.inFlight)
        family("collector_gaps_total", .counter, "Gaps seen in contiguous ids.", \.gaps)
        family("collector_gaps_open", .gauge, "Gaps that are neither repaired nor explained.", \.gapsOpen)
        page.begin(
            "collector_gap_ids_total", .counter,
            "Ids that were missing, by what became of them: repaired, absent at the exchange, lost.")
        for counts in snapshot.events {
            for (state, count) in counts.gapIDs.sorted(by: { $0.key < $1.key }) {
                page.sample([("exchange", counts.exchange), ("type", counts.type), ("state", state)], count)
            }
        }
    }

    private static func addMarkets(_ snapshot: CollectorSnapshot, to page: inout MetricsPage) {
        func family(_ name: String, _ help: String, _ value: (CollectorSnapshot.MarketCounts) -> Int) {
            page.begin(name, .counter, help)
            for market in snapshot.markets { page.sample([("exchange", market.exchange)], value(market)) }
        }
        func family(
            _ name: String, _ type: MetricsPage.Kind, _ help: String, label: String,
            _ values: (CollectorSnapshot.MarketCounts) -> [String: Int]
        ) {
            page.begin(name, type, help)
            for market in snapshot.markets {
                for (key, count) in values(market).sorted(by: { $0.key < $1.key }) {
                    page.sample([("exchange", market.exchange), (label, key)], count)
                }
            }
        }
        family("collector_frames_received_total", "WebSocket messages received.", \.frames)
        family("collector_bytes_received_total", "Bytes received, after decryption.", \.bytes)
        family(
            "collector_frames_ignored_total", "Messages of streams that nobody asked for.", \.ignoredFrames)
        family("collector_connections", .gauge, "Connections by state.", label: "state", \.connections)
        family(
            "collector_reconnects_total", .counter,
            "Open connections that ended and are made anew, by cause.", label: "cause", \.reconnects)
        family(
            "collector_connection_attempts_failed_total", .counter,
            "Attempts at a connection that did not open one, by cause.", label: "cause", \.failedAttempts)
    }

    private static func addPublishing(
        _ counts: CollectorSnapshot.PublishingCounts, time: Int64, to page: inout MetricsPage
    ) {
        page.begin("collector_batches_published_total", .counter, "Batches that the sink acknowledged.")
        page.sample([], counts.batches)
        page.begin(
            "collector_bytes_published_total", .counter, "Bytes of these batches as handed to the sink.")
        page.sample([], counts.compressedBytes)
        page.begin(
            "collector_bytes_published_raw_total", .counter, "Bytes of these batches before compression.")
        page.sample([], counts.rawBytes)
        page.begin("collector_publish_requests_total", .counter, "Requests to Pub/Sub by outcome.")
        for (code, count) in counts.requests.sorted(by: { $0.key < $1.key }) {
            page.sample([("code", code)], count)
        }
        page.begin("collector_publish_retries_total", .counter, "Requests to Pub/Sub that were sent again.")
        page.sample([], counts.retries)
        page.begin(
            "collector_publish_billed_bytes_total", .counter,
            "Bytes that Pub/Sub bills for publishing, estimated; each subscription's delivery comes on top.")
        page.sample([], counts.billedBytes)
        page.begin(
            "collector_publish_cost_dollars_per_day", .gauge,
            "What publishing as in the last minute would cost in a day, US dollars, estimated.")
        page.sample([], counts.dollarsPerDay)
        page.begin("collector_publish_connections", .gauge, "Connections to Pub/Sub.")
        page.sample([], counts.connections)
        page.begin("collector_publish_reconnects_total", .counter, "Connections to Pub/Sub that ended.")
        page.sample([], counts.reconnects)
        page.begin("collector_publish_topics_pending", .gauge, "Topics that are still to be made.")
        page.sample([], counts.topicsPending)
        page.begin(
            "collector_publish_keys_paused", .gauge, "Topics and ordering keys that rest after an error.")
        page.sample([], counts.keysPaused)
        page.begin(
            "collector_publish_keys_paused_oldest_seconds", .gauge, "How long the first of these has rested.")
        page.sample([], counts.paused.first.map { Double(max(0, time - $0.since)) / 1e9 } ?? 0)
    }

    private static func addQueuesAndThreads(_ snapshot: CollectorSnapshot, to page: inout MetricsPage) {
        func family(_ name: String, _ help: String, _ value: (CollectorSnapshot.QueueDepth) -> Int) {
            page.begin(name, .gauge, help)
            for queue in snapshot.queues { page.sample([("queue", queue.name)], value(queue)) }
        }
        family("collector_queue_depth", "Items in a queue.", \.records)
        family("collector_queue_bytes", "Bytes in a queue.", \.bytes)
        family("collector_queue_capacity_bytes", "Bytes that a queue can hold.", \.capacity)
        func family(_ name: String, _ help: String, _ value: (CollectorSnapshot.ThreadCounts) -> Int) {
            page.begin(name, .counter, help)
            for thread in snapshot.threads { page.sample([("thread", thread.name)], value(thread)) }
        }
        family("collector_thread_cycles_total", "Turns of a stage thread's loop.") {
            Int(clamping: $0.cycles)
        }
        family("collector_thread_busy_cycles_total", "Turns that found work.") {
            Int(clamping: $0.busyCycles)
        }
        page.begin(
            "collector_thread_busy_seconds_total", .counter,
            "Time in turns that found work: a spinning thread's load.")
        for thread in snapshot.threads {
            page.sample([("thread", thread.name)], seconds: Int(clamping: thread.busyNanos))
        }
        family("collector_thread_stalls_total", "Turns that took too long.") { Int(clamping: $0.stalls) }
        page.begin("collector_thread_longest_cycle_seconds", .gauge, "The longest turn so far.")
        for thread in snapshot.threads {
            page.sample([("thread", thread.name)], seconds: Int(thread.longestCycleNanos))
        }
    }

    private static func addLatencies(_ snapshot: CollectorSnapshot, to page: inout MetricsPage) {
        func family(
            _ name: String, _ help: String, _ value: (CollectorSnapshot.LatencyCounts) -> LatencySnapshot
        ) {
            page.begin(name, .histogram, help)
            for latency in snapshot.latencies {
                var labels = [("type", latency.kind.name)]
                if let exchange = latency.exchange { labels.insert(("exchange", exchange), at: 0) }
                page.histogram(labels, value(latency), bounds: latencyBounds)
            }
        }
        family(
            "collector_internal_latency_seconds",
            "From the kernel's receipt to the closed batch in the publisher's ring.",
            \.internal)
        family(
            "collector_publish_latency_seconds", "From the closed batch to the sink's acknowledgement.",
            \.publish)
        family(
            "collector_feed_latency_seconds", "From the exchange's event time to the kernel's receipt.",
            \.feed)
        family(
            "collector_end_to_end_latency_seconds",
            "From the exchange's event time to the closed batch in the publisher's ring.", \.endToEnd)
        page.begin(
            "collector_stage_latency_seconds", .histogram,
            "From the kernel's receipt until a stage was done: read (decrypted and unframed), parsed, batched (written into its batch), closed (compressed, in the publisher's ring)."
        )
        for stage in snapshot.stages {
            page.histogram([("stage", stage.stage)], stage.latency, bounds: latencyBounds)
        }
    }
}

/// A page in the making.
struct MetricsPage {
    enum Kind: String {
        case counter, gauge, histogram
    }

    private(set) var text = ""
    private var name = ""

    /// Begins a family: its samples follow.
    mutating func begin(_ name: String, _ kind: Kind, _ help: String) {
        self.name = name
        text += "# HELP \(name) \(MetricsPage.escape(help, quotes: false))\n# TYPE \(name) \(kind.rawValue)\n"
    }

    mutating func sample(_ labels: [(String, String)], _ value: Int) { sample("", labels, "\(value)") }

    mutating func sample(_ labels: [(String, String)], _ value: Double) { sample("", labels, "\(value)") }

    /// A duration or time given in ns.
    mutating func sample(_ labels: [(String, String)], seconds nanos: Int) {
        sample("", labels, "\(Double(nanos) / 1e9)")
    }

    mutating func histogram(_ labels: [(String, String)], _ latency: LatencySnapshot, bounds: [Int]) {
        for bound in bounds {
            sample("_bucket", labels + [("le", "\(Double(bound) / 1e9)")], "\(latency.count(atMost: bound))")
        }
        let count = latency.count
        sample("_bucket", labels + [("le", "+Inf")], "\(count)")
        sample("_sum", labels, "\(Double(latency.sum) / 1e9)")
        sample("_count", labels, "\(count)")
    }

    private mutating func sample(_ suffix: String, _ labels: [(String, String)], _ value: String) {
        text += name + suffix
        if !labels.isEmpty {
            let pairs = labels.map { "\($0.0)=\"\(MetricsPage.escape($0.1, quotes: true))\"" }
            text += "{\(pairs.joined(separator: ","))}"
        }
        text += " \(value)\n"
    }

    private static func escape(_ text: String, quotes: Bool) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
