import CKernel
import Glibc

/// The listening sockets: one for each address that each host has.
struct Listeners: ~Copyable {
    private(set) var descriptors: [Int32] = []
    /// For each descriptor, which of the addresses it belongs to.
    private(set) var owners: [Int] = []
    /// For each address, the real port.
    private(set) var ports: [UInt16] = []

    init(_ addresses: [ListenAddress]) throws(ReplayerError) {
        for address in addresses { try listen(address) }
    }

    private mutating func listen(_ address: ListenAddress) throws(ReplayerError) {
        var found = [ck_address](repeating: ck_address(), count: 8)
        var port = address.port
        let before = descriptors.count
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
                if descriptors.count > before { continue }
                let hint =
                    descriptor == -EADDRINUSE
                    ? "; is another replayer running? --listen \(address.host):0 takes any free port" : ""
                throw .system(
                    "cannot listen on \(address.host):\(port): \(errorText(Int(descriptor)))\(hint)")
            }
            descriptors.append(descriptor)
            owners.append(ports.count)
            port = ck_local_port(descriptor)
        }
        ports.append(port)
    }

    deinit { for descriptor in descriptors { ck_close(descriptor) } }
}
