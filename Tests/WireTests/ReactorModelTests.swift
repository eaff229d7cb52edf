import CKernel
import CURing
import Glibc
import MarketData
import Testing

@testable import Wire

/// Many connections, everything that can happen to them in random order, and rings so small that buffers and completions
/// run out: each connection must bring exactly the bytes that were sent on it, in order.
@Suite(.serialized, .onBothBackends) struct ReactorModelTests {
    /// One connection and what its peer has sent.
    private final class Line {
        let pair: SocketPair
        let token: UInt64
        var sent = 0
        var got = 0
        var isEnding = false
        /// The bytes that go over every line, each beginning elsewhere; the period is a prime, so that no buffer's size
        /// divides it.
        private static let pattern = (0..<period * 5).map { position in
            let place = position % period
            return UInt8(truncatingIfNeeded: place &* 7 &+ (place >> 8))
        }
        private static let period = 65_521
        private let shift: Int

        init(index: Int, generation: Int) throws {
            pair = try SocketPair()
            shift = index * 1_009 + generation * 37
            token = UInt64(generation) << 32 | UInt64(index)
        }

        private func expected(_ position: Int, _ count: Int) -> ArraySlice<UInt8> {
            let begin = (position + shift) % Line.period
            return Line.pattern[begin..<begin + count]
        }

        func send(_ count: Int) {
            guard !isEnding else { return }
            sent += pair.send(expected(sent, count))
        }

        /// Whether these are the next bytes.
        func take(_ bytes: [UInt8]) -> Bool {
            defer { got += bytes.count }
            return bytes.withUnsafeBytes { ours in
                expected(got, bytes.count).withUnsafeBytes { theirs in
                    guard let mine = ours.baseAddress, let expected = theirs.baseAddress else {
                        return ours.isEmpty
                    }
                    return memcmp(mine, expected, ours.count) == 0
                }
            }
        }
    }

    private final class Model {
        let bench: ReactorBench
        var random: SplitMix64
        var lines: [Line] = []
        var generation = 0
        var total = 0

        init(seed: UInt64, lines count: Int, rings: cu_settings) throws {
            random = SplitMix64(seed: seed)
            bench = try ReactorBench(rings: rings)
            for index in 0..<count { lines.append(try open(index)) }
        }

        func open(_ index: Int) throws -> Line {
            generation += 1
            let line = try Line(index: index, generation: generation)
            #expect(bench.reactor.add(line.pair.near, CK_READ, token: line.token) == 0)
            return line
        }

        /// Reads some; makes the line anew at its end, where all must have come.
        func read(_ token: UInt64) throws {
            let index = Int(token & 0xFFFF_FFFF)
            let line = lines[index]
            // Found before its connection was made anew.
            guard line.token == token else { return }
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let received = bench.receive(
                    line.pair.near, atMost: Int.random(in: 1...5_000, using: &random))
                guard received.result > 0 else {
                    if received.result == -Int64(EAGAIN) { return }
                    #expect(received.result == 0 && line.isEnding)
                    #expect(line.got == line.sent)
                    bench.close(line.pair.near)
                    lines[index] = try open(index)
                    return
                }
                guard line.take(received.bytes) else {
                    throw TestFailure(
                        description: "\(OnBothBackends.current.rawValue): line \(index) before \(line.got)")
                }
                total += received.bytes.count
            }
        }

        func step() throws {
            let index = Int.random(in: 0..<lines.count, using: &random)
            let line = lines[index]
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<50: line.send(Int.random(in: 1...3_000, using: &random))
            case 50..<55: line.send(60_000)
            case 55..<57:
                line.isEnding = true
                line.pair.closeFar()
            case 57..<59:
                // We go first, whatever is under way.
                bench.close(line.pair.near)
                lines[index] = try open(index)
            case 59..<65:
                bench.reactor.modify(
                    line.pair.near, Bool.random(using: &random) ? CK_READ : CK_READ | CK_WRITE,
                    token: line.token)
            case 65..<67:
                // Not read for a while: others must get their bytes all the same.
                bench.reactor.modify(line.pair.near, 0, token: line.token)
                for _ in 0..<5 { try turn() }
                guard lines[index] === line else { return }
                bench.reactor.modify(line.pair.near, CK_READ, token: line.token)
            default: try turn()
            }
        }

        func turn() throws {
            for (token, events) in bench.wait(nanos: Int64.random(in: 0...1, using: &random) * 100_000)
            where events & UInt32(CK_READ | CK_HANGUP) != 0 { try read(token) }
        }

        /// Everything that was sent arrives.
        func drain() throws {
            let deadline = ck_monotonic_nanos() + 20_000_000_000
            while let late = lines.first(where: { $0.got < $0.sent }) {
                try turn()
                guard ck_monotonic_nanos() < deadline else {
                    throw TestFailure(
                        description:
                            "\(OnBothBackends.current.rawValue): \(late.got) of \(late.sent) bytes came")
                }
            }
        }
    }

    @Test(arguments: 1...6 as ClosedRange<UInt64>) func everyByteComesInOrder(seed: UInt64) throws {
        let rings = cu_settings(
            submissions: 8, completions: 16, buffers: seed % 2 == 0 ? 4 : 64, buffer_bytes: 512,
            eager: seed % 4 < 2 ? 0 : 1)
        let model = try Model(seed: seed, lines: 40, rings: rings)
        for _ in 0..<2_000 { try model.step() }
        try model.drain()
        #expect(model.total > 500_000)
        if let counts = model.bench.reactor.ringCounts {
            // Else this test would not have reached what it is there for.
            if seed % 2 == 0 { #expect(counts.shortages > 10) }
            if seed % 2 != 0 { #expect(counts.overflows > 0) }
        }
        for line in model.lines { model.bench.close(line.pair.near) }
        for _ in 0..<10 { _ = model.bench.wait(nanos: 1_000_000) }
        if let counts = model.bench.reactor.ringCounts {
            #expect(counts.channels == 0)
            #expect(counts.buffers_held == 0)
        }
    }

    /// The usual sizes, and a reactor that goes while receives are under way.
    @Test func aReactorMayGoAtAnyTime() throws {
        for seed in 0..<10 as Range<UInt64> {
            let model = try Model(
                seed: 100 + seed, lines: 20,
                rings: cu_settings(
                    submissions: 0, completions: 0, buffers: 0, buffer_bytes: 0, eager: UInt32(seed & 1)))
            for _ in 0..<200 { try model.step() }
            for line in model.lines { line.send(50_000) }
            if seed % 2 == 0 { try model.turn() }
        }
    }
}
