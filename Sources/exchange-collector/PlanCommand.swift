import ArgumentParser
import ControlPlane

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Shows which connection would carry which streams, and what that costs.",
        discussion: """
            EXAMPLES
              exchange-collector plan --config config/production.yaml
              exchange-collector plan --config config/production.yaml --streams
              exchange-collector plan --config config/production.yaml --topics
              exchange-collector plan --config config/production.yaml --json | jq '.budget'

            For each exchange: hosts, limits, when connections are renewed, topics, and a row for each connection with its
            lane, shard, leg, streams, subscribe requests and the time until the last of them is sent. Then what all of
            them need together: connection attempts of the exchange's budget, and sockets while connections are renewed.

            Nothing is connected to and nothing is written. The same configuration gives the same plan. Exit code 0: it
            can work; 78: it cannot, or the configuration is wrong; 66: no such file.
            """)

    @OptionGroup var source: ConfigurationOption
    @Flag(help: "Print JSON; durations are ns.")
    var json = false
    @Flag(help: "Name the streams of each connection too.")
    var streams = false

    @Flag(help: "Print only the topics that would be made, one a line.")
    var topics = false

    func run() throws {
        let loaded = try source.load()
        for warning in loaded.warnings { printError(warning.description) }
        if topics {
            for topic in loaded.configuration.topics() { print(topic) }
            return
        }
        let plan = try started(sink: loaded.configuration.sink.type) { try loaded.configuration.plan() }
        if json {
            print(try PlanDocument(loaded.configuration, plan: plan, streams: streams).json())
        } else {
            print(PlanText.render(loaded.configuration, plan: plan, streams: streams))
        }
    }
}
