import Batching
import CZstd
import Foundation
import Rings
import SyntheticBatches

@testable import Publishing

/// Takes the next batch, whose memory stays its own until the consumer releases it.
func nextBatch(_ consumer: inout RingConsumer, _ routes: RouteTable) throws -> BatchView {
    guard let payload = consumer.next() else { throw BatchSource.Missing() }
    return BatchView(payload: payload, routes: routes)
}

/// The plain text of concatenated zstd frames.
func decompress(_ data: [UInt8]) throws -> [UInt8] {
    guard let decompressor = cz_decompressor_new() else { throw BatchSource.Missing() }
    defer { cz_decompressor_free(decompressor) }
    var result: [UInt8] = []
    var from = 0
    var out = [UInt8](repeating: 0, count: 1 << 16)
    var left: Int64 = 0
    while from < data.count || left > 0 {
        var used = 0
        let before = from
        left = cz_decompress(decompressor, &out, out.count, &used, data, data.count, &from)
        if left < 0 || (used == 0 && from == before) { throw BatchSource.Missing() }
        result += out[..<used]
    }
    return result
}

/// A directory of its own, removed at the end.
final class TemporaryDirectory {
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "/publishing-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Files by name, hidden ones left out.
    func files() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path).filter { !$0.hasPrefix(".") }.sorted()
    }

    func read(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
    }
}

/// Carries a stage to the thread that will own it.
final class PublisherStageBox<S: Sink>: @unchecked Sendable {
    private var stage: PublisherStage<S>?
    init(_ stage: consuming PublisherStage<S>) { self.stage = consume stage }
    func take() -> PublisherStage<S>? { stage.take() }
}
