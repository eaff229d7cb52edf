import MarketData
import Testing

struct DecimalTests {
    @Test func absence() {
        let absent = Decimal()
        #expect(!absent.isPresent)
        #expect(absent.description == "")
        #expect(Decimal(magnitude: 0, scale: 0).isPresent)
    }

    @Test(
        arguments: [
            (0, 0, false, "0"), (0, 1, false, "0.0"), (0, 8, true, "-0.00000000"), (5, 1, false, "0.5"),
            (100_000, 8, false, "0.00100000"), (8_492_204_000_000, 8, false, "84922.04000000"),
            (UInt64.max, 0, false, "18446744073709551615"), (UInt64.max, 19, true, "-1.8446744073709551615"),
            (UInt64.max, 20, false, "0.18446744073709551615"),
            (1, 40, false, "0.0000000000000000000000000000000000000001"),
        ] as [(UInt64, Int, Bool, String)])
    func text(magnitude: UInt64, scale: Int, isNegative: Bool, text: String) {
        let value = Decimal(magnitude: magnitude, scale: scale, isNegative: isNegative)
        #expect(value.description == text)
        #expect(value.magnitude == UInt128(magnitude))
        #expect(value.scale == scale)
        #expect(value.isNegative == isNegative)
    }

    @Test func everyLengthAndScale() {
        // Digits that differ, so that none can stand in another's place.
        let digits = "9876543210123456789012345678901234"
        for count in 1...33 {
            let text = String(digits.prefix(count))
            guard let magnitude = UInt128(text) else {
                Issue.record("\(text) is no integer")
                continue
            }
            for scale in 0...40 {
                guard let value = Decimal(wideMagnitude: magnitude, scale: scale) else {
                    Issue.record("\(text) with \(scale) fraction digits does not fit")
                    continue
                }
                #expect(value.description == DecimalTests.pointed(text, scale: scale))
            }
        }
    }

    /// By strings: zeros in front as far as needed, then a point.
    static func pointed(_ digits: String, scale: Int) -> String {
        guard scale > 0 else { return digits }
        let padded = String(repeating: "0", count: max(0, scale + 1 - digits.count)) + digits
        return "\(padded.dropLast(scale)).\(padded.suffix(scale))"
    }

    @Test func bounds() {
        let most = (UInt128(1) << 112) - 1
        #expect(Decimal(wideMagnitude: most, scale: 0)?.description == "5192296858534827628530496329220095")
        #expect(
            Decimal(wideMagnitude: most, scale: 40, isNegative: true)?.description
                == "-0.0000005192296858534827628530496329220095")
        #expect(Decimal(wideMagnitude: most + 1, scale: 0) == nil)
        #expect(Decimal(wideMagnitude: 1, scale: 41) == nil)
        #expect(Decimal(wideMagnitude: most, scale: 0)?.magnitude == most)
    }

    @Test func equalityIsOfTheText() {
        #expect(Decimal(magnitude: 10, scale: 1) != Decimal(magnitude: 100, scale: 2))
        #expect(Decimal(magnitude: 10, scale: 1) == Decimal(magnitude: 10, scale: 1))
        #expect(Decimal(magnitude: 250, scale: 2).approximation == 2.5)
        #expect(Decimal(magnitude: 250, scale: 2, isNegative: true).approximation == -2.5)
    }

    @Test func writesNothingBeyondItsRoom() {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Decimal.textLengthMax + 1) { room in
            guard let base = room.baseAddress else { return }
            for scale in 0...40 {
                for magnitude in [0, 1, UInt128(UInt64.max), (UInt128(1) << 112) - 1] {
                    base[Decimal.textLengthMax] = 0xA5
                    let value = Decimal(wideMagnitude: magnitude, scale: scale, isNegative: true)
                    #expect((value?.write(to: base) ?? 0) <= Decimal.textLengthMax)
                    #expect(base[Decimal.textLengthMax] == 0xA5)
                }
            }
        }
    }
}
