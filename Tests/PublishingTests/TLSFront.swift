import Foundation
import Glibc

/// A TLS end with ALPN h2 in front of a cleartext service, as the real Pub/Sub has one; a small Python program.
final class TLSFront {
    let port: Int
    /// The certificate, which is its own authority.
    let certificate: String
    private let process: Process

    private static let program = """
        import socket, ssl, sys, threading
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[3], sys.argv[4])
        context.set_alpn_protocols(["h2"])
        listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
        def pump(source, target):
            try:
                while data := source.recv(65536):
                    target.sendall(data)
            except OSError:
                pass
            for end in (source, target):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        def serve(plain):
            try:
                secure = context.wrap_socket(plain, server_side=True)
                behind = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
            except OSError:
                return
            threading.Thread(target=pump, args=(secure, behind), daemon=True).start()
            pump(behind, secure)
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
        """

    /// Nil, with a word on the terminal, where Python or openssl is not installed.
    static func start(before port: Int, in directory: TemporaryDirectory) throws -> TLSFront? {
        let python = ["/usr/bin/python3", "/usr/local/bin/python3"].first { path in
            FileManager.default.isExecutableFile(atPath: path)
        }
        guard let python, FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl") else {
            print("skipped: the TLS front needs python3 and openssl")
            return nil
        }
        return try TLSFront(python: python, before: port, in: directory)
    }

    private static func run(_ path: String, _ arguments: [String]) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
    }

    private init(python: String, before behind: Int, in directory: TemporaryDirectory) throws {
        port = try Emulator.freePort()
        certificate = directory.path + "/certificate.pem"
        let key = directory.path + "/key.pem"
        let openssl = try TLSFront.run(
            "/usr/bin/openssl",
            [
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate,
            ])
        openssl.waitUntilExit()
        process = try TLSFront.run(
            python, ["-c", TLSFront.program, "\(port)", "\(behind)", certificate, key])
        for _ in 0..<200 {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(descriptor) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            address.sin_port = in_port_t(UInt16(port).bigEndian)
            let code = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { plain in
                    connect(descriptor, plain, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            if code == 0 { return }
            usleep(50_000)
        }
        throw Emulator.Failure(description: "the TLS front did not start")
    }

    deinit {
        guard process.isRunning else { return }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }
}
