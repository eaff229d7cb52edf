import Rings
import Telemetry

/// The answer of `/v1/status`: the snapshot in a form for programs. Durations and times are ns.
struct StatusDocument: Encodable {
    struct Events: Encodable {
        var exchange: String
        var type: String
        var received: Int
        var published: Int
        var duplicates: Int
        var deadLettered: Int
        var dropped: [String: Int]
        var inFlight: Int
        var gaps: Int
        var gapsOpen: Int
    }
    struct Market: Encodable {
        var exchange: String
        var streams: Int
        var frames: Int
        var bytes: Int
        var ignoredFrames: Int
        var connections: [String: Int]
        var reconnects: [String: Int]
        var failedAttempts: [String: Int]
        var slots: Slots
    }
    struct Slots: Encodable {
        var planned: Int
        var sockets: Int
        var handovers: [String: Int]
        var handoversFailed: Int
        var promotions: Int
        var probes: Int
        var suspects: Int
        var resubscriptions: Int
        var revivals: Int
        var refusedStreams: Int
        var legs: [Leg]
        var streams: [String: Int]
        var silentStreams: [String]
        var quietestStream: String?
        var quietestNanos: Int64

        init(_ counts: CollectorSnapshot.SlotCounts) {
            planned = counts.planned
            sockets = counts.sockets
            handovers = counts.handovers
            handoversFailed = counts.handoversFailed
            promotions = counts.promotions
            probes = counts.probes
            suspects = counts.suspects
            resubscriptions = counts.resubscriptions
            revivals = counts.revivals
            refusedStreams = counts.refusedStreams
            legs = counts.legs.map { Leg(leg: $0.leg, won: $0.won, lost: $0.lost, lead: Quantiles($0.lead)) }
            streams = counts.streams
            silentStreams = counts.silentStreams
            quietestStream = counts.quietestStream
            quietestNanos = counts.quietestNanos
        }
    }
    struct Leg: Encodable {
        var leg: Int
        var won: Int
        var lost: Int
        var lead: Quantiles
    }
    struct Attempts: Encodable {
        var used: Int
        var limit: Int
        var windowNanos: Int64
    }
    struct Queue: Encodable {
        var name: String
        var records: Int
        var bytes: Int
        var capacityBytes: Int
    }
    struct Thread: Encodable {
        var name: String
        var cycles: UInt64
        var busyCycles: UInt64
        var busyNanos: UInt64
        var stalls: UInt64
        var longestCycleNanos: Int64
        var cpu: Int?
    }
    struct Quantiles: Encodable {
        var count: Int
        var p50: Int
        var p99: Int
        var p999: Int
        var max: Int
        /// Where asked for: upper bound and count of each bucket that is not empty, so that an earlier status can be taken
        /// off a later one.
        var buckets: [[Int]]?

        init(_ latency: LatencySnapshot, withBuckets: Bool = false) {
            if withBuckets {
                buckets = latency.counts.enumerated().filter { $0.element > 0 }.map {
                    [LatencyHistogram.upperBound(ofBucket: $0.offset), $0.element]
                }
            }
            count = latency.count
            p50 = latency.quantile(0.5)
            p99 = latency.quantile(0.99)
            p999 = latency.quantile(0.999)
            max = latency.maximum
        }
    }
    struct Latency: Encodable {
        var exchange: String?
        var type: String
        var `internal`: Quantiles
        var publish: Quantiles
        var feed: Quantiles
        var endToEnd: Quantiles
    }
    struct Stage: Encodable {
        var stage: String
        var latency: Quantiles
    }
    struct PausedKey: Encodable {
        var topic: String
        var orderingKey: String
        var since: Int64
        var reason: String
        var batches: Int
        var bytes: Int

        init(_ key: CollectorSnapshot.PausedKey) {
            topic = key.topic
            orderingKey = key.orderingKey
            since = key.since
            reason = key.reason
            batches = key.batches
            bytes = key.bytes
        }
    }
    struct Publishing: Encodable {
        var sink: String
        var batches: Int
        var rawBytes: Int
        var compressedBytes: Int
        var requests: [String: Int]
        var retries: Int
        var billedBytes: Int
        var dollarsPerDay: Double
        var connections: Int
        var reconnects: Int
        var topicsPending: Int
        var keysPaused: Int
        /// Those that have rested longest first; at most 100.
        var paused: [PausedKey]
    }

