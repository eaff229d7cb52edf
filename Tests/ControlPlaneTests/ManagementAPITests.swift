import CKernel
import Foundation
import MarketData
import Rings
import Synchronization
import Telemetry
import Testing

@testable import ControlPlane

struct HTTPAnswer: Sendable {
    var status: Int
    var headers: [String: String]
    var body: String
}

/// One request over a socket of its own, on a thread of its own: the server needs the tasks' threads.
func httpRequest(
    _ port: UInt16, _ head: String, body: String = "", host: String = "localhost"
) async throws -> HTTPAnswer {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread {
            continuation.resume(with: Result { try blockingRequest(port, head, body: body, host: host) })
        }
    }
}

private func blockingRequest(_ port: UInt16, _ head: String, body: String, host: String) throws -> HTTPAnswer
{
    var address = ck_address()
    try #require(ck_resolve("127.0.0.1", port, &address, 1) == 1)
    let socket = ck_connect(&address, nil)
    try #require(socket >= 0)
    defer { ck_close(socket) }
    let request = Array((head + "Host: \(host)\r\nConnection: close\r\n\r\n" + body).utf8)
    var sent = 0
    let deadline = ck_monotonic_nanos() + 10_000_000_000
    while sent < request.count, ck_monotonic_nanos() < deadline {
        let count = request[sent...].withUnsafeBytes { ck_send(socket, $0.baseAddress, $0.count) }
        if count > 0 { sent += Int(count) } else { ck_sleep_nanos(1_000_000) }
    }
    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while ck_monotonic_nanos() < deadline {
        guard ck_wait_readable(socket, 100_000_000) == 1 else { continue }
        var time: Int64 = 0
        let count = buffer.withUnsafeMutableBytes { ck_receive(socket, $0.baseAddress, $0.count, &time) }
        if count > 0 { answer += buffer[..<Int(count)] } else if count != -Int64(EAGAIN) { break }
    }
    let text = String(decoding: answer, as: UTF8.self)
    let parts = text.components(separatedBy: "\r\n\r\n")
    let lines = parts[0].components(separatedBy: "\r\n")
    let status = try #require(Int(lines[0].split(separator: " ").dropFirst().first ?? ""), "\(text)")
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
        let pair = line.split(separator: ":", maxSplits: 1)
        if pair.count == 2 { headers[pair[0].lowercased()] = pair[1].trimmingCharacters(in: .whitespaces) }
    }
    return HTTPAnswer(
        status: status, headers: headers, body: parts.dropFirst().joined(separator: "\r\n\r\n"))
}

@Suite struct ManagementAPITests {
    /// A snapshot that a test may change.
    final class Source: Sendable {
        let snapshot = Mutex(CollectorSnapshot())
        init() {
            snapshot.withLock { snapshot in
                snapshot.name = "test"
                var counts = CollectorSnapshot.EventCounts(exchange: "binance", kind: .trade)
                counts.received = 3
                counts.published = 3
                snapshot.events = [counts]
                var market = CollectorSnapshot.MarketCounts(exchange: "binance")
                market.connections = ["open": 1]
                snapshot.markets = [market]
                snapshot.threads = [CollectorSnapshot.ThreadCounts(name: "parse-0", cycles: 1)]
            }
        }
    }

    private func start(_ source: Source, token: String? = nil) async throws -> ManagementAPI {
        try await ManagementAPI.start(listen: ListenAddress(host: "127.0.0.1", port: 0), token: token) {
            source.snapshot.withLock { $0 }
        }
    }

    @Test func answers() async throws {
        let source = Source()
        let api = try await start(source)
        let port = api.address.port
        #expect(port > 0)

        let metrics = try await httpRequest(port, "GET /metrics HTTP/1.1\r\n")
        #expect(metrics.status == 200)
        #expect(metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
        #expect(
            metrics.body.contains("collector_events_received_total{exchange=\"binance\",type=\"trade\"} 3\n"))

        #expect(try await httpRequest(port, "GET /healthz HTTP/1.1\r\n").body == "{\"status\":\"healthy\"}\n")
        #expect(try await httpRequest(port, "GET /readyz HTTP/1.1\r\n").body == "{\"status\":\"ready\"}\n")

