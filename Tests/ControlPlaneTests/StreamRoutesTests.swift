import Foundation
import Synchronization
import Telemetry
import Testing

@testable import ControlPlane

/// `/v1/streams` and `/v1/subscriptions` over real sockets.
@Suite struct StreamRoutesTests {
    /// A fleet without stages.
    private final class Control: StreamControl {
        func continuityDocument() -> ContinuityLedger.Document { .init(time: 5, series: []) }
        let noted: NotedFleet
        init() throws { noted = try NotedFleet(FleetTests.yaml, room: 1) }

        func streams() -> [StreamStatus] {
            noted.fleet.plan.lanes[0].streams[0].map { stream in
                StreamStatus(
                    exchange: "fake", stream: stream.name, type: stream.kind.name, symbol: stream.symbol,
                    lane: 0, id: Int(stream.id), state: .waiting, lastSecondsAgo: nil,
                    legs: [.init(slot: 0, connection: "open", messages: 0, lastSecondsAgo: nil)])
            }
        }
        func subscribe(_ body: [UInt8]) throws -> SubscriptionChange { try noted.live.subscribe(body) }
        func unsubscribe(_ body: [UInt8]) throws -> SubscriptionChange { try noted.live.unsubscribe(body) }
    }

    private func withAPI(
        token: String? = nil, _ body: (UInt16, Control) async throws -> Void
    ) async throws {
        let control = try Control()
        let api = try await ManagementAPI.start(
            listen: ListenAddress(host: "127.0.0.1", port: 0), token: token, streams: control
        ) { CollectorSnapshot() }
        do {
            try await body(api.address.port, control)
        } catch {
            await api.stop()
            throw error
        }
        await api.stop()
    }

    private func send(
        _ port: UInt16, _ method: String, _ body: String, type: String? = "application/json",
        headers: String = "", host: String = "localhost"
    ) async throws -> HTTPAnswer {
        let content = type.map { "Content-Type: \($0)\r\n" } ?? ""
        return try await httpRequest(
            port,
            "\(method) /v1/subscriptions HTTP/1.1\r\n\(content)\(headers)Content-Length: \(body.utf8.count)\r\n",
            body: body, host: host)
    }

    @Test func subscribesAndUnsubscribes() async throws {
        try await withAPI { (port: UInt16, control: Control) async throws -> Void in
            let added = try await send(port, "POST", #"{"type":"trade","symbols":["ETHUSDT","BTCUSDT"]}"#)
            #expect(added.status == 202)
            #expect(
                added.body
                    == #"{"added":[{"exchange":"fake","stream":"ETHUSDT@trade"}],"changedConnections":1,"#
                    + #""newConnections":0,"removed":[],"unchanged":[{"exchange":"fake","stream":"BTCUSDT@trade"}],"#
                    + "\"warnings\":[]}\n")
            let again = try await send(port, "POST", #"{"type":"trade","symbols":["ETHUSDT"]}"#)
            #expect(again.status == 200)
            let streams = try await httpRequest(port, "GET /v1/streams HTTP/1.1\r\n")
            #expect(streams.status == 200)
            #expect(
                streams.body.hasPrefix(
                    #"{"count":2,"streams":[{"exchange":"fake","id":0,"lane":0,"legs":[{"connection":"open","messages":0,"slot":0}],"#
                ))
            let removed = try await send(
                port, "DELETE", #"[{"type":"trade","symbols":["BTCUSDT"]}]"#,
                type: "application/json; charset=utf-8")
            #expect(removed.status == 202)
            #expect(removed.body.contains(#""removed":[{"exchange":"fake","stream":"BTCUSDT@trade"}]"#))
            #expect(control.streams().map(\.stream) == ["ETHUSDT@trade"])
        }
    }

    @Test func refusalsSayWhy() async throws {
        try await withAPI { (port: UInt16, control: Control) async throws -> Void in
            let wrong = try await send(port, "POST", #"{"type":"tirade","symbols":["A"]}"#)
            #expect(wrong.status == 400)
            #expect(wrong.body.contains(#"\"tirade\" is not known; did you mean \"trade\"?"#))
            // Two connections are what there is room for; six streams need three.
            let full = try await send(port, "POST", #"{"type":"trade","symbols":["A","B","C","D"]}"#)
            #expect(full.status == 409)
            #expect(full.body.contains("has room for 2 until the collector is restarted"))
            let form = try await send(port, "POST", "type=trade", type: "application/x-www-form-urlencoded")
            #expect(form.status == 415)
            #expect(try await send(port, "POST", "{}", type: nil).status == 415)
            let other = try await send(port, "PUT", "{}")
            #expect(other.status == 405)
            #expect(other.headers["allow"] == "POST, DELETE")
            let large = try await send(
                port, "POST", String(repeating: " ", count: StreamRoutes.bodyLimit + 1))
            #expect(large.status == 413)
            #expect(control.streams().map(\.stream) == ["BTCUSDT@trade"])
        }
    }

    @Test func othersMayNotChangeAnything() async throws {
        try await withAPI { (port: UInt16, _: Control) async throws -> Void in
            let body = #"{"type":"trade","symbols":["ETHUSDT"]}"#
            for host in ["attacker.example", "attacker.example:8080", "127.0.0.1.attacker.example"] {
                #expect(try await send(port, "POST", body, host: host).status == 403)
            }
            for host in ["127.0.0.1:8080", "LOCALHOST:1", "[::1]:8080"] {
                #expect(try await send(port, "POST", body, host: host).status < 300)
            }
        }
        try await withAPI(token: "0123456789abcdef") { (port: UInt16, _: Control) async throws -> Void in
            let body = #"{"type":"trade","symbols":["ETHUSDT"]}"#
            #expect(try await send(port, "POST", body).status == 401)
            #expect(try await httpRequest(port, "GET /v1/streams HTTP/1.1\r\n").status == 401)
            let right = "Authorization: Bearer 0123456789abcdef\r\n"
            #expect(
                try await send(port, "POST", body, headers: right, host: "collector.example").status == 202)
        }
    }

    @Test func withoutAFleetThereAreNoStreams() async throws {
        let api = try await ManagementAPI.start(
            listen: ListenAddress(host: "127.0.0.1", port: 0), token: nil
        ) { CollectorSnapshot() }
        #expect(try await httpRequest(api.address.port, "GET /v1/streams HTTP/1.1\r\n").status == 404)
        await api.stop()
    }
}
