import Foundation
import Glibc
import Synchronization

/// Answers HTTP/1.1 requests on loopback with what it was told to, one after the other; the last answer again and again.
final class FakeMetadataServer: Sendable {
    struct Answer: Sendable {
        var status = 200
        var flavor: String? = "Google"
        var body: String
    }

    struct Failure: Error {}

    let port: Int
    private let listener: Int32
    private let state: Mutex<(answers: [Answer], requests: [String])>

    init(_ answers: [Answer]) throws {
        state = Mutex((answers, []))
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = listener
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { plain in
                bind(descriptor, plain, size) == 0 && listen(descriptor, 16) == 0
                    ? getsockname(descriptor, plain, &size) : -1
            }
        }
        guard code == 0 else { throw Failure() }
        port = Int(UInt16(bigEndian: address.sin_port))
        let thread = Thread { [self] in serve() }
        thread.start()
    }

    /// Ends it.
    func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    /// All requests so far, heads only.
    var requests: [String] { state.withLock { $0.requests } }

    private func serve() {
        while true {
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else { break }
            var head: [UInt8] = []
            var byte: UInt8 = 0
            while !head.suffix(4).elementsEqual([13, 10, 13, 10]), read(connection, &byte, 1) == 1 {
                head.append(byte)
            }
            let answer = state.withLock { state in
                state.requests.append(String(decoding: head, as: UTF8.self))
                return state.answers.count > 1 ? state.answers.removeFirst() : state.answers[0]
            }
            let flavor = answer.flavor.map { "Metadata-Flavor: \($0)\r\n" } ?? ""
            let text =
                "HTTP/1.1 \(answer.status) X\r\n\(flavor)Connection: close\r\n"
                + "Content-Length: \(answer.body.utf8.count)\r\n\r\n\(answer.body)"
            let bytes = Array(text.utf8)
            _ = send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
            close(connection)
        }
        close(listener)
    }
}
