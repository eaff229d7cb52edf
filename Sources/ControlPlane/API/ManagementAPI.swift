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
/// | `GET /v1/status` | the snapshot as JSON |
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

    /// Starts to listen. `snapshot` is called once a request, from any thread.
    public static func start(
        listen: ListenAddress, token: String?, snapshot: @escaping @Sendable () -> CollectorSnapshot
    ) async throws(StartError) -> ManagementAPI {
        let handler = ManagementHandler(token: token.map(BearerToken.init), snapshot: snapshot)
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
        return ManagementAPI(address: address, server: server, task: task)
    }

    private init(address: ListenAddress, server: HTTPServer, task: Task<Void, any Error>) {
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

/// Answers requests.
struct ManagementHandler: HTTPHandler {
    let token: BearerToken?
    let snapshot: @Sendable () -> CollectorSnapshot
    private let clock: @Sendable () -> Int64
    private let watch = ThreadWatch()

    /// `clock`: monotonic, ns.
    init(
        token: BearerToken?, snapshot: @escaping @Sendable () -> CollectorSnapshot,
        clock: @escaping @Sendable () -> Int64 = { ck_monotonic_nanos() }
    ) {
        self.token = token
        self.snapshot = snapshot
        self.clock = clock
    }

    func handleRequest(_ request: HTTPRequest) async throws -> HTTPResponse {
        let isProbe = request.path == "/healthz" || request.path == "/readyz"
        if let token, !isProbe, !token.admits(request.headers[.authorization]) {
            return json(
                .unauthorized, ["error": "a valid token is needed: Authorization: Bearer TOKEN (api.token)"],
                headers: [HTTPHeader("WWW-Authenticate"): "Bearer"])
        }
        guard ["/metrics", "/healthz", "/readyz", "/v1/status"].contains(request.path) else {
            return json(
                .notFound, ["error": "no such path; there are /metrics, /healthz, /readyz, /v1/status"])
        }
        guard request.method == .GET else {
            return json(
                .methodNotAllowed, ["error": "\(request.path) only answers GET"],
                headers: [HTTPHeader("Allow"): "GET"])
        }
        let snapshot = snapshot()
        switch request.path {
        case "/metrics":
            return HTTPResponse(
                statusCode: .ok, headers: [.contentType: PrometheusText.contentType],
                body: Data(PrometheusText.render(snapshot).utf8))
        case "/healthz": return health(snapshot)
        case "/readyz":
            if let reason = snapshot.unreadiness {
                return json(.serviceUnavailable, ["status": "not ready", "reason": reason])
            }
            return json(.ok, ["status": "ready"])
        default: return json(.ok, StatusDocument(snapshot))
        }
    }

    func health(_ snapshot: CollectorSnapshot) -> HTTPResponse {
        let still = watch.look(at: snapshot.threads, time: clock())
        guard !still.isEmpty else { return json(.ok, ["status": "healthy"]) }
        let threads = still.map { "\($0.name) for \($0.nanos / 1_000_000_000) s" }.joined(separator: ", ")
        return json(
            .serviceUnavailable, ["status": "unhealthy", "reason": "threads stand still: \(threads)"])
    }

    private func json(
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
