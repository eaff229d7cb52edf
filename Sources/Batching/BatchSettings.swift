import MarketData
import Rings
import Synchronization

/// How batches are made.
public struct BatchSettings: Sendable {
    /// A market's names: in topics and events, and in the configuration.
    public struct Market: Sendable {
        /// `binance`.
        public var exchange: String
        /// `spot`.
        public var market: String
        /// Names.
        public init(exchange: String, market: String) {
            self.exchange = exchange
            self.market = market
        }
    }

    /// Most markets: each has a row for its dead letters.
    public static let marketLimit = 64

    /// A batch of so many events closes.
    public var maxEvents = 500
    /// A batch that the next event would carry past so many bytes (before compression) closes first.
    public var maxBytes = 65_536
    /// A batch so old closes, ns.
    public var maxDelayNanos: Int64 = 1_000_000
    /// The same while batches of the route wait on disk (``Route/isWaiting``), where that is longer, ns.
    public var waitingDelayNanos: Int64 = 0
    /// zstd level; nil: no compression.
    public var compressionLevel: Int? = 1
    /// Batches of less JSON are not compressed, bytes; 0: all are.
    public var compressMinBytes = 0
    /// log2 of the bytes that zstd looks back; 0: by level and size.
    public var compressionWindow = 0
    /// At most one for each kind of events; kinds without are compressed without.
    public var dictionaries: [CompressionDictionary] = []
    /// Messages of one event or of many.
    public var payload = PayloadMode.batch
    /// Whether open batches close at once when no event waits and the publisher has nothing to do.
    public var closeWhenIdle = true
    /// Topic ids.
    public var topic: TopicTemplate
    /// Ordering keys; nil: none.
    public var orderingKey: TopicTemplate?
    /// The markets, by their index in the lanes' instrument tables.
    public var markets: [Market]

    /// The defaults above.
    public init(topic: TopicTemplate, orderingKey: TopicTemplate?, markets: [Market]) {
        self.topic = topic
        self.orderingKey = orderingKey
        self.markets = markets
    }

    var isCompressed: Bool { compressionLevel != nil && payload == .batch }
}

/// What the batch thread shares: its counts, its histograms, and two words with its neighbours.
public final class BatchMonitor: Sendable {
    enum Counter: Int, CaseIterable {
        case batches, events, rawBytes, dataBytes, openBatches, openEvents, opened
    }
    let counters = CounterBlock(count: Counter.allCases.count)
    private let flushRequest = Atomic<Bool>(false)
    private let publisherLoad = Atomic<Int>(0)
    private let routesWait = Atomic<Bool>(false)
    private let oldestOpenNumber = Atomic<Int>(0)

    /// From the kernel's receipt until the closed batch stands in the publisher's ring, by kind.
    public let internalLatency: [LatencyHistogram]
    /// From the kernel's receipt until the event is written into its batch, all kinds.
    public let batchedLatency = LatencyHistogram()
    /// From the exchange's event time until the closed batch stands in the publisher's ring, by kind.
    public let endToEndLatency: [LatencyHistogram]
    /// From the exchange's event time to the receipt, by kind.
    public let feedLatency: [LatencyHistogram]

    /// All 0.
    public init() {
        internalLatency = EventKind.allCases.map { _ in LatencyHistogram() }
        endToEndLatency = EventKind.allCases.map { _ in LatencyHistogram() }
        feedLatency = EventKind.allCases.map { _ in LatencyHistogram() }
    }

    /// Batches closed.
    public var batchCount: Int { counters.value(Counter.batches.rawValue) }
    /// Events in closed batches.
    public var eventCount: Int { counters.value(Counter.events.rawValue) }
    /// Their bytes before compression.
    public var rawBytes: Int { counters.value(Counter.rawBytes.rawValue) }
    /// Their bytes after compression.
    public var dataBytes: Int { counters.value(Counter.dataBytes.rawValue) }
    /// Batches that are open now.
    public var openBatchCount: Int { counters.value(Counter.openBatches.rawValue) }
    /// Events in them.
    public var openEventCount: Int { counters.value(Counter.openEvents.rawValue) }

    /// Batches opened since the beginning. Once an event is released from its ring, its batch is counted.
    public var openedCount: Int { counters.value(Counter.opened.rawValue) }
    /// Which batch is the oldest of those that are open, in the order of opening and from 1; nil: none is. Once an event is
    /// released from its ring, its batch is told of here until it stands in the publisher's ring and is counted in
    /// ``batchCount``, which is its number there.
    public var oldestOpen: Int? {
        let number = oldestOpenNumber.load(ordering: .acquiring)
        return number == 0 ? nil : number
    }
    func setOldestOpen(_ number: Int) { oldestOpenNumber.store(number, ordering: .releasing) }

    /// Closes every batch as soon as no event waits: for the end.
    public func requestFlush() { flushRequest.store(true, ordering: .sequentiallyConsistent) }
    var isFlushRequested: Bool { flushRequest.load(ordering: .relaxed) }

    /// For the publisher: how many batches it has taken and not yet got acknowledged.
    public func setPublisherLoad(_ batches: Int) {
        // A store would take the line from the batch thread, which looks at it with every cycle.
        guard publisherLoad.load(ordering: .relaxed) != batches else { return }
        publisherLoad.store(batches, ordering: .relaxed)
    }
    var isPublisherIdle: Bool { publisherLoad.load(ordering: .relaxed) == 0 }

    /// For the publisher: whether it is worth asking a route whether its batches wait on disk.
    public func setRoutesWait(_ areWaiting: Bool) {
        guard routesWait.load(ordering: .relaxed) != areWaiting else { return }
        routesWait.store(areWaiting, ordering: .relaxed)
    }
    var doRoutesWait: Bool { routesWait.load(ordering: .relaxed) }
}
