import ArgumentParser
import ControlPlane

/// The command line.
@main
struct ExchangeCollectorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exchange-collector",
        abstract: "Collects market data from exchanges and publishes it, normalised, exact and in order.",
        discussion: """
            EXAMPLES
              exchange-collector demo
              exchange-collector check --config config/demo.yaml
              exchange-collector plan --config config/demo.yaml
              exchange-collector run --config config/file.yaml
              exchange-collector tail ./data/out --follow --type trade
              exchange-collector bench
              exchange-collector continuity --api http://127.0.0.1:8080

            Exit codes follow sysexits.h: 64 usage, 65 bad data, 66 no input, 69 unavailable, 70 internal, 71 system, 73 cannot
            create, 74 input or output, 75 not delivered in time, 78 configuration.
            """,
        version: ProductVersion.text,
        subcommands: [
            DemoCommand.self, RunCommand.self, BenchCommand.self, CheckCommand.self, PlanCommand.self,
            TailCommand.self, ContinuityCommand.self,
            TrainDictionaryCommand.self,
        ])
}
