import ByteScanning
import MarketData
import ReferenceJSON
import Testing

struct CursorTests {
    private func string(_ bytes: [UInt8], padding: UInt8 = 0) -> Outcome<[UInt8]> {
        scan(bytes, padding: padding) { (cursor) throws(ScanError) in Array(try cursor.readString().bytes) }
    }

    @Test func stringOfEachLength() {
        for length in 0..<80 {
            let content = (0..<length).map { UInt8(0x80 + $0 % 0x7F) }
            let text = [0x22] + content + [0x22]
            for padding in paddings {
                #expect(string(text, padding: padding) == .value(content, consumed: length + 2))
                for cut in 0..<text.count {
                    #expect(string(Array(text[..<cut]), padding: padding) == .failure(.malformed))
                }
            }
            // A control character or a backslash at the end stops it, wherever in a word that is.
            #expect(string([0x22] + content + [0x1F, 0x22]) == .failure(.malformed))
            #expect(string([0x22] + content + [0x5C, 0x22]) == .failure(.malformed))
            let escaped = content + [0x5C, 0x22, 0x41]
            #expect(string([0x22] + escaped + [0x22]) == .value(escaped, consumed: length + 5))
        }
    }

    @Test func everyByteInAString() {
        for byte in UInt8.min...UInt8.max where byte != 0x22 && byte != 0x5C {
            for place in 0..<9 {
                var content = [UInt8](repeating: 0x61, count: 9)
                content[place] = byte
                let expected: Outcome<[UInt8]> =
                    byte < 0x20 ? .failure(.malformed) : .value(content, consumed: 11)
                #expect(string([0x22] + content + [0x22]) == expected)
            }
        }
    }

    private func unescaped(_ text: String, room: Int = 64) -> [UInt8]? {
        var result: [UInt8]?
        _ = scan("\"\(text)\"") { (cursor) throws(ScanError) in
            let string = try cursor.readString()
            #expect(string.hasEscapes == text.contains("\\"))
            result = withUnsafeTemporaryAllocation(byteCount: room, alignment: 1) { memory in
                string.unescape(into: memory).map { Array(memory[..<$0]) }
            }
            return 0
        }
        return result
    }

    @Test func escapes() {
        #expect(unescaped("plain") == Array("plain".utf8))
        #expect(unescaped(#"\"\\\/\b\f\n\r\t"#) == [0x22, 0x5C, 0x2F, 8, 12, 10, 13, 9])
        #expect(unescaped(#"\u0041\u00e9\u5e01\uD83D\uDE00"#) == Array("Aé币😀".utf8))
        #expect(unescaped(#"\ud83d"#) == nil)
        #expect(unescaped(#"\ude00"#) == nil)
        #expect(unescaped(#"\ud83d\u0041"#) == nil)
        #expect(unescaped("12345678", room: 8) == Array("12345678".utf8))
        #expect(unescaped("123456789", room: 8) == nil)
        for wrong in [#"\x"#, #"\u12"#, #"\u12g4"#, #"\U0041"#] {
            #expect(string(Array("\"\(wrong)\"".utf8)) == .failure(.malformed))
        }
    }

