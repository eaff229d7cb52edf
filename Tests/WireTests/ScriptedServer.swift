import CKernel
import CTLS
import MarketData
import Testing

@testable import Wire

struct TestFailure: Error, CustomStringConvertible { let description: String }

/// A WebSocket server on loopback that does what a test says, moved on by hand in the test's own thread.
final class ScriptedServer {
    /// How upgrades are answered; nil: never.
    var answer: ((_ request: String) -> [UInt8])?
    /// Bytes of requests and frames of the client that is connected, unmasked.
    private(set) var received: [(opcode: UInt8, payload: [UInt8])] = []
    private(set) var acceptedCount = 0
    /// Plain bytes that wait to be sent.
    var outgoing: [UInt8] = []
    /// Most bytes that one pump sends, at random from 1.
    var pieceMax = 1 << 20
    private(set) var isUpgraded = false
    private let listener: Int32
    private var context: OpaquePointer?
    private let certificate: String?
    private let key: String?
    private var client: Int32 = -1
    private var tls: OpaquePointer?
    private var isShaken = false
    private var incoming: [UInt8] = []
    private var random = SplitMix64(seed: 7)
    /// Whether every client frame so far was masked.
    private(set) var allMasked = true

    var port: UInt16 { ck_local_port(listener) }

    /// `port` 0: any free one. With certificate and key (PEM files): TLS.
    init(
        address host: String = "127.0.0.1", port: UInt16 = 0, certificate: String? = nil, key: String? = nil
    ) throws {
        self.certificate = certificate
        self.key = key
        var address = ck_address()
        guard ck_resolve(host, port, &address, 1) == 1 else {
            throw TestFailure(description: "no loopback")
        }
        listener = ck_listen(&address, 16)
        guard listener >= 0 else { throw TestFailure(description: "cannot listen: \(listener)") }
        answer = ScriptedServer.accept
        try restartTLS()
    }

    /// TLS with a new state, as after a restart: sessions that it gave out are unknown from now on. `maximum`: the
    /// newest version, 12 or 13.
    func restartTLS(maximum: Int32 = 13) throws {
        ct_server_context_free(context)
        context = nil
        guard let certificate, let key else { return }
        var text = [CChar](repeating: 0, count: 200)
        context = ct_server_context_new(certificate, key, &text, text.count)
        guard let context else { throw TestFailure(description: "no server context") }
        ct_server_context_set_maximum(context, maximum)
    }

    deinit {
        disconnect()
        ck_close(listener)
        ct_server_context_free(context)
    }

    /// The answer that RFC 6455 wants.
    static func accept(_ request: String) -> [UInt8] {
        let key =
            request.split(separator: "\r\n").first { $0.hasPrefix("Sec-WebSocket-Key: ") }?.dropFirst(19)
            ?? ""
        var accept = [CChar](repeating: 0, count: 29)
        ct_websocket_accept(String(key), &accept)
        let text = String(decoding: accept.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return Array(
            ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: \(text)\r\n\r\n").utf8)
    }

    func disconnect() {
        ct_server_free(tls)
        tls = nil
        if client >= 0 { ck_close(client) }
        client = -1
        isShaken = false
        isUpgraded = false
        incoming = []
        outgoing = []
    }

    /// Moves everything on without waiting.
    func pump() {
        if client < 0 {
            let fd = ck_accept(listener)
            guard fd >= 0 else { return }
            client = fd
            acceptedCount += 1
            if let context { tls = ct_server_new(context, fd) }
        }
        if let tls, !isShaken {
            let result = ct_server_handshake(tls)
            _ = ct_server_flush(tls)
            guard result == 0 else {
                if result == CT_FAILED { disconnect() }
                return
            }
            isShaken = true
        }
        read()
        guard client >= 0 else { return }
        parse()
        send()
    }

    private func read() {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            var time: Int64 = 0
            let count =
                tls.map { ct_server_read($0, &chunk, chunk.count) }
                ?? ck_receive(client, &chunk, chunk.count, &time)
            if count > 0 {
                incoming += chunk[..<Int(count)]
                continue
            }
            if count == 0 || tls != nil && count == Int64(CT_FAILED) {
                parse()
                disconnect()
            }
            return
        }
    }

    private func parse() {
        if !isUpgraded {
            let text = String(decoding: incoming, as: UTF8.self)
            guard text.hasSuffix("\r\n\r\n"), let answer else { return }
            incoming = []
            isUpgraded = true
            outgoing = answer(text) + outgoing
            return
        }
        while incoming.count >= 6 {
            let size = Int(incoming[1] & 0x7F)
            let header = size == 126 ? 4 : 2
            guard size < 127, incoming.count >= header + 4 else { return }
            let length = size == 126 ? Int(incoming[2]) << 8 | Int(incoming[3]) : size
            guard incoming.count >= header + 4 + length else { return }
            if incoming[1] & 0x80 == 0 { allMasked = false }
            let mask = Array(incoming[header..<header + 4])
            let payload = incoming[(header + 4)..<(header + 4 + length)].enumerated().map {
                $0.element ^ mask[$0.offset & 3]
            }
            received.append((incoming[0] & 15, payload))
            incoming.removeFirst(header + 4 + length)
        }
    }

    private func send() {
        guard isUpgraded, !outgoing.isEmpty || tls != nil else { return }
        if let tls {
            guard ct_server_flush(tls) == 0, !outgoing.isEmpty else { return }
            let piece = Array(outgoing.prefix(Int.random(in: 1...pieceMax, using: &random)))
            guard ct_server_write(tls, piece, piece.count) == 0 else { return disconnect() }
            outgoing.removeFirst(piece.count)
            if ct_server_flush(tls) == Int64(CT_FAILED) { disconnect() }
            return
        }
        let piece = Array(outgoing.prefix(Int.random(in: 1...pieceMax, using: &random)))
        let sent = ck_send(client, piece, piece.count)
        if sent > 0 { outgoing.removeFirst(Int(sent)) }
    }
}
