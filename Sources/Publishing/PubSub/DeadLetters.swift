import Batching

/// What the service refuses for what it says is found and put aside, so that the rest can go on.
extension PublishScheduler {
    /// The lane's first request was refused with INVALID_ARGUMENT. Of several messages each half goes on by itself, so
    /// that the one to blame is found after about log2 of their number refusals; one alone goes to the dead letters.
    func divide(_ lane: Lane, reason: String, now: Int64) {
        guard let parcel = lane.parcels.first else { return }
        let ranges = parcel.messageRanges()
        guard ranges.count == parcel.messages else { return }
        ledger.add(to: .retries)
        if ranges.count == 1 {
            bury(parcel, message: ranges[0], of: lane, reason: reason)
            lane.parcels.removeFirst()
            recycle(parcel, of: lane)
            resume(lane, now: now)
            return
        }
        let half = ranges.count / 2
        let first = part(of: parcel, lane: lane, ranges[..<half])
        let second = part(of: parcel, lane: lane, ranges[half...])
        share(parcel.entries, messages: half, between: first, and: second)
        lane.parcels.replaceSubrange(..<1, with: [first, second])
        recycle(parcel, of: lane)
        enqueue(lane)
    }

    private func part(of parcel: Parcel, lane: Lane, _ ranges: ArraySlice<Range<Int>>) -> Parcel {
        let from = ranges.first?.lowerBound ?? 0
        let count = (ranges.last?.upperBound ?? 0) - from
        let part = self.parcel(for: lane, bytes: count)
        (part.block.base + part.end).copyMemory(from: parcel.block.base + from, byteCount: count)
        part.end += count
        part.messages = ranges.count
        // Nothing may join it: it would be refused with it.
        part.wasSent = true
        return part
    }

    /// Gives the entries of the first `messages` messages to one part and the rest to the other. An entry that both
    /// share is divided by messages; its bytes stay with the second, which ends it.
    private func share(_ entries: [Parcel.Entry], messages: Int, between first: Parcel, and second: Parcel) {
        var left = messages
        for entry in entries {
            if entry.messages <= left {
                first.entries.append(entry)
                left -= entry.messages
            } else if left == 0 {
                second.entries.append(entry)
            } else {
                var head = entry
                var tail = entry
                (head.messages, tail.messages) = (left, entry.messages - left)
                (head.receipt.events, tail.receipt.events) = (
                    UInt32(left), entry.receipt.events - UInt32(left)
                )
                (head.receipt.bytes, head.receipt.rawBytes, head.receipt.endsBatch) = (0, 0, false)
                head.receipt.endsRecord = false
                first.entries.append(head)
                second.entries.append(tail)
                left = 0
            }
        }
    }

    /// Sends the message to `market.deadletter.{exchange}` with the reason; it counts as dead-lettered once it is there.
    private func bury(_ parcel: Parcel, message range: Range<Int>, of lane: Lane, reason: String) {
        let bytes = UnsafeRawBufferPointer(
            rebasing: UnsafeRawBufferPointer(
                start: parcel.block.base, count: parcel.end)[range])
        let refused = RefusedMessage(field: bytes)
        let exchange = refused.attributes.first { $0.key == "exchange" }?.value ?? "unknown"
        let target = self.lane(
            topic: RefusedMessage.topic(exchange: exchange), orderingKey: exchange, isDeadLetter: true)
        let field = refused.deadLetter(
            reason: reason, topic: lane.topic.id, orderingKey: lane.orderingKey, key: target.keyField)
        let letter = self.parcel(for: target, bytes: field.count)
        field.withUnsafeBytes { bytes in
            var out = letter.block.base + letter.end
            Protobuf.copy(bytes, to: &out)
        }
        letter.end += field.count
        letter.messages = 1
        letter.wasSent = true
        letter.entries = parcel.entries
        for entry in parcel.entries { letters.add(entry.receipt) }
        target.parcels.append(letter)
        if target.state == .idle { enqueue(target) }
        ledger.report(
            information:
                "pubsub sink: \(lane.topic.name) refused a message (\(reason)); it went to the dead letters in"
                + " \(target.topic.name)")
    }
}

