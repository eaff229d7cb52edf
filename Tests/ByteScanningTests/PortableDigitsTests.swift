import CDigits
import MarketData
import PortableDigits
import Testing

/// Digits are read in one way on x86-64 and in another elsewhere: both must come to the same for any bytes.
struct PortableDigitsTests {
    private func expectSame(_ here: cdg_number, _ portable: pd_number, _ what: String) {
        #expect(here.length == portable.length && here.scale == portable.scale, "\(what)")
        // What is not a number has no value.
        #expect(here.length == 0 || here.value == portable.value, "\(what)")
    }

    @Test func bothWaysAreTheSame() {
        var random = SplitMix64(seed: 1)
        let usual = Array("0123456789".utf8)
        let others = Array(".,\"/:-eE \u{0}".utf8) + [0xFF, 0x80]
        var read = 0
        for _ in 0..<50_000 {
            let digits = Int.random(in: 1...20, using: &random)
            let bytes = (0..<112).map { _ in
                (Int.random(in: 0...digits, using: &random) == 0 ? others.randomElement(using: &random) : nil)
                    ?? usual.randomElement(using: &random) ?? 0
            }
            bytes.withUnsafeBufferPointer { bytes in
                guard let base = bytes.baseAddress else { return }
                let at = base + 24
                let text = "\(bytes.dropFirst(24).map { Character(UnicodeScalar($0)) })"
                let survey = cdg_survey(at)
                #expect(survey == pd_survey(at), "\(text)")
                let decimal = cdg_decimal(at)
                if decimal.length != 0 { read += 1 }
                expectSame(decimal, pd_decimal(at), text)
                expectSame(cdg_integer(at), pd_integer(at), text)
                for length: UInt32 in [13, 16] {
                    expectSame(cdg_fixed(at, length), pd_fixed(at, length), text)
                }
                for skipped: UInt64 in [0, 5, 40, 63] {
                    let from = at + Int(skipped) / 2
                    // As if the last bytes had not been surveyed.
                    let here = (cdg_survey(from) << skipped) >> skipped
                    expectSame(cdg_surveyed_integer(from, here), pd_surveyed_integer(from, here), text)
                    expectSame(cdg_surveyed_decimal(from, here), pd_surveyed_decimal(from, here), text)
                }
            }
        }
        // Not all of it is rubbish.
        #expect(read > 1_000)
    }
}
