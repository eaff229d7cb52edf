import CKernel
import CTLS
import Glibc

/// A connection's socket, with TLS where there is some. Frees both.
struct Transport: ~Copyable {
    enum Progress: Equatable {
        case done
        /// More bytes must come first, or the socket is full.
        case waiting
        case failed(String)
    }

    enum Received: Equatable {
        case bytes(Int)
        case nothing
        case end
        case failed(String)
    }

    let descriptor: Int32
    private let tls: OpaquePointer?
    /// Each frame becomes a TLS record of its own.
    private let recordsAreSingle: Bool
    /// So much ciphertext may wait before more is encrypted.
    private static let ciphertextLimit = 256 * 1024

    /// Takes over `descriptor`. `context` nil: plain TCP. nil where memory is short.
    init?(descriptor: Int32, context: OpaquePointer?, recordsAreSingle: Bool) {
        self.descriptor = descriptor
        self.recordsAreSingle = recordsAreSingle
        guard let context else {
            tls = nil
            return
        }
        guard let session = ct_server_new(context, descriptor) else {
            ck_close(descriptor)
            return nil
        }
        tls = session
    }

    deinit {
        if let tls { ct_server_free(tls) }
        ck_close(descriptor)
    }

    func handshake() -> Progress {
        guard let tls else { return .done }
        let result = ct_server_handshake(tls)
        let sent = ct_server_flush(tls)
        if result == 0 { return sent < 0 ? failure : .done }
        return result == CT_WANT_READ ? .waiting : failure
    }

    func receive(_ bytes: UnsafeMutableRawBufferPointer) -> Received {
        guard let tls else {
            var ignored: Int64 = 0
            let count = ck_receive(descriptor, bytes.baseAddress, bytes.count, &ignored)
            if count > 0 { return .bytes(Int(count)) }
            if count == 0 { return .end }
            return count == -Int64(EAGAIN) ? .nothing : .failed(errorText(Int(count)))
        }
        let count = ct_server_read(tls, bytes.baseAddress, bytes.count)
        if count > 0 { return .bytes(Int(count)) }
        if count == 0 { return .end }
        return count == Int64(CT_WANT_READ) ? .nothing : .failed(String(cString: ct_server_error(tls)))
    }

    /// Sends what the socket takes.
    func flush(_ outbox: UnsafeMutablePointer<Outbox>) -> Progress {
        guard let tls else { return flushPlain(outbox) }
        while true {
            if outbox.pointee.count > 0, ct_server_unsent(tls) < Transport.ciphertextLimit {
                let waiting = outbox.pointee.waiting
                let result =
                    recordsAreSingle
                    ? ct_server_write_frames(tls, waiting.baseAddress, waiting.count)
                    : ct_server_write(tls, waiting.baseAddress, waiting.count)
                guard result == 0 else { return failure }
                outbox.pointee.drop(waiting.count)
            }
            let left = ct_server_flush(tls)
            if left < 0 { return failure }
            if left > 0 { return .waiting }
            if outbox.pointee.count == 0 { return .done }
        }
    }

    private func flushPlain(_ outbox: UnsafeMutablePointer<Outbox>) -> Progress {
        while outbox.pointee.count > 0 {
            let waiting = outbox.pointee.waiting
            let sent = ck_send(descriptor, waiting.baseAddress, waiting.count)
            if sent == -Int64(EAGAIN) { return .waiting }
            guard sent > 0 else { return .failed(errorText(Int(sent))) }
            outbox.pointee.drop(Int(sent))
        }
        return .done
    }

    /// Bytes that wait for the socket, `outbox` included.
    func backlog(_ outbox: UnsafeMutablePointer<Outbox>) -> Int {
        outbox.pointee.count + (tls.map { ct_server_unsent($0) } ?? 0)
    }

    /// Says to the peer that nothing more will be sent; everything was flushed before.
    func endSending() {
        if let tls {
            ct_server_shutdown(tls)
            _ = ct_server_flush(tls)
        }
        shutdown(descriptor, Int32(SHUT_WR))
    }

    private var failure: Progress {
        .failed(tls.map { String(cString: ct_server_error($0)) } ?? "connection failed")
    }
}
