import CKernel
import CTLS
import Foundation

/// Both ends of a connection over TLS 1.3 on loopback. What is sent was sealed by hand, with the server's secret, so that
/// nothing of a server runs while the client is measured.
final class Receiver {
    /// Who opens the records.
    enum Reader: String, CaseIterable {
        case openssl = "by SSL_read"
        case direct = "opened directly"
    }

    struct Failure: Error {
        var text: String
    }

    private let content: [UInt8]
    private let directory: String
    private let servers: OpaquePointer
    private let clients: OpaquePointer
    private let server: OpaquePointer
    private let client: OpaquePointer
    private let forge: OpaquePointer
    private let near: Int32
    private let far: Int32
    private let room: UnsafeMutableRawPointer
    private static let roomBytes = 65_536

    /// `frames`: the content of each record.
    init(_ reader: Reader, frames: [UInt8]) throws {
        content = frames
        let directory = NSTemporaryDirectory() + "receiving-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        self.directory = directory
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        var text = [CChar](repeating: 0, count: 256)
        func failure(_ what: String) -> Failure {
            let reason = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            return Failure(text: "\(what): \(reason)")
        }
        let isWritten = "localhost".withCString { name in
            var names: [UnsafePointer<CChar>?] = [name]
            return ct_certificate_write(directory, &names, 1, 0, &text, text.count) == 0
        }
        guard isWritten,
            let servers = ct_server_context_new(
                directory + "/server.pem", directory + "/server-key.pem", &text, text.count),
            let clients = ct_client_context_new(directory + "/ca.pem", 1, 13, &text, text.count)
        else { throw failure("no TLS") }
        ct_server_context_set_tickets(servers, 0)
        ct_server_context_tell_secrets(servers)
        ct_client_context_set_direct(clients, reader == .direct ? 1 : 0, 0)
        var address = ck_address()
        guard ck_resolve("127.0.0.1", 0, &address, 1) == 1 else { throw failure("no loopback") }
        let listener = ck_listen(&address, 1)
        guard listener >= 0, ck_resolve("127.0.0.1", ck_local_port(listener), &address, 1) == 1 else {
            throw failure("no listener")
        }
        defer { ck_close(listener) }
        near = ck_connect(&address, nil)
        var accepted: Int32 = -1
        for _ in 0..<10_000 where accepted < 0 {
            accepted = ck_accept(listener)
            if accepted < 0 { ck_sleep_nanos(100_000) }
        }
        far = accepted
        guard near >= 0, far >= 0, let server = ct_server_new(servers, far),
            let client = ct_client_new(clients, near, "localhost", Receiver.roomBytes)
        else { throw failure("no connection") }
        (self.servers, self.clients, self.server, self.client) = (servers, clients, server, client)
        var isDone = (near: false, far: false)
        for _ in 0..<1_000_000 where !(isDone.near && isDone.far) {
            if !isDone.near { isDone.near = ct_client_handshake(client) == 0 }
            if !isDone.far { isDone.far = ct_server_handshake(server) == 0 }
            _ = ct_server_flush(server)
        }
        var secret = [UInt8](repeating: 0, count: 48)
        var suite: UInt16 = 0
        let size = ct_server_secret(server, &secret, &suite)
        guard isDone.near, isDone.far, let forge = ct_forge_new(suite, secret, size) else {
            throw Failure(text: "no handshake: \(String(cString: ct_client_error(client)))")
        }
        self.forge = forge
        room = .allocate(byteCount: Receiver.roomBytes, alignment: 64)
    }

    deinit {
        ct_forge_free(forge)
        ct_client_free(client)
        ct_server_free(server)
        ct_client_context_free(clients)
        ct_server_context_free(servers)
        ck_close(near)
        ck_close(far)
        room.deallocate()
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Why less came than was sent.
    var problem: String { "less came than was sent: \(String(cString: ct_client_error(client)))" }

    /// Puts so many records into the socket. All of them must fit into its buffers.
    func send(records: Int) {
        var sealed = [UInt8](repeating: 0, count: (content.count + Int(CT_FORGE_OVERHEAD)) * records)
        var count = 0
        for _ in 0..<records {
            count += sealed.withUnsafeMutableBufferPointer { bytes in
                guard let base = bytes.baseAddress else { return 0 }
                return ct_forge_record(forge, 23, content, content.count, 0, base + count)
            }
        }
        var sent = 0
        sealed.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            for _ in 0..<10_000 where sent < count {
                sent += max(0, Int(ck_send(far, base + sent, count - sent)))
            }
        }
        precondition(sent == count, "the socket takes \(sent) of \(count) bytes")
    }

    /// Reads so many records into the same room again and again; the bytes that came.
    func receive(records: Int) -> Int {
        let expected = records * content.count
        var got = 0
        for _ in 0..<1_000_000 where got < expected {
            let count = Int(ct_client_read(client, room, Receiver.roomBytes))
            if count > 0 {
                got += count
            } else if count != Int(CT_WANT_READ) {
                return got
            }
        }
        return got
    }

    /// That what comes is what was sent.
    func check(records: Int) {
        send(records: records)
        var received: [UInt8] = []
        for _ in 0..<1_000_000 where received.count < records * content.count {
            let count = Int(ct_client_read(client, room, Receiver.roomBytes))
            if count > 0 { received += UnsafeRawBufferPointer(start: room, count: count) }
        }
        let sent = repeatElement(content, count: records).joined()
        precondition(received.elementsEqual(sent), problem)
    }
}
