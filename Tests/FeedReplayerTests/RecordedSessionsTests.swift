import Glibc
import Testing

@testable import feed_replayer

/// The recordings of the shared feeds, where they are there.
enum RecordedFeeds {
    static let directory: String = {
        if let path = getenv("RECORDED_FEEDS") { return String(cString: path) }
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        return "/\(root)/../shared/feeds"
    }()

    static var areAbsent: Bool { access(directory + "/README.md", R_OK) != 0 }
}

@Suite struct RecordedSessionsTests {
    @Test(
        .disabled(if: RecordedFeeds.areAbsent, "no recorded feeds; set RECORDED_FEEDS"),
        arguments: [
            ("sessions/cryptofeed-20211012.ndjson", 265), ("sessions/nexousdt-20240723.ndjson.zst", 1803),
            ("sessions/cryptofeed-20210404.ndjson.zst", 4716), ("unit/unicorn-fy.ndjson", 6),
            ("unit/crypto-msg-parser.ndjson", 7), ("unit/late-2026-testnet.ndjson", 5),
        ])
    func holdsEveryFrame(_ name: String, _ count: Int) throws {
        let path = "\(RecordedFeeds.directory)/binance-spot/\(name)"
        var feed = try RecordedFeed(paths: [path], loops: false)
        #expect(feed.frameCount == count)
        #expect(feed.leftOut == 0)
        let file = try FeedFile(path: path)
        var lines: [String] = []
        file.forEachLine { lines.append(String(decoding: $0, as: UTF8.self)) }
        let found = frames(&feed)
        for (frame, line) in zip(found, lines) {
            #expect(frame.combined == line || frame.payload == line)
            #expect(frame.combined == "{\"stream\":\"\(frame.stream)\",\"data\":\(frame.payload)}")
        }
        let dues = found.compactMap(\.due)
        #expect(dues.count == count)
        #expect(zip(dues, dues.dropFirst()).allSatisfy { $0 <= $1 })
    }
}
