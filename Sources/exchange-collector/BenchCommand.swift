import ArgumentParser
import ControlPlane
import Logging
import Rings
import Telemetry

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measures where a message's time goes on this machine: a latency budget stage by stage.",
        discussion: """
            EXAMPLES
              exchange-collector bench
              exchange-collector bench --rate 100000 --threads single --idle spin --pin 0 --replayer-cpu 1
              exchange-collector bench --rate 0 --seconds 10

            A fake exchange (feed-replayer, beside this program) sends over TLS; batches go nowhere. A second of warm-up is \
            not counted. The figures are those of the always-on histograms that /metrics shows, so that a bench and \
            production can be compared.

            `read`: decrypted and unframed; `parsed`: its events stand in the event ring; `batched`: written as JSON into \
            its batch; `closed`: the batch is compressed and handed over. All count from the kernel's receipt. The sender \
            stamps its frames in µs just before it sends them.
            """)

    @Option(help: "Messages a second; 0: as fast as they are taken.")
    var rate = 10_000
    @Option(help: "How long is measured, s.")
    var seconds = 5
    @Option(help: "Symbols of the market.")
    var symbols = 50
    @Option(help: "Lanes.")
    var lanes = 1
    @Option(help: "How stages are put on threads: auto, stage, lane or single.")
    var threads = Configuration.Threads.auto
    @Option(help: "What threads do when there is nothing to do: spin, adaptive or park.")
    var idle = "adaptive"
    @Option(help: "CPUs for the stage threads in the order of a message's way, such as 0,1; or auto.")
    var pin = ""
    @Option(help: "The fake exchange's CPU.")
    var replayerCpu: Int?
    @Option(help: "Dictionaries for zstd: none, embedded or a directory.")
    var dictionary = "none"
    @Flag(help: "Do not compress batches.")
    var uncompressed = false

    private func settings() throws -> Bench.Settings {
        var settings = Bench.Settings()
        settings.rate = rate
        settings.seconds = seconds
        settings.symbols = symbols
        settings.lanes = lanes
        settings.threads = threads
        guard let idle = IdleStrategy(rawValue: idle) else {
            throw ValidationError("--idle \(idle) is not known; write spin, adaptive or park")
        }
        settings.idle = idle
        let cpus = pin.split(separator: ",").map { Int($0) }
        guard pin == "auto" || !cpus.contains(nil) else {
            throw ValidationError("--pin \(pin) is neither auto nor a list of CPUs such as 0,1")
        }
        settings.pin = pin == "auto" ? nil : cpus.compactMap { $0 }
        settings.replayerCPU = replayerCpu
        settings.dictionary = dictionary
        settings.compresses = !uncompressed
        return settings
    }

    func validate() throws {
        guard rate >= 0, seconds > 0, (1...1_000).contains(symbols), (1...64).contains(lanes) else {
            throw ValidationError(
                "--rate must not be below 0, --seconds not below 1, --symbols from 1 to 1000, --lanes from 1 to 64"
            )
        }
        _ = try settings()
    }

    func run() throws {
        LineLogHandler.bootstrap(instance: "bench", level: .warning, format: .text)
        let settings = try settings()
        let pace = rate == 0 ? "as fast as taken" : "\(rate) messages/s"
        printError("\(symbols) symbols, \(pace), \(seconds) s after \(Bench.warmUpSeconds) s of warm-up")
        let result = try started(sink: .null) {
            try SignalledRun.run { stop in
                try await Bench.run(
                    settings, logger: Logger(label: "collector"), stop: stop,
                    context: .process(adapters: Adapters.all))
            }
        }
        print("threads: \(result.threads); idle: \(idle)\n\n" + BenchText.render(result))
        guard result.isComplete else {
            printError(SummaryText.render(result.end).text)
            throw SysExit.temporary
        }
    }
}
