import ByteScanning
import MarketData
import Testing

struct NumberTests {
    private func decimal(_ text: String, padding: UInt8 = 0) -> Outcome<String> {
        scan(text, padding: padding) { (cursor) throws(ScanError) in try cursor.readDecimal().description }
    }

    @Test(arguments: [
        "0", "1", "9", "10", "100", "0.0", "-0.00", "0.00100000", "84922.04000000", "0.00000001", "-3058.40",
        "12345678", "123456789", "1234567.8", "12345678.9", "1234567890123456.12345678",
        "9999999999999999999", "18446744073709551615", "18446744073709551616", "99999999.99999999",
        "0.1234567890123456789", "0.12345678901234567890", "1234567890123456789012345678901234",
        "5192296858534827628530496329220095", "0.5192296858534827628530496329220095",
        "0.0000000000000000000000000000000000000001",
    ])
    func decimalIsGivenBackByteForByte(text: String) {
        for padding in paddings {
            #expect(decimal("\"\(text)\"", padding: padding) == .value(text, consumed: text.utf8.count + 2))
            #expect(decimal("\(text),", padding: padding) == .value(text, consumed: text.utf8.count))
            #expect(decimal("\(text)}", padding: padding) == .value(text, consumed: text.utf8.count))
        }
    }

    @Test(arguments: [
        "", "-", ".", "00", "00.1", "01", "-01", ".5", "5.", "-.5", "+1", "1e5", "1E5", "1.5e3", "1.2.3",
        "1 ", " 1",
        "0x10", "NaN", "1,5", "--1", "1-", "５", "5192296858534827628530496329220096",
        "99999999999999999999999999999999999", "0.00000000000000000000000000000000000000001", "1\\u0030",
        "000000000", "0000000000000000000000.5",
    ])
    func decimalThatWouldNotBeGivenBack(text: String) {
        for padding in paddings {
            #expect(decimal("\"\(text)\"", padding: padding) == .failure(.decimal), "\(text)")
        }
    }

    @Test(arguments: ["true", "null", "{}", "[]", "t"]) func noDecimal(text: String) {
        #expect(decimal(text) == .failure(.wrongType))
    }

    @Test func decimalCutAnywhere() {
        for text in ["\"84922.04000000\"", "\"1234567890123456.12345678\"", "84922.04000000,", "-0.5}"] {
            let bytes = Array(text.utf8)
            for count in 0..<bytes.count {
                for padding in paddings {
                    let outcome = scan(Array(bytes[..<count]), padding: padding) {
                        (cursor) throws(ScanError) in
                        try cursor.readDecimal().description
                    }
                    guard case .failure = outcome else {
                        Issue.record("\(text) cut to \(count) bytes before \(padding): \(outcome)")
                        continue
                    }
                }
            }
        }
    }

    @Test func decimalsOfEachShape() {
        var generator = SplitMix64(seed: 7)
        for whole in 1...33 {
            for fraction in 0...(33 - whole) {
                var text = "\(Int.random(in: 1...9, using: &generator))"
                for _ in 1..<whole { text += "\(Int.random(in: 0...9, using: &generator))" }
                if fraction > 0 { text += "." }
                for _ in 0..<fraction { text += "\(Int.random(in: 0...9, using: &generator))" }
                let sign = Bool.random(using: &generator) ? "-" : ""
                #expect(
                    decimal("\"\(sign)\(text)\"", padding: 0x35)
                        == .value(
                            sign + text, consumed: (sign + text).utf8.count + 2))
            }
        }
    }

    private func integer(_ text: String, padding: UInt8 = 0) -> Outcome<Int64> {
        scan(text, padding: padding) { (cursor) throws(ScanError) in try cursor.readInteger() }
    }

    @Test func integersOfEachLength() {
        var generator = SplitMix64(seed: 11)
        var values: [Int64] = [0, -1, .max, .max - 1, .min + 1, 1_790_960_630_914]
        for digits in 1...18 {
            let first = (1..<digits).reduce(Int64(1)) { power, _ in power * 10 }
            for _ in 0..<20 { values.append(Int64.random(in: first..<first * 10, using: &generator)) }
        }
        for value in values + values.filter({ $0 > 0 }).map({ -$0 }) {
            for padding in paddings {
                let text = "\(value)"
                #expect(integer(text + ",", padding: padding) == .value(value, consumed: text.utf8.count))
                #expect(integer(text + "}", padding: padding) == .value(value, consumed: text.utf8.count))
            }
        }
    }

    @Test(arguments: [
        ("9223372036854775808,", ScanError.integer), ("-9223372036854775808,", .integer),
        ("10000000000000000000,", .integer), ("18446744073709551616,", .integer),
        ("123456789012345678901234567890,", .integer), ("1.0,", .wrongType), ("1e3,", .wrongType),
        ("1E3,", .wrongType), ("\"1\",", .wrongType), ("null,", .wrongType), ("[1],", .wrongType),
        ("01,", .malformed), ("-01,", .malformed), ("-,", .malformed), ("--1,", .malformed),
        ("+1,", .malformed),
        (",", .malformed), ("x,", .malformed), ("12", .malformed),
    ])
    func noInteger(text: String, error: ScanError) {
        for padding in paddings { #expect(integer(text, padding: padding) == .failure(error), "\(text)") }
    }
}
