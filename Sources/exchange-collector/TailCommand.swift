import ArgumentParser
import ControlPlane
import Foundation
import MarketData

struct TailCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tail",
        abstract:
            "Prints collected events for people: of a directory of the file sink, or of a Pub/Sub emulator.",
        discussion: """
            EXAMPLES
              exchange-collector tail ./data/out
              exchange-collector tail ./data/out --follow --type trade --symbol BTCUSDT
              exchange-collector tail ./data/out --json --limit 10
              exchange-collector tail ./data/out --from 2026-11-28T16:00:00Z --to 2026-11-28T16:05:00Z
              exchange-collector tail --pubsub-emulator 127.0.0.1:8085 --project test \\
                --topic market.trade.binance.BTCUSDT

            One line an event: time of day (UTC), type, exchange, symbol, and what the type has. --json prints the \
            published JSON as it is. An emulator's topic is shown from now on, through a subscription that is deleted \
            at the end.
            """)

    @Argument(help: "A directory that a file sink writes, or one of its segments.")
    var path: String?
    @Flag(name: [.long, .short], help: "Go on with what is written later, until Ctrl-C.")
    var follow = false
    @Option(help: ArgumentHelp("Read from a Pub/Sub emulator instead.", valueName: "host:port"))
    var pubsubEmulator: String?
    @Option(help: "The emulator's project.")
    var project: String?
    @Option(help: "The emulator's topic.")
    var topic: String?
    @Option(help: "Only events of this type (trade, kline, …); may be repeated.")
    var type: [String] = []
    @Option(help: "Only events of this symbol; may be repeated.")
    var symbol: [String] = []
    @Option(
        help: ArgumentHelp(
            "Only events from this time on (UTC): 2026-11-28T16:00:00Z, with or without a fraction.",
            valueName: "time"))
    var from: String?
    @Option(help: ArgumentHelp("Only events until this time.", valueName: "time"))
    var to: String?
    @Option(help: "End after so many events.")
    var limit: Int?
    @Option(
        help: ArgumentHelp(
            "A zstd dictionary, or a directory of them, for events that were compressed with others than this"
                + " program's own.", valueName: "path"))
    var dictionaries: String?
    @Flag(help: "Print the events' JSON as it was published.")
    var json = false

    func validate() throws { _ = try settings() }

    private func settings() throws -> TailSettings {
        var settings = TailSettings(source: try source())
        for type in type where EventKind(name: type) == nil {
            let known = EventKind.allCases.map(\.name).joined(separator: ", ")
            throw ValidationError("--type \(type) is not known; write one of \(known)")
        }
        if let limit, limit < 1 { throw ValidationError("--limit must be at least 1") }
        settings.types = Set(type)
        settings.symbols = Set(symbol)
        settings.limit = limit
        if let from { settings.from = try TailCommand.nanos(from, option: "--from") }
        if let to {
            guard !follow else { throw ValidationError("--to has an end, --follow has none; leave one out") }
            settings.to = try TailCommand.nanos(to, option: "--to")
        }
        guard settings.from <= settings.to else { throw ValidationError("--from is later than --to") }
        settings.dictionaries = dictionaries
        settings.isJSON = json
        return settings
    }

    /// ns since the epoch.
    private static func nanos(_ text: String, option: String) throws -> Int64 {
        let style = Date.ISO8601FormatStyle(includingFractionalSeconds: text.contains("."))
        // Times that ns in 64 bits can tell.
        guard let date = try? style.parse(text), abs(date.timeIntervalSince1970) < 9e9 else {
            throw ValidationError("\(option) \(text) is no time; write it as 2026-11-28T16:00:00Z")
        }
        return Int64((date.timeIntervalSince1970 * 1000).rounded()) * 1_000_000
    }

    private func source() throws -> TailSettings.Source {
        guard let pubsubEmulator else {
            guard let path else {
                throw ValidationError(
                    "name a directory, or --pubsub-emulator HOST:PORT --project P --topic T")
            }
            guard project == nil, topic == nil else {
                throw ValidationError("--project and --topic belong to --pubsub-emulator HOST:PORT")
            }
            return .files(path: path, follow: follow)
        }
        guard path == nil else {
            throw ValidationError("name either a directory or --pubsub-emulator, not both")
        }
        guard !follow else {
            throw ValidationError("--follow belongs to directories; a topic is always followed")
        }
        guard let project, let topic else {
            throw ValidationError("--pubsub-emulator needs --project and --topic")
        }
        guard let colon = pubsubEmulator.lastIndex(of: ":"), colon > pubsubEmulator.startIndex,
            let port = UInt16(pubsubEmulator[pubsubEmulator.index(after: colon)...]), port > 0
        else { throw ValidationError("--pubsub-emulator \(pubsubEmulator) is not HOST:PORT") }
        let isPlain = { (text: String) in
            !text.isEmpty
                && text.utf8.allSatisfy {
                    $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x2F && $0 != 0x5C && $0 != 0x3F
                }
        }
        guard isPlain(project), isPlain(topic) else {
            throw ValidationError("--project and --topic are ids: no spaces, quotes and slashes")
        }
        let host = pubsubEmulator[..<colon].filter { $0 != "[" && $0 != "]" }
        return .emulator(host: String(host), port: port, project: project, topic: topic)
    }

    func run() throws {
        let settings = try settings()
        do {
            try SignalledRun.run { stop in
                try TailRun(settings, stop: stop).run { printError("warning: \($0)") }
            }
        } catch let error as TailError {
            printError("error: \(error)")
            switch error.kind {
            case .noInput: throw SysExit.noInput
            case .data: throw SysExit.data
            case .unavailable: throw SysExit.unavailable
            case .io: throw SysExit.io
            }
        }
    }
}
