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

    /// `certificateAuthority`: a PEM file that alone is trusted; nil: the system's trust store.
    public init(certificateAuthority: String?, verify: Bool = true) throws(Failure) {
        var text = [CChar](repeating: 0, count: 256)
        guard let pointer = ct_client_context_new(certificateAuthority, verify ? 1 : 0, &text, text.count)
        else {
            let why = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            throw Failure(
                description: certificateAuthority.map {
                    "certificateAuthority \($0): \(why); give a PEM file"
                }
                    ?? "the system's certificates: \(why); install ca-certificates or set SSL_CERT_FILE")
        }
        self.pointer = pointer
    }

    deinit { ct_client_context_free(pointer) }
}

/// A socket with or without TLS. Owned by the I/O thread.
struct Transport: ~Copyable {
    private var source: ReceiveSource
    private let tls: OpaquePointer?
    private var receivedNanos: Int64 = 0
    private var socketError: Int32 = 0

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

    /// On a descriptor that a ``Reactor`` watches; it is closed with the transport. Nil where OpenSSL has no memory
    /// or refuses the host's name: then it stays open.
    init?(source: ReceiveSource, context: TLSContext?, host: String) {
        self.source = source
        guard let context else {
            tls = nil
            return
        }
        guard let tls = ct_client_new(context.pointer, source.fd, host, Transport.receiveSize) else {
            return nil
        }
        self.tls = tls
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
        if got > 0 { return .bytes(Int(got)) }
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
        return systemErrorText(socketError)
    }

    /// `TLSv1.3 TLS_AES_256_GCM_SHA384`, or `plain`.
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
