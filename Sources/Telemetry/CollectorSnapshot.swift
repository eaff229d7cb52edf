import MarketData
import Rings

/// All figures of a collector at one moment: plain values, gathered by the control plane, rendered as metrics, status
/// and tables. Counts begin with the process and never fall, unless said otherwise.
public struct CollectorSnapshot: Sendable {
    /// The instance's name.
    public var name = ""
    /// The program's version.
    public var version = ""
    /// When the process began to collect, ns since the epoch.
    public var startTime: Int64 = 0
    /// When these figures were gathered, ns since the epoch.
    public var time: Int64 = 0
    /// By exchange and type.
    public var events: [EventCounts] = []
    /// By exchange.
    public var markets: [MarketCounts] = []
    /// Every bounded queue.
    public var queues: [QueueDepth] = []
    /// Stage threads.
    public var threads: [ThreadCounts] = []
    /// Latencies by exchange and type.
    public var latencies: [LatencyCounts] = []
    /// How far from its receipt each stage is done with a message.
    public var stages: [StageLatency] = []
    /// What was handed to the sink and acknowledged.
    public var publishing = PublishingCounts()
    /// What waits on disk; nil where there is no spool.
    public var spool: SpoolCounts?
    /// Age of the checkpoint from which a start after a crash would go on, seconds; nil where none is written.
    public var checkpointSeconds: Double?
    /// The budget of connection attempts; nil where none is kept.
    public var attempts: AttemptCounts?
    /// The last error that an operator should know of, one line; nil while there was none.
    public var lastError: String?
    /// Why the collector does not deliver, although it is connected: the sink fails, a disk is full. Nil: it delivers.
    public var undelivered: String?

    /// Nothing yet.
    public init() {}

    /// Counts of one type of events of one exchange.
    public struct EventCounts: Sendable {
        /// `binance`.
        public var exchange: String
        /// The type; nil: frames that could not even be told apart.
        public var kind: EventKind?
        /// Events read, duplicates, dead letters and ``recovered`` included.
        public var received = 0
        /// Events that an earlier run left in the spool.
        public var recovered = 0
        /// Events that the sink acknowledged.
        public var published = 0
        /// Events dropped because they had come before.
        public var duplicates = 0
        /// Frames that could not be read.
        public var deadLettered = 0
        /// Events dropped by a full queue, by the name of the policy (`keep-newest`).
        public var dropped: [String: Int] = [:]
        /// Events between ring and acknowledgement, now.
        public var inFlight = 0
        /// Gaps seen.
        public var gaps = 0
        /// Gaps that are neither repaired nor explained, now.
        public var gapsOpen = 0
        /// What became of ids that were missing, by state: `repaired`, `absent`, `lost`.
        public var gapIDs: [String: Int] = [:]

        /// All 0.
        public init(exchange: String, kind: EventKind?) {
            self.exchange = exchange
            self.kind = kind
        }

        /// `trade`; `unknown` for frames that could not be told apart.
        public var type: String { kind?.name ?? "unknown" }
        /// Events dropped, by whatever policy.
        public var droppedTotal: Int { dropped.values.reduce(0, +) }
        /// received − (published + duplicates + dead-lettered + dropped + in flight); 0 where nothing is lost.
        public var unaccounted: Int {
            received - published - duplicates - deadLettered - droppedTotal - inFlight
        }
    }

    /// Counts of one exchange's connections.
    public struct MarketCounts: Sendable {
        /// `binance`.
        public var exchange: String
        /// WebSocket messages.
        public var frames = 0
        /// Bytes of decrypted WebSocket traffic.
        public var bytes = 0
        /// Messages of streams that nobody asked for.
        public var ignoredFrames = 0
        /// Connections now, by state: `open`, `connecting`, `subscribing`, `waiting`, …
        public var connections: [String: Int] = [:]
        /// Open connections that ended and are made anew, by cause; planned replacements are none of them.
        public var reconnects: [String: Int] = [:]
        /// Attempts that did not come to an open connection, by cause.
        public var failedAttempts: [String: Int] = [:]
        /// Streams that were asked for.
        public var streams = 0
        /// What its connections have done.
        public var slots = SlotCounts()

        /// All 0.
        public init(exchange: String) { self.exchange = exchange }
    }

    /// How full a queue is, now.
    public struct QueueDepth: Sendable {
        /// `frames-0`.
        public var name: String
        /// Items.
        public var records: Int
        /// Bytes.
        public var bytes: Int
        /// Bytes that it can hold.
        public var capacity: Int

        /// A depth.
        public init(name: String, records: Int, bytes: Int, capacity: Int) {
            self.name = name
            self.records = records
            self.bytes = bytes
            self.capacity = capacity
        }
    }

    /// Counts of one stage thread.
    public struct ThreadCounts: Sendable {
        /// `parse-0`.
        public var name: String
        /// Turns of its loop.
        public var cycles: UInt64
        /// Turns that found work.
        public var busyCycles: UInt64
        /// Time in these, ns.
        public var busyNanos: UInt64
        /// Turns that took too long.
        public var stalls: UInt64
        /// The longest turn, ns.
        public var longestCycleNanos: Int64
        /// The CPU that it is pinned to.
        public var cpu: Int?

