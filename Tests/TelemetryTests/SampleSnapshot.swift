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
    snapshot.markets = [market]
    snapshot.queues = [
        CollectorSnapshot.QueueDepth(name: "frames-0", records: 4, bytes: 512, capacity: 65_536)
    ]
    snapshot.threads = [
        CollectorSnapshot.ThreadCounts(
            name: "parse-0", cycles: 1_000, busyCycles: 10, stalls: 1, longestCycleNanos: 12_500_000, cpu: 1)
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
