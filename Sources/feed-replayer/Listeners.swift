import CKernel
import Glibc

/// The listening sockets: one for each address that the host has.
struct Listeners: ~Copyable {
    private(set) var descriptors: [Int32] = []
    /// The real port.
    private(set) var port: UInt16 = 0

    init(_ address: ListenAddress) throws(ReplayerError) {
        var found = [ck_address](repeating: ck_address(), count: 8)
        port = address.port
        let count = ck_resolve(address.host, port, &found, Int32(found.count))
        guard count > 0 else {
            throw .system("\(address.host) has no address: \(String(cString: ck_resolve_error(count)))")
        }
        for index in 0..<Int(count) {
            // The first may have been given a port by the system: the others get the same.
            if index > 0 {
                guard ck_resolve(address.host, port, &found, Int32(found.count)) == count else { break }
            }
            let descriptor = ck_listen(&found[index], 1024)
            if descriptor < 0 {
                if !descriptors.isEmpty { continue }
                let hint =
                    descriptor == -EADDRINUSE
                    ? "; is another replayer running? --listen \(address.host):0 takes any free port" : ""
                throw .system(
                    "cannot listen on \(address.host):\(port): \(errorText(Int(descriptor)))\(hint)")
            }
            descriptors.append(descriptor)
            port = ck_local_port(descriptor)
        }
    }

    deinit { for descriptor in descriptors { ck_close(descriptor) } }
}
