import Batching

/// What a message holds beside its data and is billed for, found by writing one with the publisher's own encoder.
public enum MessageContent {
    /// How the data of a message are written.
    public enum Form: Sendable, Equatable {
        /// One event.
        case event
        /// Lines, as they are.
        case lines
        /// Lines, compressed; with a dictionary or without.
        case compressed(dictionary: Bool)
    }

    /// A count of events, sequences or batches as it is some hours after the start: its digits are billed, too.
    static let typicalCount: UInt64 = 1_000_000
    /// Of the year 2026, ns since the epoch; all times of three centuries have as many digits.
    static let typicalTime: Int64 = 1_790_000_000_000_000_000
    /// Dictionaries have ids of nine or ten digits.
    static let typicalDictionary: UInt32 = 1_234_567_890

    /// Bytes of the keys and values of all attributes, and of the ordering key. `events`: of a message.
    public static func attributeBytes(of route: Route, collector: String, form: Form, events: Int) -> Int {
        let lane = Lane(topic: Topic(project: "", id: ""), orderingKey: route.orderingKey)
        let template = RouteTemplate(route: route, lane: lane, collector: collector)
        var encoder = MessageEncoder(runID: 0)
        var extent = MessageEncoder.Extent(
            count: UInt64(events), firstSequence: typicalCount,
            lastSequence: typicalCount + UInt64(events) - 1, firstEventTime: typicalTime,
            lastEventTime: typicalTime, batch: typicalCount)
        let encoded: [UInt8]
        switch form {
        case .event:
            encoded = RouteTemplate.event
            extent.index = 0
        case .lines: encoded = RouteTemplate.plain
        case .compressed(let dictionary):
            encoded = RouteTemplate.compressed
            extent.dictionary = dictionary ? typicalDictionary : 0
        }
        encoder.describe(extent)
        let limit = MessageEncoder.sizeLimit(
            data: 0, fixed: template.attributes.count + encoded.count, key: lane.keyField.count)
        return withUnsafeTemporaryAllocation(byteCount: limit, alignment: 8) { room in
            guard let base = room.baseAddress else { return 0 }
            let count = encoder.write(
                data: UnsafeRawBufferPointer(start: nil, count: 0), fixed: template.attributes, form: encoded,
                key: lane.keyField, to: base)
            return billedBytes(ofMessages: UnsafeRawBufferPointer(start: base, count: count))
        }
    }

    /// Data, keys and values of attributes, and ordering keys of encoded messages (fields 2 of a PublishRequest).
    static func billedBytes(ofMessages bytes: UnsafeRawBufferPointer) -> Int {
        var messages = ProtobufReader(bytes)
        var sum = 0
        while let (number, value) = messages.next() {
            if number == 2, case .bytes(let message) = value { sum += billedBytes(of: message) }
        }
        return sum
    }

    /// The same of messages with the same attributes, as those of a topic and key are: only the first is looked at, for
    /// what the encoding adds to it. Of the others the lengths' own lengths may differ by a byte or two.
    static func billedBytes(ofLikeMessages bytes: UnsafeRawBufferPointer, count: Int) -> Int {
        var messages = ProtobufReader(bytes)
        guard let (number, value) = messages.next(), number == 2, case .bytes(let first) = value else {
            return bytes.count
        }
        return max(0, bytes.count - count * (messages.position - billedBytes(of: first)))
    }

    private static func billedBytes(of message: UnsafeRawBufferPointer) -> Int {
        var fields = ProtobufReader(message)
        var sum = 0
        while let (number, value) = fields.next() {
            guard case .bytes(let content) = value else { continue }
            guard number == 2 else {
                sum += content.count
                continue
            }
            var entry = ProtobufReader(content)
            while let (_, part) = entry.next() {
                if case .bytes(let text) = part { sum += text.count }
            }
        }
        return sum
    }
}