        let status = try await httpRequest(port, "GET /v1/status HTTP/1.1\r\n")
        #expect(status.status == 200)
        #expect(status.headers["content-type"] == "application/json")
        let object = try #require(
            JSONSerialization.jsonObject(with: Data(status.body.utf8)) as? [String: Any])
        #expect(object["ready"] as? Bool == true)
        let events = try #require(object["events"] as? [[String: Any]])
        #expect(events.first?["received"] as? Int == 3)

        source.snapshot.withLock { snapshot in
            snapshot.markets[0].slots.streams = ["delivering": 1, "silent": 1]
            snapshot.markets[0].slots.silentStreams = ["a@trade"]
        }
        let silent = try await httpRequest(port, "GET /readyz HTTP/1.1\r\n")
        #expect(silent.status == 200)
        #expect(
            silent.body
                == "{\"silentCount\":1,\"silentStreams\":[\"binance a@trade\"],\"status\":\"ready\"}\n")
        source.snapshot.withLock { snapshot in
            snapshot.markets[0].slots.streams = [:]
            snapshot.markets[0].slots.silentStreams = []
            snapshot.markets[0].connections = ["open": 0, "waiting": 1]
        }
        let notReady = try await httpRequest(port, "GET /readyz HTTP/1.1\r\n")
        #expect(notReady.status == 503)
        #expect(
            notReady.body
                == "{\"reason\":\"binance: 0 of 1 connections are open\",\"status\":\"not ready\"}\n")
        await api.stop()
    }

    @Test func errorsAreJSON() async throws {
        let api = try await start(Source())
        let missing = try await httpRequest(api.address.port, "GET /v2 HTTP/1.1\r\n")
        #expect(missing.status == 404)
        #expect(missing.headers["content-type"] == "application/json")
        #expect(
            missing.body
                == "{\"error\":\"no such path; there are /healthz, /metrics, /readyz, /v1/status\"}\n")
        let wrong = try await httpRequest(api.address.port, "POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n")
        #expect(wrong.status == 405)
        #expect(wrong.headers["allow"] == "GET")
        #expect(wrong.body == "{\"error\":\"/metrics only answers GET\"}\n")
        await api.stop()
    }

    @Test func tokenGuardsAllButTheProbes() async throws {
        let api = try await start(Source(), token: "0123456789abcdef")
        let port = api.address.port
        let none = try await httpRequest(port, "GET /metrics HTTP/1.1\r\n")
        #expect(none.status == 401)
        #expect(none.headers["www-authenticate"] == "Bearer")
        #expect(none.body.hasPrefix("{\"error\":\"a valid token is needed"))
        for wrong in [
            "Bearer 0123456789abcdeF", "Bearer 0123456789abcde", "Bearer 0123456789abcdefg", "Basic x",
            "Bearer ",
        ] {
            #expect(
                try await httpRequest(port, "GET /v1/status HTTP/1.1\r\nAuthorization: \(wrong)\r\n").status
                    == 401)
        }
        // What does not exist is not told either.
        #expect(try await httpRequest(port, "GET /nothing HTTP/1.1\r\n").status == 401)
        let right = "Authorization: bearer 0123456789abcdef\r\n"
        #expect(try await httpRequest(port, "GET /metrics HTTP/1.1\r\n\(right)").status == 200)
        #expect(try await httpRequest(port, "GET /healthz HTTP/1.1\r\n").status == 200)
        #expect(try await httpRequest(port, "GET /readyz HTTP/1.1\r\n").status == 200)
        await api.stop()
    }

    @Test func takenPortIsSaid() async throws {
        let api = try await start(Source())
        do {
            let second = try await ManagementAPI.start(listen: api.address, token: nil) {
                CollectorSnapshot()
            }
            await second.stop()
            Issue.record("two servers on one port")
        } catch {
            #expect(
                error.description
                    == "api.listen \(api.address): cannot listen: another process listens there; stop it, or choose another port"
            )
        }
        await api.stop()
    }

    @Test func stopsAndCanBeStartedAgain() async throws {
        let first = try await start(Source())
        let port = first.address.port
        #expect(try await httpRequest(port, "GET /healthz HTTP/1.1\r\n").status == 200)
        await first.stop()
        let again = try await ManagementAPI.start(listen: first.address, token: nil) { CollectorSnapshot() }
        #expect(again.address.port == port)
        await again.stop()
    }

    @Test func listensOnIPv6() async throws {
        let api = try await ManagementAPI.start(listen: ListenAddress(host: "::1", port: 0), token: nil) {
            CollectorSnapshot()
        }
        #expect(api.address.port > 0)
        await api.stop()
    }

    @Test func watchTellsThreadsThatStandStill() {
        let watch = ThreadWatch()
        func threads(_ a: UInt64, _ b: UInt64) -> [CollectorSnapshot.ThreadCounts] {
            [
                CollectorSnapshot.ThreadCounts(name: "a", cycles: a),
                CollectorSnapshot.ThreadCounts(name: "b", cycles: b),
            ]
        }
        let second: Int64 = 1_000_000_000
        #expect(watch.look(at: threads(1, 1), time: 0).isEmpty)
        #expect(watch.look(at: threads(1, 2), time: 1 * second).isEmpty)
        #expect(watch.look(at: threads(1, 3), time: 4 * second).isEmpty)
        let still = watch.look(at: threads(1, 4), time: 6 * second)
        #expect(still.map(\.name) == ["a"])
        #expect(still.first?.nanos == 6 * second)
        #expect(watch.look(at: threads(2, 4), time: 7 * second).isEmpty)
    }

    @Test func healthNamesTheThread() async throws {
        let source = Source()
        let now = Mutex<Int64>(0)
        let timed = ManagementHandler(
            gate: TokenGate(nil), snapshot: { source.snapshot.withLock { $0 } },
            clock: { now.withLock { $0 } })
        #expect(timed.health(source.snapshot.withLock { $0 }).statusCode.code == 200)
        now.withLock { $0 = 6_000_000_000 }
        let answer = timed.health(source.snapshot.withLock { $0 })
        #expect(answer.statusCode.code == 503)
        let body = try await String(decoding: answer.bodyData, as: UTF8.self)
        #expect(body == "{\"reason\":\"threads stand still: parse-0 for 6 s\",\"status\":\"unhealthy\"}\n")
    }
}
