import MarketData
import Rings
import Telemetry

/// A snapshot in which every part has something, odd texts included.
func sampleSnapshot() -> CollectorSnapshot {
    var snapshot = CollectorSnapshot()
    snapshot.name = "test \"one\"\\two\nthree"
    snapshot.version = "1.2.3"
    snapshot.startTime = 1_700_000_000_500_000_000
    snapshot.time = snapshot.startTime + 60_000_000_000
    var trades = CollectorSnapshot.EventCounts(exchange: "binance", kind: .trade)
    trades.received = 100
    trades.published = 90
    trades.duplicates = 4
    trades.deadLettered = 1
    trades.dropped = ["keep-newest": 2]
    trades.inFlight = 3
    trades.gaps = 5
    trades.gapsOpen = 1
    var unknown = CollectorSnapshot.EventCounts(exchange: "binance", kind: nil)
    unknown.received = 1
    unknown.deadLettered = 1
    snapshot.events = [trades, unknown]
    var market = CollectorSnapshot.MarketCounts(exchange: "binance")
    market.frames = 101
    market.bytes = 20_000
    market.ignoredFrames = 7
    market.connections = ["open": 2, "connecting": 1]
    market.reconnects = ["silence": 3]
    market.failedAttempts = ["resolve": 11]
    market.streams = 9
    market.slots.planned = 2
    market.slots.sockets = 3
    market.slots.handovers = ["rollover": 4, "move": 1]
    market.slots.handoversFailed = 5
    market.slots.promotions = 6
    market.slots.probes = 7
    market.slots.suspects = 8
    market.slots.resubscriptions = 9
    market.slots.revivals = 10
    market.slots.refusedStreams = 11
    market.slots.streams = ["delivering": 6, "silent": 3]
    market.slots.silentStreams = ["btcusdt@trade"]
    market.slots.quietestStream = "ethusdt@trade"
    market.slots.quietestNanos = 1_500_000_000
    let lead = LatencyHistogram()
    lead.record(300_000, count: 12)
    market.slots.legs = [
        CollectorSnapshot.LegCounts(leg: 0, won: 12, lost: 2, lead: lead.snapshot()),
        CollectorSnapshot.LegCounts(leg: 1, won: 13, lost: 0, lead: LatencySnapshot()),
    ]
    snapshot.markets = [market]
    snapshot.attempts = CollectorSnapshot.AttemptCounts(used: 17, limit: 300, windowNanos: 300_000_000_000)
    snapshot.queues = [
        CollectorSnapshot.QueueDepth(name: "frames-0", records: 4, bytes: 512, capacity: 65_536)
    ]
    snapshot.threads = [
        CollectorSnapshot.ThreadCounts(
            name: "parse-0", cycles: 1_000, busyCycles: 10, busyNanos: 2_500_000, stalls: 1,
            longestCycleNanos: 12_500_000, cpu: 1)
    ]
    let latency = LatencyHistogram()
    latency.record(900)
    latency.record(150_000, count: 98)
    latency.record(20_000_000_000)
    snapshot.latencies = [
        CollectorSnapshot.LatencyCounts(exchange: "binance", kind: .trade, internal: latency.snapshot())
    ]
    snapshot.publishing.sink = "pubsub"
    snapshot.publishing.batches = 12
    snapshot.publishing.rawBytes = 9_000
    snapshot.publishing.compressedBytes = 3_000
    snapshot.publishing.requests = ["OK": 12, "UNAVAILABLE": 1]
    return snapshot
}
