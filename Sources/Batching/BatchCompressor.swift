import CZstd
import MarketData

/// Compresses batches; its context and the dictionaries are made once and used by one thread.
struct BatchCompressor: ~Copyable {
    private let context: OpaquePointer
    /// By kind; nil where there is none.
    private let dictionaries: UnsafeMutablePointer<OpaquePointer?>
    private let ids: UnsafeMutablePointer<UInt32>

    /// Nil where batches are not to be compressed.
    init?(_ settings: BatchSettings) {
        guard settings.payload == .batch, let level = settings.compressionLevel else { return nil }
        self.init(level: level, window: settings.compressionWindow, dictionaries: settings.dictionaries)
    }

    /// Nil where memory is short.
    init?(level: Int, window: Int, dictionaries chosen: [CompressionDictionary]) {
        guard let context = cz_compressor_new(Int32(level), Int32(window)) else { return nil }
        self.context = context
        dictionaries = .allocate(capacity: EventKind.count)
        dictionaries.initialize(repeating: nil, count: EventKind.count)
        ids = .allocate(capacity: EventKind.count)
        ids.initialize(repeating: 0, count: EventKind.count)
        for dictionary in chosen {
            let kind = Int(dictionary.kind.rawValue)
            guard dictionaries[kind] == nil else { continue }
            dictionaries[kind] = dictionary.bytes.withUnsafeBytes {
                cz_dictionary_new($0.baseAddress, $0.count, Int32(level))
            }
            ids[kind] = dictionaries[kind] == nil ? 0 : dictionary.id
        }
    }

    deinit {
        for kind in 0..<EventKind.count { cz_dictionary_free(dictionaries[kind]) }
        dictionaries.deallocate()
        ids.deallocate()
        cz_compressor_free(context)
    }

    /// Larger batches repeat themselves often enough; with a dictionary they would grow, by up to a tenth. Measured with
    /// Benchmarks/dictionaries, level 1: at 10 events (3 KB) it saves 30 %, at 50 (13 KB) nothing.
    static let dictionaryTextMax = 12_288

    /// hot: one frame. Returns its bytes, 0 where it could not be made, and the id of its dictionary, 0: none.
    func compress(
        _ kind: EventKind, from text: UnsafePointer<UInt8>, count: Int,
        to out: UnsafeMutableRawPointer, room: Int
    ) -> (bytes: Int, dictionary: UInt32) {
        let index = Int(kind.rawValue)
        let dictionary = count <= BatchCompressor.dictionaryTextMax ? dictionaries[index] : nil
        let written = cz_compress(context, dictionary, out, room, text, count)
        return written > 0 ? (Int(written), dictionary == nil ? 0 : ids[index]) : (0, 0)
    }
}

/// For measuring: the same compressor, over texts at hand.
public enum CompressionMeasure {
    /// Bytes that each text takes compressed, in order. `window`: log2, 0: zstd's own.
    public static func sizes(
        of texts: [[UInt8]], kind: EventKind, dictionaries: [CompressionDictionary], level: Int, window: Int
    ) -> [Int] {
        guard let compressor = BatchCompressor(level: level, window: window, dictionaries: dictionaries)
        else {
            return texts.map(\.count)
        }
        var room = [UInt8](repeating: 0, count: cz_bound(texts.map(\.count).max() ?? 0))
        return texts.map { text in
            room.withUnsafeMutableBytes { out in
                text.withUnsafeBufferPointer { bytes in
                    guard let from = bytes.baseAddress, let to = out.baseAddress else { return 0 }
                    return compressor.compress(kind, from: from, count: text.count, to: to, room: out.count)
                        .bytes
                }
            }
        }
    }
}
