import MarketData
import Testing

struct ShortTextTests {
    private func word(_ text: String) -> ShortText? { Array(text.utf8).withUnsafeBytes { ShortText($0) } }

    @Test func everyLengthIsKept() throws {
        let letters = "ABCDEFGHIJKLMNOP_rstuv-9"
        for count in 0...24 {
            let text = String(letters.prefix(count))
            let kept = try #require(word(text))
            #expect(kept.description == text)
            #expect(kept.isPresent == (count > 0))
            if count > 0 { #expect(kept.count == count) }
        }
        #expect(word(letters + "A") == nil)
    }

    @Test func otherBytesAreRefused() {
        let allowed = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-".utf8)
        for byte in UInt8.min...UInt8.max {
            let kept = [UInt8(ascii: "A"), byte].withUnsafeBytes { ShortText($0) }
            #expect((kept != nil) == allowed.contains(byte), "\(byte)")
        }
    }

    @Test func absentIsEmpty() {
        #expect(!ShortText().isPresent)
        #expect(ShortText().description.isEmpty)
        #expect(ShortText() == word(""))
    }
}
