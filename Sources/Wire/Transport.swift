import CKernel
import CTLS
import Glibc

/// TLS settings that connections share.
public final class TLSContext: @unchecked Sendable {
    // SSL_CTX is safe to share between threads once it is made.
    let pointer: OpaquePointer

    /// Why no context could be made.
    public struct Failure: Error, CustomStringConvertible {
        /// What failed, and the remedy.
        public let description: String
    }

    /// The least version of TLS that is spoken; 1.3 is always preferred.
    public enum Version: String, Sendable, CaseIterable {
        /// TLS 1.2 (RFC 5246).
        case tls12 = "1.2"
        /// TLS 1.3 (RFC 8446).
        case tls13 = "1.3"
    }

    /// Who opens the records of TLS 1.3 once the handshake is done. Those of TLS 1.2 are always OpenSSL's.
    public enum Records: String, Sendable, CaseIterable {
        /// OpenSSL, one by one.
        case openssl
        /// This program, many at once and straight into the frame ring; OpenSSL keeps all that is not application data.
        case direct

        /// What opens those of AES-GCM directly on this machine: `IPsec-MB` or `EVP`.
        public static var engine: String { String(cString: ct_direct_engine()) }
    }

    /// `certificateAuthority`: a PEM file that alone is trusted; nil: the system's trust store.
    public init(
        certificateAuthority: String?, verify: Bool = true, minimum: Version = .tls12,
        records: Records = .direct
    ) throws(Failure) {
        var text = [CChar](repeating: 0, count: 256)
        guard
            let pointer = ct_client_context_new(
                certificateAuthority, verify ? 1 : 0, minimum == .tls13 ? 13 : 12, &text, text.count)
        else {
            let why = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            throw Failure(
                description: certificateAuthority.map {
                    "certificateAuthority \($0): \(why); give a PEM file"
                }
                    ?? "the system's certificates: \(why); install ca-certificates or set SSL_CERT_FILE")
        }
        ct_client_context_set_direct(pointer, records == .direct ? 1 : 0, 0)
        self.pointer = pointer
    }

    deinit { ct_client_context_free(pointer) }
}

/// A socket with or without TLS. Owned by the I/O thread.
struct Transport: ~Copyable {
    private let source: ReceiveSource
    private var tls: OpaquePointer?
    private var receivedNanos: Int64 = 0
    private var socketError: Int32 = 0
    private var wasShort = false

    /// One receive call brings at most so many bytes.
    static let receiveSize = 65_536

    enum Outcome {
        case bytes(Int)
        case wantRead
        case wantWrite
        case ended
        case failed
    }

    var fd: Int32 { source.fd }

    /// Plain, on a connected socket that a ``Reactor`` watches; it is closed with the transport.
    init(source: ReceiveSource) { self.source = source }

    /// Puts TLS on top; ``handshake()`` begins it. A session of an earlier connection to `host` and `port` is resumed
    /// where there is one. False where OpenSSL has no memory or refuses the host's name.
    mutating func startTLS(_ context: TLSContext, host: String, port: UInt16) -> Bool {
        guard tls == nil, let tls = ct_client_new(context.pointer, source.fd, host, Transport.receiveSize)
        else {
            return false
        }
        ct_client_resume(tls, "\(host):\(port)")
        self.tls = tls
        source.feed(tls)
        return true
    }

    deinit {
        if let tls { ct_client_free(tls) }
        ck_close(source.fd)
    }

    mutating func handshake() -> Outcome {
        guard let tls else { return .bytes(0) }
        let result = ct_client_handshake(tls)
        return result == 0 ? .bytes(0) : Transport.outcome(Int64(result))
    }

    /// hot: decrypted bytes into `bytes`.
    mutating func read(into bytes: UnsafeMutableRawPointer, count: Int) -> Outcome {
        if let tls {
            let got = ct_client_read(tls, bytes, count)
            if got > 0 { return .bytes(Int(got)) }
            return got == 0 ? .ended : Transport.outcome(got)
        }
        let got = source.receive(into: bytes, count: count, nanos: &receivedNanos)
        if got > 0 {
            wasShort = !source.isRing && got < Int64(count)
            return .bytes(Int(got))
        }
        if got == 0 { return .ended }
        if got == -Int64(EAGAIN) { return .wantRead }
        socketError = Int32(-got)
        return .failed
    }

    mutating func write(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return .bytes(0) }
        if let tls {
            let sent = ct_client_write(tls, base, bytes.count)
            return sent > 0 ? .bytes(Int(sent)) : Transport.outcome(sent)
        }
        let sent = ck_send(source.fd, base, bytes.count)
        if sent >= 0 { return .bytes(Int(sent)) }
        if sent == -Int64(EAGAIN) { return .wantWrite }
        socketError = Int32(-sent)
        return .failed
    }

    private static func outcome(_ code: Int64) -> Outcome {
        switch code {
        case Int64(CT_WANT_READ): .wantRead
        case Int64(CT_WANT_WRITE): .wantWrite
        case 0: .ended
        default: .failed
        }
    }

    /// Whether decrypted or undecrypted bytes lie in memory: the kernel will not announce them again.
    var hasPending: Bool {
        guard let tls else { return false }
        return ct_client_has_pending(tls) != 0
    }

    /// Whether the socket was empty after the last receive call and nothing is left of what it brought: the kernel announces
    /// what comes after it, so that there is no need to ask.
    var isDrained: Bool {
        guard let tls else { return wasShort }
        return ct_client_is_drained(tls) != 0
    }

    /// When the kernel received the last bytes that were taken from the socket.
    var receivedTime: Int64 {
        guard let tls else { return receivedNanos }
        return ct_client_received_nanos(tls)
    }

    /// Ends TLS politely.
    mutating func shutdown() {
        if let tls { ct_client_shutdown(tls) }
    }

    /// Why the last call failed.
    var errorText: String {
        if let tls { return String(cString: ct_client_error(tls)) }
        return socketError == 0 ? "" : systemErrorText(socketError)
    }

    /// `TLSv1.3 TLS_AES_256_GCM_SHA384`, behind it ` direct by IPsec-MB` or ` direct by EVP` where its records are opened here,
    /// and ` resumed` where the session is an earlier one's; or `plain`.
    var summary: String {
        guard let tls else { return "plain" }
        var text = [CChar](repeating: 0, count: 96)
        ct_client_describe(tls, &text, text.count)
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

/// `Connection refused`.
func systemErrorText(_ code: Int32) -> String {
    var text = [CChar](repeating: 0, count: 128)
    ck_error_text(code, &text, text.count)
    return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
}
