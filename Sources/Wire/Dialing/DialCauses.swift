import CKernel
import Glibc

/// What went wrong on the way to an accepted upgrade, where, and what is likely behind it; for the log.
enum DialCauses {
    /// `a`, `a and b`, `a, b and 3 more`.
    static func list(_ texts: [String]) -> String {
        guard texts.count > 1 else { return texts.first ?? "" }
        if texts.count > 3 { return "\(texts[0]), \(texts[1]) and \(texts.count - 2) more" }
        return texts.dropLast().joined(separator: ", ") + " and \(texts[texts.count - 1])"
    }

    /// No family of `host` has an address.
    static func unresolved(host: String, proxy: NetworkProxy?, errors: [IPFamily: String]) -> String {
        // The more telling of the two: a name that exists may well have no address of one family.
        let words = IPFamily.allCases.compactMap { errors[$0] }
        let why = words.first { $0 != "No address associated with hostname" } ?? words.first ?? "no answer"
        let likely =
            why.contains("emporary")
            ? "the name server does not answer (/etc/resolv.conf, network policy)"
            : errors.count == 1
                ? "it has no \(errors.keys.first?.name ?? "") address; see network.ipFamily and network.localAddress"
                : "a wrong host name, or no DNS"
        let name = proxy == nil ? host : "the proxy's name \(host)"
        return "\(name) could not be resolved: \(why); likely cause: \(likely)"
    }

    /// Every address was tried. `failures`: each with its errno.
    static func unconnected(
        to endpoint: Endpoint, proxy: NetworkProxy?, failures: [(address: HostAddress, code: Int32)]
    ) -> String {
        let each = list(failures.map { "\($0.address): \(systemErrorText($0.code))" })
        let place = proxy.map { "the proxy \($0)" } ?? "\(endpoint)"
        // The failure that tells most: a family without a route says nothing of the host.
        let code = (failures.last { $0.code != ENETUNREACH } ?? failures.last)?.code ?? 0
        return "no connection to \(place) (\(each)); \(likelyCause(code))"
    }

    /// Whether an error of a connect tells that the host has answered.
    static func isOfTheHost(_ code: Int32) -> Bool { code == ECONNREFUSED }

    private static func likelyCause(_ code: Int32) -> String {
        switch code {
        case ECONNREFUSED: "likely cause: nothing listens there, or a firewall refuses"
        case ENETUNREACH, EHOSTUNREACH:
            "likely cause: no route from here (network policy, missing IPv6, VPN down)"
        case ETIMEDOUT: "likely cause: a firewall that drops, or the host is down"
        case EACCES, EPERM: "likely cause: a firewall on this machine forbids it"
        case EADDRNOTAVAIL:
            "likely cause: network.localAddress is not one of this machine's, or no local port is free"
        case EINVAL, EAFNOSUPPORT:
            "likely cause: this machine has no such version of IP; see network.ipFamily"
        case EMFILE, ENFILE: "raise the limit of open files (ulimit -n)"
        default: "likely cause: nothing listens there, or a firewall"
        }
    }

    /// OpenSSL's words, with the remedy.
    static func tls(_ endpoint: Endpoint, at peer: String, _ why: String) -> String {
        // OpenSSL's words for a first record that is no TLS.
        let isPlain = why.contains("wrong version number") || why.contains("packet length too long")
        let isVersion = why.contains("protocol version") || why.contains("unsupported protocol")
        let isCut =
            why.contains("closed during") || why.contains("reset") || why.contains("without TLS close")
        let remedy =
            isPlain
            ? "likely cause: no TLS is spoken on that port; write ws:// for a plain server"
            : isVersion
                ? "no common version of TLS; see tls.minimum"
                : isCut
                    ? "likely cause: the host, or a firewall between, refuses this name or address"
                    : "check host name, clock and tls.certificateAuthority"
        return "TLS with \(endpoint)\(peer) failed: \(why); \(remedy)"
    }

    /// What was sent behind an HTTP answer's status, by status.
    static func upgradeHint(_ status: Int) -> String {
        switch status {
        case 401, 403: "; likely cause: this address is blocked"
        case 404: "; likely cause: a wrong path in the endpoint"
        case 418, 429: "; too many requests from this address"
        case 451: "; the exchange does not serve this location"
        case 500...: "; the exchange has a fault of its own"
        default: ""
        }
    }
}
