import MarketData
import Testing

struct DigitWriterTests {
    private func text(_ write: (UnsafeMutablePointer<UInt8>) -> Int) -> String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 48) { room in
            room.initialize(repeating: 0xEE)
            guard let base = room.baseAddress else { return "" }
            return String(decoding: room[..<write(base)], as: UTF8.self)
        }
    }

    /// Around every power of ten and of two, where digit counts change.
    static let values: [UInt64] = {
        var values: Set<UInt64> = [0, .max]
        var power: UInt64 = 1
        while true {
            for offset in 0...2 as ClosedRange<UInt64> {
                values.formUnion([power &+ offset, power &- offset, power / 3 &+ offset])
            }
            let (next, overflows) = power.multipliedReportingOverflow(by: 10)
            if overflows { break }
            power = next
        }
        for shift in 0..<64 as Range<UInt64> { values.formUnion([1 << shift, (1 << shift) &- 1]) }
        return values.sorted()
    }()

    @Test func counts() {
        for value in DigitWriterTests.values { #expect(DigitWriter.count(value) == String(value).utf8.count) }
    }

    @Test func unsigned() {
        for value in DigitWriterTests.values {
            #expect(text { DigitWriter.write(value, to: $0) } == String(value))
        }
    }

    @Test func signed() {
        for value in DigitWriterTests.values.map({ Int64(bitPattern: $0) }) + [.min, .max, -1, 0] {
            #expect(text { DigitWriter.write(value, to: $0) } == String(value))
        }
    }

    @Test func padded() {
        for value in DigitWriterTests.values {
            let plain = String(value)
            for count in plain.utf8.count...20 {
                let expected = String(repeating: "0", count: count - plain.utf8.count) + plain
                #expect(
                    text {
                        DigitWriter.write(value, digits: count, to: $0)
                        return count
                    } == expected)
            }
        }
    }

    @Test func withPoint() {
        for value in DigitWriterTests.values {
            for scale in 0...19 {
                let expected = DecimalTests.pointed(String(value), scale: scale)
                #expect(text { DigitWriter.write(value, fractionDigits: scale, to: $0) } == expected)
            }
        }
    }
}
