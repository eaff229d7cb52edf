import CZstd

/// Decompresses zstd frames that come in pieces, and gives out whole frames only: a frame whose rest is not there yet
/// may still be taken back by its writer.
final class ZstdReader {
    private var context: OpaquePointer
    private var frame: [UInt8] = []
    private var room = [UInt8](repeating: 0, count: 256 << 10)
    /// Compressed bytes of the frame that is not complete yet.
    private(set) var pendingBytes = 0

    /// A collector's frames have at most some MiB; more is an attack or an error.
    private static let longestFrame = 256 << 20

    init() throws(TailError) {
        guard let context = cz_decompressor_new() else { throw TailError(.io, "zstd: no memory; free some") }
        self.context = context
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
