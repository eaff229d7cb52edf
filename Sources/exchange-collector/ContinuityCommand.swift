import ArgumentParser
import ControlPlane
import Foundation

struct ContinuityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "continuity",
        abstract: "Shows for each instrument and type since when nothing is missing, and what is.",
        discussion: """
            EXAMPLES
              exchange-collector continuity --api http://127.0.0.1:8080
              exchange-collector continuity --config config/production.yaml --symbol BTCUSDT
              exchange-collector continuity --api http://127.0.0.1:8080 --json | jq '.series[].lost'

            A stretch of time is proven (ids without a hole, or each missing id came or does not exist at the exchange), \
            assumed (events without such ids, from a connection that stood), or a gap, with its ids and its cause. --api \
            asks a collector that runs; --config reads what the collector with this configuration wrote last.

            Exit code 0: no id is missing or lost; 65: some are; 69: the collector does not answer; 66: no such file.
            """)

    @Option(name: [.long, .short], help: "The configuration file (YAML) of the collector.")
    var config: String?
    @Option(help: ArgumentHelp("A collector that runs.", valueName: "http://host:port"))
    var api: String?
    @Option(help: "The API's bearer token. (default: the environment's COLLECTOR_API_TOKEN)")
    var token: String?
    @Option(help: "Only this symbol; may be repeated.")
    var symbol: [String] = []
    @Option(help: "Only this type (trade, kline_1m, …); may be repeated.")
    var type: [String] = []
    @Flag(help: "Print JSON; times are ns since the epoch.")
    var json = false

    func validate() throws {
        guard (config == nil) != (api == nil) else {
            throw ValidationError("name either --api http://HOST:PORT or --config FILE")
        }
    }

    func run() throws {
        var document = try load()
        document.series.removeAll {
            !symbol.isEmpty && !symbol.contains($0.symbol) || !type.isEmpty && !type.contains($0.type)
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            print(String(decoding: try encoder.encode(document), as: UTF8.self))
        } else {
            print(ContinuityText.render(document))
        }
        let isMissing = document.series.contains { series in
            series.intervals.contains { $0.state == .gap && $0.firstMissing != nil }
        }
        if isMissing { throw SysExit.data }
    }

    private func load() throws -> ContinuityLedger.Document {
        do throws(ContinuityError) {
            if let api {
                let token = token ?? ProcessInfo.processInfo.environment["COLLECTOR_API_TOKEN"]
                return try ContinuityText.fetch(api: api, token: token)
            }
        } catch {
            printError("error: \(error)")
            throw SysExit.unavailable
        }
        let loaded = try ConfigurationOption.load(config ?? "")
        do throws(ContinuityError) {
            return try ContinuityText.load(dataDirectory: loaded.configuration.collector.dataDirectory)
        } catch {
            printError("error: \(error)")
            throw SysExit.noInput
        }
    }
}
