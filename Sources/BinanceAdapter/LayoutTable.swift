import ByteScanning
import CKernel
import ExchangeAdapter
import MarketData

/// How a stream's frames are written as long as the exchange changes nothing: everything in them up to the first
/// value that changes, and what stands between some of the values, in whole cache lines.
struct StreamLayout: BitwiseCopyable {
    /// `{"stream":"btcusdt@trade","data":{"e":"trade","E":`
    static var prefixMax: Int { 80 }
    /// No stream's is shorter, nor would it be compared.
    static var prefixMin: Int { 32 }
    /// `,"s":"BTCUSDT","t":`
    static var middleMax: Int { 48 }
    /// Bytes of a layout: prefix, middle, second middle, and this struct.
    static var stride: Int { 192 }
    static var middleOffset: Int { prefixMax }
    static var secondOffset: Int { prefixMax + middleMax }
    static var valuesOffset: Int { prefixMax + 2 * middleMax }

    var instrument: UInt32
    /// The stream's index in the lane.
    var stream: UInt32
    var kind: EventKind
    var variant: UInt8
    var prefixLength: UInt8
    var middleLength: UInt8
    var secondLength: UInt8
    /// Where the third of the five comparisons of the prefix begins; see ``LayoutTable``.
    var prefixThird: UInt8
}

/// The layouts of the subscribed streams, found by a frame's bytes 11…34: the stream's name, and what follows it
/// where it is shorter. Raw memory, so that reading it costs neither retains nor exclusivity checks; whoever makes it
/// must ``free()`` it.
///
/// The buckets are a ``LayoutHash``: nearly every stream's layout is in the bucket that its frames name, so that it can be
/// asked for ahead of time.
struct LayoutTable: BitwiseCopyable {
    private let layouts: UnsafeMutableRawPointer
    private let hash: LayoutHash
    /// Whether layouts, and what else is known of their streams, are more than the caches next to the processor hold.
    let isWide: Bool

    /// Fewer bytes are not compared at all: there is no frame so short.
    static var frameMin: Int { 96 }

    /// Layouts of those `streams` that have one. Streams whose names are longer than any that was ever seen, or hold
    /// what would have to be escaped, have none.
    init(_ streams: [StreamPlan], of rules: BinanceMarket, market: Int, instruments: InstrumentTable) {
        var made: [(StreamLayout, [[UInt8]])] = []
        for stream in streams {
            guard let symbol = stream.symbol, let instrument = instruments.intern(symbol, market: market),
                let parts = LayoutTexts.of(stream, symbol: symbol, on: rules)
            else { continue }
            let texts = [parts.prefix, parts.middle, parts.second].map { Array($0.utf8) }
            guard (StreamLayout.prefixMin...StreamLayout.prefixMax).contains(texts[0].count),
                texts[1].count <= StreamLayout.middleMax,
                texts[2].count <= StreamLayout.middleMax
            else { continue }
            made.append(
                (
                    StreamLayout(
                        instrument: instrument, stream: stream.id, kind: stream.kind, variant: stream.variant,
                        prefixLength: UInt8(texts[0].count), middleLength: UInt8(texts[1].count),
                        secondLength: UInt8(texts[2].count), prefixThird: UInt8(max(0, texts[0].count - 48))),
                    texts
                ))
        }
        isWide = made.count > 256
        let bytes = max(1, made.count) * StreamLayout.stride
        layouts = .allocate(byteCount: bytes, alignment: 64)
        layouts.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        for (index, (values, texts)) in made.enumerated() {
            let layout = layouts + index * StreamLayout.stride
            for (offset, text) in zip([0, StreamLayout.middleOffset, StreamLayout.secondOffset], texts) {
                for (position, byte) in text.enumerated() {
                    layout.storeBytes(of: byte, toByteOffset: offset + position, as: UInt8.self)
                }
            }
            layout.storeBytes(of: values, toByteOffset: StreamLayout.valuesOffset, as: StreamLayout.self)
        }
        let all = layouts
        hash = LayoutHash(made.indices.map { LayoutTable.key(all + $0 * StreamLayout.stride) })
    }

    /// Gives the memory back.
    func free() {
        layouts.deallocate()
        hash.free()
    }

    @inline(__always)
    private static func key(_ frame: UnsafeRawPointer) -> UInt64 {
        let name = frame + 11
        return Word.load(name) ^ turned(Word.load(name + 8), by: 23) ^ turned(Word.load(name + 16), by: 41)
    }

    @inline(__always)
    private static func turned(_ word: UInt64, by bits: UInt64) -> UInt64 {
        word &<< bits | word &>> (64 &- bits)
    }

    /// What ``find(_:guess:)`` begins with: the layout in the frame's own bucket, or any other. Asked for one frame
    /// ahead, so that nothing waits for the table.
    @inline(__always)
    func guess(_ frame: UnsafeRawBufferPointer) -> UnsafeRawPointer {
        guard let start = frame.baseAddress else { return UnsafeRawPointer(layouts) }
        return guess(inBucket: hash.slot(LayoutTable.key(start)))
    }

