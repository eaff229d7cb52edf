import CDeflate
import MarketData
import Testing

@testable import Wire

extension MessageDeflate {
    /// The message, or why not.
    func inflated(_ bytes: [UInt8], room: Int = 1 << 20) -> (bytes: [UInt8], outcome: Outcome) {
        var outcome = Outcome.corrupt
        // Where zlib writes more than it may, the guards behind the room are no longer zero.
        var target = [UInt8](repeating: 0, count: room + 16)
        target.withUnsafeMutableBytes { target in
            bytes.withUnsafeBufferPointer { bytes in
                var none: UInt8 = 0
                withUnsafePointer(to: &none) { none in
                    guard let base = target.baseAddress else { return }
                    outcome = inflate(bytes.baseAddress ?? none, bytes.count, into: base, room: room)
                }
            }
        }
        #expect(target[room...].allSatisfy { $0 == 0 })
        guard case .bytes(let count) = outcome else { return ([], outcome) }
        return (Array(target[..<count]), outcome)
    }
}

@Suite struct MessageDeflateTests {
    private func make(_ change: (inout DeflateAgreement) -> Void = { _ in }) throws -> MessageDeflate {
        var agreement = try DeflateAgreement(answer: "permessage-deflate", to: DeflateOffer())
        change(&agreement)
        guard let deflate = MessageDeflate(agreement) else { throw TestFailure(description: "no memory") }
        return deflate
    }

    /// RFC 7692, 7.2.3.
    @Test func readsTheExamplesOfTheRFC() throws {
        let hello = Array("Hello".utf8)
        let deflate = try make()
        #expect(deflate.inflated([0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]).bytes == hello)
        #expect(deflate.inflated([0xF2, 0x00, 0x11, 0x00, 0x00]).bytes == hello)
        #expect(deflate.inflated([0x00, 0x05, 0x00, 0xFA, 0xFF] + hello + [0x00]).bytes == hello)
        #expect(deflate.inflated([0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00]).bytes == hello)
        #expect(
            deflate.inflated([0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00])
                .bytes
                == hello)
        #expect(deflate.inflated([0x00]).outcome == .bytes(0))
        // An empty final block, cut off like any other.
        #expect(deflate.inflated([0x01]).outcome == .bytes(0))
        // It still refers to "Hello": final blocks forget nothing.
        #expect(deflate.inflated([0xF2, 0x00, 0x11, 0x00, 0x00]).bytes == hello)
    }

    /// A compressed message has at least the bits that begin its last block.
    @Test func nothingIsNoCompressedMessage() throws {
        #expect(try make().inflated([]).outcome == .corrupt)
        #expect(try make().inflated([0x05]).outcome == .corrupt)
    }

    @Test func forgetsWhereItWasAgreedOn() throws {
        let deflate = try make { $0.serverForgets = true }
        #expect(deflate.inflated([0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]).outcome == .bytes(5))
        #expect(deflate.inflated([0xF2, 0x00, 0x11, 0x00, 0x00]).outcome == .corrupt)
    }

    /// A megabyte of zeros in a few kilobytes: it ends where the room does.
    @Test func aBombEndsAtTheLimit() throws {
        var deflate = try make()
        guard let bomb = deflate.deflate([UInt8](repeating: 0, count: 1 << 20)) else {
            throw TestFailure(description: "not deflated")
        }
        #expect(bomb.count < 5_000)
        #expect(try make().inflated(bomb, room: 1 << 20).outcome == .bytes(1 << 20))
        for room in [0, 1, 1_000, 65_536, (1 << 20) - 1] {
            #expect(try make().inflated(bomb, room: room).outcome == .tooLarge)
        }
    }

    /// JSON, noise and nothing, of all sizes: through our compressor and back through zlib and through RFC 1951.
    @Test(arguments: [(15, false), (15, true), (9, false), (9, true), (12, false)])
    func whatIsDeflatedComesBack(windowBits: Int, forgets: Bool) throws {
        var random = SplitMix64(seed: UInt64(windowBits))
        var deflate = try make {
            ($0.clientWindowBits, $0.clientForgets) = (windowBits, forgets)
            ($0.serverWindowBits, $0.serverForgets) = (windowBits, forgets)
        }
        var reference = ReferenceInflate(window: 1 << windowBits, keepsWindow: !forgets)
        for index in 0..<60 {
            let size = [0, 1, 20, 300, 5_000].randomElement(using: &random) ?? 0
            let message =
                index % 3 == 0
                ? (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
                : Array(
                    String(repeating: "{\"e\":\"trade\",\"t\":\(index)}", count: size / 20 + 1).utf8.prefix(
                        size))
            guard let bytes = deflate.deflate(message) else { throw TestFailure(description: "not deflated") }
            #expect(deflate.inflated(bytes).bytes == message)
            #expect(try reference.inflate(bytes, room: size) == message)
        }
    }

    /// Windows of eight bits are none that zlib can write with.
    @Test func smallWindowsAreSentUncompressed() throws {
        var deflate = try make { $0.clientWindowBits = 8 }
        #expect(deflate.deflate([1, 2, 3]) == nil)
    }

    /// Damaged messages, cut short, longer, with bits turned: zlib and RFC 1951 agree about every one of them.
    @Test(arguments: 1...8) func damagedMessagesAreJudgedAsTheRFCSays(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var sender = try make { $0.clientForgets = true }
        var (good, bad) = (0, 0)
        for _ in 0..<400 {
            let size = Int.random(in: 0...600, using: &random)
            let letters = UInt8.random(in: 1...255, using: &random)
            let message = (0..<size).map { _ in UInt8.random(in: 0...letters, using: &random) }
            guard var bytes = sender.deflate(message) else { throw TestFailure(description: "not deflated") }
            for _ in 0..<Int.random(in: 0...3, using: &random) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0...4, using: &random) {
                case 0: bytes.removeLast(Int.random(in: 1...bytes.count, using: &random))
                case 1: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
                case 2: bytes[0] ^= UInt8.random(in: 1...7, using: &random)
                default: bytes[place] ^= 1 << UInt8.random(in: 0...7, using: &random)
                }
            }
            let room = Int.random(in: 0...3, using: &random) == 0 ? size : 100_000
            let found = try make { $0.serverWindowBits = 9 }.inflated(bytes, room: room)
            var reference = ReferenceInflate(window: 512, keepsWindow: true)
            do throws(ReferenceInflate.Failure) {
                let expected = try reference.inflate(bytes, room: room)
                #expect(found.outcome == .bytes(expected.count))
                #expect(found.bytes == expected)
                good += 1
            } catch {
                #expect(
                    found.outcome == .tooLarge || found.outcome == .corrupt, "\(error) in \(room): \(bytes)")
                bad += 1
            }
        }
        #expect(good > 50 && bad > 50)
    }
}
