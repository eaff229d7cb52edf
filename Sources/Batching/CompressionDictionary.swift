import CZstd
import MarketData

/// A zstd dictionary (RFC 8878, section 5) for the events of one kind.
///
/// What is compressed with one is read only with the same one, which the frame names by its id.
public struct CompressionDictionary: Sendable {
    /// The largest that is taken, bytes: more than any batch would use.
    public static let maxBytes = 1 << 20

    /// Bytes that are no dictionary.
    public struct Malformed: Error, CustomStringConvertible {
        /// What is wrong.
        public let description: String
    }

    /// What it was made for.
    public let kind: EventKind
    /// Stands in its head, in each frame, and in the messages' attribute `dictionary`.
    public let id: UInt32
    /// As zstd's own tools take it: `zstd -D FILE`.
    public let bytes: [UInt8]

    /// A dictionary of a file's bytes.
    public init(kind: EventKind, bytes: [UInt8]) throws(Malformed) {
        let id = bytes.withUnsafeBytes { cz_dictionary_id($0.baseAddress, $0.count) }
        guard id != 0 else { throw Malformed(description: "is no zstd dictionary: its head is another") }
        guard bytes.count <= CompressionDictionary.maxBytes else {
            throw Malformed(
                description: "has \(bytes.count) bytes, more than \(CompressionDictionary.maxBytes)")
        }
        guard let probe = bytes.withUnsafeBytes({ cz_dictionary_new($0.baseAddress, $0.count, 1) }) else {
            throw Malformed(description: "is a zstd dictionary that is damaged")
        }
        cz_dictionary_free(probe)
        self.kind = kind
        self.id = id
        self.bytes = bytes
    }

    /// Those that the program brings, for the common kinds: the files of `config/dictionaries`.
    public static let embedded: [CompressionDictionary] = EventKind.allCases.compactMap { kind in
        var count = 0
        guard let base = cz_embedded_dictionary(kind.name, &count) else { return nil }
        let bytes = Array(UnsafeRawBufferPointer(start: base, count: count))
        return try? CompressionDictionary(kind: kind, bytes: bytes)
    }

    /// Makes a dictionary of samples, each as long as what is to be compressed, by zstd's own training (COVER: Liao,
    /// Petri, Moffat, Wirth, "Effective Construction of Relative Lempel-Ziv Dictionaries", WWW 2016).
    ///
    /// - Parameter bytes: its largest size.
    /// - Throws: ``Malformed`` where the samples are too few or too alike.
    public static func train(
        kind: EventKind, samples: [ArraySlice<UInt8>], bytes: Int
    ) throws(Malformed) -> CompressionDictionary {
        var room = [UInt8](repeating: 0, count: bytes)
        let joined = Array(samples.joined())
        let made = cz_train(&room, room.count, joined, samples.map(\.count), UInt32(samples.count))
        guard made > 0 else {
            throw Malformed(
                description:
                    "\(samples.count) samples of \(joined.count) bytes make no dictionary of \(bytes) bytes:"
                    + " \(String(cString: cz_error_text(made)).lowercased())")
        }
        return try CompressionDictionary(kind: kind, bytes: Array(room[..<Int(made)]))
    }
}
