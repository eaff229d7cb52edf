import CKernel
import CTLS
import Foundation
import Testing

@testable import Wire

/// The cache of TLS sessions, at the shim.
@Suite(.serialized) struct DialSessionTests {
    /// A server's side and a client's side of TLS on loopback.
    private final class Pair {
        private let server: OpaquePointer
        private let client: OpaquePointer
        private let sockets: [Int32]

        init(_ listener: Int32, _ serverContext: OpaquePointer, _ clientContext: TLSContext, peer: String?)
            throws
        {
            var address = try #require(HostAddress(literal: "127.0.0.1", port: ck_local_port(listener))).raw
            let near = ck_connect(&address, nil)
            var far: Int32 = -1
            for _ in 0..<10_000 where far < 0 {
                far = ck_accept(listener)
                if far < 0 { ck_sleep_nanos(100_000) }
            }
            guard near >= 0, far >= 0, let server = ct_server_new(serverContext, far),
                let client = ct_client_new(clientContext.pointer, near, "localhost", 16_384)
            else { throw TestFailure(description: "no pair") }
            (self.server, self.client, sockets) = (server, client, [near, far])
            if let peer { ct_client_resume(client, peer) }
        }

        deinit {
            ct_client_free(client)
            ct_server_free(server)
            for socket in sockets { ck_close(socket) }
        }

        /// Whether the handshake resumed a session. `reads`: takes what the server sends after it, its tickets too.
        func shakeHands(reads: Bool) throws -> Bool {
            var isDone = (near: false, far: false)
            for _ in 0..<20_000 where !(isDone.near && isDone.far) {
                if !isDone.near { isDone.near = ct_client_handshake(client) == 0 }
                if !isDone.far { isDone.far = ct_server_handshake(server) == 0 }
                _ = ct_server_flush(server)
                if !(isDone.near && isDone.far) { ck_sleep_nanos(50_000) }
            }
            guard isDone.near, isDone.far else {
                throw TestFailure(description: String(cString: ct_client_error(client)))
            }
            if reads {
                guard ct_server_write(server, "x", 1) == 0 else { throw TestFailure(description: "no write") }
                var byte: UInt8 = 0
                var got: Int64 = -1
                for _ in 0..<20_000 where got != 1 {
                    _ = ct_server_flush(server)
                    got = ct_client_read(client, &byte, 1)
                    if got != 1 { ck_sleep_nanos(50_000) }
                }
                guard got == 1 else { throw TestFailure(description: "nothing read") }
            }
            return ct_client_is_resumed(client) != 0
        }
    }

    /// Shakes hands anew for each of `peers` and tells which resumed; the tickets of the first ones are read.
    private func resumed(version: Int32, peers: [String?], reading: Int) throws -> [Bool] {
        let certificates = try Certificates()
        let clientContext = try TLSContext(certificateAuthority: certificates.authority)
        var text = [CChar](repeating: 0, count: 200)
        let serverContext = try #require(
            ct_server_context_new(
                certificates.directory + "/server.pem", certificates.directory + "/server-key.pem", &text,
                text.count))
        defer { ct_server_context_free(serverContext) }
        ct_server_context_set_maximum(serverContext, version)
        var address = try #require(HostAddress(literal: "127.0.0.1")).raw
        let listener = ck_listen(&address, 16)
        defer { ck_close(listener) }
        return try peers.enumerated().map { index, peer in
            try Pair(listener, serverContext, clientContext, peer: peer).shakeHands(reads: index < reading)
        }
    }

    /// OpenSSL's servers give two tickets with a full handshake (SSL_CTX_set_num_tickets); none is used twice.
    @Test func aTicketOfTLS13IsUsedOnce() throws {
        #expect(
            try resumed(version: 13, peers: Array(repeating: "a:1", count: 5), reading: 1)
                == [false, true, true, false, false])
    }

    @Test func aSessionOfTLS12IsUsedAgainAndAgain() throws {
        #expect(
            try resumed(version: 12, peers: Array(repeating: "a:1", count: 5), reading: 1)
                == [false, true, true, true, true])
    }

    @Test(arguments: [12, 13] as [Int32]) func sessionsBelongToTheirPeer(version: Int32) throws {
        #expect(
            try resumed(version: version, peers: ["a:1", "a:2", nil, "a:1", "a:2", nil], reading: 6)
                == [false, false, false, true, true, false])
        let long = String(repeating: "h", count: 300)
        #expect(try resumed(version: version, peers: [long, long], reading: 2) == [false, false])
    }

    /// More peers than the cache has room for: the oldest give way, and the newest resume.
    @Test func theCacheIsBounded() throws {
        let peers = (0..<100).map { "host\($0):1" }
        let found = try resumed(version: 12, peers: peers + peers.reversed(), reading: 200)
        #expect(found.prefix(100).allSatisfy { !$0 })
        #expect(found.dropFirst(100).prefix(64).allSatisfy { $0 })
        #expect(found.suffix(36).allSatisfy { !$0 })
    }
}
