import FlyingFox
import Foundation

/// One stream, as `GET /v1/streams` tells it.
public struct StreamStatus: Encodable, Sendable, Equatable {
    /// How a stream fares.
    public enum State: String, Encodable, Sendable {
        /// Its connection is not open, or the request for it not yet answered.
        case connecting
        /// Asked for and nothing came yet; there is time.
        case waiting
        /// Asked for and nothing came by its deadline.
        case silent
        /// It has delivered on a connection that is open.
        case delivering
    }

    /// One of the connections that carry it.
    public struct Leg: Encodable, Sendable, Equatable {
        /// Index of the slot in the lane.
        public var slot: Int
        /// The slot's state: `open`, `subscribing`, `opening`, `waiting`.
        public var connection: String
        /// Messages that the connection at hand has brought.
        public var messages: Int
        /// Since the latest message, that of an earlier connection where this one has brought none, s; nil: none yet.
        public var lastSecondsAgo: Double?
    }

    /// The market's name: `binance`.
    public var exchange: String
    /// The exchange's name of it: `btcusdt@trade`.
    public var stream: String
    /// `trade`.
    public var type: String
    /// Nil for an all-market stream.
    public var symbol: String?
    /// Index of the lane.
    public var lane: Int
    /// Index in the lane.
    public var id: Int
    /// How it fares.
    public var state: State
    /// Since its last message on any connection, s; nil: none yet.
    public var lastSecondsAgo: Double?
    /// By leg.
    public var legs: [Leg]
}

/// What the API may do to the streams of a collector.
public protocol StreamControl: Sendable {
    /// Every stream.
    func streams() -> [StreamStatus]
    /// Subscribes (see ``LiveSubscriptions/subscribe(_:)``).
    func subscribe(_ body: [UInt8]) throws -> SubscriptionChange
    /// Unsubscribes (see ``LiveSubscriptions/unsubscribe(_:)``).
    func unsubscribe(_ body: [UInt8]) throws -> SubscriptionChange
    /// What is known of each instrument's continuity.
    func continuityDocument() -> ContinuityLedger.Document
}

/// Answers requests about streams and subscriptions.
struct StreamRoutes {
    /// The largest body, bytes: some ten thousand symbols.
    static let bodyLimit = 1 << 20

    let control: any StreamControl
    /// Whether requests had to carry a token.
    let isGuarded: Bool

    func streams() -> HTTPResponse {
        let streams = control.streams()
        return JSONAnswer.make(.ok, StreamList(count: streams.count, streams: streams))
    }

    /// `POST` and `DELETE /v1/subscriptions`.
    func change(_ request: HTTPRequest) async -> HTTPResponse {
        guard isGuarded || StreamRoutes.isLoopback(request.headers[.host]) else {
            return JSONAnswer.error(
                .forbidden,
                "without api.token only this machine may change subscriptions: use the host 127.0.0.1 or localhost"
            )
        }
        // A page in a browser cannot send this type to another site unasked.
        let type = request.headers[.contentType]?.lowercased() ?? ""
        guard type == "application/json" || type.hasPrefix("application/json;") else {
            return JSONAnswer.error(
                .unsupportedMediaType, "the body must be JSON: send Content-Type: application/json")
        }
        let body: [UInt8]
        switch await read(request) {
        case .success(let bytes): body = bytes
        case .failure(let failure): return JSONAnswer.error(failure.status, failure.text)
        }
        do {
            let change =
                request.method == .POST ? try control.subscribe(body) : try control.unsubscribe(body)
            // What was asked for is not there yet: GET /v1/streams tells when the first data has come.
            let isIdle = change.added.isEmpty && change.removed.isEmpty
            return JSONAnswer.make(isIdle ? .ok : .accepted, ChangeAnswer(change))
        } catch let error as ConfigurationErrors {
            return JSONAnswer.make(
                .badRequest,
                Refusal(
                    error: "the body is wrong; nothing was changed",
                    problems: error.problems.map(\.description)))
        } catch let error as PlanError {
            return JSONAnswer.make(
                .conflict,
                Refusal(error: "it cannot work; nothing was changed", problems: error.problems.map(\.text)))
        } catch {
            return JSONAnswer.error(.internalServerError, "\(error)")
        }
    }

    /// Whether a `Host` header names this machine by itself: a name of somebody else's may have been made to resolve to
    /// it, to let a page in a browser speak to this API.
    static func isLoopback(_ header: String?) -> Bool {
        guard let header else { return false }
        var host = header[...]
        if let colon = host.lastIndex(of: ":"), !host.hasSuffix("]") { host = host[..<colon] }
        if host.lowercased() == "localhost" || host == "[::1]" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    private struct Failure: Error {
        var status: HTTPStatusCode
        var text: String
    }

    private func read(_ request: HTTPRequest) async -> Result<[UInt8], Failure> {
        let tooLarge = Failure(
            status: .payloadTooLarge,
            text: "the body has more than \(StreamRoutes.bodyLimit) bytes; send several requests")
        if let count = request.bodySequence.count, count > StreamRoutes.bodyLimit {
            return .failure(tooLarge)
        }
        var body: [UInt8] = []
        do {
            for try await chunk in request.bodySequence {
                body += chunk
                guard body.count <= StreamRoutes.bodyLimit else { return .failure(tooLarge) }
            }
        } catch {
            return .failure(Failure(status: .badRequest, text: "the body cannot be read: \(error)"))
        }
        return .success(body)
    }

    private struct StreamList: Encodable {
        var count: Int
        var streams: [StreamStatus]
    }

    private struct Refusal: Encodable {
        var error: String
        var problems: [String]
    }

    private struct ChangeAnswer: Encodable {
        var added: [SubscriptionChange.Stream]
        var removed: [SubscriptionChange.Stream]
        var unchanged: [SubscriptionChange.Stream]
        var newConnections: Int
        var changedConnections: Int
        var warnings: [String]

        init(_ change: SubscriptionChange) {
            added = change.added
            removed = change.removed
            unchanged = change.unchanged
            newConnections = change.newConnections
            changedConnections = change.changedConnections
            warnings = change.warnings
        }
    }
}

/// JSON answers.
enum JSONAnswer {
    static func error(_ status: HTTPStatusCode, _ text: String, headers: [HTTPHeader: String] = [:])
        -> HTTPResponse
    {
        make(status, ["error": text], headers: headers)
    }

    static func make(
        _ status: HTTPStatusCode, _ body: some Encodable, headers: [HTTPHeader: String] = [:]
    ) -> HTTPResponse {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var headers = headers
        headers[.contentType] = "application/json"
        headers[.cacheControl] = "no-store"
        do {
            let data = try encoder.encode(body) + Data("\n".utf8)
            return HTTPResponse(statusCode: status, headers: HTTPHeaders(headers), body: data)
        } catch {
            return HTTPResponse(
                statusCode: .internalServerError, body: Data("{\"error\":\"encoding failed\"}\n".utf8))
        }
    }
}
