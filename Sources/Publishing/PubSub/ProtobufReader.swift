/// Reads protobuf fields; nil or an end where the bytes are malformed, never a trap.
struct ProtobufReader {
    enum Value {
        case varint(UInt64)
        case bytes(UnsafeRawBufferPointer)
        case other
    }

    private let bytes: UnsafeRawBufferPointer
    /// Bytes read.
    private(set) var position = 0
    /// Whether something could not be read.
    private(set) var isMalformed = false

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    private mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < bytes.count, shift < 64 {
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }

    /// The next field, nil at the end.
    mutating func next() -> (number: Int, value: Value)? {
        guard position < bytes.count else { return nil }
        guard let tag = varint(), let field = read(wireType: tag & 7) else {
            isMalformed = true
            return nil
        }
        return (Int(truncatingIfNeeded: tag >> 3), field)
    }

    private mutating func read(wireType: UInt64) -> Value? {
        switch wireType {
        case 0: return varint().map { .varint($0) }
        case 1: return skip(8)
        case 5: return skip(4)
        case 2:
            guard let count = varint(), count <= UInt64(bytes.count - position) else { return nil }
            let from = position
            position += Int(count)
            return .bytes(UnsafeRawBufferPointer(rebasing: bytes[from..<position]))
        default: return nil
        }
    }

    private mutating func skip(_ count: Int) -> Value? {
        guard bytes.count - position >= count else { return nil }
        position += count
        return .other
    }
}

/// What the answers of the service say.
enum PubSubAnswer {
    /// How many message ids a PublishResponse has that comes as exactly one whole, uncompressed gRPC message; nil
    /// where it is anything else.
    static func messageIDs(_ answer: UnsafeRawBufferPointer) -> Int? {
        guard answer.count >= 5, answer[0] == 0 else { return nil }
        let count = answer[1..<5].reduce(0) { $0 << 8 | Int($1) }
        guard answer.count == 5 + count else { return nil }
        var reader = ProtobufReader(UnsafeRawBufferPointer(rebasing: answer[5...]))
        var ids = 0
        while let (number, value) = reader.next() {
            if number == 1, case .bytes = value { ids += 1 }
        }
        return reader.isMalformed ? nil : ids
    }

    /// The RetryInfo.retry_delay in a grpc-status-details-bin trailer, ns; nil where there is none.
    static func retryDelay(details: String) -> Int64? {
        guard !details.isEmpty, let status = base64(details.utf8) else { return nil }
        return status.withUnsafeBytes { bytes in
            var reader = ProtobufReader(bytes)
            while let (number, value) = reader.next() {
                guard number == 3, case .bytes(let any) = value, let delay = delay(any: any) else { continue }
                return delay
            }
            return nil
        }
    }

    private static func delay(any: UnsafeRawBufferPointer) -> Int64? {
        var reader = ProtobufReader(any)
        var isRetryInfo = false
        var content: UnsafeRawBufferPointer?
        while let (number, value) = reader.next() {
            guard case .bytes(let bytes) = value else { continue }
            if number == 1 {
                isRetryInfo = bytes.elementsEqual("type.googleapis.com/google.rpc.RetryInfo".utf8)
            }
            if number == 2 { content = bytes }
        }
        guard isRetryInfo, let content else { return nil }
        var info = ProtobufReader(content)
        while let (number, value) = info.next() {
            guard number == 1, case .bytes(let bytes) = value else { continue }
            return duration(bytes)
        }
        return nil
    }

    private static func duration(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        var reader = ProtobufReader(bytes)
        var nanos: Int64 = 0
        while let (number, value) = reader.next() {
            guard case .varint(let raw) = value else { continue }
            // A day is more than any sensible delay.
            let amount = Int64(bitPattern: raw)
            if number == 1 { nanos += min(max(amount, 0), 86_400) * 1_000_000_000 }
            if number == 2 { nanos += min(max(amount, 0), 999_999_999) }
        }
        return nanos
    }

    private static func base64(_ text: String.UTF8View) -> [UInt8]? {
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        var held = 0
        for character in text where character != UInt8(ascii: "=") {
            let value: UInt8
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - 65
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - 71
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character + 4
            case UInt8(ascii: "+"), UInt8(ascii: "-"): value = 62
            case UInt8(ascii: "/"), UInt8(ascii: "_"): value = 63
            default: return nil
            }
            bits = bits << 6 | UInt32(value)
            held += 6
            if held >= 8 {
                held -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(held)))
            }
        }
        return bytes
    }
}
