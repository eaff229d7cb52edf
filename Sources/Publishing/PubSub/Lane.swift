import Batching

/// A topic of the service, as far as the publisher knows it.
final class Topic {
    enum State: UInt8 {
        /// Exists, or is believed to until the service says otherwise.
        case usable
        /// To be created as soon as the pace allows.
        case queued
        /// A CreateTopic is in flight.
        case creating
        /// Creating failed; rests.
        case waiting
    }

    /// `projects/P/topics/T` as field 1, of a PublishRequest as well as of a Topic.
    let field: [UInt8]
    var state = State.usable
    var hasProblem = false
    var failures = 0
    /// When a CreateTopic last succeeded, monotonic ns: a NOT_FOUND soon after only means that the news is spreading.
    var createdAt: Int64?
    /// Lanes that have something to send once the topic is usable.
    var blocked: [Lane] = []

    init(project: String, id: String) {
        field = Protobuf.field(1, "projects/\(project)/topics/\(id)".utf8)
    }

    /// `projects/P/topics/T`.
    var name: String { String(decoding: field.dropFirst(field.count > 129 ? 3 : 2), as: UTF8.self) }
    /// The id, without the project.
    var id: String { String(name.split(separator: "/").last ?? "") }
}

/// All batches of one topic and ordering key. They leave strictly one request after the other: Pub/Sub keeps the order
/// in which it receives them, and a second request in flight could overtake the first.
final class Lane {
    enum State: UInt8 {
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
    var hasProblem = false
    /// Holds what the service refused for what it says.
    let isDeadLetter: Bool
    var failures: Int32 = 0
    /// Requests in order; the first is the one in flight.
    var parcels: [Parcel] = []
    /// Memory of these, bytes.
    var bytes = 0
    /// When the trouble began, ns since the epoch, and what it is; nil while there is none.
    var trouble: Trouble?

    init(topic: Topic, orderingKey: String, isDeadLetter: Bool = false) {
        self.topic = topic
        self.isDeadLetter = isDeadLetter
        keyField = orderingKey.isEmpty ? [] : Protobuf.field(5, orderingKey.utf8)
    }

    /// The ordering key, "" where there is none.
    var orderingKey: String {
        String(decoding: keyField.dropFirst(keyField.count > 129 ? 3 : 2), as: UTF8.self)
    }
}

/// Why a lane rests.
struct Trouble {
    /// ns since the epoch.
    var since: Int64
    var reason: String
}

/// One PublishRequest that is being filled, waits, or is in flight. Sent again it is the same, byte for byte.
final class Parcel {
    /// Messages in a row and whose they are.
    struct Entry {
        var receipt: BatchReceipt
        var messages: Int
    }

    var block: BufferPool.Block
    /// End of what is written.
    var end: Int
    var messages = 0
    var entries: [Entry] = []
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

    /// Where each message lies, tag and length included, from the beginning of the body.
    func messageRanges() -> [Range<Int>] {
        let content = UnsafeRawBufferPointer(start: block.base, count: end)
        var reader = ProtobufReader(UnsafeRawBufferPointer(rebasing: content[Parcel.prefix...]))
        var ranges: [Range<Int>] = []
        var from = Parcel.prefix
        while let (number, _) = reader.next() {
            let to = Parcel.prefix + reader.position
            if number == 2 { ranges.append(from..<to) }
            from = to
        }
        return ranges
    }
}

/// What is the same for all messages of a route.
final class RouteTemplate {
    let lane: Lane
    /// Encoded attributes that say what the events are.
    let attributes: [UInt8]
    /// ``attributes`` and those of ``event``.
    let eventAttributes: [UInt8]
    /// What the last event's message took beside its data, bytes.
    var eventOverhead = 0
    /// What the batch ids of an earlier run begin with; nil: the routes are this one's.
    let run: [UInt8]?

    /// Encoded attributes that say how the data are written.
    static let event = form("application/json", "identity")
    /// See ``event``.
    static let plain = form("application/x-ndjson", "identity")
    /// See ``event``.
    static let compressed = form("application/x-ndjson", "zstd")

    private static func form(_ type: String, _ encoding: String) -> [UInt8] {
        Protobuf.attribute("content_type", type) + Protobuf.attribute("content_encoding", encoding)
    }

    init(route: Route, lane: Lane, collector: String) {
        self.lane = lane
        var bytes = Protobuf.attribute("schema", "market.\(route.kind.name)/1")
        bytes += Protobuf.attribute("type", route.kind.name)
        bytes += Protobuf.attribute("exchange", route.exchange)
        if let symbol = route.symbol { bytes += Protobuf.attribute("symbol", symbol) }
        bytes += Protobuf.attribute("collector", route.origin?.collector ?? collector)
        attributes = bytes
        eventAttributes = bytes + RouteTemplate.event
        run = route.origin.map { MessageEncoder.prefix(runID: $0.runID) }
    }
}