/// Dead letters that are not safe yet, by batch: a batch has ended only when its own messages and these are.
struct LetterBook {
    private struct Batch: Hashable {
        var route: UInt32
        var number: UInt64

        init(_ receipt: BatchReceipt) { (route, number) = (receipt.route, receipt.number) }
    }

    private var open: [Batch: Int] = [:]
    /// Batches of which all is safe but letters.
    private var ended: Set<Batch> = []

    var isEmpty: Bool { open.isEmpty }

    mutating func add(_ receipt: BatchReceipt) { open[Batch(receipt), default: 0] += 1 }

    /// Part of a batch is safe: sets whether the batch has ended with it.
    mutating func settle(_ receipt: inout BatchReceipt, isLetter: Bool) {
        let batch = Batch(receipt)
        guard let count = open[batch] else { return }
        let left = isLetter ? count - 1 : count
        open[batch] = left > 0 ? left : nil
        if receipt.endsBatch { ended.insert(batch) }
        receipt.endsBatch = left == 0 && ended.remove(batch) != nil
    }
}

/// A message that the service does not take.
struct RefusedMessage {
    var data: [UInt8] = []
    var attributes: [(key: String, value: String)] = []

    // https://cloud.google.com/pubsub/quotas#resource_limits
    private static let keyLimit = 256
    private static let valueLimit = 1024
    private static let attributeLimit = 100

    /// Of field 2 of a PublishRequest.
    init(field: UnsafeRawBufferPointer) {
        var outer = ProtobufReader(field)
        guard case .bytes(let content)? = outer.next()?.value else { return }
        var reader = ProtobufReader(content)
        while let (number, value) = reader.next() {
            guard case .bytes(let bytes) = value else { continue }
            if number == 1 { data = Array(bytes) }
            if number == 2 { attributes.append(RefusedMessage.entry(bytes)) }
        }
    }

    private static func entry(_ bytes: UnsafeRawBufferPointer) -> (key: String, value: String) {
        var entry = (key: "", value: "")
        var reader = ProtobufReader(bytes)
        while let (number, value) = reader.next() {
            guard case .bytes(let text) = value else { continue }
            if number == 1 { entry.key = String(decoding: text, as: UTF8.self) }
            if number == 2 { entry.value = String(decoding: text, as: UTF8.self) }
        }
        return entry
    }

    static func topic(exchange: String) -> String {
        let values = TopicTemplate.Values(type: "", exchange: exchange, symbol: "", interval: "", market: "")
        return (try? TopicTemplate("market.deadletter.{exchange}"))?.renderTopicID(values)
            ?? "market.deadletter"
    }

    /// The same data and, as far as the service's limits allow, attributes as a field of a PublishRequest; besides
    /// `dead_letter_reason`, `dead_letter_topic` and `dead_letter_ordering_key`, so that it can be published again.
    func deadLetter(reason: String, topic: String, orderingKey: String, key: [UInt8]) -> [UInt8] {
        var all = attributes.filter {
            !$0.key.isEmpty && $0.key.utf8.count <= RefusedMessage.keyLimit && !$0.key.hasPrefix("goog")
        }
        all = Array(all.prefix(RefusedMessage.attributeLimit - 3))
        all.append(("dead_letter_reason", reason.isEmpty ? "INVALID_ARGUMENT" : reason))
        all.append(("dead_letter_topic", topic))
        if !orderingKey.isEmpty { all.append(("dead_letter_ordering_key", orderingKey)) }
        var content = data.isEmpty ? [] : Protobuf.field(1, data)
        for (key, value) in all { content += Protobuf.attribute(key, RefusedMessage.cut(value)) }
        return Protobuf.field(2, content + key)
    }

    /// At most as long as the service allows, at a character's end.
    static func cut(_ text: String) -> String {
        guard text.utf8.count > valueLimit else { return text }
        var result = ""
        var used = 0
        for character in text.unicodeScalars {
            used += String(character).utf8.count
            guard used <= valueLimit else { break }
            result.unicodeScalars.append(character)
        }
        return result
    }
}
