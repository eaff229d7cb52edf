import ArgumentParser
import Batching
import ControlPlane
import MarketData

struct TrainDictionaryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train-dictionary",
        abstract: "Makes zstd dictionaries of recorded events, or measures what they gain.",
        discussion: """
            EXAMPLES
              exchange-collector train-dictionary ./data/out --output ./dictionaries
              exchange-collector train-dictionary --feed btcusdt.ndjson.zst --market spot --output ./dictionaries
              exchange-collector train-dictionary ./data/out --measure embedded

            Small batches of quiet topics shrink to a fraction when what all events share need not stand in each. Events \
            come from what a file sink wrote, or from recorded frames of an exchange, one a line (--feed), which are run \
            through its adapter.

            Writes <type>.zdict for each type that occurs, for `batching: { dictionary: DIRECTORY }`. Consumers need the \
            same files: a message names its dictionary's id in the attribute `dictionary`, and `zstd -D <type>.zdict -d` \
            reads it. A dictionary that is replaced is kept as <type>.<id>.zdict for what it was used for.

            Then shows, for events that were not trained on, how batches of so many events of a topic shrink. A type with \
            too few events for that is marked with *.
            """)

    @Argument(help: "Directories or segments that a file sink wrote.")
    var recordings: [String] = []
    @Option(help: "A file of an exchange's frames, one a line, plain or .zst; may be repeated.")
    var feed: [String] = []
    @Option(help: "The adapter that reads --feed.")
    var adapter = "binance"
    @Option(help: "The adapter's market.")
    var market = "spot"
    @Option(name: [.short, .long], help: "Directory for the dictionaries.")
    var output: String?
    @Option(
        help: ArgumentHelp(
            "Make none: measure these, `embedded` or a directory.", valueName: "dictionaries"))
    var measure: String?
    @Option(help: "Only this type (trade, kline, …); may be repeated.")
    var type: [String] = []
    @Option(help: "Largest size of a dictionary, bytes.")
    var size = 8_192
    @Option(help: "zstd's level for the measurement.")
    var level = 1

    func validate() throws {
        guard !recordings.isEmpty || !feed.isEmpty else {
            throw ValidationError("name what a file sink wrote, or frames with --feed")
        }
        guard (output == nil) != (measure == nil) else {
            throw ValidationError("name either --output DIRECTORY or --measure DICTIONARIES")
        }
        for name in type where EventKind(name: name) == nil {
            let known = EventKind.allCases.map(\.name).joined(separator: ", ")
            throw ValidationError("--type \(name) is not known; write one of \(known)")
        }
        guard (256...CompressionDictionary.maxBytes).contains(size), (-7...19).contains(level) else {
            throw ValidationError(
                "--size must be from 256 to \(CompressionDictionary.maxBytes), --level from -7 to 19")
        }
    }

    func run() throws {
        let training = DictionaryTraining()
        do {
            for path in recordings {
                printError("reading \(path)")
                try training.add(segments: path)
            }
            for path in feed {
                printError("reading \(path) as frames of \(adapter) \(market)")
                try training.add(feed: path, adapter: adapter, market: market)
            }
            let dictionaries = try measure.map(existing) ?? trained(training)
            print(
                DictionaryTable.render(
                    dictionaries.flatMap { training.measure($0, level: level, window: 0) }, level: level))
        } catch let error as TailError {
            printError("error: \(error)")
            throw error.kind == .noInput ? SysExit.noInput : SysExit.data
        } catch let error as DictionaryFiles.Failure {
            printError("error: \(error)")
            throw SysExit.io
        } catch let error as DictionaryTraining.Failure {
            printError("error: \(error)")
            throw SysExit.data
        }
    }

    private func isWanted(_ kind: EventKind) -> Bool { type.isEmpty || type.contains(kind.name) }

    private func existing(_ name: String) throws -> [CompressionDictionary] {
        let source: Configuration.DictionarySource = name == "embedded" ? .embedded : .directory(name)
        return try source.load().filter { isWanted($0.kind) }
    }

    private func trained(_ training: DictionaryTraining) throws -> [CompressionDictionary] {
        var made: [CompressionDictionary] = []
        for kind in training.kinds where isWanted(kind) {
            printError("training \(kind.name)")
            do {
                let dictionary = try training.train(kind, bytes: size)
                let path = try DictionaryFiles.write(dictionary, to: output ?? ".")
                printError("  \(path): \(dictionary.bytes.count) bytes, id \(dictionary.id)")
                made.append(dictionary)
            } catch let error as CompressionDictionary.Malformed {
                // Types that occur by the way must not spoil the others.
                printError("  none: \(error); record more of it")
            }
        }
        guard !made.isEmpty else {
            printError("error: no dictionary could be made; record more events")
            throw SysExit.data
        }
        return made
    }
}
