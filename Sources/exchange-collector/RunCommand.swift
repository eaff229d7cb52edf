import ArgumentParser
import ControlPlane

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Collects what a configuration names until it is told to stop.",
        discussion: """
            EXAMPLES
              exchange-collector run --config config/file.yaml
              PUBSUB_EMULATOR_HOST=127.0.0.1:8085 exchange-collector run --config config/pubsub-emulator.yaml

            SIGTERM and SIGINT drain: connections end, what was received is published, and the exit code is 0. A second
            one ends at once.
            """)

    @OptionGroup var source: ConfigurationOption

    func run() throws {
        let loaded = try source.load()
        for warning in loaded.warnings { printError(warning.description) }
        printError("\(loaded.configuration.collector.name): lanes are not composed in this build")
        throw SysExit.software
    }
}
