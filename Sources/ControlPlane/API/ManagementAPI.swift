import CKernel
import FlyingFox
import FlyingSocks
import Foundation
import Telemetry

/// The HTTP API on `api.listen`: metrics, health, status. Runs as tasks of its own, never on stage threads.
///
/// | path | answer |
/// |---|---|
/// | `GET /metrics` | Prometheus text |
/// | `GET /healthz` | 200 while all threads move, else 503 with the threads' names |
/// | `GET /readyz` | 200 while connected and delivering, else 503 with the reason |
/// | `GET /v1/status` | the snapshot as JSON; with `?buckets=all` the latencies' buckets, too |
/// | `GET /v1/streams` | every stream: where it is, how it fares, when it delivered last |
/// | `GET /v1/continuity` | since when nothing is missing of each instrument and type, and what is |
/// | `POST /v1/subscriptions` | subscribes to what the body names, as under `subscriptions:` in a configuration |
/// | `DELETE /v1/subscriptions` | gives up what the body names |
///
/// Bodies are JSON and say so in `Content-Type`. 202: being done; 200: it was so already; 400: the body is wrong; 409: it
/// cannot work; nothing has changed then. Without a token, only requests to a loopback address may change anything.
///
/// With a token, `/metrics` and `/v1/…` want `Authorization: Bearer TOKEN`; the two probes do not, because kubelet
/// cannot take a probe's header from a secret.
public final class ManagementAPI: Sendable {
    /// Why the API could not be started, with the remedy.
    public struct StartError: Error, CustomStringConvertible {
        /// The sentence.
        public let description: String
    }

    /// Where it listens, with the port that was really taken.
    public let address: ListenAddress
    private let server: HTTPServer
    private let task: Task<Void, any Error>
    private let gate: TokenGate

    /// Starts to listen. `snapshot` is called once a request, from any thread; without `streams` there are no paths
    /// about streams.
    public static func start(
        listen: ListenAddress, token: String?, streams: (any StreamControl)? = nil,
        snapshot: @escaping @Sendable () -> CollectorSnapshot
    ) async throws(StartError) -> ManagementAPI {
        let gate = TokenGate(token.map(BearerToken.init))
        let handler = ManagementHandler(gate: gate, streams: streams, snapshot: snapshot)
        let server: HTTPServer
        do {
            if listen.host.contains(":") {
                server = HTTPServer(
                    address: try sockaddr_in6.inet6(ip6: listen.host, port: listen.port),
                    logger: .disabled, handler: handler)
            } else {
                server = HTTPServer(
                    address: try sockaddr_in.inet(ip4: listen.host, port: listen.port),
                    logger: .disabled, handler: handler)
            }
        } catch {
            throw failure(error, listen)
        }
        // Whichever comes first: it listens, or it has failed.
        let (outcomes, outcome) = AsyncStream.makeStream(of: (any Error)?.self)
        let task = Task {
            do {
                try await server.run()
            } catch {
                outcome.yield(error)
                throw error
            }
        }
        let listening = Task {
            do {
                try await server.waitUntilListening()
                outcome.yield(nil)
            } catch {
                outcome.yield(error)
            }
        }
        defer { listening.cancel() }
        for await first in outcomes {
            if let error = first {
                task.cancel()
                throw failure(error, listen)
            }
            break
        }
        var address = listen
        switch await server.listeningAddress {
        case .ip4(_, let port): address.port = port
        case .ip6(_, let port): address.port = port
        default: break
        }
        return ManagementAPI(address: address, server: server, task: task, gate: gate)
    }

    /// Requests need that token from now on. For an API that was started with one.
    public func replaceToken(_ token: String) { gate.replace(BearerToken(token)) }

    private init(
        address: ListenAddress, server: HTTPServer, task: Task<Void, any Error>, gate: TokenGate
    ) {
        self.gate = gate
        self.address = address
        self.server = server
        self.task = task
    }

    /// Stops to listen and gives requests under way `seconds` to finish.
    public func stop(within seconds: Double = 0.2) async {
        await server.stop(timeout: seconds)
        task.cancel()
        _ = await task.result
    }

    private static func failure(_ error: any Error, _ listen: ListenAddress) -> StartError {
        let why: String
        let remedy: String
        switch error {
        case SocketError.failed(_, EADDRINUSE, _):
            (why, remedy) = ("another process listens there", "stop it, or choose another port")
        case SocketError.failed(_, EACCES, _):
            (why, remedy) = ("ports below 1024 need a privilege", "choose a port from 1024 on")
        case SocketError.failed(_, EADDRNOTAVAIL, _):
            (why, remedy) = ("this machine has no such address", "use 127.0.0.1 or 0.0.0.0")
        case SocketError.failed(_, let code, let message):
            (why, remedy) = ("\(message) (errno \(code))", "choose another address")
        default: (why, remedy) = ("\(error)", "choose another address")
        }
        return StartError(description: "api.listen \(listen): cannot listen: \(why); \(remedy)")
    }
}

