import CKernel
import ExchangeAdapter
import Glibc
import MarketData

/// How far each sequence is safe: acknowledged by the sink, or in the spool. A small text file, replaced as a whole.
struct Checkpoint: Equatable {
    /// What a sequence is of.
    struct Name: Hashable {
        var exchange: String
        var symbol: String
        var kind: EventKind
        /// Raw `Interval` of bars, else 0.
        var variant: UInt8

        init(_ instrument: Instrument, _ kind: EventKind, variant: UInt8 = 0) {
            exchange = instrument.exchange
            symbol = instrument.symbol
            self.kind = kind
            self.variant = variant
        }
    }

    /// What of a sequence is safe.
    struct Sequence: Hashable {
        var name: Name
        /// What follows the highest id.
        var expected: Int64
        /// Its time, ns since the epoch.
        var newest: Int64
    }

    /// A hole that was told and not filled yet.
    struct Hole: Hashable {
        var name: Name
        var ids: ClosedRange<Int64>
        var cause: GapCause
    }

    /// When it was made, ns since the epoch.
    var time: Int64 = 0
    var sequences: [Sequence] = []
    var holes: [Hole] = []

    /// Why a file is not used.
    struct Unusable: Error, CustomStringConvertible {
        var description: String
    }

    private static let title = "exchange-collector checkpoint 1"

    // MARK: Text

    /// Lines; the last one is the checksum of those before.
    var text: [UInt8] {
        var text = "\(Checkpoint.title)\ntime \(time)\n"
        for one in sequences where one.name.isWritable {
            text += "sequence \(one.name.text) \(one.expected) \(one.newest)\n"
        }
        for one in holes where one.name.isWritable {
            text += "hole \(one.name.text) \(one.ids.lowerBound) \(one.ids.upperBound) \(one.cause.name)\n"
        }
        let bytes = Array(text.utf8)
        return bytes + Array("crc32c \(Checkpoint.checksum(bytes[...]))\n".utf8)
    }

    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.withUnsafeBytes { ck_crc32c(0, $0.baseAddress, $0.count) }
    }

    /// Reads what ``text`` wrote.
    init(text: [UInt8]) throws(Unusable) {
        let ending = Array("\ncrc32c ".utf8)
        guard let end = text.lastRange(of: ending), text.last == 10 else {
            throw Unusable(description: "it has no checksum: it was cut off")
        }
        let sum = String(decoding: text[end.upperBound...].dropLast(), as: UTF8.self)
        guard UInt32(sum) == Checkpoint.checksum(text[...end.lowerBound]) else {
            throw Unusable(description: "its checksum does not fit")
        }
        let lines = String(decoding: text[..<end.lowerBound], as: UTF8.self).split(separator: "\n")
        guard lines.first.map(String.init) == Checkpoint.title else {
            throw Unusable(description: "it is of another version")
        }
        for line in lines.dropFirst() {
            guard try take(line.split(separator: " ").map(String.init)) else {
                throw Unusable(description: "its line \"\(line)\" makes no sense")
            }
        }
    }

    /// Nothing.
    init() {}

    private mutating func take(_ words: [String]) throws(Unusable) -> Bool {
        switch words.first {
        case "time":
            guard words.count == 2, let time = Int64(words[1]) else { return false }
            self.time = time
        case "sequence":
            guard words.count == 7, let name = Name(words[1...4]), let expected = Int64(words[5]),
                let newest = Int64(words[6]), expected > 0
            else { return false }
            sequences.append(Sequence(name: name, expected: expected, newest: newest))
        case "hole":
            guard words.count == 8, let name = Name(words[1...4]), let first = Int64(words[5]),
                let last = Int64(words[6]), first <= last
            else { return false }
            let causes: [GapCause] = [.sequence, .reconnect, .restart, .outage]
            holes.append(
                Hole(name: name, ids: first...last, cause: causes.first { $0.name == words[7] } ?? .outage))
        default: return false
        }
        return true
    }

    // MARK: File

    /// Replaces the file.
    func write(to path: String) throws(Unusable) {
        do throws(FileReplacement.Failure) {
            var file = try FileReplacement(path)
            try file.append(text)
            try file.finish()
        } catch {
            throw Checkpoint.unusable(error)
        }
    }

    /// What the file says; nil where there is none.
    static func read(from path: String) throws(Unusable) -> Checkpoint? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw unusable(.init("open", path, code: Int(errno)))
        }
        defer { close(descriptor) }
        var text: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while text.count < 256 << 20 {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            guard count >= 0 else { throw unusable(.init("read", path, code: Int(errno))) }
            if count == 0 { break }
            text += chunk[..<count]
        }
        return try Checkpoint(text: text)
    }

    private static func unusable(_ failure: FileReplacement.Failure) -> Unusable {
        Unusable(
            description: "\(failure); give the collector a data directory that it may write"
                + " (collector.dataDirectory)")
    }
}

extension Checkpoint.Name {
    /// Four words.
    fileprivate var text: String { "\(kind.name) \(variant) \(exchange) \(symbol)" }

    /// No exchange has symbols with blanks; one that would is not worth the whole file.
    fileprivate var isWritable: Bool {
        !symbol.isEmpty && !symbol.utf8.contains { $0 <= UInt8(ascii: " ") }
    }

    fileprivate init?(_ words: ArraySlice<String>) {
        guard words.count == 4, let kind = EventKind(name: words[words.startIndex]),
            let variant = UInt8(words[words.startIndex + 1])
        else { return nil }
        self.init(
            Instrument(exchange: words[words.startIndex + 2], symbol: words[words.startIndex + 3]), kind,
            variant: variant)
    }
}

extension [UInt8] {
    /// The last place where these bytes stand.
    fileprivate func lastRange(of bytes: [UInt8]) -> Range<Int>? {
        guard count >= bytes.count else { return nil }
        for start in stride(from: count - bytes.count, through: 0, by: -1)
        where self[start..<(start + bytes.count)].elementsEqual(bytes) {
            return start..<(start + bytes.count)
        }
        return nil
    }
}
