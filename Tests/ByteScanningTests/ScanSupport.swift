import ByteScanning

/// What a scan came to.
enum Outcome<Value: Equatable>: Equatable {
    case value(Value, consumed: Int)
    case failure(ScanError)
}

/// Bytes that may lie behind a text and must not matter.
let paddings: [UInt8] = [0x00, 0x20, 0x22, 0x2C, 0x2E, 0x30, 0x39, 0x3A, 0x5C, 0x5D, 0x65, 0x7D, 0xFF]

/// Runs `body` on a cursor over `text`, with `padding` behind it.
func scan<Value: Equatable>(
    _ text: [UInt8], padding: UInt8 = 0, _ body: (inout JSONCursor) throws(ScanError) -> Value
) -> Outcome<Value> {
    let memory = UnsafeMutableRawBufferPointer.allocate(
        byteCount: text.count + JSONCursor.slack, alignment: 1)
    defer { memory.deallocate() }
    for index in memory.indices { memory[index] = index < text.count ? text[index] : padding }
    guard var cursor = JSONCursor(UnsafeRawBufferPointer(rebasing: memory[..<text.count])) else {
        return .failure(.malformed)
    }
    do throws(ScanError) {
        let value = try body(&cursor)
        return .value(value, consumed: cursor.offset)
    } catch {
        return .failure(error)
    }
}

func scan<Value: Equatable>(
    _ text: String, padding: UInt8 = 0, _ body: (inout JSONCursor) throws(ScanError) -> Value
) -> Outcome<Value> {
    scan(Array(text.utf8), padding: padding, body)
}
