import CZstd

/// A message that does not follow the contract. Nothing of it was taken.
public struct UnreadableMessage: Error, CustomStringConvertible, Equatable {
    /// What is wrong, where, and what to do.
    public let description: String

    init(_ text: String) { description = text }
}

/// What a subscription delivers.
public struct ReceivedMessage: Sendable, Equatable {
    /// One event's JSON, or lines of them, maybe compressed.
    public var data: [UInt8]
    /// As they came.
    public var attributes: [String: String]
    /// Empty where there is none.
    public var orderingKey: String

    /// A message.
    public init(data: [UInt8], attributes: [String: String], orderingKey: String = "") {
        self.data = data
        self.attributes = attributes
        self.orderingKey = orderingKey
    }

    func attribute(_ name: String) throws(UnreadableMessage) -> String {
        guard let value = attributes[name] else {
            throw UnreadableMessage(
                "there is no attribute \"\(name)\"; is this topic written by exchange-collector?")
        }
        return value
    }

    func number(_ name: String) throws(UnreadableMessage) -> UInt64 {
        let text = try attribute(name)
        guard let value = UInt64(text) else {
            throw UnreadableMessage("attribute \"\(name)\" is \"\(text)\" instead of a number")
        }
        return value
    }

    /// The process that published it.
    func run() throws(UnreadableMessage) -> CollectorRun {
        let batch = try attribute("batch_id")
        return CollectorRun(
            collector: try attribute("collector"), id: String(batch.prefix { $0 != "-" }))
    }
}

/// One run of a collector, from its start to its end.
public struct CollectorRun: Hashable, Sendable, CustomStringConvertible {
    /// The instance's name.
    public let collector: String
    /// The first half of the batch ids.
    public let id: String

    /// `name/00000000000000aa`.
    public var description: String { "\(collector)/\(id)" }
}

/// Unpacks messages: the zstd context is kept. Not for several threads at once.
public final class MessageDecoder {
    private let context: OpaquePointer
    private var room = [UInt8](repeating: 0, count: 256 << 10)

    /// No batch is longer unpacked; what claims more is corrupt. Bytes.
    public static let longestContent = 256 << 20

    /// `dictionaries`: files of `train-dictionary`, for messages with the attribute `dictionary`. Throws where one is none,
    /// or where there is no memory.
    public init(dictionaries: [[UInt8]] = []) throws(UnreadableMessage) {
        guard let context = cz_decompressor_new() else { throw UnreadableMessage("zstd: no memory") }
        self.context = context
        for bytes in dictionaries where cz_decompressor_add(context, bytes, bytes.count) != 0 {
            throw UnreadableMessage("this is no zstd dictionary with an id; give a file of train-dictionary")
        }
    }

    deinit { cz_decompressor_free(context) }

    /// The events of a message, in their order.
    public func events(of message: ReceivedMessage) throws(UnreadableMessage) -> [MarketEvent] {
        let content = try content(of: message)
        let lines = content.split(separator: UInt8(ascii: "\n"))
        let count = try message.number("count")
        guard lines.count == count else {
            throw UnreadableMessage(
                "\(lines.count) events instead of the \(count) of the attribute; the data are cut")
        }
        // In a coarse topic a batch of one key leaves out the sequences that went to other keys.
        var least = try message.number("first_sequence")
        var events: [MarketEvent] = []
        events.reserveCapacity(lines.count)
        for line in lines {
            let event = try MarketEvent(line: Array(line))
            guard event.sequence >= least else {
                throw UnreadableMessage("sequence \(event.sequence) does not follow the one before it")
            }
            least = event.sequence + 1
            events.append(event)
        }
        return events
    }

    private func content(of message: ReceivedMessage) throws(UnreadableMessage) -> [UInt8] {
        switch try message.attribute("content_encoding") {
        case "identity": return message.data
        case "zstd": return try unpack(message.data)
        case let other:
            throw UnreadableMessage("content_encoding \"\(other)\" is unknown; update this library")
        }
    }

    private func unpack(_ data: [UInt8]) throws(UnreadableMessage) -> [UInt8] {
        // An earlier message may have been cut.
        cz_decompressor_reset(context)
        var content: [UInt8] = []
        var used = 0
        while true {
            var produced = 0
            let result = data.withUnsafeBytes { input in
                room.withUnsafeMutableBytes {
                    cz_decompress(
                        context, $0.baseAddress, $0.count, &produced, input.baseAddress, input.count, &used)
                }
            }
            let missing = cz_decompressor_missing(context)
            guard missing == 0 else {
                throw UnreadableMessage(
                    "zstd dictionary \(missing) is not here; give its file to MessageDecoder")
            }
            guard result >= 0 else {
                throw UnreadableMessage("corrupt zstd data: \(String(cString: cz_error_text(result)))")
            }
            content += room[..<produced]
            guard content.count <= MessageDecoder.longestContent else {
                throw UnreadableMessage("more than 256 MiB in one message; it is corrupt")
            }
            if result == 0, used == data.count { return content }
            guard used < data.count || produced == room.count else {
                throw UnreadableMessage("the zstd frame is cut")
            }
        }
    }
}
