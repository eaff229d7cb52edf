import CKernel

/// What a slot remembers of its connections when it opens the next one.
struct DialMemory {
    /// The version of IP that the next race begins with, where it is among those that are wanted: the one that worked
    /// last, or the other one of the one that failed.
    private var firstFamily: IPFamily?
    /// Hosts that failed, or whose connection ended, since they last worked: the next race ends with them.
    private(set) var shunned: [HostAddress] = []
    /// Whether it was said that the kernel did not give what was asked for.
    var hasSaidShortcomings = false

    /// More than any host has addresses.
    private static let shunnedLimit = 32

    /// The versions of IP to try, the one to begin with in front.
    func ordered(_ families: [IPFamily]) -> [IPFamily] {
        families.filter { $0 == firstFamily } + families.filter { $0 != firstFamily }
    }

    /// The peer accepted the upgrade.
    mutating func succeeded(_ address: HostAddress) {
        firstFamily = address.family
        shunned.removeAll { $0.isSameHost(as: address) }
    }

    /// The peer was connected to, but got no further. A network that carries connections but no large packets is of one
    /// version of IP mostly, so the other one's turn is next.
    mutating func failed(_ address: HostAddress) {
        firstFamily = address.family.other
        shun(address)
    }

    /// The address could not be connected to, or what it served has ended.
    mutating func shun(_ address: HostAddress) {
        shunned.removeAll { $0.isSameHost(as: address) }
        shunned.append(address)
        if shunned.count > DialMemory.shunnedLimit { shunned.removeFirst() }
    }
}

/// A connection's way to its accepted upgrade.
struct DialState: ~Copyable {
    var race = AddressRace(families: IPFamilyChoice.any.families)
    /// Of the race's candidates, in their order; -1 where there is none (any more).
    private(set) var sockets: [Int32] = []
    /// The proxy that this attempt goes through.
    var proxy: NetworkProxy?
    var tunnel: ProxyTunnel?
    /// Whom the connection is, or was last, connected to: the proxy where there is one.
    var peer: HostAddress?
    /// The upgrade was accepted.
    private(set) var hasOpened = false
    /// Something was sent to the exchange, or to a proxy that was to reach it: the exchange may have counted the attempt.
    var hasKnocked = false
    /// When the attempt began, monotonic ns.
    private(set) var begun: Int64 = 0
    /// The slot's, whichever side is opened: kept at its first side.
    var memory = DialMemory()

    deinit {
        for fd in sockets where fd >= 0 { ck_close(fd) }
    }

    /// A new attempt.
    mutating func begin(families: [IPFamily], avoided: [HostAddress], proxy: NetworkProxy?, now: Int64) {
        peer = nil
        hasOpened = false
        hasKnocked = false
        begun = now
        tunnel = nil
        self.proxy = proxy
        race = AddressRace(families: families, avoided: avoided)
    }

    /// The upgrade was accepted: nothing of the way is needed any more.
    mutating func opened() {
        hasOpened = true
        tunnel = nil
        race = AddressRace(families: [])
    }

    mutating func add(socket: Int32) { sockets.append(socket) }

    /// The candidate's socket, which is the caller's from now on.
    mutating func take(_ candidate: Int) -> Int32? {
        guard sockets.indices.contains(candidate), sockets[candidate] >= 0 else { return nil }
        defer { sockets[candidate] = -1 }
        return sockets[candidate]
    }

    mutating func forgetSockets() { sockets = [] }

    /// Where the connection stands or tries to get, for others of the same host to keep away from.
    var hostsInUse: [HostAddress] {
        if let peer { return [peer] }
        return race.candidates.filter { $0.state == .connecting }.map(\.address)
    }

    /// `203.0.113.1:443 and [2001:db8::1]:443`; those that are still being tried, or else all.
    var triedText: String {
        let trying = race.candidates.filter { $0.state == .connecting }
        return DialCauses.list((trying.isEmpty ? race.candidates : trying).map(\.address.description))
    }
}
