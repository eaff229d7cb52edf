import MarketData
import Testing

@testable import Wire

private func v4(_ last: Int) throws -> HostAddress {
    try #require(HostAddress(literal: "192.0.2.\(last)", port: 443))
}
private func v6(_ last: Int) throws -> HostAddress {
    try #require(HostAddress(literal: "2001:db8::\(String(last, radix: 16))", port: 443))
}
private let ms: Int64 = 1_000_000
private let both: [IPFamily] = [.v6, .v4]

@Suite struct DialRaceTests {
    @Test func addressesHaveTheirTextAndTheKernelsForm() throws {
        for text in ["192.0.2.7:443", "[2001:db8::7]:443", "[::1]:65535", "0.0.0.0:0", "[fe80::1%1]:443"] {
            let colon = try #require(text.lastIndex(of: ":"))
            let literal = text[..<colon].filter { $0 != "[" && $0 != "]" }
            let port = try #require(UInt16(text[text.index(after: colon)...]))
            let address = try #require(HostAddress(literal: literal, port: port))
            #expect(HostAddress(address.raw) == address)
            #expect(address.port == port)
            #expect(address.with(port: 1).isSameHost(as: address))
            // The interface of a link-local address has a name that differs between machines.
            if !text.contains("%") { #expect(address.description == text) }
        }
        for text in ["", "localhost", "192.0.2", "192.0.2.256", "::g", "1.2.3.4:5", "[::1]"] {
            // getaddrinfo takes the old short forms of IPv4 addresses: 192.0.2 is 192.0.0.2.
            if text == "192.0.2" { continue }
            #expect(HostAddress(literal: text) == nil, "\(text)")
        }
    }

    @Test func familiesAlternateAndIPv6Begins() throws {
        var race = AddressRace(families: both)
        race.resolved(.v4, [try v4(1), try v4(2), try v4(3)], now: 0)
        race.resolved(.v6, [try v6(1), try v6(2)], now: 0)
        var now: Int64 = 0
        var order: [HostAddress] = []
        while let action = race.next(now: now) {
            guard case .connect(let candidate) = action else { break }
            order.append(race.candidates[candidate].address)
            #expect(race.next(now: now) == nil)
            guard race.deadline < Int64.max else { break }
            #expect(race.deadline == now + 250 * ms)
            now = race.deadline
        }
        #expect(order == [try v6(1), try v4(1), try v6(2), try v4(2), try v4(3)])
    }

    @Test func aFailureCallsTheNextAtOnceAndTheFirstToConnectWins() throws {
        var race = AddressRace(families: both)
        race.resolved(.v6, [try v6(1), try v6(2)], now: 0)
        race.resolved(.v4, [try v4(1)], now: 0)
        #expect(race.next(now: 0) == .connect(0))
        race.failed(0, reason: 111, now: 3 * ms)
        #expect(race.next(now: 3 * ms) == .connect(1))
        #expect(race.next(now: 252 * ms) == nil)
        #expect(race.next(now: 253 * ms) == .connect(2))
        let isFirst = race.connected(2)
        #expect(isFirst)
        #expect(race.next(now: 254 * ms) == .cancel(1))
        #expect(race.next(now: 254 * ms) == nil)
        let isSecond = race.connected(1)
        #expect(!isSecond)
        #expect(race.winner == 2)
        #expect(race.deadline == Int64.max)
    }

    /// The other family's answer is there, but the first family gets 50 ms to catch up (RFC 8305, section 3).
    @Test func theFirstFamilyIsAwaitedShortly() throws {
        var race = AddressRace(families: both)
        race.resolved(.v4, [try v4(1)], now: 100 * ms)
        #expect(race.next(now: 100 * ms) == nil)
        #expect(race.deadline == 150 * ms)
        var late = race
        race.resolved(.v6, [try v6(1)], now: 120 * ms)
        #expect(race.next(now: 120 * ms) == .connect(0))
        #expect(race.candidates[0].address == (try v6(1)))
        // Where it does not: begin without it, and let it join when it comes.
        #expect(late.next(now: 150 * ms) == .connect(0))
        #expect(late.candidates[0].address == (try v4(1)))
        late.resolved(.v6, [try v6(1)], now: 300 * ms)
        #expect(late.deadline == 400 * ms)
        #expect(late.next(now: 400 * ms) == .connect(1))
        // A family without addresses is not waited for either.
        var alone = AddressRace(families: both)
        alone.unresolved(.v6, reason: "none", now: 0)
        alone.resolved(.v4, [try v4(1)], now: ms)
        #expect(alone.next(now: ms) == .connect(0))
    }

    @Test func avoidedHostsComeLastWhateverTheirFamilyOrPort() throws {
        let avoided = [try v6(1).with(port: 9443), try v4(1)]
        var race = AddressRace(families: both, avoided: avoided)
        race.resolved(.v6, [try v6(1)], now: 0)
        race.resolved(.v4, [try v4(1), try v4(2), try v4(3)], now: 0)
        var order: [HostAddress] = []
        for step in 0..<4 {
            guard case .connect(let candidate) = race.next(now: Int64(step) * 250 * ms) else { break }
            order.append(race.candidates[candidate].address)
        }
        #expect(order == [try v4(2), try v4(3), try v6(1), try v4(1)])
        // The only address is used, avoided or not.
        var only = AddressRace(families: [.v4], avoided: avoided)
        only.resolved(.v4, [try v4(1)], now: 0)
        #expect(only.next(now: 0) == .connect(0))
    }

    @Test func aRaceWithoutAddressesIsLostOnce() throws {
        var race = AddressRace(families: both)
        #expect(race.next(now: 0) == nil)
        race.unresolved(.v4, reason: "no v4", now: 0)
        #expect(race.next(now: ms) == nil)
        race.unresolved(.v6, reason: "no v6", now: ms)
        #expect(race.next(now: ms) == .exhausted)
        #expect(race.next(now: ms) == nil)
        #expect(race.lookupErrors == [.v4: "no v4", .v6: "no v6"])
    }

    @Test func aHostWithVeryManyAddressesIsBounded() throws {
        var race = AddressRace(families: [.v4])
        race.resolved(.v4, try (1...200).map { try v4($0) }, now: 0)
        var count = 0
        while case .connect(let candidate) = race.next(now: 0) {
            race.failed(candidate, reason: 111, now: 0)
            count += 1
            try #require(count < 300)
        }
        #expect(count == AddressRace.candidateLimit)
    }

    // MARK: Model

    /// What a simulated address does when it is connected to.
    private enum Fate {
        case connects(after: Int64)
        case fails(after: Int64)
        case drops
    }

    /// Random hosts on a virtual clock. The winner must be whoever connects first, given when each was begun with; and
    /// when each is begun with must follow the rules.
    @Test(arguments: 0..<400) func racesFollowTheRules(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var fates: [HostAddress: Fate] = [:]
        func addresses(_ family: IPFamily) throws -> [HostAddress] {
            try (0..<Int.random(in: 0...4, using: &random)).map { index in
                let address = family == .v4 ? try v4(index + 1) : try v6(index + 1)
                let after = Int64.random(in: 0...600, using: &random) * ms
                fates[address] =
                    switch Int.random(in: 0..<4, using: &random) {
                    case 0: .connects(after: after)
                    case 1, 2: .fails(after: after)
                    default: .drops
                    }
                return address
            }
        }
        var hosts: [IPFamily: [HostAddress]] = [:]
        for family in both { hosts[family] = try addresses(family) }
        var lookups = both.map { (family: $0, time: Int64.random(in: 0...200, using: &random) * ms) }
        var race = AddressRace(families: both)
        var begun: [Int64] = []
        var ends: [(time: Int64, candidate: Int, connects: Bool)] = []
        var cancelled: [Int] = []
        var lastFailure: Int64 = -1
        var isExhausted = false
        var now: Int64 = 0
        for _ in 0..<1_000 {
            while let action = race.next(now: now) {
                switch action {
                case .connect(let candidate):
                    #expect(candidate == begun.count)
                    if let last = begun.last {
                        #expect(now >= last + 250 * ms || lastFailure >= last, "too early")
                    }
                    begun.append(now)
                    switch fates[race.candidates[candidate].address] {
                    case .connects(let after): ends.append((now + after, candidate, true))
                    case .fails(let after): ends.append((now + after, candidate, false))
                    case .drops, nil: break
                    }
                case .cancel(let candidate): cancelled.append(candidate)
                case .exhausted:
                    #expect(!isExhausted)
                    isExhausted = true
                }
            }
            if race.winner != nil || isExhausted { break }
            let times = [race.deadline] + ends.map(\.time) + lookups.map(\.time)
            guard let next = times.min(), next < Int64.max else { break }
            #expect(next >= now, "a deadline that has passed")
            now = max(now, next)
            for lookup in lookups where lookup.time <= now {
                let found = hosts[lookup.family] ?? []
                if found.isEmpty {
                    race.unresolved(lookup.family, reason: "none", now: now)
                } else {
                    race.resolved(lookup.family, found, now: now)
                }
            }
            lookups.removeAll { $0.time <= now }
            for end in ends.filter({ $0.time <= now }) {
                if end.connects {
                    let hasWon = race.connected(end.candidate)
                    #expect(hasWon == (race.winner == end.candidate))
                } else {
                    lastFailure = now
                    race.failed(end.candidate, reason: 111, now: now)
                }
            }
            ends.removeAll { $0.time <= now }
        }
        let tried = race.candidates.map(\.address)
        #expect(Set(tried).count == tried.count, "an address was tried twice")
        let all = both.flatMap { hosts[$0] ?? [] }
        let anyConnects = all.contains { if case .connects = fates[$0] { true } else { false } }
        let anyDrops = all.contains { if case .drops = fates[$0] { true } else { false } }
        if let winner = race.winner {
            // Nobody who was begun with would have been connected sooner.
            guard case .connects(let after) = fates[tried[winner]] else {
                Issue.record("a winner that does not connect")
                return
            }
            for (candidate, address) in tried.enumerated() where candidate != winner {
                if case .connects(let other) = fates[address] {
                    #expect(begun[winner] + after <= begun[candidate] + other)
                }
            }
            let left = tried.indices.filter { race.candidates[$0].state == .cancelled }
            #expect(left == cancelled, "who was left over must be cancelled, each once")
            #expect(!race.candidates.contains { $0.state == .connecting })
        } else {
            #expect(!anyConnects)
            #expect(tried.count == all.count)
            #expect(isExhausted == !anyDrops)
        }
    }
}
