import Batching
import CZstd

/// Decompresses zstd frames that come in pieces, and gives out whole frames only: a frame whose rest is not there yet
/// may still be taken back by its writer. Each frame is read with the dictionary that it names.
final class ZstdReader {
    private var context: OpaquePointer
    private var frame: [UInt8] = []
    private var room = [UInt8](repeating: 0, count: 256 << 10)
    /// Compressed bytes of the frame that is not complete yet.
    private(set) var pendingBytes = 0

    /// A collector's frames have at most some MiB; more is an attack or an error.
    private static let longestFrame = 256 << 20

    /// `dictionaries`: known beside those that the program brings.
    init(dictionaries: [CompressionDictionary] = []) throws(TailError) {
        guard let context = cz_decompressor_new() else { throw TailError(.io, "zstd: no memory; free some") }
        self.context = context
        for dictionary in dictionaries + CompressionDictionary.embedded {
            let code = dictionary.bytes.withUnsafeBytes {
                cz_decompressor_add(context, $0.baseAddress, $0.count)
            }
            guard code == 0 else { throw TailError(.io, "zstd: no memory for a dictionary; free some") }
        }
    }

    deinit { cz_decompressor_free(context) }

    /// What the whole frames that end in these bytes hold. `place` tells errors where they are.
    func read(_ bytes: ArraySlice<UInt8>, place: String) throws(TailError) -> [UInt8] {
        var complete: [UInt8] = []
        var used = 0
        while true {
            let before = used
            var produced = 0
            let result = bytes.withUnsafeBytes { input in
                room.withUnsafeMutableBytes {
                    cz_decompress(
                        context, $0.baseAddress, $0.count, &produced, input.baseAddress, input.count, &used)
                }
            }
            let missing = cz_decompressor_missing(context)
            guard missing == 0 else {
                throw TailError(
                    .data,
                    "\(place): compressed with dictionary \(missing), which is not known here; name its file or"
                        + " directory: --dictionaries PATH")
            }
            guard result >= 0 else {
                throw TailError(
                    .data,
                    "\(place): corrupt zstd data: \(String(cString: cz_error_text(result))); the rest is not shown"
                )
            }
            frame += room[..<produced]
            pendingBytes += used - before
            guard frame.count <= ZstdReader.longestFrame else {
                throw TailError(
                    .data, "\(place): a zstd frame of more than 256 MiB; no collector writes such")
            }
            if result == 0 {
                complete += frame
                frame.removeAll(keepingCapacity: true)
                pendingBytes = 0
            }
            if used == bytes.count, produced < room.count { return complete }
        }
    }
}
