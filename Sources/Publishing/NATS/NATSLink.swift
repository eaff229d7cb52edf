import CKernel
import CTLS
import Foundation
import Rings
import Synchronization

/// Why a connection ended, or never came to be.
struct NATSFailure: Error {
    var code: PublishCode
    /// What, where and the remedy.
    var text: String
}

/// A socket to a NATS server, with or without TLS. Never blocks.
struct NATSLink: ~Copyable {
    private let endpoint: NATSEndpoint
    private let context: OpaquePointer?
    private(set) var descriptor: Int32 = -1
    private var tls: OpaquePointer?
    private var addresses: [ck_address] = []
    private var lookup: NameLookup?
    private var isConnected = false
    /// Whether the last call would have blocked on writing.
    private(set) var wantsWrite = false

    init(_ endpoint: NATSEndpoint) throws(PublishError) {
        self.endpoint = endpoint
        guard endpoint.isTLS else {
            context = nil
            return
        }
        var text = [CChar](repeating: 0, count: 256)
        guard let context = ct_client_context_new(nil, 1, 12, &text, text.count) else {
            let why = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            throw PublishError(
                description: "nats sink: the system's certificates: \(why); install ca-certificates or set"
                    + " SSL_CERT_FILE")
        }
        self.context = context
    }

    deinit {
        if let tls { ct_client_free(tls) }
        if descriptor >= 0 { ck_close(descriptor) }
        if let context { ct_client_context_free(context) }
    }

    /// Whether a name is being looked up, which wakes nobody.
    var isLookingUp: Bool { lookup != nil }
    var isOpen: Bool { descriptor >= 0 && isConnected }

    mutating func close() {
        if let tls { ct_client_free(tls) }
        if descriptor >= 0 { ck_close(descriptor) }
        (tls, descriptor, isConnected, lookup, wantsWrite) = (nil, -1, false, nil, false)
        addresses = []
    }

    /// Moves the dialling on; true once the socket is connected.
    mutating func dial() throws(NATSFailure) -> Bool {
        if isConnected { return true }
        if descriptor < 0 {
            guard try findAddresses() else { return false }
            let address = addresses.removeFirst()
            let opened = withUnsafePointer(to: address) { ck_connect($0, nil) }
            guard opened >= 0 else {
                if !addresses.isEmpty { return false }
                throw unreachable(-opened)
            }
            descriptor = opened
        }
        wantsWrite = true
        guard ck_wait_either(-1, descriptor, 0) != 0 else { return false }
        let result = ck_connect_result(descriptor)
        guard result >= 0 else {
            ck_close(descriptor)
            descriptor = -1
            if !addresses.isEmpty { return false }
            throw unreachable(-result)
        }
        wantsWrite = false
        isConnected = true
        return true
    }

    private func unreachable(_ code: Int32) -> NATSFailure {
        NATSFailure(
            code: .unavailable,
            text: "nats sink: \(endpoint) cannot be reached: \(errorText(code)); start the server or correct"
                + " sink.endpoint")
    }

    private mutating func findAddresses() throws(NATSFailure) -> Bool {
        if !addresses.isEmpty { return true }
        let search = lookup ?? NameLookup(host: endpoint.host, port: endpoint.port)
        lookup = search
        guard let found = search.result else { return false }
        lookup = nil
        switch found {
        case .success(let list): addresses = list
        case .failure(let failure):
            throw NATSFailure(
                code: .unavailable,
                text: "nats sink: the name \(endpoint.host) is not found: \(failure.text); correct"
                    + " sink.endpoint or the name server")
        }
        return true
    }

    /// Moves the TLS handshake on; true once it is done.
    mutating func secure() throws(NATSFailure) -> Bool {
        if tls == nil {
            guard let made = ct_client_new(context, descriptor, endpoint.host, 64 << 10) else {
                throw NATSFailure(code: .internal, text: "nats sink: no memory for TLS; free some")
            }
            tls = made
        }
        guard let tls else { return false }
        switch ct_client_handshake(tls) {
        case 0:
            wantsWrite = false
            return true
        case Int32(CT_WANT_READ): wantsWrite = false
        case Int32(CT_WANT_WRITE): wantsWrite = true
        default:
            throw NATSFailure(
                code: .unavailable,
                text: "nats sink: TLS with \(endpoint): \(String(cString: ct_client_error(tls))); trust its"
                    + " authority (SSL_CERT_FILE) or correct sink.endpoint")
        }
        return false
    }

    /// Bytes read; 0: none are there now.
    mutating func receive(_ room: UnsafeMutableRawBufferPointer) throws(NATSFailure) -> Int {
        var nanos: Int64 = 0
        let count =
            tls.map { ct_client_read($0, room.baseAddress, room.count) }
            ?? ck_receive(descriptor, room.baseAddress, room.count, &nanos)
        if count > 0 { return Int(count) }
        let isBlocked =
            tls != nil
            ? count == Int64(CT_WANT_READ) || count == Int64(CT_WANT_WRITE)
            : count == -Int64(EAGAIN)
        if isBlocked { return 0 }
        throw lost(count)
    }

    /// Bytes sent; 0: no room now.
    mutating func send(_ bytes: UnsafeRawBufferPointer) throws(NATSFailure) -> Int {
        let count =
            tls.map { ct_client_write($0, bytes.baseAddress, bytes.count) }
            ?? ck_send(descriptor, bytes.baseAddress, bytes.count)
        if count > 0 {
            wantsWrite = false
            return Int(count)
        }
        let isBlocked =
            tls != nil
            ? count == Int64(CT_WANT_READ) || count == Int64(CT_WANT_WRITE)
            : count == -Int64(EAGAIN)
        guard isBlocked else { throw lost(count) }
        wantsWrite = true
        return 0
    }

    private func lost(_ count: Int64) -> NATSFailure {
        let why: String
        if count == 0 {
            why = "the server closed the connection"
        } else if let tls {
            why = String(cString: ct_client_error(tls))
        } else {
            why = errorText(Int32(truncatingIfNeeded: -count))
        }
        return NATSFailure(
            code: .unavailable, text: "nats sink: \(endpoint): \(why); it is connected to again")
    }
}

/// Looks a host's addresses up without holding up its caller: literals at once, names on a thread that ends by itself.
final class NameLookup: Sendable {
    struct Failure: Error {
        let text: String
    }

    private static let limit = 8
    private let answer = Mutex<Result<[ck_address], Failure>?>(nil)

    init(host: String, port: UInt16) {
        let literal = NameLookup.resolve(host, port, onlyLiteral: true)
        if case .success = literal {
            answer.withLock { $0 = literal }
            return
        }
        let thread = Thread { [self] in
            let found = NameLookup.resolve(host, port, onlyLiteral: false)
            answer.withLock { $0 = found }
        }
        thread.name = "nats-lookup"
        thread.start()
    }

    /// Nil: not known yet.
    var result: Result<[ck_address], Failure>? { answer.withLock { $0 } }

    private static func resolve(_ host: String, _ port: UInt16, onlyLiteral: Bool) -> Result<
        [ck_address], Failure
    > {
        var found = [ck_address](repeating: ck_address(), count: limit)
        let count = ck_resolve_family(
            host, port, Int32(CK_FAMILY_ANY), onlyLiteral ? 1 : 0, &found, Int32(limit))
        guard count > 0 else { return .failure(Failure(text: String(cString: ck_resolve_error(count)))) }
        return .success(Array(found[..<Int(count)]))
    }
}
