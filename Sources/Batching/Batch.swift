import MarketData
import Synchronization

/// How events become messages.
public enum PayloadMode: String, Sendable, CaseIterable {
    /// One event, one message, never compressed.
    case event
    /// The events of one topic, one a line.
    case batch
}

/// Where events of one kind (and, by the template, of one symbol) go. Immutable; made by the batch thread when the
/// first such event comes, read by the publisher.
public final class Route: Sendable {
    /// Position in the ``RouteTable``.
    public let index: Int
    /// Kind of its events; a batch never mixes kinds.
    public let kind: EventKind
    /// Index of the market.
    public let market: Int
    /// `binance`.
    public let exchange: String
    /// Nil where the batches hold several symbols.
    public let symbol: String?
    /// The topic id, valid for Pub/Sub (percent-encoded where needed).
    public let topic: String
    /// Empty: none.
    public let orderingKey: String
    /// Whose batches these are; nil: this run's.
    public let origin: Origin?
    private let waits = Atomic<Bool>(false)

    /// A run of a collector, which stands in the attributes of its messages.
    public struct Origin: Sendable, Hashable {
        /// The first half of its batch ids.
        public var runID: UInt64
        /// The instance's name.
        public var collector: String

        /// That run of that instance.
        public init(runID: UInt64, collector: String) {
            self.runID = runID
            self.collector = collector
        }
    }

    /// Whether its batches wait on disk before they are sent, so that a larger one would be no later.
    public var isWaiting: Bool { waits.load(ordering: .relaxed) }

    /// For the publisher.
    public func setWaiting(_ isWaiting: Bool) { waits.store(isWaiting, ordering: .relaxed) }

    init(
        index: Int, kind: EventKind, market: Int, exchange: String, symbol: String?, topic: String,
        orderingKey: String, origin: Origin?
    ) {
        self.index = index
        self.kind = kind
        self.market = market
        self.exchange = exchange
        self.symbol = symbol
        self.topic = topic
        self.orderingKey = orderingKey
        self.origin = origin
    }
}

/// All routes, by index. The batch thread appends; the publisher reads a route whose index reached it in a batch,
/// through the ring, which orders the memory.
public final class RouteTable: @unchecked Sendable {
    /// Most routes.
    public let capacity: Int
    /// Each is released when the table ends.
    private let routes: UnsafeMutablePointer<Unmanaged<Route>?>
    private var used = 0

    /// An empty table; memory is touched as it is used.
    public init(capacity: Int = 1 << 20) {
        self.capacity = capacity
        routes = .allocate(capacity: capacity)
    }

    deinit {
        for index in 0..<used { routes[index]?.release() }
        routes.deallocate()
    }

    /// The route of an index that came in a batch.
    public func route(_ index: Int) -> Route { held(index).takeUnretainedValue() }

    /// The same without counting a reference: it lasts as long as the table.
    func held(_ index: Int) -> Unmanaged<Route> {
        guard let route = routes[index] else { preconditionFailure("route \(index) was never made") }
        return route
    }

    /// For the batch thread (before it runs, for whoever starts it): makes the next route; nil where the table is full.
    /// `origin`: nil for this run.
    public func append(
        kind: EventKind, market: Int, exchange: String, symbol: String?, topic: String, orderingKey: String,
        origin: Route.Origin? = nil
    ) -> Route? {
        guard used < capacity else { return nil }
        let route = Route(
            index: used, kind: kind, market: market, exchange: exchange, symbol: symbol, topic: topic,
            orderingKey: orderingKey, origin: origin)
        (routes + used).initialize(to: .passRetained(route))
        used += 1
        return route
    }
}

/// The beginning of a record in the batch ring. The data follow at ``size``; behind them, in `event` mode, at
/// `tableOffset`, one ``EventSlice`` for each event.
@frozen public struct BatchHeader: BitwiseCopyable, Sendable {
    /// Index of the ``Route``.
    public var route: UInt32
    /// Events.
    public var count: UInt32
    /// Bytes of the data as they lie here.
    public var dataBytes: UInt32
    /// Bytes before compression.
    public var rawBytes: UInt32
    /// Counts all batches of this process from 1: the second half of the batch id.
    public var number: UInt64
    /// Sequences within the topic.
    public var firstSequence: UInt64
    /// Inclusive.
    public var lastSequence: UInt64
    /// Event time of the first event, of its receipt where the exchange sends none; ns since the epoch.
    public var firstEventTime: Int64
    /// The same of the last.
    public var lastEventTime: Int64
    /// When the batch was closed, ns since the epoch: publish latency begins here.
    public var closedTime: Int64
    /// From the beginning of the record's payload, a multiple of 8; 0 in `batch` mode.
    public var tableOffset: UInt32
    /// One zstd frame rather than plain text.
    public var isCompressed: Bool
    /// The id of the dictionary that the frame needs; 0: none.
    public var dictionary: UInt32

