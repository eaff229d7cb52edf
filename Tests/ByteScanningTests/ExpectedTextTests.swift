import ByteScanning
import MarketData
import Testing

/// Numbers in text that is compared: whatever is taken must be what a cursor reads there, wherever the text is cut and
/// whatever lies around it.
struct ExpectedTextTests {
    /// What `take` makes of the text, with `padding` before and behind it: its answer and the bytes taken, or nil.
    private func taken<Value>(
        _ text: String, padding: UInt8, _ take: (inout ExpectedText) -> Value?
    ) -> (value: Value, count: Int)? {
        let bytes = Array(text.utf8)
        let slack = JSONCursor.slack
        var memory = [UInt8](repeating: padding, count: slack + bytes.count + slack)
        memory.replaceSubrange(slack..<(slack + bytes.count), with: bytes)
        return memory.withUnsafeBytes { memory in
            guard let base = memory.baseAddress else { return nil }
            let start = base + slack
            var expected = ExpectedText(at: start, end: start + bytes.count)
            guard let value = take(&expected), expected.at <= expected.end else { return nil }
            return (value, expected.at - start)
        }
    }

    /// The ways to read a decimal that is not negative, or any.
    private static let decimalWays: [@Sendable (inout ExpectedText, inout Decimal) -> Bool] = [
        { $0.takeDecimal(&$1) }, { $0.survey() && $0.takeDecimal(&$1) }, { $0.takeAloneDecimal(&$1) },
        { $0.takeSignedDecimal(&$1) }, { $0.survey() && $0.takeSignedDecimal(&$1) },
    ]
    private static let integerWays: [@Sendable (inout ExpectedText, inout Int64) -> Bool] = [
        { $0.takeInteger(&$1) }, { $0.survey() && $0.takeInteger(&$1) }, { $0.takeAloneInteger(&$1) },
    ]

    /// What all ways come to, which must be the same.
    private func same<Value: Equatable>(
        _ text: String, padding: UInt8, _ zero: Value,
        _ ways: [@Sendable (inout ExpectedText, inout Value) -> Bool]
    ) -> (value: Value, count: Int)? {
        let found = ways.map { way in
            taken(text, padding: padding) { (expected: inout ExpectedText) -> Value? in
                var value = zero
                return way(&expected, &value) ? value : nil
            }
        }
        for other in found {
            #expect(other?.value == found[0]?.value)
            #expect(other?.count == found[0]?.count)
        }
        return found[0]
    }

    private func decimal(_ text: String, padding: UInt8) -> (value: Decimal, count: Int)? {
        same(text, padding: padding, Decimal(), ExpectedTextTests.decimalWays)
    }

    private func integer(_ text: String, padding: UInt8) -> (value: Int64, count: Int)? {
        same(text, padding: padding, 0, ExpectedTextTests.integerWays)
    }

    private func time(_ text: String, isLong: Bool, padding: UInt8) -> (value: Int64, count: Int)? {
        taken(text, padding: padding) { (expected: inout ExpectedText) -> Int64? in
            var value: Int64 = 0
            return expected.takeTime(isLong: isLong, &value) ? value : nil
        }
    }

    private func digits(_ count: Int, _ random: inout some RandomNumberGenerator) -> String {
        (0..<count).map { place in
            String(
                place == 0 && count > 1
                    ? Int.random(in: 1...9, using: &random) : Int.random(in: 0...9, using: &random))
        }.joined()
    }

    @Test func decimalsOfEveryLength() {
        var random = SplitMix64(seed: 1)
        for whole in 1...20 {
            for fraction in 1...12 {
                let text =
                    digits(whole, &random) + "." + (0..<fraction).map { _ in digits(1, &random) }.joined()
                for sign in ["", "-"] {
                    for padding in paddings {
                        let found = decimal("\(sign)\(text)\",", padding: padding)
                        #expect(found?.value.description == sign + text)
                        #expect(found?.count == sign.utf8.count + text.utf8.count)
                    }
                }
            }
        }
    }

    @Test func integersOfEveryLength() {
        var random = SplitMix64(seed: 2)
        for count in 1...18 {
            for _ in 0..<20 {
                let text = digits(count, &random)
                for sign in ["", "-"] where sign.isEmpty || text != "0" {
                    for padding in paddings {
                        let found = integer("\(sign)\(text),", padding: padding)
                        #expect(found?.value == Int64(sign + text))
                        #expect(found?.count == sign.utf8.count + count)
                    }
                }
            }
        }
    }

    @Test func timesOfBothLengths() {
        var random = SplitMix64(seed: 3)
        for (count, isLong) in [(13, false), (16, true)] {
            for _ in 0..<200 {
                let text = digits(count, &random)
                for padding in paddings {
                    let found = time("\(text),", isLong: isLong, padding: padding)
                    #expect(found?.value == Int64(text))
                    #expect(found?.count == count)
                }
            }
        }
    }

    /// Numbers one behind the other, of which the last lie only partly within what was surveyed, or behind it.
    @Test func numbersOfOneSurvey() {
        var random = SplitMix64(seed: 4)
        for _ in 0..<2_000 {
            let texts = (0..<6).map { index in
                let whole = digits(Int.random(in: 1...9, using: &random), &random)
                return index % 2 == 0
                    ? whole : whole + "." + digits(Int.random(in: 1...9, using: &random), &random)
            }
            let found = taken(texts.joined(separator: ",") + "\",", padding: paddings[0]) {
                (expected: inout ExpectedText) -> [String]? in
                guard expected.survey() else { return nil }
                var read: [String] = []
                for index in texts.indices {
                    var integer: Int64 = 0
                    var decimal = Decimal()
                    guard
                        index % 2 == 0
                            ? expected.takeInteger(&integer) : expected.takeDecimal(&decimal),
                        expected.take(Literal(index == 5 ? "\"" : ","))
                    else { return nil }
                    read.append(index % 2 == 0 ? "\(integer)" : "\(decimal)")
                }
                return read
            }
            #expect(found?.value == texts)
        }
    }

    @Test(arguments: ["", ".5\"", "00.5\"", "01.5\"", "1..5\"", "x\"", "-\"", "+1.5\""])
    func noDecimal(text: String) {
        for padding in paddings {
            #expect(
                decimal(text, padding: padding).map { text.utf8.dropFirst($0.count).first != 0x22 } ?? true)
        }
    }

    @Test(arguments: ["", "01,", "00,", "-,", "x,", "99999999999999999999,"])
    func noInteger(text: String) {
        for padding in paddings { #expect(integer(text, padding: padding) == nil) }
    }

    @Test(arguments: [
        "0790960630914,", "179096063091,", "17909606309x4,", "1790960 30914,", "/790960630914,",
    ])
    func noTime(text: String) {
        for padding in paddings { #expect(time(text, isLong: false, padding: padding) == nil) }
    }
}
