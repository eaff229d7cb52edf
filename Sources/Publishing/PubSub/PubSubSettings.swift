/// Where the Pub/Sub service listens.
public struct PubSubEndpoint: Sendable, Equatable {
    /// TLS, as with the real service; false: cleartext HTTP/2, for the emulator.
    public var isSecure: Bool
    /// A name or an address; IPv6 without brackets.
    public var host: String
    /// 443 with the real service.
    public var port: Int

    /// An endpoint of those parts.
    public init(isSecure: Bool, host: String, port: Int) {
        self.isSecure = isSecure
        self.host = host
        self.port = port
    }

    /// The global endpoint.
    public static let google = PubSubEndpoint(isSecure: true, host: "pubsub.googleapis.com", port: 443)

    /// Of `host:port` as PUBSUB_EMULATOR_HOST has it, or of a URL such as `https://europe-west1-pubsub.googleapis.com`.
    /// Without a scheme it is cleartext. `source` names the place in errors.
    public init(_ text: String, source: String) throws(PublishError) {
        var rest = Substring(text)
        var isSecure = false
        var defaultPort: Int?
        if let range = text.firstRange(of: "://") {
            switch text[..<range.lowerBound] {
            case "https": (isSecure, defaultPort) = (true, 443)
            case "http": defaultPort = 80
            default: throw PubSubEndpoint.error(text, source)
            }
            rest = text[range.upperBound...]
        }
        if rest.hasSuffix("/") { rest.removeLast() }
        var host = rest
        var port = defaultPort
        // A colon after the last bracket, if there is any, separates the port.
        let tail = rest.lastIndex(of: "]").map { rest[$0...] } ?? rest
        if let colon = tail.lastIndex(of: ":") {
            guard let number = Int(rest[rest.index(after: colon)...]) else {
                throw PubSubEndpoint.error(text, source)
            }
            (host, port) = (rest[..<colon], number)
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        let isName = host.utf8.allSatisfy { byte in
            byte > 0x20 && byte < 0x7F && !"/@?#[]\\\"<>".utf8.contains(byte)
        }
        guard let port, (1...65535).contains(port), !host.isEmpty, isName else {
            throw PubSubEndpoint.error(text, source)
        }
        self.init(isSecure: isSecure, host: String(host), port: port)
    }

    private static func error(_ text: String, _ source: String) -> PublishError {
        PublishError(
            description:
                "\(source): '\(text)' is no endpoint; write host:port as in localhost:8085, or a URL as in"
                + " https://pubsub.googleapis.com")
    }

    /// `host:port`, IPv6 in brackets.
    public var authority: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// The beginning of every URL.
    var base: String { (isSecure ? "https://" : "http://") + authority }
}

/// Gives bearer tokens. Called on the publisher thread for every request, so it must not wait for anything.
public protocol TokenSource: AnyObject, Sendable {
    /// The token to use now; nil where there is none yet.
    func token() -> String?
    /// The service refused that token: get another one, in the background.
    func refuse(_ token: String)
}

/// What the sink does about the HTTP/2 faults of libcurl 7.88.1, which Debian 12 ships.
package struct CurlRemedies: OptionSet, Sendable {
    package var rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }
    /// A: the second prior-knowledge request on a kept cleartext connection fails, so only the first uses it.
    package static let laterRequestsPlain = CurlRemedies(rawValue: 1)
    /// B: trailers are lost when an answer is larger than the receive buffer, so that is large.
    package static let largeBuffer = CurlRemedies(rawValue: 2)
    /// C: on a GOAWAY the last stream loses its trailers, so a whole answer counts as success.
    package static let wholeAnswers = CurlRemedies(rawValue: 4)
    /// D: each finished stream is reset, for which servers may end connections, so these are counted.
    package static let countedEnds = CurlRemedies(rawValue: 8)
    /// E: polling returns at once while an upload waits for flow control, so the thread sleeps.
    package static let sleepWhenIdle = CurlRemedies(rawValue: 16)
    package static let all: CurlRemedies = [
        .laterRequestsPlain, .largeBuffer, .wholeAnswers, .countedEnds, .sleepWhenIdle,
    ]
}

