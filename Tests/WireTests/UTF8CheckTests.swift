import Testing

@testable import Wire

@Suite struct UTF8CheckTests {
    /// Takes the bytes in two pieces; nil where they cannot become UTF-8.
    private func check(_ bytes: [UInt8], cut: Int = 0) -> Bool? {
        var check = UTF8Check()
        let isPossible = bytes.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return true }
            return check.take(base, cut) && check.take(base + cut, bytes.count - cut)
        }
        return isPossible ? check.isComplete : nil
    }

    /// Every sequence of bytes at which a rule changes, up to four long, as the standard library sees it.
    @Test func agreesWithTheStandardLibrary() {
        let edges: [UInt8] = [
            0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0,
            0xF1,
            0xF4, 0xF5,
        ]
        var sequences: [[UInt8]] = [[]]
        for length in 1...4 {
            sequences = sequences.flatMap { head in edges.map { head + [$0] } }
            for sequence in sequences {
                let expected: Bool? =
                    String(validating: sequence, as: UTF8.self) != nil
                    ? true : ReferenceUnframer.canBecomeUTF8(sequence) ? false : nil
                let found = check(sequence, cut: length / 2)
                if found != expected { Issue.record("\(sequence): \(String(describing: found))") }
            }
            // What cannot be is told at once, so nothing longer can differ.
            sequences.removeAll { check($0) == nil }
        }
        #expect(!sequences.isEmpty)
    }

    /// A character in every place of texts of all lengths about the width of a vector, cut everywhere.
    @Test func findsWhatIsNotASCIIAnywhere() {
        for length in 0..<150 {
            let plain = [UInt8](repeating: 0x41, count: length)
            #expect(
                plain.withUnsafeBufferPointer { $0.baseAddress.map { UTF8Check.isASCII($0, length) } ?? true }
            )
            for place in 0..<length {
                var bytes = plain
                bytes[place] = 0xFF
                #expect(
                    !bytes.withUnsafeBufferPointer {
                        $0.baseAddress.map { UTF8Check.isASCII($0, length) } ?? true
                    })
                #expect(check(bytes) == nil)
                guard place + 1 < length else { continue }
                bytes[place] = 0xC3
                bytes[place + 1] = 0xA9
                #expect(check(bytes, cut: place + 1) == true)
            }
        }
    }
}
