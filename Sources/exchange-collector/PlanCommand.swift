import ArgumentParser
import ControlPlane
import MarketData

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Shows which connection would carry which streams, and what that costs.",
        discussion: """
            EXAMPLES
              exchange-collector plan --config config/production.yaml
              exchange-collector plan --config config/production.yaml --streams
              exchange-collector plan --config config/production.yaml --topics
              exchange-collector plan --config config/production.yaml --rate trade=20 --rate bookTicker=80
              exchange-collector plan --config config/production.yaml --json | jq '.budget'

            For each exchange: hosts, limits, when connections are renewed, topics, and a row for each connection with its
            lane, shard, leg, streams, subscribe requests and the time until the last of them is sent. Then what all of
            them need together: connection attempts of the exchange's budget, and sockets while connections are renewed.

            For a Pub/Sub sink also what publishing would cost a day, for this layout of topics and others, by how long
            batches wait; with your own events a second of one symbol where you know them.

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

    @Option(
        help: "Events a second of one symbol's stream, for the estimate of costs: trade=20. Can be repeated.")
    var rate: [String] = []

    func validate() throws { _ = try rates() }

    private func rates() throws -> [EventKind: Double] {
        var rates: [EventKind: Double] = [:]
        for text in rate {
            let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, let kind = EventKind(name: parts[0]), let value = Double(parts[1]),
                value.isFinite, (0...1e6).contains(value)
            else {
                let known = CostEstimate.assumedRates.keys.map(\.name).sorted().joined(separator: ", ")
                throw ValidationError(
                    "--rate \(text): write TYPE=EVENTS_A_SECOND, where TYPE is one of \(known)")
            }
            rates[kind] = value
        }
        return rates
    }

    func run() throws {
        let loaded = try source.load()
        for warning in loaded.warnings { printError(warning.description) }
        if topics {
            for topic in loaded.configuration.topics() { print(topic) }
            return
        }
        let plan = try started(sink: loaded.configuration.sink.type) { try loaded.configuration.plan() }
        let estimate =
            loaded.configuration.sink.type == .pubsub
            ? CostEstimate(loaded.configuration, rates: try rates()) : nil
        if json {
            let document = PlanDocument(
                loaded.configuration, plan: plan, streams: streams, estimate: estimate)
            print(try document.json())
        } else {
            print(PlanText.render(loaded.configuration, plan: plan, streams: streams, cost: estimate))
        }
    }
}
