import Batching
import Publishing

extension Collector {
    /// The NATS sink of the configuration. The server is connected to when it runs.
    func makeNATSSink() throws -> NATSSink {
        let sink = configuration.sink
        guard let endpoint = sink.endpoint.flatMap(NATSEndpoint.init) else {
            throw PublishError(
                description: "nats sink: sink.endpoint is no nats:// or tls:// address; correct it")
        }
        var settings = NATSSettings(
            endpoint: endpoint, subjects: try TopicTemplate(sink.topic),
            collector: configuration.collector.name, runID: runID)
        settings.credentials = sink.credentials
        settings.stream = sink.stream
        settings.createStream = sink.createTopics
        settings.byteBudget = sink.maxInFlightBytes
        return try NATSSink(settings: settings, ledger: ledger)
    }
}
