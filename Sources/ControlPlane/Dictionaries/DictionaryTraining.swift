import Batching
import CKernel
import ExchangeAdapter
import MarketData

/// Makes dictionaries of recordings, or measures what dictionaries gain on them.
public final class DictionaryTraining {
    /// Why it cannot be done.
    public struct Failure: Error, CustomStringConvertible {
        /// What is wrong, where, and the remedy.
        public let description: String
    }

    /// Batch sizes that are measured, events.
    public static let batchSizes = [1, 5, 10, 50, 100, 500]
    /// What is trained on of a type at most, bytes: more makes it slower, not better.
    static let trainingBytes = 2 << 20

    private var samples = EventSamples()

    /// No recordings yet.
    public init() {}

    /// Events read so far.
    public var count: Int { samples.count }
    /// Types that occur.
    public var kinds: [EventKind] { EventKind.allCases.filter { samples.kinds[$0] != nil } }

    // MARK: Recordings

    /// Adds what a file sink wrote: a directory of segments, or one.
    public func add(segments path: String) throws {
        let reader = try SegmentReader(path: path)
        let before = (samples.count, samples.strange)
        while try reader.readNew({ lines throws(TailError) in
            for line in lines.split(separator: UInt8(ascii: "\n")) { samples.add(line) }
            return true
        }) {}
        guard samples.count > before.0, samples.strange == before.1 else {
            throw Failure(
                description:
                    "\(path): \(samples.count - before.0) events, \(samples.strange - before.1) other lines;"
                    + " name what a file sink wrote (sink.path), or use --feed for frames of an exchange")
        }
    }

    /// Adds recorded frames of an exchange, one a line, run through its adapter.
    public func add(feed path: String, adapter: String, market: String) throws {
        guard let type = Adapters.all.first(where: { $0.name == adapter }),
            let made = type.init(market: market)
        else {
            let known = Adapters.all.map { "\($0.name) (\($0.markets.joined(separator: ", ")))" }
            throw Failure(
                description: "no adapter \(adapter) with a market \(market); there are \(known.joined())")
        }
        var bytes: [UInt8]
        switch FileReading.read(path) {
        case .failure(let failure): throw Failure(description: "\(path): \(failure.reason)")
        case .success(let read): bytes = read
        }
        if path.hasSuffix(".zst") { bytes = try ZstdReader().read(bytes[...], place: path) }
        let before = samples.count
        let feed = RecordedFeed(text: bytes, adapter: made)
        try feed.serialize { samples.add($0) }
        guard samples.count > before else {
            throw Failure(
                description:
                    "\(path): not one frame that \(adapter) \(market) reads (\(feed.deadLetters) dead letters);"
                    + " name a file of raw frames, one a line")
        }
    }

    // MARK: Training

    /// A dictionary for a type; every fourth run of a hundred events of each topic is left out, for ``measure(_:level:window:)``.
    public func train(_ kind: EventKind, bytes: Int) throws(CompressionDictionary.Malformed)
        -> CompressionDictionary
    {
        let groups = (samples.kinds[kind] ?? [:]).sorted { $0.key.lexicographicallyPrecedes($1.key) }
        let lines = groups.flatMap(\.value.training)
        let total = lines.reduce(0) { $0 + $1.count + 1 }
        // Evenly over the recording.
        let step = max(1, (total + DictionaryTraining.trainingBytes - 1) / DictionaryTraining.trainingBytes)
        let chosen = stride(from: 0, to: lines.count, by: step).map { lines[$0] + [UInt8(ascii: "\n")] }
        return try CompressionDictionary.train(kind: kind, samples: chosen, bytes: bytes)
    }

    // MARK: Measuring

    /// What batches of one size of one type shrink to.
    public struct Measurement: Sendable {
        /// The type.
        public var kind: EventKind
        /// Events a batch.
        public var batchSize: Int
        /// Batches that were measured.
        public var batches: Int
        /// Bytes of JSON.
        public var rawBytes: Int
        /// Compressed without a dictionary.
        public var plainBytes: Int
        /// Compressed with it.
        public var dictionaryBytes: Int
        /// Time that compressing all batches took without a dictionary, ns.
        public var plainNanos: Int64
        /// And with it.
        public var dictionaryNanos: Int64
        /// Whether the events had been trained on, as there were too few others.
        public var isOnTrainingData: Bool
    }

    /// Compresses whole batches of one topic each, as ``batchSizes`` say, with and without the dictionary.
    public func measure(_ dictionary: CompressionDictionary, level: Int, window: Int) -> [Measurement] {
        DictionaryTraining.batchSizes.compactMap { size in
            let groups = (samples.kinds[dictionary.kind] ?? [:]).values
            let measured = batches(of: size, in: groups.map(\.measuring))
            let batches = measured.isEmpty ? batches(of: size, in: groups.map(\.training)) : measured
            guard !batches.isEmpty else { return nil }
            let plain = total(batches, dictionary.kind, [], level: level, window: window)
            let packed = total(batches, dictionary.kind, [dictionary], level: level, window: window)
            return Measurement(
                kind: dictionary.kind, batchSize: size, batches: batches.count,
                rawBytes: batches.reduce(0) { $0 + $1.count }, plainBytes: plain.bytes,
                dictionaryBytes: packed.bytes, plainNanos: plain.nanos, dictionaryNanos: packed.nanos,
                isOnTrainingData: measured.isEmpty)
        }
    }

    /// At most some thousand batches.
    private func batches(of size: Int, in groups: [[ArraySlice<UInt8>]]) -> [[UInt8]] {
        let limit = 4_000
        var batches: [[UInt8]] = []
        for lines in groups {
            for start in stride(from: 0, through: lines.count - size, by: size) {
                var batch: [UInt8] = []
                for line in lines[start..<start + size] {
                    batch += line
                    batch.append(UInt8(ascii: "\n"))
                }
                batches.append(batch)
                if batches.count == limit { return batches }
            }
        }
        return batches
    }

    private func total(
        _ batches: [[UInt8]], _ kind: EventKind, _ dictionaries: [CompressionDictionary], level: Int,
        window: Int
    ) -> (bytes: Int, nanos: Int64) {
        let begin = ck_monotonic_nanos()
        let sizes = CompressionMeasure.sizes(
            of: batches, kind: kind, dictionaries: dictionaries, level: level, window: window)
        return (sizes.reduce(0, +), ck_monotonic_nanos() - begin)
    }
}
