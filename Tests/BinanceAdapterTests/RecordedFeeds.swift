import CZstd
import Foundation

/// Frames that were recorded from Binance.
enum RecordedFeeds {
    /// Where the feeds lie: RECORDED_FEEDS, or `../shared/feeds` beside the package.
    static func home(of market: String) -> URL? {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let feeds =
            ProcessInfo.processInfo.environment["RECORDED_FEEDS"].map { URL(filePath: $0) }
            ?? root.deletingLastPathComponent().appending(path: "shared/feeds")
        let home = feeds.appending(path: "binance-\(market)")
        return FileManager.default.fileExists(atPath: home.path) ? home : nil
    }

    /// All files of frames, in the order of their names; `by-type` holds the same frames again.
    static func files(of market: String) -> [URL] {
        guard let home = home(of: market),
            let found = FileManager.default.enumerator(at: home, includingPropertiesForKeys: nil)
        else { return [] }
        return found.compactMap { $0 as? URL }
            .filter { $0.lastPathComponent.contains(".ndjson") && !$0.path.contains("/by-type/") }
            .sorted { $0.path < $1.path }
    }

    /// The frames of a file, one a line.
    static func frames(of file: URL) throws -> [[UInt8]] {
        let bytes = Array(try Data(contentsOf: file))
        let text = file.pathExtension == "zst" ? try decompressed(bytes) : bytes
        return text.split(separator: UInt8(ascii: "\n")).map(Array.init)
    }

    struct Corrupt: Error {}

    private static func decompressed(_ bytes: [UInt8]) throws -> [UInt8] {
        guard let decompressor = cz_decompressor_new() else { throw Corrupt() }
        defer { cz_decompressor_free(decompressor) }
        var result: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 1 << 20)
        var used = 0
        while used < bytes.count {
            var made = 0
            let code = cz_decompress(decompressor, &room, room.count, &made, bytes, bytes.count, &used)
            guard code >= 0, made > 0 || used == bytes.count else { throw Corrupt() }
            result += room[..<made]
            while code > 0, used == bytes.count {
                made = 0
                guard cz_decompress(decompressor, &room, room.count, &made, bytes, bytes.count, &used) >= 0,
                    made > 0
                else { break }
                result += room[..<made]
            }
        }
        return result
    }
}
