import ArgumentParser
import ControlPlane
import Logging
import Telemetry

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Collects what a configuration names until it is told to stop.",
        discussion: """
            EXAMPLES
              exchange-collector run --config config/file.yaml
              PUBSUB_EMULATOR_HOST=127.0.0.1:8085 exchange-collector run --config config/pubsub-emulator.yaml

            SIGTERM and SIGINT drain: connections end, what was received is published, and the exit code is 0 (75 where
            the sink did not take everything in time). A second one ends at once.

            SIGHUP reads the file, and the secrets that it names, again: subscriptions that were added or removed are \
            applied at once, without a reconnect, and so is a new api.token; what else was changed is named in the log \
            and needs a restart.
            """)

    @OptionGroup var source: ConfigurationOption

    func run() throws {
        let loaded = try source.load(readsSecrets: true)
        let settings = loaded.configuration
        LineLogHandler.bootstrap(
            instance: settings.collector.name, level: settings.log.level,
            format: settings.log.format == .json ? .json : .text)
        let logger = Logger(label: "collector")
        for warning in loaded.warnings { logger.warning("\(warning.description)") }
        for secret in loaded.secrets { logger.info("\(secret.keyPath) is \(secret.reference)") }
        let file = source.config
        let result = try started(sink: settings.sink.type) {
            try SignalledRun.run { stop in
                try await CollectorRun.run(
                    settings, logger: logger, stop: stop, keepsAttempts: true,
                    reload: {
                        try Configuration.load(
                            file: file, context: .process(adapters: Adapters.all, readsSecrets: true))
                    })
            }
        }
        let summary = SummaryText.render(result.snapshot)
        printError(summary.text)
        guard summary.isBalanced, result.isDelivered else { throw SysExit.temporary }
    }
}

/// Runs what may fail for reasons outside of this program, each of which says its remedy.
func started<Result>(sink: Configuration.SinkType, _ body: () throws -> Result) throws -> Result {
    do {
        return try body()
    } catch {
        printError("error: \(error)")
        throw ExitCode(StartFailure(error, sink: sink).rawValue)
    }
}
