import CKernel
import Glibc

/// Takes commands, a line each, and answers each with one line of JSON: over a Unix socket, or standard input and
/// output.
struct ControlChannel: ~Copyable {
    /// A command longer than this ends its channel.
    private static let lineLimit = 65_536

    private struct Client {
        var descriptor: Int32
        var answers: Int32
        var input: [UInt8] = []
    }

    private var listener: Int32 = -1
    private var path: String?
    private let epoll: Int32
    private let token: UInt64
    private var clients: [UInt64: Client] = [:]
    private var nextToken: UInt64

    /// Registers with `epoll`; its events have tokens from `token` on.
    init(_ address: ControlAddress?, epoll: Int32, token: UInt64) throws(ReplayerError) {
        self.epoll = epoll
        self.token = token
        nextToken = token + 1
        switch address {
        case nil: break
        case .standardInput:
            guard ck_epoll_add(epoll, STDIN_FILENO, UInt32(CK_READ), nextToken) == 0 else {
                throw .usage("--control - needs a pipe or a terminal as standard input")
            }
            clients[nextToken] = Client(descriptor: STDIN_FILENO, answers: STDOUT_FILENO)
            nextToken += 1
        case .socket(let path):
            listener = try ControlChannel.listen(path)
            self.path = path
            ck_epoll_add(epoll, listener, UInt32(CK_READ), token)
        }
    }

    deinit {
        for client in clients.values where client.descriptor != STDIN_FILENO { ck_close(client.descriptor) }
        if listener >= 0 { ck_close(listener) }
        if let path { unlink(path) }
    }

    private static func listen(_ path: String) throws(ReplayerError) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < room else {
            throw .usage("--control \(path): the path of a Unix socket has at most \(room - 1) bytes")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { throw .system("--control: \(errorText(Int(errno)))") }
        unlinkSocket(path)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard bound == 0, Glibc.listen(descriptor, 16) == 0 else {
            let text = errorText(Int(errno))
            ck_close(descriptor)
            throw .output("--control \(path) cannot be made: \(text)")
        }
        return descriptor
    }

    /// Removes what an earlier run left, and nothing that is not a socket.
    private static func unlinkSocket(_ path: String) {
        var information = stat()
        if lstat(path, &information) == 0, information.st_mode & S_IFMT == S_IFSOCK { unlink(path) }
    }

    /// Whether an event is for the channel.
    func owns(_ token: UInt64) -> Bool {
        token == self.token && listener >= 0 || clients[token] != nil
    }

    /// Commands that came with an event; each is to be answered.
    mutating func commands(_ event: UInt64) -> [String] {
        if event == token {
            accept()
            return []
        }
        guard var client = clients[event] else { return [] }
        var lines: [String] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        // One read: the event comes again where there is more, and standard input may block.
        let count = read(client.descriptor, &chunk, chunk.count)
        if count < 0, [EAGAIN, EINTR].contains(errno) { return [] }
        if count > 0 { client.input += chunk[..<count] }
        while let end = client.input.firstIndex(of: 10) {
            lines.append(String(decoding: client.input[..<end], as: UTF8.self))
            client.input.removeFirst(end + 1)
        }
        clients[event] = client
        if count <= 0 || client.input.count > ControlChannel.lineLimit { end(event) }
        return lines
    }

    /// Sends the answer to a command of this event. A client that is gone gets none.
    func answer(_ event: UInt64, _ line: String) {
        guard let client = clients[event] else { return }
        writeText(line + "\n", to: client.answers)
    }

    private mutating func accept() {
        while true {
            let descriptor = ck_accept(listener)
            guard descriptor >= 0 else { return }
            ck_epoll_add(epoll, descriptor, UInt32(CK_READ), nextToken)
            clients[nextToken] = Client(descriptor: descriptor, answers: descriptor)
            nextToken += 1
        }
    }

    private mutating func end(_ event: UInt64) {
        guard let client = clients.removeValue(forKey: event) else { return }
        ck_epoll_remove(epoll, client.descriptor)
        if client.descriptor != STDIN_FILENO { ck_close(client.descriptor) }
    }
}