        /// Counts.
        public init(
            name: String, cycles: UInt64, busyCycles: UInt64 = 0, busyNanos: UInt64 = 0, stalls: UInt64 = 0,
            longestCycleNanos: Int64 = 0, cpu: Int? = nil
        ) {
            self.name = name
            self.cycles = cycles
            self.busyCycles = busyCycles
            self.busyNanos = busyNanos
            self.stalls = stalls
            self.longestCycleNanos = longestCycleNanos
            self.cpu = cpu
        }
    }

    /// Latencies of one type of events.
    public struct LatencyCounts: Sendable {
        /// `binance`; nil where exchanges are not told apart.
        public var exchange: String?
        /// The type.
        public var kind: EventKind
        /// From the kernel's receipt to the closed batch.
        public var `internal`: LatencySnapshot
        /// From the closed batch to the acknowledgement.
        public var publish: LatencySnapshot
        /// From the exchange's event time to the kernel's receipt.
        public var feed: LatencySnapshot
        /// From the exchange's event time to the closed batch.
        public var endToEnd: LatencySnapshot

        /// Latencies; empty by default.
        public init(
            exchange: String?, kind: EventKind, internal: LatencySnapshot = LatencySnapshot(),
            publish: LatencySnapshot = LatencySnapshot(), feed: LatencySnapshot = LatencySnapshot(),
            endToEnd: LatencySnapshot = LatencySnapshot()
        ) {
            self.exchange = exchange
            self.kind = kind
            self.internal = `internal`
            self.publish = publish
            self.feed = feed
            self.endToEnd = endToEnd
        }
    }

    /// From the kernel's receipt until a stage was done, all exchanges and types together.
    public struct StageLatency: Sendable {
        /// `read`, `parsed`, `batched` or `closed`, in the order of a message's way.
        public var stage: String
        /// Since the receipt, so that the stages before are in it.
        public var latency: LatencySnapshot

        /// A stage's latency.
        public init(stage: String, latency: LatencySnapshot) {
            self.stage = stage
            self.latency = latency
        }
    }

    /// A topic and ordering key of which nothing is sent until its first request has succeeded.
    public struct PausedKey: Sendable {
        /// The topic id.
        public var topic: String
        /// "" where there is none.
        public var orderingKey: String
        /// Since when, ns since the epoch.
        public var since: Int64
        /// The service's words.
        public var reason: String
        /// Batches that wait, and the memory they take.
        public var batches: Int
        /// See ``batches``.
        public var bytes: Int

        /// A key that rests.
        public init(
            topic: String, orderingKey: String, since: Int64, reason: String, batches: Int, bytes: Int
        ) {
            self.topic = topic
            self.orderingKey = orderingKey
            self.since = since
            self.reason = reason
            self.batches = batches
            self.bytes = bytes
        }
    }

    /// Counts of the publisher.
    public struct PublishingCounts: Sendable {
        /// `file`, `pubsub`, …
        public var sink = ""
        /// Batches that the sink acknowledged.
        public var batches = 0
        /// Their bytes before compression.
        public var rawBytes = 0
        /// Their bytes as they were handed over.
        public var compressedBytes = 0
        /// Requests to Pub/Sub by outcome (`OK`, `UNAVAILABLE`, …); empty for other sinks.
        public var requests: [String: Int] = [:]
        /// Requests sent again.
        public var retries = 0
        /// Bytes that Pub/Sub bills for publishing; an estimate.
        public var billedBytes = 0
        /// What publishing as in the last minute would cost in a day, US dollars; an estimate.
        public var dollarsPerDay = 0.0
        /// Connections to Pub/Sub now.
        public var connections = 0
        /// Connections to Pub/Sub that ended, by either side's doing.
        public var reconnects = 0
        /// Topics that are still to be made, now.
        public var topicsPending = 0
        /// Topics and ordering keys that rest after an error, now.
        public var keysPaused = 0
        /// The first of these, those that have rested longest first.
        public var paused: [PausedKey] = []

        /// All 0.
        public init() {}
    }
}

extension CollectorSnapshot {
    /// Connections now by state, all exchanges together.
    public var connectionsByState: [String: Int] {
        markets.reduce(into: [:]) { $0.merge($1.connections, uniquingKeysWith: +) }
    }

    /// Why the collector is not ready to be relied upon, nil where it is: connected everywhere, and delivering.
    public var unreadiness: String? {
        if markets.isEmpty { return "no exchange is connected yet" }
        for market in markets {
            let total = market.connections.values.reduce(0, +)
            let open = market.connections["open", default: 0]
            // Of redundant legs one is enough.
            let isCovered = market.slots.shards > 0 && market.slots.shardsOpen == market.slots.shards
            if total == 0 || (open < total && !isCovered) {
                return "\(market.exchange): \(open) of \(total) connections are open"
            }
            // One silent stream may have no market; when all are, the connections are open in vain.
            let silent = market.slots.streams["silent", default: 0]
            if silent > 0, market.slots.streams["delivering", default: 0] == 0 {
                return
                    "\(market.exchange): none of \(market.streams) streams delivers, \(silent) are overdue"
            }
        }
        return undelivered
    }
}
