import CKernel
import CTLS

/// A file descriptor that is closed with its owner.
struct OwnedDescriptor: ~Copyable {
    let raw: Int32

    /// `result`: a descriptor or -errno; `what` names it in the error.
    init(_ result: Int32, _ what: String) throws(ReplayerError) {
        guard result >= 0 else { throw .system("\(what) cannot be used: \(errorText(Int(result)))") }
        raw = result
    }

    deinit { ck_close(raw) }
}

/// A server's certificate and key, ready for sessions.
struct TLSContext: ~Copyable {
    /// nil: plain TCP.
    let raw: OpaquePointer?

    init(_ files: CertificateFiles?) throws(ReplayerError) {
        guard let files else {
            raw = nil
            return
        }
        var text = [CChar](repeating: 0, count: 1024)
        raw = ct_server_context_new(files.certificate, files.key, &text, text.count)
        guard raw != nil else { throw .input(text.withUnsafeBufferPointer { readText($0) }) }
    }

    deinit { if let raw { ct_server_context_free(raw) } }
}
