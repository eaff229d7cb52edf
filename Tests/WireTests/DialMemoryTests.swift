import CKernel
import Synchronization
import Testing

@testable import Rings
@testable import Wire

@Suite struct DialMemoryTests {
    private func address(_ literal: String) throws -> HostAddress {
        try #require(HostAddress(literal: literal, port: 443))
    }

    @Test func theNextRaceBeginsWithTheVersionOfIPThatWorked() throws {
        var memory = DialMemory()
        #expect(memory.ordered([.v6, .v4]) == [.v6, .v4])
        memory.succeeded(try address("192.0.2.1"))
        #expect(memory.ordered([.v6, .v4]) == [.v4, .v6])
        // Connected, but no further: small packets pass, larger ones do not.
        memory.failed(try address("192.0.2.1"))
        #expect(memory.ordered([.v6, .v4]) == [.v6, .v4])
        memory.failed(try address("2001:db8::1"))
        #expect(memory.ordered([.v6, .v4]) == [.v4, .v6])
        #expect(memory.ordered([.v6]) == [.v6])
    }

    @Test func hostsAreShunnedUntilTheyWork() throws {
        var memory = DialMemory()
        for last in 1...3 { memory.shun(try address("192.0.2.\(last)")) }
        memory.shun(try address("192.0.2.1").with(port: 9443))
        #expect(memory.shunned.map(\.address.last) == [2, 3, 1])
        memory.succeeded(try address("192.0.2.3"))
        #expect(memory.shunned.map(\.address.last) == [2, 1])
        for last in 0...255 { memory.shun(try address("198.51.100.\(last)")) }
        #expect(memory.shunned.count == 32)
    }
}

@Suite(.serialized) struct DialResolverTests {
    /// A resolver's stage, and what it answered.
    private final class Bench {
        let replies = CommandQueue<WireCommand>(capacity: 100)
        var stage: ResolverStage
        let mailbox: ResolverStage.Mailbox
        var answers: [(link: Int, generation: UInt32, answer: ResolverAnswer)] = []

        init() throws {
            let waker = try Waker()
            mailbox = ResolverStage.Mailbox(waker: waker)
            stage = ResolverStage(mailbox: mailbox, waker: waker)
        }

        /// Lookups do as a test says.
        init(freshNanos: Int64, resolve: @escaping Lookup.Resolve) throws {
            let waker = try Waker()
            mailbox = ResolverStage.Mailbox(waker: waker)
            stage = ResolverStage(mailbox: mailbox, waker: waker, freshNanos: freshNanos, resolve: resolve)
        }

        func turn(until isDone: () -> Bool) throws {
            let deadline = ck_monotonic_nanos() + 60_000_000_000
            while !isDone() {
                turn(nanos: 1_000_000)
                guard ck_monotonic_nanos() < deadline else {
                    throw TestFailure(description: "it did not come about")
                }
            }
        }

        /// Turns for so long.
        func turn(nanos: Int64) {
            let end = ck_monotonic_nanos() + nanos
            while ck_monotonic_nanos() < end {
                _ = stage.doWork()
                for case .resolved(let link, let generation, let answer) in replies.drain() {
                    answers.append((link, generation, answer))
                }
                ck_sleep_nanos(100_000)
            }
        }

        func ask(_ host: String, link: Int = 0, generation: UInt32 = 1, _ families: [IPFamily] = [.v6, .v4]) {
            mailbox.requests.send(
                ResolverStage.Request(
                    link: link, generation: generation, host: host, port: 9443, families: families,
                    reply: replies))
        }

        func turn(until count: Int) throws {
            let deadline = ck_monotonic_nanos() + 60_000_000_000
            while answers.count < count {
                _ = stage.doWork()
                for case .resolved(let link, let generation, let answer) in replies.drain() {
                    answers.append((link, generation, answer))
                }
                guard ck_monotonic_nanos() < deadline else { throw TestFailure(description: "no answer") }
                ck_sleep_nanos(100_000)
            }
        }
    }

    /// A name server that is away while the first lookups run: each of them hangs until the test ends it.
    private final class NameServer: Sendable {
        private let state = Mutex((isBack: false, isOver: false, lookups: 0, running: 0))
        var lookups: Int { state.withLock { $0.lookups } }
        var running: Int { state.withLock { $0.running } }
        func comeBack() { state.withLock { $0.isBack = true } }
        func end() { state.withLock { $0.isOver = true } }

        func lookUp(_ host: String, _ family: IPFamily) -> Lookup.Found {
            let isBack = state.withLock { state in
                state.lookups += 1
                state.running += 1
                return state.isBack
            }
            defer { state.withLock { $0.running -= 1 } }
            while !isBack, !state.withLock({ $0.isOver }) { ck_sleep_nanos(1_000_000) }
            guard isBack else { return Lookup.Found(addresses: [], problem: "it did not answer") }
            return Lookup.Found(
                addresses: [HostAddress(literal: "192.0.2.1")].compactMap { $0 }, problem: nil)
        }
    }

