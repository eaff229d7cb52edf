import Foundation
import GoogleCloud
import Publishing
import Synchronization

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
        settings.createsPerMinute = sink.createsPerMinute
        settings.topics = sink.topics
        if let endpoint = sink.endpoint {
            settings.endpoint = try PubSubEndpoint(endpoint, source: "sink.endpoint")
        }
        var tokens: (any TokenSource)?
        // Credentials are shown to nobody in clear text; the emulator takes none.
        if settings.endpoint.isSecure {
            let environment = ProcessInfo.processInfo.environment
            let credentials = try Collector.startedCredentials(environment)
            logger.info("credentials: \(credentials.description)")
            settings.quotaProject = credentials.quotaProject
            settings.certificateAuthority = environment["SSL_CERT_FILE"].flatMap { $0.isEmpty ? nil : $0 }
            tokens = CredentialTokens(credentials: credentials)
        }
        let made = try PubSubSink(settings: settings, ledger: ledger, tokens: tokens)
        if sink.createTopics {
            made.ensureTopics(configuration.topics())
            topicWatch.begin(made.topicRequests)
        }
        return made
    }
}

extension Collector {
    /// Has the topics made of streams that were subscribed to since the last call.
    func ensureTopics() {
        guard let requests = topicWatch.takeChange() else { return }
        requests.ensure(configuration.topics(of: live.fleet.plan.markets.map(\.streams)))
    }

    /// Google's application default credentials. Where no token can be had at the start that is an error: better now
    /// than with the first batch.
    private static let tokenPatience = 15.0

    private static func startedCredentials(_ environment: [String: String]) throws -> Credentials {
        let credentials = try Credentials.resolve(environment: environment)
        try credentials.start(patience: tokenPatience)
        return credentials
    }
}

private final class CredentialTokens: TokenSource {
    private let credentials: Credentials

    init(credentials: Credentials) { self.credentials = credentials }
    deinit { credentials.stop() }
    func token() -> String? { credentials.token() }
    func refuse(_ token: String) { credentials.refuse(token) }
}

/// Between changes of subscriptions and the sink that makes topics for them.
final class TopicWatch: Sendable {
    private let requests = Mutex<TopicRequests?>(nil)
    private let isChanged = Atomic<Bool>(false)

    /// The sink is there.
    func begin(_ made: TopicRequests) { requests.withLock { $0 = made } }

    /// Subscriptions have changed.
    func noteChange() { isChanged.store(true, ordering: .releasing) }

    /// Where to ask for topics, if subscriptions have changed since the last call.
    func takeChange() -> TopicRequests? {
        guard isChanged.exchange(false, ordering: .acquiring) else { return nil }
        return requests.withLock { $0 }
    }
}
