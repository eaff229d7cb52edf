import Batching

/// A topic of the service, as far as the publisher knows it.
final class Topic {
    enum State {
        /// Exists, or is believed to until the service says otherwise.
        case usable
        /// To be created as soon as the pace allows.
        case queued
        /// A CreateTopic is in flight.
        case creating
        /// Creating failed; rests.
        case waiting
    }

    /// The id, without the project.
    let id: String
    /// `projects/P/topics/T`.
    let name: String
    /// ``name`` as field 1, of a PublishRequest as well as of a Topic.
    let field: [UInt8]
    var state = State.usable
    var failures = 0
    /// When a CreateTopic last succeeded, monotonic ns: a NOT_FOUND soon after only means that the news is spreading.
    var createdAt: Int64?
    var hasProblem = false
    /// Lanes that have something to send once the topic is usable.
    var blocked: [Lane] = []

    init(project: String, id: String) {
        self.id = id
        name = "projects/\(project)/topics/\(id)"
        field = Protobuf.field(1, name.utf8)
    }
}

/// All batches of one topic and ordering key. They leave strictly one request after the other: Pub/Sub keeps the order
/// in which it receives them, and a second request in flight could overtake the first.
final class Lane {
    enum State {
        /// Nothing waits.
        case idle
        /// In the scheduler's queue.
        case ready
        case inFlight
        /// Rests after an error.
        case waiting
        /// Until its topic is there.
        case blocked
    }

    let topic: Topic
    /// The ordering key as field 5 of a PubsubMessage; empty where there is none.
    let keyField: [UInt8]
    var state = State.idle
    /// Requests in order; the first is the one in flight.
    var parcels: [Parcel] = []
    var failures = 0
    var hasProblem = false

    init(topic: Topic, orderingKey: String) {
        self.topic = topic
        keyField = orderingKey.isEmpty ? [] : Protobuf.field(5, orderingKey.utf8)
    }
}

/// One PublishRequest that is being filled, waits, or is in flight. Sent again it is the same, byte for byte.
final class Parcel {
    var block: BufferPool.Block
    /// End of what is written.
    var end: Int
    var messages = 0
    var receipts: [BatchReceipt] = []
    /// Whether it was in flight: nothing may be added then.
    var wasSent = false

    init(block: BufferPool.Block, end: Int) {
        self.block = block
        self.end = end
    }

    /// Bytes in front of a gRPC message: a flag and its length.
    static let prefix = 5

    /// The whole HTTP body.
    func body() -> UnsafeRawBufferPointer {
        block.base.storeBytes(of: 0, as: UInt8.self)
        block.base.storeBytes(of: UInt32(end - Parcel.prefix).bigEndian, toByteOffset: 1, as: UInt32.self)
        return UnsafeRawBufferPointer(start: block.base, count: end)
    }
}

/// What is the same for all messages of a route.
final class RouteTemplate {
    let lane: Lane
    /// Encoded attributes of messages in `event` mode, of plain batches, and of compressed ones.
    let event: [UInt8]
    /// See ``event``.
    let plain: [UInt8]
    /// See ``event``.
    let compressed: [UInt8]

    init(route: Route, lane: Lane, collector: String) {
        self.lane = lane
        func attributes(_ type: String, _ encoding: String) -> [UInt8] {
            var bytes = Protobuf.attribute("schema", "market.\(route.kind.name)/1")
            bytes += Protobuf.attribute("type", route.kind.name)
            bytes += Protobuf.attribute("exchange", route.exchange)
            if let symbol = route.symbol { bytes += Protobuf.attribute("symbol", symbol) }
            bytes += Protobuf.attribute("content_type", type)
            bytes += Protobuf.attribute("content_encoding", encoding)
            bytes += Protobuf.attribute("collector", collector)
            return bytes
        }
        event = attributes("application/json", "identity")
        plain = attributes("application/x-ndjson", "identity")
        compressed = attributes("application/x-ndjson", "zstd")
    }
}

/// First in, first out, without moving what is left.
struct Queue<Element> {
    private var elements: [Element?] = []
    private var head = 0

    var isEmpty: Bool { head == elements.count }
    var first: Element? { head < elements.count ? elements[head] : nil }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func popFirst() -> Element? {
        guard head < elements.count else { return nil }
        let element = elements[head]
        elements[head] = nil
        head += 1
        if head == elements.count {
            elements.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 1024, head * 2 > elements.count {
            elements.removeFirst(head)
            head = 0
        }
        return element
    }
}
