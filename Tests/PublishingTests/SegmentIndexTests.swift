import CKernel
import Foundation
import Testing

#if canImport(SyntheticBatches)
    import SyntheticBatches
#endif

@testable import Publishing

@Suite struct SegmentIndexTests {
    @Test func blocksAreMadeAndFound() throws {
        var index = SegmentIndex()
        for batch in 0..<10 {
            index.append(
                bytes: 100 << 10, span: TimeSpan(Int64(batch) * 100, Int64(batch) * 100 + 50),
                segmentBytes: 64 << 20)
        }
        // Blocks of three batches: the fourth begins beyond 256 KiB.
        #expect(index.blocks.map(\.offset) == [0, 300 << 10, 600 << 10, 900 << 10])
        #expect(index.blocks.map(\.earliest) == [0, 300, 600, 900])
        #expect(index.blocks.map(\.latest) == [250, 550, 850, 950])
        #expect(index.range(from: 0, to: 10_000, slack: 0) == 0..<(1000 << 10))
        #expect(index.range(from: 320, to: 330, slack: 0) == (300 << 10)..<(600 << 10))
        #expect(index.range(from: 260, to: 290, slack: 0).isEmpty)
        #expect(index.range(from: 260, to: 290, slack: 10) == 0..<(600 << 10))
        #expect(index.range(from: .min, to: .max, slack: 10) == 0..<(1000 << 10))
        #expect(index.range(from: 951, to: .max, slack: 0).isEmpty)
        #expect(SegmentIndex(text: index.text) == index)
    }

    @Test func tornOrForeignTextsAreWorthNothing() throws {
        var index = SegmentIndex()
        for batch in 0..<4 {
            index.append(bytes: 300 << 10, span: TimeSpan(Int64(batch), Int64(batch)), segmentBytes: 1)
        }
        let text = index.text
        for count in 0..<text.count { #expect(SegmentIndex(text: text.prefix(count)) == nil) }
        for wrong in [
            "", "x\n", "exchange-collector segment index 1\n0 1\nend 5\n", text + "end 7\n", text + text,
        ] {
            #expect(SegmentIndex(text: wrong) == nil, "\(wrong)")
        }
        let empty = try #require(SegmentIndex(text: SegmentIndex().text))
        #expect(empty.range(from: 0, to: 1, slack: 0).isEmpty)
    }

    @Test func pathsStandBesideTheSegment() {
        #expect(SegmentIndex.path(of: "/a/b/segment-1.ndjson.zst") == "/a/b/.segment-1.ndjson.zst.index")
        #expect(SegmentIndex.path(of: "s.ndjson") == ".s.ndjson.index")
    }

    @Test func eachEndedSegmentHasAnIndexOfItsBatches() throws {
        let directory = try TemporaryDirectory()
        let source = try BatchSource()
        let route = try source.route("t")
        var settings = FileSettings(directory: directory.path)
        settings.segmentBytes = 600 << 10
        let sink = try FileSink(settings: settings, ledger: PublishLedger(markets: 1))
        var consumer = try source.takeConsumer()
        for _ in 0..<12 {
            try source.write(route, events: 100, padding: 1000)
            let batch = try nextBatch(&consumer, source.routes)
            #expect(sink.take(batch) == .accepted)
            _ = sink.doWork(now: ck_monotonic_nanos())
            consumer.release()
        }
        sink.close()
        let segments = try directory.files()
        #expect(segments.count == 3)
        var batches = 0
        for segment in segments {
            let text = String(decoding: try directory.read(".\(segment).index"), as: UTF8.self)
            let index = try #require(SegmentIndex(text: text))
            let bytes = try directory.read(segment)
            #expect(index.size == bytes.count && index.blocks.count == (bytes.count > 300_000 ? 2 : 1))
            for block in index.blocks {
                // A block begins where a batch does.
                #expect(block.offset == 0 || bytes[block.offset - 1] == 10)
                let written = source.log.first {
                    $0.data.elementsEqual(bytes[block.offset...].prefix($0.data.count))
                }
                #expect(written?.header.firstEventTime == block.earliest)
            }
            batches += index.size / source.log[0].data.count
        }
        #expect(batches >= 11)
    }
}
