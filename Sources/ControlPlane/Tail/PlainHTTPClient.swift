import CKernel
import Glibc

/// HTTP/1.1 without TLS, one request a connection: enough for an emulator on this machine. Blocks its thread.
struct PlainHTTPClient {
    let host: String
    let port: UInt16
    /// For one whole exchange, ns.
    var timeoutNanos: Int64 = 30_000_000_000

    struct Answer {
        var status: Int
        var body: [UInt8]
    }

    func request(_ method: String, _ path: String, json: String? = nil) throws(TailError) -> Answer {
        let deadline = ck_monotonic_nanos() + timeoutNanos
        let socket = try connect(deadline)
        defer { ck_close(socket) }
        var head =
            "\(method) \(path) HTTP/1.1\r\nHost: \(host):\(port)\r\nConnection: close\r\nAccept: application/json\r\n"
        let body = Array((json ?? "").utf8)
        if json != nil { head += "Content-Type: application/json\r\nContent-Length: \(body.count)\r\n" }
        try send(Array((head + "\r\n").utf8) + body, to: socket, deadline)
        return try receive(from: socket, deadline)
    }

    private func failure(_ what: String) -> TailError {
        TailError(.unavailable, "\(host):\(port): \(what); is the Pub/Sub emulator running there?")
    }

    private func text(_ code: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 128)
        ck_error_text(code, &buffer, buffer.count)
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            .lowercased()
    }

    private func connect(_ deadline: Int64) throws(TailError) -> Int32 {
        var addresses = [ck_address](repeating: ck_address(), count: 4)
        let count = ck_resolve(host, port, &addresses, Int32(addresses.count))
        guard count > 0 else { throw failure(String(cString: ck_resolve_error(count))) }
        var last: Int32 = 0
        for address in addresses.prefix(Int(count)) {
            var address = address
            let socket = ck_connect(&address, nil)
            guard socket >= 0 else {
                last = -socket
                continue
            }
            var wait = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
            let ready = poll(&wait, 1, 5_000)
            let result = ready == 1 ? ck_connect_result(socket) : -ETIMEDOUT
            if result == 0 { return socket }
            last = -result
            ck_close(socket)
        }
        throw failure(text(last))
    }

    private func send(_ bytes: [UInt8], to socket: Int32, _ deadline: Int64) throws(TailError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { ck_send(socket, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(Int(count))
                continue
            }
            guard count == -Int64(EAGAIN) else { throw failure(text(Int32(-count))) }
            guard ck_monotonic_nanos() < deadline else { throw failure("no answer in time") }
            var wait = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
            poll(&wait, 1, 100)
        }
    }

    /// Until the answer is whole; some servers keep the connection open although they were asked to close it.
    private func receive(from socket: Int32, _ deadline: Int64) throws(TailError) -> Answer {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        while true {
            var time: Int64 = 0
            let count = buffer.withUnsafeMutableBytes { ck_receive(socket, $0.baseAddress, $0.count, &time) }
            if count > 0 {
                all += buffer[..<Int(count)]
                guard all.count <= 256 << 20 else { throw failure("an answer of more than 256 MiB") }
                if let answer = try parse(all, isEnd: false) { return answer }
            } else if count == 0 {
                guard let answer = try parse(all, isEnd: true) else {
                    throw failure("the connection ended in the middle of the answer")
                }
                return answer
            } else if count == -Int64(EAGAIN) {
                guard ck_monotonic_nanos() < deadline else { throw failure("no answer in time") }
                _ = ck_wait_readable(socket, 100_000_000)
            } else {
                throw failure(text(Int32(-count)))
            }
        }
    }

    /// Status and body of an answer, nil where more is to come. `isEnd`: nothing more will come.
    func parse(_ bytes: [UInt8], isEnd: Bool) throws(TailError) -> Answer? {
        guard let end = bytes.firstRange(of: [13, 10, 13, 10]) else { return nil }
        let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
            throw failure("the answer is not HTTP")
        }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let pair = line.split(separator: ":", maxSplits: 1)
            if pair.count == 2 { headers[pair[0].lowercased()] = pair[1].filter { $0 != " " }.lowercased() }
        }
        let body = bytes[end.upperBound...]
        if headers["transfer-encoding"] == "chunked" {
            guard let whole = try chunks(body) else { return nil }
            return Answer(status: status, body: whole)
        }
        if let length = headers["content-length"].flatMap({ Int($0) }) {
            guard length >= 0 else { throw failure("the answer's length is below 0") }
            return body.count >= length ? Answer(status: status, body: Array(body.prefix(length))) : nil
        }
        return isEnd ? Answer(status: status, body: Array(body)) : nil
    }

    /// The chunks put together, nil where some are to come.
    private func chunks(_ bytes: ArraySlice<UInt8>) throws(TailError) -> [UInt8]? {
        var body: [UInt8] = []
        var rest = bytes
        while let end = rest.firstRange(of: [13, 10]) {
            let digits = rest[..<end.lowerBound].prefix { $0 != UInt8(ascii: ";") && $0 != UInt8(ascii: " ") }
            guard let count = Int(String(decoding: digits, as: UTF8.self), radix: 16),
                (0...1 << 30).contains(count)
            else { throw failure("a chunk's length is no number") }
            if count == 0 { return body }
            rest = rest[end.upperBound...]
            guard rest.count >= count + 2 else { return nil }
            body += rest.prefix(count)
            rest = rest.dropFirst(count + 2)
        }
        return nil
    }
}
