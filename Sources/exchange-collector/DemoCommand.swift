import ArgumentParser
import ControlPlane
import Logging
import Telemetry

struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Shows the whole system at work: a fake exchange, the collector, and a live table.",
        discussion: """
            EXAMPLES
              exchange-collector demo
              exchange-collector demo --rate 50000 --seconds 10

            Needs nothing but feed-replayer beside this program: no network, no account. Ctrl-C drains and prints a
            summary; exit code 0 says that everything received was published.
            """)

    @Option(help: "Messages a second; 0: as fast as they are taken.")
    var rate = 5_000
    @Option(help: "End by itself after so many seconds.")
    var seconds: Int?
    @Option(help: "Directory for the collected events.")
    var output = "./data/demo"
    @Option(help: "Seed of the synthesised market.")
    var seed = 1
    @Option(help: "How stages are put on threads: auto, stage, lane or single.")
    var threads = Configuration.Threads.auto
    @Option(help: "Port of the API on 127.0.0.1; 0: any free one.")
    var apiPort = 0

    func validate() throws {
        guard rate >= 0, seconds ?? 1 > 0, (0...65_535).contains(apiPort) else {
            throw ValidationError(
                "--rate must not be below 0, --seconds not below 1, --api-port from 0 to 65535")
        }
    }

    func run() throws {
        // The table has the screen for itself: only what matters is logged beside it.
        LineLogHandler.bootstrap(instance: "demo", level: .warning, format: .text)
        var settings = Demo.Settings()
        settings.rate = rate
        settings.seconds = seconds
        settings.output = output
        settings.seed = seed
        settings.apiPort = apiPort
        settings.threads = threads
        let chosen = settings
        let isComplete = try started(sink: .file) {
            try SignalledRun.run { stop in
                try await Demo.run(
                    chosen, logger: Logger(label: "collector"), stop: stop,
                    context: .process(adapters: Adapters.all))
            }
        }
        guard isComplete else { throw SysExit.temporary }
    }
}

extension Configuration.Threads: ExpressibleByArgument {}
