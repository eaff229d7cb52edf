import Foundation

/// What a NATS server says (https://docs.nats.io/reference/reference-protocols/nats-protocol).
enum NATSOperation {
    /// The server's description of itself, JSON.
    case info([UInt8])
    /// Subject, header block (empty: none) and payload; valid until the next bytes are taken.
    case message(
        subject: UnsafeRawBufferPointer, header: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer)
    case ping
    case pong
    case ok
    case error(String)
}

/// Bytes that are no NATS protocol.
struct NATSMalformed: Error {
    let text: String
}

/// Takes bytes as they come and gives whole operations.
struct NATSParser: ~Copyable {
    private let memory: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0

    /// Answers are some hundred bytes; the server's description of itself and its cluster some KiB.
    static let capacity = 256 << 10
    /// Sizes in a message's head are below the capacity: at most so many digits.
    private static let longestNumber = 6

    init() { memory = .allocate(byteCount: NATSParser.capacity, alignment: 16) }
    deinit { memory.deallocate() }

    mutating func removeAll() { (start, end) = (0, 0) }

    /// Room for further bytes; what was given out is no longer valid.
    mutating func room() -> UnsafeMutableRawBufferPointer {
        if start > 0, let base = memory.baseAddress {
            base.copyMemory(from: base + start, byteCount: end - start)
            (start, end) = (0, end - start)
        }
        return UnsafeMutableRawBufferPointer(rebasing: memory[end...])
    }

    mutating func advance(_ count: Int) { end += count }

    /// The next whole operation; nil where more bytes are needed.
    mutating func next() throws(NATSMalformed) -> NATSOperation? {
        let bytes = UnsafeRawBufferPointer(rebasing: memory[start..<end])
        guard let newline = bytes.firstIndex(of: 0x0A) else {
            if bytes.count == memory.count { throw NATSMalformed(text: "a line of more than 256 KiB") }
            return nil
        }
        let lineEnd = newline > 0 && bytes[newline - 1] == 0x0D ? newline - 1 : newline
        let line = UnsafeRawBufferPointer(rebasing: bytes[..<lineEnd])
        if line.starts(with: "MSG ".utf8) || line.starts(with: "HMSG ".utf8) {
            return try message(line, bodyAt: newline + 1, of: bytes)
        }
        start += newline + 1
        if line.starts(with: "PING".utf8) { return .ping }
        if line.starts(with: "PONG".utf8) { return .pong }
        if line.starts(with: "+OK".utf8) { return .ok }
        if line.starts(with: "INFO ".utf8) { return .info(Array(line.dropFirst(5))) }
        if line.starts(with: "-ERR".utf8) {
            let text = String(decoding: line.dropFirst(4), as: UTF8.self)
            return .error(text.trimmingCharacters(in: CharacterSet(charactersIn: " '")))
        }
        throw NATSMalformed(text: "a line that is none of its protocol's")
    }

    /// `MSG subject sid [reply] bytes` or `HMSG subject sid [reply] header-bytes all-bytes`, and what follows.
    private mutating func message(
        _ line: UnsafeRawBufferPointer, bodyAt: Int, of bytes: UnsafeRawBufferPointer
    ) throws(NATSMalformed) -> NATSOperation? {
        var words: (Range<Int>, Int) = (0..<0, 0)
        var numbers = (0, 0)
        var index = 0
        while index < line.count {
            if line[index] == 0x20 {
                index += 1
                continue
            }
            var stop = index
            while stop < line.count, line[stop] != 0x20 { stop += 1 }
            if words.1 == 1 { words.0 = index..<stop }
            numbers = (numbers.1, NATSParser.number(line, index..<stop))
            words.1 += 1
            index = stop
        }
        let hasHeader = line[0] == UInt8(ascii: "H")
        let headerBytes = hasHeader ? numbers.0 : 0
        let total = numbers.1
        guard words.1 >= (hasHeader ? 5 : 4), total >= headerBytes, headerBytes >= 0 else {
            throw NATSMalformed(text: "a message with a malformed head")
        }
        let whole = bodyAt + total + 2
        guard whole <= memory.count else { throw NATSMalformed(text: "a message of \(total) bytes") }
        guard bytes.count >= whole else { return nil }
        start += whole
        return .message(
            subject: UnsafeRawBufferPointer(rebasing: line[words.0]),
            header: UnsafeRawBufferPointer(rebasing: bytes[bodyAt..<bodyAt + headerBytes]),
            payload: UnsafeRawBufferPointer(rebasing: bytes[bodyAt + headerBytes..<bodyAt + total]))
    }

