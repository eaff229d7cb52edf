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

    /// Sends what the socket takes, but no more than `limit` bytes of the outbox.
    func flush(_ outbox: UnsafeMutablePointer<Outbox>, limit: Int = .max) -> Progress {
        guard let tls else { return flushPlain(outbox, limit) }
        var left = limit
        while true {
            if outbox.pointee.count > 0, left > 0, ct_server_unsent(tls) < Transport.ciphertextLimit {
                let all = outbox.pointee.waiting
                let waiting = UnsafeRawBufferPointer(rebasing: all[..<min(left, all.count)])
                left -= waiting.count
                let result =
                    recordsAreSingle && limit == .max
                    ? ct_server_write_frames(tls, waiting.baseAddress, waiting.count)
                    : ct_server_write(tls, waiting.baseAddress, waiting.count)
                guard result == 0 else { return failure }
                outbox.pointee.drop(waiting.count)
            }
            let unsent = ct_server_flush(tls)
            if unsent < 0 { return failure }
            if unsent > 0 { return .waiting }
            if outbox.pointee.count == 0 || left == 0 { return .done }
        }
    }

    private func flushPlain(_ outbox: UnsafeMutablePointer<Outbox>, _ limit: Int) -> Progress {
        var left = limit
        while outbox.pointee.count > 0, left > 0 {
            let waiting = outbox.pointee.waiting
            let sent = ck_send(descriptor, waiting.baseAddress, min(left, waiting.count))
            if sent == -Int64(EAGAIN) { return .waiting }
            guard sent > 0 else { return .failed(errorText(Int(sent))) }
            outbox.pointee.drop(Int(sent))
            left -= Int(sent)
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

    /// Ends sending without a word of TLS.
    func cut() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Has the coming close break the connection (RST).
    func breakOnClose() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    /// Sends a fatal alert in the middle of the session; false without TLS.
    func alert() -> Bool {
        guard let tls, ct_server_alert(tls) == 0 else { return false }
        _ = ct_server_flush(tls)
        return true
    }

    /// Answers a TLS greeting with the alert handshake_failure (RFC 8446 section 6: level 2, description 40).
    func refuseHandshake() {
        let record: [UInt8] = [21, 3, 3, 0, 2, 2, 40]
        _ = record.withUnsafeBytes { ck_send(descriptor, $0.baseAddress, $0.count) }
    }

    private var failure: Progress {
        .failed(tls.map { String(cString: ct_server_error($0)) } ?? "connection failed")
    }
}