    struct Spool: Encodable {
        var bytes: Int
        var segments: Int
        var batches: Int
        var oldestSeconds: Double
        var stored: Int
        var handed: Int
        var acknowledged: Int
        var recovered: Int
        var dropped: Int
        var failures: Int
        var stalls: Int
        var damagedBytes: Int
        var holdsAllInFlight: Bool
        var problem: String?

        init(_ counts: CollectorSnapshot.SpoolCounts) {
            bytes = counts.bytes
            segments = counts.segments
            batches = counts.batches
            oldestSeconds = counts.oldestSeconds
            stored = counts.stored
            handed = counts.handed
            acknowledged = counts.acknowledged
            recovered = counts.recovered
            dropped = counts.dropped
            failures = counts.failures
            stalls = counts.stalls
            damagedBytes = counts.damagedBytes
            holdsAllInFlight = counts.holdsAllInFlight
            problem = counts.problem
        }
    }

    var name: String
    var version: String
    var startTime: Int64
    var time: Int64
    var ready: Bool
    var notReadyReason: String?
    var lastError: String?
    var attempts: Attempts?
    var events: [Events]
    var markets: [Market]
    var queues: [Queue]
    var threads: [Thread]
    var latencies: [Latency]
    var stages: [Stage]
    var publishing: Publishing
    var spool: Spool?

    init(_ snapshot: CollectorSnapshot, withBuckets: Bool = false) {
        name = snapshot.name
        version = snapshot.version
        startTime = snapshot.startTime
        time = snapshot.time
        notReadyReason = snapshot.unreadiness
        ready = notReadyReason == nil
        lastError = snapshot.lastError
        attempts = snapshot.attempts.map {
            Attempts(used: $0.used, limit: $0.limit, windowNanos: $0.windowNanos)
        }
        events = snapshot.events.map {
            Events(
                exchange: $0.exchange, type: $0.type, received: $0.received, published: $0.published,
                duplicates: $0.duplicates, deadLettered: $0.deadLettered, dropped: $0.dropped,
                inFlight: $0.inFlight, gaps: $0.gaps, gapsOpen: $0.gapsOpen)
        }
        markets = snapshot.markets.map {
            Market(
                exchange: $0.exchange, streams: $0.streams, frames: $0.frames, bytes: $0.bytes,
                ignoredFrames: $0.ignoredFrames, connections: $0.connections, reconnects: $0.reconnects,
                failedAttempts: $0.failedAttempts, slots: Slots($0.slots))
        }
        queues = snapshot.queues.map {
            Queue(name: $0.name, records: $0.records, bytes: $0.bytes, capacityBytes: $0.capacity)
        }
        threads = snapshot.threads.map {
            Thread(
                name: $0.name, cycles: $0.cycles, busyCycles: $0.busyCycles, busyNanos: $0.busyNanos,
                stalls: $0.stalls, longestCycleNanos: $0.longestCycleNanos, cpu: $0.cpu)
        }
        latencies = snapshot.latencies.map {
            Latency(
                exchange: $0.exchange, type: $0.kind.name,
                internal: Quantiles($0.internal, withBuckets: withBuckets),
                publish: Quantiles($0.publish, withBuckets: withBuckets),
                feed: Quantiles($0.feed, withBuckets: withBuckets),
                endToEnd: Quantiles($0.endToEnd, withBuckets: withBuckets))
        }
        spool = snapshot.spool.map(Spool.init)
        stages = snapshot.stages.map {
            Stage(stage: $0.stage, latency: Quantiles($0.latency, withBuckets: withBuckets))
        }
        publishing = Publishing(
            sink: snapshot.publishing.sink, batches: snapshot.publishing.batches,
            rawBytes: snapshot.publishing.rawBytes, compressedBytes: snapshot.publishing.compressedBytes,
            requests: snapshot.publishing.requests, retries: snapshot.publishing.retries,
            billedBytes: snapshot.publishing.billedBytes,
            dollarsPerDay: snapshot.publishing.dollarsPerDay,
            connections: snapshot.publishing.connections, reconnects: snapshot.publishing.reconnects,
            topicsPending: snapshot.publishing.topicsPending,
            keysPaused: snapshot.publishing.keysPaused,
            paused: snapshot.publishing.paused.map(PausedKey.init))
    }
}