    /// -1 where the digits are no number below a million.
    private static func number(_ line: UnsafeRawBufferPointer, _ range: Range<Int>) -> Int {
        guard !range.isEmpty, range.count <= longestNumber else { return -1 }
        var value = 0
        for byte in line[range] {
            guard (0x30...0x39).contains(byte) else { return -1 }
            value = value * 10 + Int(byte - 0x30)
        }
        return value
    }
}

/// What the server says about itself.
struct NATSServerInfo {
    var version = "?"
    var maxPayload = 1 << 20
    var hasHeaders = false
    var wantsTLS = false
    var offersTLS = false

    init?(_ json: [UInt8]) {
        guard let object = try? JSONSerialization.jsonObject(with: Data(json)) as? [String: Any] else {
            return nil
        }
        version = object["version"] as? String ?? "?"
        maxPayload = object["max_payload"] as? Int ?? 1 << 20
        hasHeaders = object["headers"] as? Bool ?? false
        wantsTLS = object["tls_required"] as? Bool ?? false
        offersTLS = object["tls_available"] as? Bool ?? false
    }
}

/// How JetStream answered a message or a request.
struct NATSReply: Equatable {
    var code: PublishCode
    /// JetStream's number of the error; 0: none.
    var number = 0
    /// The server's words; empty on success.
    var text = ""

    // https://github.com/nats-io/nats-server/blob/v2.9.10/server/errors.json
    static let streamExists = 10058
    static let subjectsOverlap = 10065

    init(header: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer) {
        // "NATS/1.0 503": nobody listens to that subject.
        if header.count >= 12, header.dropFirst(9).starts(with: "503".utf8) {
            self.init(code: .notFound, text: "no stream takes that subject, or JetStream is not enabled")
            return
        }
        // The usual answer is not worth a parser: {"stream":"MARKET","seq":7}. Those with an error begin with it.
        if payload.starts(with: "{\"stream\":".utf8) {
            self.init(code: .ok)
            return
        }
        guard let object = try? JSONSerialization.jsonObject(with: Data(payload)) as? [String: Any] else {
            self.init(code: .unknown, text: "the answer is not one of JetStream's")
            return
        }
        guard let error = object["error"] as? [String: Any] else {
            let isKnown = object["seq"] != nil || object["type"] != nil
            self.init(code: isKnown ? .ok : .unknown, text: isKnown ? "" : "an answer without a sequence")
            return
        }
        let text = error["description"] as? String ?? "an error without a text"
        // "maximum bytes exceeded" and its like come as 503, as an absent service does.
        let isLimit = text.contains("exceeded")
        self.init(
            code: isLimit ? .resourceExhausted : NATSReply.code(error["code"] as? Int ?? 0),
            number: error["err_code"] as? Int ?? 0, text: text)
    }

    init(code: PublishCode, number: Int = 0, text: String = "") {
        (self.code, self.number, self.text) = (code, number, text)
    }

    private static func code(_ status: Int) -> PublishCode {
        switch status {
        case 400: .failedPrecondition
        case 401, 403: .permissionDenied
        case 404: .notFound
        case 408: .deadlineExceeded
        case 500: .internal
        case 503: .unavailable
        default: .unknown
        }
    }
}
