import CKernel
import CTLS
import Glibc
import Testing

@testable import feed_replayer

/// A server on a thread of its own, on a free port, until the test lets go of it.
final class RunningServer {
    /// Of the first listener, and of all.
    let port: UInt16
    let ports: [UInt16]
    private let lifeline: Int32
    private let thread: UInt

    /// `source` is made on the server's thread.
    init<Source: FeedSource & SendableMetatype & ~Copyable>(
        _ options: ServerOptions, source: @escaping @Sendable () throws -> Source
    ) throws {
        var life: [Int32] = [0, 0]
        var answer: [Int32] = [0, 0]
        try #require(pipe(&life) == 0 && pipe(&answer) == 0)
        var options = options
        options.lifeline = life[0]
        options.isQuiet = true
        let (read, write) = (answer[0], answer[1])
        let (lifeRead, settings) = (life[0], options)
        let job = Job {
            var line = "no server\n"
            do {
                var server = try Server(options: settings, source: try source())
                line = server.announcement + "\n"
                writeText(line, to: write)
                try server.run()
                line = server.summary + "\n"
            } catch {
                line = "\(error)\n"
            }
            writeText(line, to: write)
            close(write)
            close(lifeRead)
        }
        var handle: UInt = 0
        let started = ck_thread_start(
            { context in
                guard let context else { return }
                Unmanaged<Job>.fromOpaque(context).takeRetainedValue().body()
            }, Unmanaged.passRetained(job).toOpaque(), &handle)
        try #require(started == 0)
        let line = RunningServer.line(read)
        let addresses = line.split(separator: "\"").filter { $0.hasPrefix("ws") }.dropFirst()
        ports = addresses.compactMap { UInt16($0.split(separator: ":").last ?? "") }
        guard let port = ports.first else {
            close(life[1])
            ck_thread_join(handle)
            close(read)
            throw NoServer(description: line)
        }
        self.port = port
        thread = handle
        lifeline = life[1]
        output = read
    }

    /// Why it does not listen.
    struct NoServer: Error, CustomStringConvertible { var description: String }

    private let output: Int32
    private var hasEnded = false

    /// Ends the server and returns its summary.
    func stop() -> String {
        close(lifeline)
        return wait()
    }

    /// Waits for the server to end by itself.
    func wait() -> String {
        let line = RunningServer.line(output)
        ck_thread_join(thread)
        close(output)
        hasEnded = true
        return line
    }

    deinit { if !hasEnded { _ = stop() } }

