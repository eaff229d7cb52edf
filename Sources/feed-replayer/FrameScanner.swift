/// Finds members and ends of JSON values in a frame's bytes without reading them. Loose: what it accepts need not be
/// valid JSON throughout, what it returns always lies within the frame.
struct FrameScanner {
    let bytes: UnsafeRawBufferPointer

    /// The first index at or after `index` that holds no white space.
    func skipSpace(_ index: Int) -> Int {
        var index = index
        while index < bytes.count, bytes[index] == 32 || (9...13).contains(bytes[index]) { index += 1 }
        return index
    }

    /// The index after the value that begins at `start`, nil where it does not end.
    func endOfValue(_ start: Int) -> Int? {
        guard start < bytes.count else { return nil }
        switch bytes[start] {
        case UInt8(ascii: "\""): return endOfString(start)
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            var depth = 0
            var index = start
            while index < bytes.count {
                switch bytes[index] {
                case UInt8(ascii: "\""):
                    guard let end = endOfString(index) else { return nil }
                    index = end
                    continue
                case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"):
                    depth -= 1
                    if depth == 0 { return index + 1 }
                default: break
                }
                index += 1
            }
            return nil
        default:
            var index = start
            while index < bytes.count, !#",}] "#.utf8.contains(bytes[index]), bytes[index] > 13 { index += 1 }
            return index > start ? index : nil
        }
    }

    private func endOfString(_ start: Int) -> Int? {
        var index = start + 1
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\""): return index + 1
            case UInt8(ascii: "\\"): index += 2
            default: index += 1
            }
        }
        return nil
    }

    /// Calls `body` with the name (without quotes) and the value of each member of the object at `start`, until it
    /// says stop. False where there is no well-formed object.
    func forEachMember(of start: Int, _ body: (Range<Int>, Range<Int>) -> Bool) -> Bool {
        guard start < bytes.count, bytes[start] == UInt8(ascii: "{") else { return false }
        var index = skipSpace(start + 1)
        if index < bytes.count, bytes[index] == UInt8(ascii: "}") { return true }
        while index < bytes.count, bytes[index] == UInt8(ascii: "\""), let nameEnd = endOfString(index) {
            let name = (index + 1)..<(nameEnd - 1)
            index = skipSpace(nameEnd)
            guard index < bytes.count, bytes[index] == UInt8(ascii: ":") else { return false }
            index = skipSpace(index + 1)
            guard let end = endOfValue(index) else { return false }
            if !body(name, index..<end) { return true }
            index = skipSpace(end)
            guard index < bytes.count else { return false }
            if bytes[index] == UInt8(ascii: "}") { return true }
            guard bytes[index] == UInt8(ascii: ",") else { return false }
            index = skipSpace(index + 1)
        }
        return false
    }

    /// The value of a member, nil where there is none.
    func member(_ name: String, of start: Int) -> Range<Int>? {
        var found: Range<Int>?
        let isObject = forEachMember(of: start) { key, value in
            guard bytes[key].elementsEqual(name.utf8) else { return true }
            found = value
            return false
        }
        return isObject ? found : nil
    }

    /// A string member's text, without quotes and as written.
    func text(_ name: String, of start: Int) -> [UInt8]? {
        guard let value = member(name, of: start), bytes[value.lowerBound] == UInt8(ascii: "\"") else {
            return nil
        }
        return Array(bytes[(value.lowerBound + 1)..<(value.upperBound - 1)])
    }
}