    /// Bytes that the header takes in the record: the data begin here.
    @inlinable public static var size: Int { 80 }

    /// All 0.
    public init() {
        route = 0
        count = 0
        dataBytes = 0
        rawBytes = 0
        number = 0
        firstSequence = 0
        lastSequence = 0
        firstEventTime = 0
        lastEventTime = 0
        closedTime = 0
        tableOffset = 0
        isCompressed = false
        dictionary = 0
    }
}

/// One event of a batch in `event` mode.
@frozen public struct EventSlice: BitwiseCopyable, Sendable {
    /// Where its JSON ends in the data, without the newline that follows it.
    public var end: UInt32
    /// Bytes of JSON.
    public var length: UInt32
    /// Its sequence.
    public var sequence: UInt64
    /// Its event time, or that of its receipt.
    public var eventTime: Int64
}

/// Where the publisher's spool has a batch.
@frozen public struct SpoolPlace: Sendable, Equatable, BitwiseCopyable {
    /// Number of the file; 0: the batch is not in the spool.
    public var segment: UInt32
    /// Position in the file, counted from 0.
    public var record: UInt32
    /// The spool's number for the batch's topic and ordering key.
    public var lane: UInt32

    /// A place.
    public init(segment: UInt32, record: UInt32, lane: UInt32) {
        self.segment = segment
        self.record = record
        self.lane = lane
    }

    /// In no spool.
    @inlinable public static var nowhere: SpoolPlace { SpoolPlace(segment: 0, record: 0, lane: 0) }
    /// Whether the batch is in the spool.
    @inlinable public var isSomewhere: Bool { segment != 0 }
}

/// A closed batch in the ring, or one that was read from the spool; valid until its bytes are given back, and as long as
/// the ``RouteTable`` that its route is in. It counts no reference.
public struct BatchView {
    /// Header, data and table as they lie in the ring.
    public let payload: UnsafeRawBufferPointer
    /// Its description.
    public let header: BatchHeader
    private let held: Unmanaged<Route>
    /// Where the spool has it.
    public let place: SpoolPlace
    /// Whether what follows the header is not the data but messages as the sink once encoded them.
    public let isEncoded: Bool

    /// A view of the payload that `RingConsumer.peek()` returned.
    public init(payload: UnsafeMutableRawBufferPointer, routes: borrowing RouteTable) {
        self.payload = UnsafeRawBufferPointer(payload)
        header = payload.load(as: BatchHeader.self)
        held = routes.held(Int(header.route))
        place = .nowhere
        isEncoded = false
    }

    /// A view of such a payload (aligned to 8, its header valid) that came from the spool.
    public init(payload: UnsafeRawBufferPointer, route: Route, place: SpoolPlace, isEncoded: Bool) {
        self.payload = payload
        header = payload.load(as: BatchHeader.self)
        held = .passUnretained(route)
        self.place = place
        self.isEncoded = isEncoded
    }

    /// Its route.
    public var route: Route { held.takeUnretainedValue() }
    /// ``Route/index``, ``Route/kind`` and ``Route/market`` of its route.
    public var routeFacts: (index: Int, kind: EventKind, market: Int) {
        held._withUnsafeGuaranteedRef { ($0.index, $0.kind, $0.market) }
    }

    /// The messages of a batch that ``isEncoded``.
    public var messages: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: payload[BatchHeader.size...])
    }

    /// A zstd frame, or lines of JSON, each ended by a newline.
    public var data: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: payload[BatchHeader.size..<BatchHeader.size + Int(header.dataBytes)])
    }

    /// Whether each event is to be a message of its own.
    public var isEventMode: Bool { header.tableOffset != 0 }

    /// In `event` mode: where event 0 ..< count lies.
    public func slice(_ index: Int) -> EventSlice {
        payload.load(
            fromByteOffset: Int(header.tableOffset) + index * MemoryLayout<EventSlice>.stride,
            as: EventSlice.self)
    }

    /// In `event` mode: the JSON of event 0 ..< count.
    public func event(_ index: Int) -> UnsafeRawBufferPointer {
        let slice = slice(index)
        return UnsafeRawBufferPointer(rebasing: data[Int(slice.end - slice.length)..<Int(slice.end)])
    }
}
