import CKernel
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