    @inline(__always)
    private func guess(inBucket bucket: Int) -> UnsafeRawPointer {
        UnsafeRawPointer(layouts + Int(max(1, hash.buckets[bucket]) &- 1) &* StreamLayout.stride)
    }

    /// The frame's own bucket, whose memory is asked for.
    @inline(__always)
    func bucketAhead(_ frame: UnsafeRawBufferPointer) -> Int {
        guard let start = frame.baseAddress else { return 0 }
        let bucket = hash.slot(LayoutTable.key(start))
        ck_prefetch(hash.buckets + bucket)
        return bucket
    }

    /// The guess of frames of that bucket, whose memory is asked for.
    @inline(__always)
    func guessAhead(inBucket bucket: Int) -> UnsafeRawPointer {
        let layout = guess(inBucket: bucket)
        ck_prefetch(layout)
        ck_prefetch(layout + 64)
        ck_prefetch(layout + 128)
        return layout
    }

    /// The layout whose prefix the frame, of at least ``frameMin`` bytes, begins with.
    @inline(__always)
    func find(_ frame: UnsafeRawPointer, guess: UnsafeRawPointer) -> UnsafeRawPointer? {
        isPrefix(guess, frame) ? guess : search(frame)
    }

    @inline(never)
    private func search(_ frame: UnsafeRawPointer) -> UnsafeRawPointer? {
        var slot = hash.slot(LayoutTable.key(frame))
        while true {
            let index = hash.buckets[slot]
            guard index != 0 else { return nil }
            let layout = UnsafeRawPointer(layouts + Int(index &- 1) &* StreamLayout.stride)
            if isPrefix(layout, frame) { return layout }
            slot = hash.next(slot)
        }
    }

    @inline(__always)
    private func isPrefix(_ layout: UnsafeRawPointer, _ frame: UnsafeRawPointer) -> Bool {
        // Five times sixteen bytes, which overlap: names differ in length, and a loop over them would end where no branch
        // predictor expects it. An empty table's layout has no prefix.
        let values = LayoutTable.values(layout)
        let length = Int(values.prefixLength)
        guard length > 0 else { return false }
        let differs =
            differences(frame, layout, 0) | differences(frame, layout, 16)
            | differences(frame, layout, Int(values.prefixThird))
            | differences(frame, layout, length &- 32) | differences(frame, layout, length &- 16)
        return differs[0] | differs[1] == 0
    }

    @inline(__always)
    private func differences(
        _ left: UnsafeRawPointer, _ right: UnsafeRawPointer, _ offset: Int
    ) -> SIMD2<UInt64> {
        (left + offset).loadUnaligned(as: SIMD2<UInt64>.self)
            ^ (right + offset).loadUnaligned(as: SIMD2<UInt64>.self)
    }

    @inline(__always)
    static func values(_ layout: UnsafeRawPointer) -> StreamLayout {
        layout.load(fromByteOffset: StreamLayout.valuesOffset, as: StreamLayout.self)
    }

    /// Takes the layout's middle.
    @inline(__always)
    func takeMiddle(_ text: inout ExpectedText, _ layout: UnsafeRawPointer) -> Bool {
        let length = Int(LayoutTable.values(layout).middleLength)
        return take(&text, layout + StreamLayout.middleOffset, length: length)
    }

    /// Takes the layout's second middle.
    @inline(__always)
    func takeSecond(_ text: inout ExpectedText, _ layout: UnsafeRawPointer) -> Bool {
        let length = Int(LayoutTable.values(layout).secondLength)
        return take(&text, layout + StreamLayout.secondOffset, length: length)
    }

    /// Takes the layout's second middle where it stands there; false at the text's end.
    @inline(__always)
    func skipSecond(_ text: inout ExpectedText, _ layout: UnsafeRawPointer) -> Bool {
        let start = text
        if !takeSecond(&text, layout) { text = start }
        return text.at < text.end
    }

    @inline(__always)
    private func take(_ text: inout ExpectedText, _ expected: UnsafeRawPointer, length: Int) -> Bool {
        // As much is read as the longest takes, which may not begin behind the end.
        let isSame = matches(text.at, expected, length: length)
        text.skip(length)
        return isSame
    }

    /// Compares up to 48 bytes.
    @inline(__always)
    private func matches(_ text: UnsafeRawPointer, _ expected: UnsafeRawPointer, length: Int) -> Bool {
        let last = length &- 16
        guard last >= 0 else { return Word.areEqual(text, expected, count: length) }
        let differs =
            differences(text, expected, 0) | differences(text, expected, min(16, last))
            | differences(text, expected, last)
        return differs[0] | differs[1] == 0
    }
}