/// The answer of `/readyz`. Streams that do not deliver are named, and do not make the collector unready as long
/// as others do: a stream may have no market.
struct Readiness: Encodable {
    var status: String
    var reason: String?
    /// How many streams have not delivered by their deadline.
    var silentCount: Int?
    /// Some of them.
    var silentStreams: [String]?

    init(_ snapshot: CollectorSnapshot) {
        reason = snapshot.unreadiness
        status = reason == nil ? "ready" : "not ready"
        if snapshot.silentStreamCount > 0 {
            silentCount = snapshot.silentStreamCount
            silentStreams = snapshot.silentStreams
        }
    }
}

/// Answers requests.
struct ManagementHandler: HTTPHandler {
    let gate: TokenGate
    let streams: StreamRoutes?
    let snapshot: @Sendable () -> CollectorSnapshot
    private let clock: @Sendable () -> Int64
    private let watch = ThreadWatch()

    /// `clock`: monotonic, ns.
    init(
        gate: TokenGate, streams: (any StreamControl)? = nil,
        snapshot: @escaping @Sendable () -> CollectorSnapshot,
        clock: @escaping @Sendable () -> Int64 = { ck_monotonic_nanos() }
    ) {
        self.gate = gate
        self.streams = streams.map { StreamRoutes(control: $0, isGuarded: gate.isGuarded) }
        self.snapshot = snapshot
        self.clock = clock
    }

    func handleRequest(_ request: HTTPRequest) async throws -> HTTPResponse {
        let isProbe = request.path == "/healthz" || request.path == "/readyz"
        if !isProbe, !gate.admits(request.headers[.authorization]) {
            return JSONAnswer.error(
                .unauthorized, "a valid token is needed: Authorization: Bearer TOKEN (api.token)",
                headers: [HTTPHeader("WWW-Authenticate"): "Bearer"])
        }
        guard let methods = methods[request.path] else {
            let paths = methods.keys.sorted().joined(separator: ", ")
            return JSONAnswer.error(.notFound, "no such path; there are \(paths)")
        }
        guard methods.contains(request.method) else {
            let allowed = methods.map(\.rawValue)
            return JSONAnswer.error(
                .methodNotAllowed, "\(request.path) only answers \(allowed.joined(separator: " and "))",
                headers: [HTTPHeader("Allow"): allowed.joined(separator: ", ")])
        }
        if let streams {
            if request.path == "/v1/streams" { return streams.streams() }
            if request.path == "/v1/continuity" {
                return JSONAnswer.make(.ok, streams.control.continuityDocument())
            }
            if request.path == "/v1/subscriptions" { return await streams.change(request) }
        }
        let snapshot = snapshot()
        switch request.path {
        case "/metrics":
            return HTTPResponse(
                statusCode: .ok, headers: [.contentType: PrometheusText.contentType],
                body: Data(PrometheusText.render(snapshot).utf8))
        case "/healthz": return health(snapshot)
        case "/readyz":
            let readiness = Readiness(snapshot)
            return JSONAnswer.make(readiness.reason == nil ? .ok : .serviceUnavailable, readiness)
        default:
            let withBuckets = request.query.contains { $0.name == "buckets" }
            return JSONAnswer.make(.ok, StatusDocument(snapshot, withBuckets: withBuckets))
        }
    }

    private var methods: [String: [HTTPMethod]] {
        var methods: [String: [HTTPMethod]] = [
            "/metrics": [.GET], "/healthz": [.GET], "/readyz": [.GET], "/v1/status": [.GET],
        ]
        if streams != nil {
            methods["/v1/streams"] = [.GET]
            methods["/v1/continuity"] = [.GET]
            methods["/v1/subscriptions"] = [.POST, .DELETE]
        }
        return methods
    }

    func health(_ snapshot: CollectorSnapshot) -> HTTPResponse {
        let still = watch.look(at: snapshot.threads, time: clock())
        guard !still.isEmpty else { return JSONAnswer.make(.ok, ["status": "healthy"]) }
        let threads = still.map { "\($0.name) for \($0.nanos / 1_000_000_000) s" }.joined(separator: ", ")
        return JSONAnswer.make(
            .serviceUnavailable, ["status": "unhealthy", "reason": "threads stand still: \(threads)"])
    }
}
