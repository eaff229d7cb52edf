import MarketData

/// Writes JSON to memory that has room for it: the caller has asked ``EventSerializer/bound(_:)`` before. The one
/// place where event fields become text.
struct JSONCursor {
    var at: UnsafeMutablePointer<UInt8>
    /// The writer's own.
    let times: UnsafeMutablePointer<TimeText>

    /// Bytes of a literal; a constant length becomes plain moves.
    @inline(__always) mutating func literal(_ text: StaticString) {
        at.update(from: text.utf8Start, count: text.utf8CodeUnitCount)
        at += text.utf8CodeUnitCount
    }

    @inline(__always) mutating func bytes(_ from: UnsafePointer<UInt8>, count: Int) {
        at.update(from: from, count: count)
        at += count
    }

    @inline(__always) mutating func byte(_ value: UInt8) {
        at.pointee = value
        at += 1
    }

    @inline(__always) mutating func integer(_ value: Int64) { at += DigitWriter.write(value, to: at) }

    @inline(__always) mutating func integer(_ value: UInt64) { at += DigitWriter.write(value, to: at) }

    /// `,"key":123`, nothing where absent.
    @inline(__always) mutating func field(_ key: StaticString, _ value: Int64) {
        guard value != absentInteger else { return }
        literal(key)
        integer(value)
    }

    /// As ``field(_:_:)-(_,Int64)``, of a time near those of the events around.
    @inline(__always) mutating func time(_ key: StaticString, _ value: Int64) {
        guard value != absentInteger else { return }
        literal(key)
        at += times.pointee.write(value, to: at)
    }

    /// `,"key":"0.001"`, nothing where absent. The key's literal ends with the opening quote.
    @inline(__always) mutating func field(_ key: StaticString, _ value: Decimal) {
        guard value.isPresent else { return }
        literal(key)
        at += value.write(to: at)
        byte(UInt8(ascii: "\""))
    }

    /// `,"key":"word"`, nothing where absent. The key's literal ends with the opening quote.
    @inline(__always) mutating func field(_ key: StaticString, _ value: ShortText) {
        guard value.isPresent else { return }
        literal(key)
        at += value.write(to: at)
        byte(UInt8(ascii: "\""))
    }

    /// The bytes in base64 with padding (RFC 4648, section 4).
    mutating func base64(_ bytes: UnsafeRawBufferPointer) {
        let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        let digits = alphabet.utf8Start
        var index = 0
        while index < bytes.count {
            let left = bytes.count - index
            let group =
                UInt32(bytes[index]) << 16 | (left > 1 ? UInt32(bytes[index + 1]) << 8 : 0)
                | (left > 2 ? UInt32(bytes[index + 2]) : 0)
            at[0] = digits[Int(group >> 18)]
            at[1] = digits[Int(group >> 12 & 63)]
            at[2] = left > 1 ? digits[Int(group >> 6 & 63)] : UInt8(ascii: "=")
            at[3] = left > 2 ? digits[Int(group & 63)] : UInt8(ascii: "=")
            at += 4
            index += 3
        }
    }
}