    @Test func keys() {
        func key(_ text: String, padding: UInt8 = 0) -> Outcome<JSONKey> {
            scan(text, padding: padding) { (cursor) throws(ScanError) in try cursor.readKey() }
        }
        for padding in paddings {
            for letter in "abzAZ059_" {
                #expect(
                    key("\"\(letter)\":1}", padding: padding)
                        == .value(JSONKey(packed: UInt64(letter.asciiValue ?? 0)), consumed: 4))
            }
            #expect(key("\"stream\" : 1}", padding: padding) == .value(JSONKey("stream"), consumed: 11))
            #expect(key("\"\":1}", padding: padding) == .value(JSONKey(""), consumed: 3))
            #expect(key("\"1234567\":1", padding: padding) == .value(JSONKey("1234567"), consumed: 10))
            #expect(key("\"12345678\":1", padding: padding) == .value(.other, consumed: 11))
            #expect(key("\"币\":1", padding: padding) == .value(JSONKey("币"), consumed: 6))
            #expect(key(#""\u0065":1"#, padding: padding) == .value(JSONKey("e"), consumed: 9))
            #expect(key(#""\\":1"#, padding: padding) == .value(JSONKey("\\"), consumed: 5))
            #expect(key("\"e\" 1", padding: padding) == .failure(.malformed))
            #expect(key("e:1", padding: padding) == .failure(.malformed))
            #expect(key("\"e\"", padding: padding) == .failure(.malformed))
            #expect(key("\"\":", padding: padding) == .value(JSONKey(""), consumed: 3))
            for text in ["\"e\":1", "\"stream\":1"] {
                for cut in 0..<(text.utf8.count - 2) {
                    #expect(key(String(text.prefix(cut)), padding: padding) == .failure(.malformed))
                }
            }
        }
        #expect(JSONKey("stream").single == 0)
        #expect(JSONKey("e").single == UInt8(ascii: "e"))
    }

    @Test func literals() {
        for padding in paddings {
            #expect(
                scan("true,", padding: padding) { (c) throws(ScanError) in try c.readBool() }
                    == .value(true, consumed: 4))
            #expect(
                scan("false,", padding: padding) { (c) throws(ScanError) in try c.readBool() }
                    == .value(false, consumed: 5))
            #expect(
                scan("null", padding: padding) { (c) throws(ScanError) in c.takeNull() }
                    == .value(true, consumed: 4))
            #expect(
                scan("nul", padding: padding) { (c) throws(ScanError) in c.takeNull() }
                    == .value(false, consumed: 0))
        }
        // What lies behind the end completes no word.
        #expect(
            scan("tru", padding: 0x65) { (c) throws(ScanError) in try c.readBool() } == .failure(.wrongType))
        #expect(scan("1", padding: 0) { (c) throws(ScanError) in try c.readBool() } == .failure(.wrongType))
        #expect(scan("", padding: 0x74) { (c) throws(ScanError) in try c.readBool() } == .failure(.malformed))
    }
}

/// ``JSONCursor/skipValue()`` against the reference reader: it must take exactly what is JSON.
struct SkipTests {
    private func isSkipped(_ bytes: [UInt8], padding: UInt8) -> Bool {
        let outcome = scan(bytes, padding: padding) { (cursor) throws(ScanError) in
            try cursor.skipValue()
            try cursor.expectEnd()
            return 0
        }
        return outcome == .value(0, consumed: bytes.count)
    }

    private func check(_ bytes: [UInt8]) {
        let isJSON = (try? ReferenceJSON.read(bytes)) != nil
        for padding in [0x00, 0x22, 0x30, 0x5D, 0x7D] as [UInt8] {
            #expect(
                isSkipped(bytes, padding: padding) == isJSON,
                "\(String(decoding: bytes, as: UTF8.self)) before \(padding)")
        }
    }

    @Test(arguments: [
        "{}", "[]", "0", "-0", "1", "-1.5e+10", "1e5", "01", "-", "1.", ".1", "1e", "1e+", "\"a\"", "true",
        "false",
        "null", "nulll", "tru", "[1,2]", "[1,]", "[,1]", "{\"a\":1}", "{\"a\":1,}", "{,}", "{\"a\"}", "{a:1}",
        "{\"a\":{\"b\":[1,{\"c\":[]}]}}", " [ 1 , 2 ] ", "[1 2]", "{\"a\":1 \"b\":2}", "", " ", "[", "{", "]",
        "}",
        "[}", "{]", "[1}", "{\"a\":1]", "\"", "\"\\\"", "[\"\\u00zz\"]", "1 1", "\u{FEFF}1",
        "{\"a\":\n1\r,\t\"b\":2}",
    ])
    func grammar(text: String) {
        check(Array(text.utf8))
    }

    @Test func nesting() {
        for depth in [1, 2, 63, 64] {
            check(Array((String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8))
            check(
                Array(
                    (String(repeating: "{\"a\":", count: depth) + "1" + String(repeating: "}", count: depth))
                        .utf8))
        }
        let deep = Array((String(repeating: "[", count: 66) + String(repeating: "]", count: 66)).utf8)
        #expect(!isSkipped(deep, padding: 0))
    }

    @Test func mutations() {
        let text =
            #"{"a":[1,-2.5,"x\u0041y",null],"bb":{"c":true,"d":false,"e":{}},"long key name":"long value, longer"}"#
        let original = Array(text.utf8)
        check(original)
        for cut in 0..<original.count { check(Array(original[..<cut])) }
        var generator = SplitMix64(seed: 3)
        let alphabet = Array("{}[]\",:\\0123456789truefalsn .-+eEu".utf8) + [0x00, 0x1F, 0x80, 0xFF]
        for _ in 0..<4_000 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                let byte = alphabet.randomElement(using: &generator) ?? 0
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[place] = byte
                case 1: bytes.insert(byte, at: place)
                default: bytes.remove(at: place)
                }
            }
            check(bytes)
        }
    }
}