    @Test func anAttemptJoinsALookupThatHasJustBegun() throws {
        let server = NameServer()
        let bench = try Bench(freshNanos: .max) { server.lookUp($0, $1) }
        bench.ask("host.test", [.v4])
        try bench.turn { server.lookups == 1 }
        bench.ask("host.test", link: 1, [.v4])
        bench.turn(nanos: 20_000_000)
        #expect(server.lookups == 1)
        server.end()
        try bench.turn(until: 2)
        #expect(server.lookups == 1)
    }

    @Test func anAttemptDoesNotJoinALookupThatHangs() throws {
        let server = NameServer()
        let bench = try Bench(freshNanos: 0) { server.lookUp($0, $1) }
        defer { server.end() }
        bench.ask("host.test", [.v4])
        bench.ask("host.test", link: 1, [.v4])
        try bench.turn { server.lookups == 1 }
        server.comeBack()
        bench.ask("host.test", generation: 2, [.v4])
        // Whoever waited has the answer as well.
        try bench.turn(until: 2)
        #expect(server.lookups == 2 && server.running == 1)
        #expect(Set(bench.answers.map(\.link)) == [0, 1])
        #expect(bench.answers.first { $0.link == 0 }?.generation == 2)
        #expect(bench.answers.allSatisfy { $0.answer.problem == nil })
        server.end()
        try bench.turn { server.running == 0 }
        bench.turn(nanos: 20_000_000)
        #expect(bench.answers.count == 2, "nobody is told twice")
    }

    @Test func lookupsThatHangAreBounded() throws {
        let server = NameServer()
        let bench = try Bench(freshNanos: 0) { server.lookUp($0, $1) }
        defer { server.end() }
        for generation in 1...10 as ClosedRange<UInt32> {
            bench.ask("host0.test", generation: generation, [.v4])
            bench.turn(nanos: 3_000_000)
        }
        #expect((2...ResolverStage.lookupsOfName).contains(server.lookups))
        // Others have their turn although one is asked for again and again.
        for generation in 1...10 as ClosedRange<UInt32> {
            for name in 0..<20 {
                bench.ask("host\(name).test", link: name, generation: 10 + generation, [.v4])
            }
            bench.turn(nanos: 3_000_000)
        }
        try bench.turn { server.running >= 19 }
        #expect(server.running <= ResolverStage.lookupLimit)
        server.end()
        // The latest attempt of each is answered, if only with the failure.
        try bench.turn(until: 20)
        #expect(Set(bench.answers.map(\.link)).count == 20)
    }

    @Test func literalsNeedNoLookup() throws {
        let bench = try Bench()
        bench.ask("192.0.2.7")
        bench.ask("2001:db8::7", link: 1)
        // One cycle is enough: nothing is started.
        _ = bench.stage.doWork()
        try bench.turn(until: 4)
        let found = bench.answers.flatMap { $0.answer.addresses.map(\.description) }
        #expect(found == ["192.0.2.7:9443", "[2001:db8::7]:9443"])
        #expect(bench.answers.count { $0.answer.problem != nil } == 2)
    }

    @Test func namesAreLookedUpForEachFamilyApart() throws {
        let bench = try Bench()
        bench.ask("localhost", [.v4])
        bench.ask("localhost", link: 1, [.v4])
        try bench.turn(until: 2)
        #expect(Set(bench.answers.map(\.link)) == [0, 1])
        for answer in bench.answers {
            #expect(answer.answer.family == .v4)
            #expect(answer.answer.addresses.contains { $0.description == "127.0.0.1:9443" })
        }
        let hasInput = bench.stage.hasInput()
        #expect(!hasInput)
    }

    @Test func aNameThatIsNoneHasAProblem() throws {
        let bench = try Bench()
        // RFC 6761, section 6.4: never exists. Without a name server the problem is another one.
        bench.ask("no-such-host.invalid")
        try bench.turn(until: 2)
        #expect(
            bench.answers.allSatisfy { $0.answer.addresses.isEmpty && $0.answer.problem?.isEmpty == false })
    }

    /// Many questions at once: every one is answered, those for one name together.
    @Test func manyNamesWaitTheirTurn() throws {
        let bench = try Bench()
        for index in 0..<80 {
            bench.ask(index.isMultiple(of: 2) ? "localhost" : "127.0.0.\(index)", link: index)
        }
        try bench.turn(until: 160)
        #expect(Set(bench.answers.map(\.link)).count == 80)
    }
}
