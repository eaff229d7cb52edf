import ByteScanning
import ExchangeAdapter
import MarketData

/// The outermost object of a frame: where its values lie. The whole frame is checked while it is read.
struct FrameEnvelope {
    /// The keys that tell what a frame is.
    enum Key: Int {
        case stream, data, result, error, code, msg, id, event
    }

    /// Name of the stream.
    private(set) var stream: JSONString
    /// Each value's first byte.
    private(set) var data: UnsafeRawPointer
    private(set) var result: UnsafeRawPointer
    private(set) var error: UnsafeRawPointer
    private(set) var code: UnsafeRawPointer
    private(set) var id: UnsafeRawPointer
    private(set) var event: UnsafeRawPointer
    private let end: UnsafeRawPointer
    private var present: UInt8 = 0

    /// Reads to the frame's end.
    init(_ cursor: inout JSONCursor) throws(ScanError) {
        let base = cursor.at
        stream = JSONString(start: base, count: 0, hasEscapes: false)
        data = base
        result = base
        error = base
        code = base
        id = base
        event = base
        end = cursor.end
        var more = try cursor.enterObject()
        while more {
            let key = try cursor.readKey()
            let value = cursor.at
            switch key {
            case JSONKey("stream"):
                try note(.stream)
                stream = try cursor.readString()
            case JSONKey("data"):
                try note(.data)
                data = value
                try cursor.skipValue()
            case JSONKey("result"):
                try note(.result)
                result = value
                try cursor.skipValue()
            case JSONKey("error"):
                try note(.error)
                error = value
                try cursor.skipValue()
            case JSONKey("code"):
                try note(.code)
                code = value
                try cursor.skipValue()
            case JSONKey("msg"):
                try note(.msg)
                try cursor.skipValue()
            case JSONKey("id"):
                try note(.id)
                id = value
                try cursor.skipValue()
            case JSONKey("e"):
                try note(.event)
                event = value
                try cursor.skipValue()
            default: try cursor.skipValue()
            }
            more = try cursor.nextMember()
        }
        try cursor.expectEnd()
    }

    /// A key that comes twice leaves open which one counts.
    private mutating func note(_ key: Key) throws(ScanError) {
        guard !has(key) else { throw .malformed }
        present |= 1 << UInt8(key.rawValue)
    }

    func has(_ key: Key) -> Bool { present & 1 << UInt8(key.rawValue) != 0 }

    /// `{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}`
    var isShutdownStream: Bool { stream.isWritten(FrameEnvelope.shutdownStream) }

    /// Pushed, never subscribed to.
    static var shutdownStream: StaticString { "!serverShutdown" }

    /// `{"e":"serverShutdown","E":1770123456789}`
    var isShutdownEvent: Bool {
        var cursor = JSONCursor(start: event, at: event, end: end)
        guard has(.event), let name = try? cursor.readString() else { return false }
        return name.isWritten("serverShutdown")
    }

    /// The request that is answered; nil where that is not told.
    var requestID: Int64? { has(.id) ? integer(at: id) : nil }

    /// The error's number, in either shape.
    var errorCode: Int64? {
        if has(.code) { return integer(at: code) }
        guard has(.error) else { return nil }
        var cursor = JSONCursor(start: error, at: error, end: end)
        do throws(ScanError) {
            var more = try cursor.enterObject()
            while more {
                let key = try cursor.readKey()
                if key == JSONKey("code") { return integer(at: cursor.at) }
                try cursor.skipValue()
                more = try cursor.nextMember()
            }
        } catch {}
        return nil
    }

    /// The names in the answer to LIST_SUBSCRIPTIONS; nil where the result is no list of names.
    var listedNames: [String]? {
        var cursor = JSONCursor(start: result, at: result, end: end)
        guard cursor.byte == UInt8(ascii: "[") else { return nil }
        var names: [String] = []
        do throws(ScanError) {
            var more = try cursor.enterArray()
            while more {
                guard let name = FrameEnvelope.text(try cursor.readString()) else { return nil }
                // More than a connection can have, so that no answer makes us remember without end.
                if names.count < FrameEnvelope.listedMax { names.append(name) }
                more = try cursor.nextElement()
            }
        } catch {
            return nil
        }
        return names
    }

    /// Four times what a connection may carry.
    static var listedMax: Int { 4_096 }

    /// A stream's name with its escapes resolved; nil where it is longer than any.
    private static func text(_ string: JSONString) -> String? {
        guard string.hasEscapes else {
            return string.count <= 256 ? String(decoding: string.bytes, as: UTF8.self) : nil
        }
        return withUnsafeTemporaryAllocation(byteCount: 256, alignment: 1) { room in
            guard let count = string.unescape(into: room) else { return nil }
            return String(decoding: room[..<count], as: UTF8.self)
        }
    }

    private func integer(at value: UnsafeRawPointer) -> Int64? {
        var cursor = JSONCursor(start: value, at: value, end: end)
        return try? cursor.readInteger()
    }
}

extension FrameReader {
    /// A frame that is no data: what it says of the connection. False where it is nothing that is known.
    func answer(
        _ envelope: FrameEnvelope, frame: UnsafeRawBufferPointer, into events: inout EventWriter
    ) -> Bool {
        if envelope.has(.error) || (envelope.has(.code) && envelope.has(.msg)) {
            events.signals.append(
                .refused(id: envelope.requestID, code: envelope.errorCode, text: FrameReader.excerpt(frame)))
            return true
        }
        if envelope.has(.result), let id = envelope.requestID {
            if let names = envelope.listedNames {
                events.signals.append(.listed(id: id, names: names))
            } else {
                events.signals.append(.acknowledged(id: id))
            }
            return true
        }
        if envelope.isShutdownEvent {
            events.signals.append(.serverShutdown)
            return true
        }
        return false
    }

    /// The first 256 bytes, cut between characters.
    static func excerpt(_ frame: UnsafeRawBufferPointer) -> String {
        var count = min(frame.count, 256)
        while count < frame.count, count > 0, frame[count] & 0xC0 == 0x80 { count -= 1 }
        return String(decoding: frame[..<count], as: UTF8.self)
    }
}
