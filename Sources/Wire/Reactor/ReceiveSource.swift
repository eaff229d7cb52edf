import CKernel

/// Where the received bytes of a watched descriptor are taken from. Valid until the descriptor is removed from its
/// ``Reactor``; after that it receives nothing.
struct ReceiveSource {
    let fd: Int32

    /// hot: bytes taken, 0 at the end of the stream, or -errno (-EAGAIN: nothing there). `nanos` becomes the kernel's
    /// receive time of the last of them, ns since the epoch.
    mutating func receive(into bytes: UnsafeMutableRawPointer, count: Int, nanos: inout Int64) -> Int64 {
        ck_receive(fd, bytes, count, &nanos)
    }
}
