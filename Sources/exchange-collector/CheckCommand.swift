import ArgumentParser
import ControlPlane

/// `--config FILE`, for the commands that need one.
struct ConfigurationOption: ParsableArguments {
    @Option(name: [.long, .short], help: "The configuration file (YAML).")
    var config: String

    /// The checked configuration; prints every error and ends otherwise.
    func load() throws -> Configuration.Loaded {
        do {
            return try Configuration.load(file: config, context: .process(adapters: Adapters.all))
        } catch {
            printError(error.description)
            let count = error.problems.count { $0.severity == .error }
            printError("\(config): \(count) error\(count == 1 ? "" : "s"), nothing was started")
            throw error.isUnreadableFile ? SysExit.noInput : SysExit.configuration
        }
    }
}

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Says everything that is wrong with a configuration, or what it would do.",
        discussion: """
            EXAMPLES
              exchange-collector check --config config/demo.yaml

            Nothing is connected to and nothing is written. Exit code 0: usable; 78: errors; 66: no such file.
            """)

    @OptionGroup var source: ConfigurationOption

    func run() throws {
        let loaded = try source.load()
        for warning in loaded.warnings { printError(warning.description) }
        print(ConfigurationSummary.render(loaded.configuration))
    }
}
