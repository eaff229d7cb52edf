import Foundation
import GoogleCloud
import Publishing

extension Collector {
    /// The Pub/Sub sink of the configuration. Topics that the streams' events will go to are asked for at once, so that
    /// they are there before the first event.
    func makePubSubSink() throws -> PubSubSink {
        let sink = configuration.sink
        var settings = PubSubSettings(
            project: sink.project, collector: configuration.collector.name, runID: runID)
        settings.createTopics = sink.createTopics
        settings.byteBudget = sink.maxInFlightBytes
        settings.connections = sink.connections
        if let endpoint = sink.endpoint {
            settings.endpoint = try PubSubEndpoint(endpoint, source: "sink.endpoint")
        }
        // Credentials are shown to nobody in clear text; the emulator takes none.
        let isEmulator = !settings.endpoint.isSecure
        let made = try PubSubSink(
            settings: settings, ledger: ledger, tokens: isEmulator ? nil : try makeTokenSource())
        if sink.createTopics { made.ensureTopics(configuration.topics()) }
        return made
    }
}

extension Collector {
    /// Google's application default credentials. Where no token can be had at the start that is an error: better now
    /// than with the first batch.
    private static let tokenPatience = 15.0

    private func makeTokenSource() throws -> any TokenSource {
        let credentials = try Credentials.resolve(environment: ProcessInfo.processInfo.environment)
        try credentials.start(patience: Collector.tokenPatience)
        logger.info("credentials: \(credentials.description)")
        return CredentialTokens(credentials: credentials)
    }
}

private final class CredentialTokens: TokenSource {
    private let credentials: Credentials

    init(credentials: Credentials) { self.credentials = credentials }
    deinit { credentials.stop() }
    func token() -> String? { credentials.token() }
    func refuse(_ token: String) { credentials.refuse(token) }
}
