import CKernel

/// One of the two versions of IP.
public enum IPFamily: UInt8, Sendable, CaseIterable {
    /// IPv4.
    case v4
    /// IPv6.
    case v6

    /// The other one.
    var other: IPFamily { self == .v4 ? .v6 : .v4 }
    /// `IPv4`.
    var name: String { self == .v4 ? "IPv4" : "IPv6" }
}

/// Which versions of IP connections may use.
public enum IPFamilyChoice: String, Sendable, CaseIterable {
    /// Both, IPv6 first unless IPv4 won last.
    case any
    /// Only IPv4.
    case v4
    /// Only IPv6.
    case v6

    /// The versions, the one to try first in front.
    var families: [IPFamily] {
        switch self {
        case .any: [.v6, .v4]
        case .v4: [.v4]
        case .v6: [.v6]
        }
    }
}

/// An IP address and a port.
public struct HostAddress: Sendable, Hashable, CustomStringConvertible {
    /// Which version of IP.
    public let family: IPFamily
    /// Four or sixteen bytes.
    public let address: [UInt8]
    /// 0 in a local address: any.
    public private(set) var port: UInt16
    /// Interface of a link-local IPv6 address, else 0.
    private let scope: UInt32

    // struct sockaddr_in: family, port, address. struct sockaddr_in6: family, port, flow, address, scope.
    private static let v4Length = 16
    private static let v6Length = 28

    /// Nil where the kernel's form is of another family.
    init?(_ raw: ck_address) {
        let bytes = withUnsafeBytes(of: raw.bytes) { Array($0.prefix(Int(raw.length))) }
        guard bytes.count >= HostAddress.v4Length else { return nil }
        let family = bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt16.self) }
        port = UInt16(bytes[2]) << 8 | UInt16(bytes[3])
        switch Int(family) {
        case CK_FAMILY_V4:
            self.family = .v4
            address = Array(bytes[4..<8])
            scope = 0
        case CK_FAMILY_V6 where bytes.count >= HostAddress.v6Length:
            self.family = .v6
            address = Array(bytes[8..<24])
            scope = bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 24, as: UInt32.self) }
        default: return nil
        }
    }

    /// Nil where `literal` is no IPv4 or IPv6 address.
    public init?(literal: String, port: UInt16 = 0) {
        var raw = ck_address()
        guard ck_resolve_family(literal, port, Int32(CK_FAMILY_ANY), 1, &raw, 1) == 1 else { return nil }
        self.init(raw)
    }

    /// The kernel's form.
    var raw: ck_address {
        var raw = ck_address()
        let length = family == .v4 ? HostAddress.v4Length : HostAddress.v6Length
        raw.length = UInt32(length)
        withUnsafeMutableBytes(of: &raw.bytes) { bytes in
            bytes.storeBytes(
                of: UInt16(family == .v4 ? CK_FAMILY_V4 : CK_FAMILY_V6), as: UInt16.self)
            bytes[2] = UInt8(port >> 8)
            bytes[3] = UInt8(truncatingIfNeeded: port)
            let offset = family == .v4 ? 4 : 8
            for (index, byte) in address.enumerated() { bytes[offset + index] = byte }
            if family == .v6 { bytes.storeBytes(of: scope, toByteOffset: 24, as: UInt32.self) }
        }
        return raw
    }

    /// Whether it is this machine's own, 127.0.0.0/8 or ::1.
    var isLoopback: Bool {
        family == .v4 ? address[0] == 127 : address == [UInt8](repeating: 0, count: 15) + [1]
    }

    func with(port: UInt16) -> HostAddress {
        var address = self
        address.port = port
        return address
    }

    /// Whether both are the same machine's, whatever the port.
    func isSameHost(as other: HostAddress) -> Bool {
        family == other.family && address == other.address && scope == other.scope
    }

    /// `203.0.113.1:443`, `[2001:db8::1]:443`.
    public var description: String {
        var raw = raw
        var text = [CChar](repeating: 0, count: 96)
        guard ck_address_text(&raw, &text, text.count) > 0 else { return "?" }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
