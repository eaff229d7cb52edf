import MarketData

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

    init(
        index: Int, kind: EventKind, market: Int, exchange: String, symbol: String?, topic: String,
        orderingKey: String
    ) {
        self.index = index
        self.kind = kind
        self.market = market
        self.exchange = exchange
        self.symbol = symbol
        self.topic = topic
        self.orderingKey = orderingKey
    }
}

/// All routes, by index. The batch thread appends; the publisher reads a route whose index reached it in a batch,
/// through the ring, which orders the memory.
public final class RouteTable: @unchecked Sendable {
    /// Most routes.
    public let capacity: Int
    private let routes: UnsafeMutablePointer<Route?>
    private var used = 0

    /// An empty table; memory is touched as it is used.
    public init(capacity: Int = 1 << 20) {
        self.capacity = capacity
        routes = .allocate(capacity: capacity)
    }

    deinit {
        routes.deinitialize(count: used)
        routes.deallocate()
    }

    /// The route of an index that came in a batch.
    public func route(_ index: Int) -> Route {
        guard let route = (routes + index).pointee else {
            preconditionFailure("route \(index) was never made")
        }
        return route
    }

    /// For the batch thread: makes the next route; nil where the table is full.
    public func append(
        kind: EventKind, market: Int, exchange: String, symbol: String?, topic: String, orderingKey: String
    ) -> Route? {
        guard used < capacity else { return nil }
        let route = Route(
            index: used, kind: kind, market: market, exchange: exchange, symbol: symbol, topic: topic,
            orderingKey: orderingKey)
        (routes + used).initialize(to: route)
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

/// A closed batch in the ring; valid until the consumer releases it.
public struct BatchView {
    let payload: UnsafeRawBufferPointer
    /// Its description.
    public let header: BatchHeader
    /// Its route.
    public let route: Route

    /// A view of the payload that `RingConsumer.peek()` returned.
    public init(payload: UnsafeMutableRawBufferPointer, routes: RouteTable) {
        self.payload = UnsafeRawBufferPointer(payload)
        header = payload.load(as: BatchHeader.self)
        route = routes.route(Int(header.route))
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
