/// Which address of a host to connect to, and when (RFC 8305, "Happy Eyeballs"), without I/O: answers of the resolver,
/// outcomes and times in, connects and cancels out.
///
/// The two families are looked up apart and may answer at any time. Addresses alternate by family; the next one is
/// tried ``attemptDelay`` after the last one, or at once when the last one failed; the first that connects wins, and
/// the others are cancelled. Addresses that should be avoided come last, whatever their family.
struct AddressRace: Equatable {
    enum Action: Equatable {
        /// Begin to connect to this candidate; say ``failed(_:reason:now:)`` or ``connected(_:)`` when it is known.
        case connect(Int)
        /// Give this candidate up: another one was first.
        case cancel(Int)
        /// Nothing is left to try; said once.
        case exhausted
    }

    enum State: Equatable {
        case connecting
        case failed(reason: Int32)
        case cancelled
        case won
    }

    struct Candidate: Equatable {
        let address: HostAddress
        var state: State
    }

    /// RFC 8305, section 5: 250 ms are recommended.
    static let attemptDelay: Int64 = 250_000_000
    /// How long the family to begin with may take longer than the other: RFC 8305, section 3.
    static let resolutionDelay: Int64 = 50_000_000
    /// More addresses than anybody waits for; further ones are not tried.
    static let candidateLimit = 24

    /// Those that were tried, in this order; an index here names a candidate.
    private(set) var candidates: [Candidate] = []
    /// Why a family has no addresses: the resolver's words.
    private(set) var lookupErrors: [IPFamily: String] = [:]
    private var waiting: [IPFamily: [HostAddress]] = [:]
    private var pendingFamilies: Set<IPFamily>
    private var avoided: [HostAddress]
    private let firstFamily: IPFamily
    private var cancels: [Int] = []
    /// When the next candidate is due, if there is one; monotonic ns.
    private var nextAttempt: Int64 = 0
    /// Until when the first family's answer is awaited; nil before any answer.
    private var resolutionEnd: Int64?
    private(set) var winner: Int?
    private var isExhausted = false

    /// - Parameters:
    ///   - families: those that are being looked up, the one to begin with in front; at least one.
    ///   - avoided: hosts to try last.
    init(families: [IPFamily], avoided: [HostAddress] = []) {
        pendingFamilies = Set(families)
        firstFamily = families.first ?? .v4
        self.avoided = avoided
    }

    /// A family's addresses, in the resolver's order.
    mutating func resolved(_ family: IPFamily, _ addresses: [HostAddress], now: Int64) {
        guard pendingFamilies.remove(family) != nil, winner == nil,
            candidates.count < AddressRace.candidateLimit
        else { return }
        var fresh: [HostAddress] = []
        for address in addresses where !fresh.contains(address) { fresh.append(address) }
        waiting[family] = sorted(fresh)
        answered(now)
    }

    /// Hosts to try last from now on, besides those that were named before.
    mutating func avoid(_ hosts: [HostAddress]) {
        avoided += hosts
        for (family, addresses) in waiting { waiting[family] = sorted(addresses) }
    }

    private func sorted(_ addresses: [HostAddress]) -> [HostAddress] {
        addresses.filter { !isAvoided($0) } + addresses.filter { isAvoided($0) }
    }

    /// A family that has no addresses, or whose lookup failed.
    mutating func unresolved(_ family: IPFamily, reason: String, now: Int64) {
        guard pendingFamilies.remove(family) != nil, winner == nil else { return }
        lookupErrors[family] = reason
        answered(now)
    }

    private mutating func answered(_ now: Int64) {
        if resolutionEnd == nil { resolutionEnd = now + AddressRace.resolutionDelay }
    }

    /// A candidate is lost; the next one's turn is now.
    mutating func failed(_ candidate: Int, reason: Int32, now: Int64) {
        guard candidates.indices.contains(candidate), candidates[candidate].state == .connecting else {
            return
        }
        candidates[candidate].state = .failed(reason: reason)
        nextAttempt = min(nextAttempt, now)
    }

    /// A candidate is connected; all others are cancelled. False where another one had won before.
    mutating func connected(_ candidate: Int) -> Bool {
        guard winner == nil, candidates.indices.contains(candidate),
            candidates[candidate].state == .connecting
        else { return false }
        winner = candidate
        candidates[candidate].state = .won
        for index in candidates.indices where candidates[index].state == .connecting {
            candidates[index].state = .cancelled
            cancels.append(index)
        }
        waiting = [:]
        return true
    }

    /// What to do now; ask again until nil.
    mutating func next(now: Int64) -> Action? {
        if !cancels.isEmpty { return .cancel(cancels.removeFirst()) }
        guard winner == nil, !isExhausted else { return nil }
        guard let address = peek(now) else {
            guard pendingFamilies.isEmpty, waiting.values.allSatisfy(\.isEmpty),
                !candidates.contains(where: { $0.state == .connecting })
            else { return nil }
            isExhausted = true
            return .exhausted
        }
        waiting[address.family]?.removeFirst()
        candidates.append(Candidate(address: address, state: .connecting))
        if candidates.count == AddressRace.candidateLimit { waiting = [:] }
        nextAttempt = now + AddressRace.attemptDelay
        return .connect(candidates.count - 1)
    }

    /// When ``next(now:)`` should be asked even where nothing happens.
    var deadline: Int64 {
        guard winner == nil, !isExhausted, waiting.values.contains(where: { !$0.isEmpty }) else {
            return Int64.max
        }
        return isHeldUp ? max(nextAttempt, resolutionEnd ?? 0) : nextAttempt
    }

    /// Whether the family to begin with has not answered while the other one has.
    private var isHeldUp: Bool { candidates.isEmpty && pendingFamilies.contains(firstFamily) }

    private func peek(_ now: Int64) -> HostAddress? {
        guard now >= nextAttempt else { return nil }
        if isHeldUp, now < resolutionEnd ?? Int64.max { return nil }
        let preferred = candidates.last?.address.family.other ?? firstFamily
        let heads = [preferred, preferred.other].compactMap { waiting[$0]?.first }
        return heads.first { !isAvoided($0) } ?? heads.first
    }

    private func isAvoided(_ address: HostAddress) -> Bool {
        avoided.contains { $0.isSameHost(as: address) }
    }
}