    private static func line(_ descriptor: Int32) -> String {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while read(descriptor, &byte, 1) == 1, byte != 10 { bytes.append(byte) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private final class Job: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}

/// A WebSocket client of a few lines. Every wait ends after ten seconds.
final class TestClient {
    struct Frame: Equatable {
        var opcode: UInt8
        var payload: [UInt8]
        var text: String { String(decoding: payload, as: UTF8.self) }
        /// Code of a close frame.
        var code: Int { payload.count < 2 ? 1005 : Int(payload[0]) << 8 | Int(payload[1]) }
        var reason: String { String(decoding: payload.dropFirst(2), as: UTF8.self) }
    }

    struct Ended: Error {}

    /// How the connection ended.
    enum End: Equatable { case fin, reset, failed(String) }
    private(set) var end: End?

    private let socket: Int32
    private let context: OpaquePointer?
    private let tls: OpaquePointer?
    private var input: [UInt8] = []
    private var at = 0

    init(port: UInt16, authority: String? = nil) throws {
        var address = ck_address()
        try #require(ck_resolve("127.0.0.1", port, &address, 1) == 1)
        socket = ck_connect(&address, nil)
        try #require(socket >= 0)
        if let authority {
            var text = [CChar](repeating: 0, count: 256)
            let made = try #require(ct_client_context_new(authority, 1, 12, &text, text.count))
            context = made
            tls = ct_client_new(made, socket, "localhost", 65_536)
        } else {
            context = nil
            tls = nil
        }
    }

    deinit {
        if let tls { ct_client_free(tls) }
        if let context { ct_client_context_free(context) }
        ck_close(socket)
    }

    /// Status line of the answer to an upgrade.
    func upgrade(_ target: String) throws -> String {
        try request(target)
        return try readHeader()
    }

    /// Asks for an upgrade.
    func request(_ target: String) throws {
        let request =
            "GET \(target) HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        unsent = Array(request.utf8)
        try send(bytes: [], waits: false)
    }

    /// Status line of the answer to a request that was sent.
    func readHeader() throws -> String {
        header = []
        while !header.suffix(4).elementsEqual([13, 10, 13, 10]) { header.append(try byte()) }
        return String(decoding: header.prefix { $0 != 13 }, as: UTF8.self)
    }

    /// Bytes that wait for the TLS handshake.
    private var unsent: [UInt8] = []

    /// The header of the answer to the upgrade.
    private(set) var header: [UInt8] = []

    /// Whether nothing comes for so long, ms.
    func isQuiet(milliseconds: Int64) -> Bool {
        guard at == input.count else { return false }
        let deadline = ck_monotonic_nanos() + milliseconds * 1_000_000
        while true {
            let left = deadline - ck_monotonic_nanos()
            guard left > 0, ck_wait_readable(socket, left) == 1 else { return true }
            var chunk = [UInt8](repeating: 0, count: 65_536)
            // TLS takes bytes of its own (tickets) without any for the application.
            guard take(&chunk) == nil else { return false }
        }
    }

    /// The next frame that is none of market data.
    func nextControl() throws -> Frame {
        while true {
            let frame = try next()
            if frame.opcode != 1 || !frame.text.hasPrefix("{\"stream\":")
                || frame.text.contains("serverShutdown")
            {
                return frame
            }
        }
    }

    /// Reads until the connection ends, and tells how.
    func untilEnd() -> End? {
        while (try? next()) != nil {}
        return end
    }

    func send(text: String) throws { try send(bytes: clientFrame(1, Array(text.utf8))) }

    func send(bytes: [UInt8]) throws { try send(bytes: bytes, waits: true) }

    private func send(bytes: [UInt8], waits: Bool) throws {
        unsent += bytes
        while !unsent.isEmpty {
            let count = unsent.withUnsafeBytes { raw in
                tls.map { ct_client_write($0, raw.baseAddress, raw.count) }
                    ?? ck_send(socket, raw.baseAddress, raw.count)
            }
            if count > 0 {
                unsent.removeFirst(Int(count))
            } else if count == Int64(CT_FAILED), let tls {
                end = .failed(String(cString: ct_client_error(tls)))
                throw Ended()
            } else if waits {
                try pause()
            } else {
                return
            }
        }
    }

    /// The next frame; pings come like any other.
    func next() throws -> Frame {
        let first = try byte()
        var length = Int(try byte())
        if length >= 126 {
            let size = length == 126 ? 2 : 8
            length = 0
            for _ in 0..<size { length = length << 8 | Int(try byte()) }
        }
        while input.count - at < length { try receive() }
        defer { at += length }
        return Frame(opcode: first & 0x0F, payload: Array(input[at..<(at + length)]))
    }

    /// Whether the connection ends without another frame.
    func isEnded() -> Bool {
        do {
            _ = try byte()
            return false
        } catch {
            return true
        }
    }

    private func byte() throws -> UInt8 {
        while at == input.count { try receive() }
        at += 1
        return input[at - 1]
    }

    private func pause() throws {
        if let tls, ct_client_has_pending(tls) != 0 { return }
        guard ck_wait_readable(socket, 10_000_000_000) == 1 else { throw Ended() }
    }

    private func receive() throws {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            if !unsent.isEmpty { try send(bytes: []) }
            switch take(&chunk) {
            case true?: return
            case false?: throw Ended()
            case nil: try pause()
            }
        }
    }

    /// Takes what is there: true where something was, false at the end, nil where more must be waited for.
    private func take(_ chunk: inout [UInt8]) -> Bool? {
        var nanos: Int64 = 0
        let count =
            tls.map { ct_client_read($0, &chunk, chunk.count) }
            ?? ck_receive(socket, &chunk, chunk.count, &nanos)
        if count > 0 {
            if at == input.count {
                input.removeAll(keepingCapacity: true)
                at = 0
            }
            input += chunk[..<Int(count)]
            return true
        }
        if count == (tls == nil ? -Int64(EAGAIN) : Int64(CT_WANT_READ)) { return nil }
        if count == 0 {
            end = .fin
        } else if let tls {
            end = .failed(String(cString: ct_client_error(tls)))
        } else {
            end = count == -Int64(ECONNRESET) ? .reset : .failed(errorText(Int(count)))
        }
        return false
    }
}

/// Sends commands to a server's control channel.
final class TestControl {
    private let socket: Int32

    init(path: String) throws {
        socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(result == 0)
    }

    deinit { close(socket) }

    /// The answer to a command.
    @discardableResult func send(_ command: String) -> String {
        writeText(command + "\n", to: socket)
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while read(socket, &byte, 1) == 1, byte != 10 { bytes.append(byte) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
