import CKernel
import CTLS
import CURing

/// Where the received bytes of a watched descriptor are taken from: the socket, or the buffers that a ring has filled.
/// Valid until the descriptor is removed from its ``Reactor``; after that it receives nothing. Must not outlive the
/// reactor.
struct ReceiveSource {
    let fd: Int32
    fileprivate let ring: OpaquePointer?
    /// See `cu_source`.
    fileprivate let name: UInt64

    init(fd: Int32, ring: OpaquePointer?, name: UInt64) {
        self.fd = fd
        self.ring = ring
        self.name = name
    }

    /// Whether buffers are taken that a ring has filled, which costs no call.
    var isRing: Bool { ring != nil }

    /// hot: bytes taken, 0 at the end of the stream, or -errno (-EAGAIN: nothing there). `nanos` becomes the kernel's
    /// receive time of the last of them, ns since the epoch.
    func receive(into bytes: UnsafeMutableRawPointer, count: Int, nanos: inout Int64) -> Int64 {
        if let ring { return cu_receive(UnsafeMutableRawPointer(ring), name, bytes, count, &nanos) }
        return ck_receive(fd, bytes, count, &nanos)
    }

    /// Lets a TLS session take its ciphertext from here.
    func feed(_ tls: OpaquePointer) {
        if let ring { ct_client_receive_from(tls, cu_receive, UnsafeMutableRawPointer(ring), name) }
    }
}
