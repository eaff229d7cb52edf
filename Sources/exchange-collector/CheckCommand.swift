import ArgumentParser
import ControlPlane

/// `--config FILE`, for the commands that need one.
struct ConfigurationOption: ParsableArguments {
    @Option(name: [.long, .short], help: "The configuration file (YAML).")
    var config: String

    /// The checked configuration; prints every error and ends otherwise. `readsSecrets`: values that stand in Secret
    /// Manager are read, otherwise their names are known and no more.
    func load(readsSecrets: Bool = false) throws -> Configuration.Loaded {
        try ConfigurationOption.load(config, readsSecrets: readsSecrets)
    }

    /// The same of a file.
    static func load(_ config: String, readsSecrets: Bool = false) throws -> Configuration.Loaded {
        do {
            return try Configuration.load(
                file: config, context: .process(adapters: Adapters.all, readsSecrets: readsSecrets))
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
              exchange-collector check --config config/production.yaml --resolve-secrets

            Nothing is written, and nothing is connected to but Secret Manager with --resolve-secrets. Exit code 0: usable; 78: errors; 66: no such file.
            """)

    @OptionGroup var source: ConfigurationOption
    @Flag(help: "Read the values that stand in Secret Manager (secret://…) and check them too.")
    var resolveSecrets = false

    func run() throws {
        let loaded = try source.load(readsSecrets: resolveSecrets)
        for warning in loaded.warnings { printError(warning.description) }
        print(ConfigurationSummary.render(loaded.configuration, secrets: loaded.secrets))
    }
}
