import CKernel
import CTLS
import Testing

@testable import Wire

/// Who opens the records of a test's client.
enum RecordReader: String, CaseIterable, CustomTestStringConvertible {
    case openssl
    /// The fastest that this machine has.
    case direct
    /// What every machine has.
    case directByEVP

    var testDescription: String { rawValue }
    var isDirect: Bool { self != .openssl }

    func context(_ authority: String) throws -> TLSContext {
        let context = try TLSContext(certificateAuthority: authority, records: isDirect ? .direct : .openssl)
        if isDirect { ct_client_context_set_direct(context.pointer, 1, self == .directByEVP ? 1 : 0) }
        return context
    }
}

/// A server of TLS on loopback and the contexts of clients, for any number of ``TLSPair``s.
final class TLSHost {
    private let certificates: Certificates
    private var clientContexts: [RecordReader: TLSContext] = [:]
    let serverContext: OpaquePointer
    private let listener: Int32

    /// `suite`: as OpenSSL writes it; nil: any. `tickets`: after each handshake.
    init(version: Int32 = 13, suite: String? = nil, tickets: Int32 = 2, tellsSecrets: Bool = false) throws {
        certificates = try Certificates()
        var text = [CChar](repeating: 0, count: 200)
        guard
            let context = ct_server_context_new(
                certificates.directory + "/server.pem", certificates.directory + "/server-key.pem", &text,
                text.count)
        else { throw TestFailure(description: "no server context") }
        serverContext = context
        ct_server_context_set_maximum(context, version)
        ct_server_context_set_tickets(context, tickets)
        if let suite, ct_server_context_set_suites(context, suite) != 0 {
            throw TestFailure(description: "no suite \(suite)")
        }
        if tellsSecrets { ct_server_context_tell_secrets(context) }
        var address = try #require(HostAddress(literal: "127.0.0.1")).raw
        listener = ck_listen(&address, 16)
        for reader in RecordReader.allCases {
            clientContexts[reader] = try reader.context(certificates.authority)
        }
    }

    deinit {
        ck_close(listener)
        ct_server_context_free(serverContext)
    }

    /// `peer`: whose sessions the client may resume.
    func pair(_ reader: RecordReader, peer: String? = nil) throws -> TLSPair {
        var address = try #require(HostAddress(literal: "127.0.0.1", port: ck_local_port(listener))).raw
        let near = ck_connect(&address, nil)
        var far: Int32 = -1
        for _ in 0..<10_000 where far < 0 {
            far = ck_accept(listener)
            if far < 0 { ck_sleep_nanos(100_000) }
        }
        guard near >= 0, far >= 0, let context = clientContexts[reader],
            let server = ct_server_new(serverContext, far),
            let client = ct_client_new(context.pointer, near, "localhost", 16_384)
        else { throw TestFailure(description: "no pair") }
        if let peer { ct_client_resume(client, peer) }
        return TLSPair(self, server: server, client: client, near: near, far: far)
    }
}

/// A server's side and a client's side of TLS on loopback, moved on by hand.
final class TLSPair {
    let server: OpaquePointer
    let client: OpaquePointer
    private let near: Int32
    private var far: Int32
    // Its contexts live as long as their sessions.
    private let host: TLSHost

    fileprivate init(_ host: TLSHost, server: OpaquePointer, client: OpaquePointer, near: Int32, far: Int32) {
        (self.host, self.server, self.client, self.near, self.far) = (host, server, client, near, far)
    }

    deinit {
        ct_client_free(client)
        ct_server_free(server)
        ck_close(near)
        if far >= 0 { ck_close(far) }
    }

    func shakeHands() throws {
        var isDone = (near: false, far: false)
        for _ in 0..<20_000 where !(isDone.near && isDone.far) {
            if !isDone.near { isDone.near = ct_client_handshake(client) == 0 }
            if !isDone.far { isDone.far = ct_server_handshake(server) == 0 }
            _ = ct_server_flush(server)
            if !(isDone.near && isDone.far) { ck_sleep_nanos(20_000) }
        }
        guard isDone.near, isDone.far else {
            throw TestFailure(description: String(cString: ct_client_error(client)))
        }
    }

    /// Ends the server's side of the connection without a word; what the client sent is read first, so that the end is
    /// no reset.
    func hangUp() {
        var byte: UInt8 = 0
        while ct_server_read(server, &byte, 1) > 0 {}
        if far >= 0 { ck_close(far) }
        far = -1
    }

    /// What the client read, and how that came to its end.
    struct Reading: Equatable {
        var bytes: [UInt8] = []
        /// `CT_WANT_READ` where `isEnough` said so.
        var verdict = Int64(CT_WANT_READ)
    }

    /// Lets the client read until `isEnough`, or until it cannot go on. `room`: bytes that one read may bring; `piece`:
    /// bytes that the server sends at once.
    func read(
        into reading: inout Reading, room: () -> Int = { 65_536 }, piece: () -> Int = { .max },
        isEnough: (Reading) -> Bool
    ) {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        var idle = 0
        while !isEnough(reading), idle < 20_000 {
            if far >= 0 { _ = ct_server_flush_some(server, piece()) }
            let got = ct_client_read(client, &chunk, room())
            if got > 0 {
                reading.bytes += chunk[..<Int(got)]
                idle = 0
            } else if got == Int64(CT_WANT_READ) {
                if ct_server_unsent(server) == 0 { ck_sleep_nanos(20_000) }
                idle += 1
            } else {
                reading.verdict = got
                return
            }
        }
    }

    /// What the server makes of what the client sent: its text, or the error that an alert became.
    func serverReads(atLeast count: Int = 1) -> (bytes: [UInt8], error: String) {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        var bytes: [UInt8] = []
        for _ in 0..<2_000 where bytes.count < count {
            let got = ct_server_read(server, &chunk, chunk.count)
            if got > 0 {
                bytes += chunk[..<Int(got)]
            } else if got == Int64(CT_WANT_READ) {
                ck_sleep_nanos(20_000)
            } else {
                return (bytes, got == 0 ? "closed" : String(cString: ct_server_error(server)))
            }
        }
        return (bytes, "")
    }

    var clientError: String { String(cString: ct_client_error(client)) }

    var description: String {
        var text = [CChar](repeating: 0, count: 96)
        ct_client_describe(client, &text, text.count)
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