/// What the Pub/Sub sink must know. Times are ns.
public struct PubSubSettings: Sendable {
    /// The project id.
    public var project: String
    /// Where the service listens.
    public var endpoint = PubSubEndpoint.google
    /// Make a topic when the service says that it is missing.
    public var createTopics = true
    /// The attribute `collector`.
    public var collector: String
    /// The first half of each `batch_id`: another one for each start of the process.
    public var runID: UInt64
    /// Memory for batches that are not acknowledged, in bytes; when it is used up the sink is full.
    public var byteBudget = 64 << 20
    /// Connections at most, 1 to 8. More than one is opened only while one is not enough.
    public var connections = 4
    /// Requests in flight on one connection at most, 1 to 100 (most servers allow 100 streams).
    public var maxRequests = 100
    /// What topics that are made are to have.
    public var topics = TopicSettings()
    /// Topics made in a minute at most; Pub/Sub allows 6,000 administrative calls.
    public var createsPerMinute = 3_000
    /// Batches of one topic and key that wait are put together up to so many bytes (official clients: 1 MB).
    public var requestBytes = 1_000_000
    /// Bytes of request bodies that are being uploaded on one connection, below the 1 MiB that servers take before they
    /// must be read: above it libcurl 7.88.1 turns in circles. One larger request may be uploaded alone.
    public var wireBytes = 900_000
    /// How long a request may take, on top of the 10 µs that each byte gets. A service that stands still for less
    /// causes no duplicates.
    public var requestTimeout: Int64 = 30_000_000_000
    /// The longest wait before a request is tried again after a transient error.
    public var maximumBackoff: Int64 = 60_000_000_000
    /// About how long to wait after an error that will not end by itself.
    public var slowRetry: Int64 = 30_000_000_000
    /// A PEM file with the authorities to trust; nil: the system's.
    public var certificateAuthority: String?
    /// The project whose quota requests count against, sent as `x-goog-user-project`; nil: that of the credentials.
    public var quotaProject: String?

    /// What is done about libcurl's faults; less than all only in the tests that show what each is for.
    package var remedies = CurlRemedies.all

    /// The defaults, for that project, instance and run.
    public init(project: String, collector: String, runID: UInt64) {
        self.project = project
        self.collector = collector
        self.runID = runID
    }

    /// Least time between two topics that are made, ns.
    var createPace: Int64 { 60_000_000_000 / Int64(createsPerMinute) }

    /// Most messages that the service takes in one request.
    static let messageLimit = 1000
    /// Pub/Sub's limit is 10,000,000 bytes; the rest is for what we do not count.
    static let requestLimit = 9_500_000

    /// Throws what is wrong first.
    public func validate() throws(PublishError) {
        func check(_ isRight: Bool, _ text: String) throws(PublishError) {
            guard isRight else { throw PublishError(description: "pubsub sink: \(text)") }
        }
        let isProject =
            !project.isEmpty
            && project.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "-"), UInt8(ascii: ":"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
        try check(isProject, "project '\(project)' is no project id; set sink.project as in my-project-123")
        try check(
            !collector.isEmpty && collector.utf8.count <= 1024,
            "the collector's name must have 1 to 1024 bytes")
        try check(byteBudget >= 1 << 20, "a byte budget of \(byteBudget) is too small; give it 1 MiB or more")
        try check((1...8).contains(connections), "connections must be 1 to 8, not \(connections)")
        try check((1...100).contains(maxRequests), "requests in flight must be 1 to 100, not \(maxRequests)")
        try check(
            (1...PubSubSettings.requestLimit).contains(requestBytes),
            "a request may have 1 to \(PubSubSettings.requestLimit) bytes, not \(requestBytes)")
        try check(
            (1...6_000).contains(createsPerMinute),
            "topics made in a minute must be 1 to 6000, not \(createsPerMinute)")
        try check(wireBytes > 0, "bytes in flight must be above 0")
        try check(requestTimeout >= 1_000_000_000, "the request timeout must be at least 1 s")
        try check(maximumBackoff > 0 && slowRetry > 0, "the waits before a retry must be above 0")
    }
}
