import CKernel
import CURing
import Glibc
import MarketData
import Testing

@testable import Rings
@testable import Wire

/// What the I/O stage relies on, whichever backend serves.
@Suite(.serialized, .onBothBackends) struct ReactorTests {
    @Test func whatWasNotReadIsReportedAgain() throws {
        let bench = try ReactorBench()
        let pair = try SocketPair()
        #expect(bench.reactor.add(pair.near, CK_READ, token: 7) == 0)
        #expect(bench.wait(nanos: 1_000_000).isEmpty)
        pair.send([1, 2, 3, 4])
        try bench.wait(for: 7)
        for expected in 1...3 as ClosedRange<UInt8> {
            #expect(bench.receive(pair.near, atMost: 1).bytes == [expected])
            #expect(bench.wait()[7] == UInt32(CK_READ))
        }
        #expect(bench.receive(pair.near).bytes == [4])
        #expect(bench.receive(pair.near).result == -Int64(EAGAIN))
        #expect(bench.wait(nanos: 1_000_000).isEmpty)
        bench.close(pair.near)
    }

    @Test func theTokenIsTheOneGivenLast() throws {
        let bench = try ReactorBench()
        let pair = try SocketPair()
        bench.reactor.add(pair.near, CK_WRITE, token: 1)
        try bench.wait(for: 1, CK_WRITE)
        #expect(bench.reactor.modify(pair.near, CK_READ, token: 1 << 40 | 2) == 0)
        pair.send([1])
        #expect(try bench.wait(for: 1 << 40 | 2) & UInt32(CK_WRITE) == 0)
        bench.reactor.modify(pair.near, CK_READ | CK_WRITE, token: UInt64.max - 1)
        #expect(try bench.wait(for: UInt64.max - 1, CK_WRITE) & UInt32(CK_READ) != 0)
        bench.close(pair.near)
        #expect(bench.wait(nanos: 1_000_000).isEmpty)
        #expect(bench.reactor.modify(pair.near, CK_READ, token: 1) < 0)
    }

    @Test func aWaitEndsInTime() throws {
        let bench = try ReactorBench()
        for nanos in [0, 1_000, 1_000_000, 30_000_000] as [Int64] {
            let begin = ck_monotonic_nanos()
            // A signal may end one early.
            repeat { #expect(bench.wait(nanos: nanos).isEmpty) } while ck_monotonic_nanos() - begin < nanos
            #expect(ck_monotonic_nanos() - begin < nanos + 2_000_000_000)
        }
    }

    /// A wake-up that comes before the wait, and ones that come in it, hundreds of times.
    @Test func theWakerEndsAWait() throws {
        final class Turns: @unchecked Sendable {
            let waker: Waker
            init(_ waker: Waker) { self.waker = waker }
            func run(_ count: Int) {
                for _ in 0..<count {
                    while waker.parked.pointee.load(ordering: .sequentiallyConsistent) == 0 { ck_yield() }
                    waker.wakeIfParked()
                }
            }
        }
        let bench = try ReactorBench()
        let begin = ck_monotonic_nanos()
        bench.waker.beginPark()
        bench.waker.wakeIfParked()
        _ = bench.wait(nanos: 10_000_000_000)
        bench.waker.endPark()
        let turns = Turns(bench.waker)
        var handle: UInt = 0
        let started = ck_thread_start(
            { context in
                guard let context else { return }
                Unmanaged<Turns>.fromOpaque(context).takeUnretainedValue().run(300)
            }, Unmanaged.passUnretained(turns).toOpaque(), &handle)
        #expect(started == 0)
        for _ in 0..<300 {
            bench.waker.beginPark()
            #expect(bench.wait(nanos: 10_000_000_000).isEmpty)
            bench.waker.endPark()
        }
        _ = ck_thread_join(handle)
        #expect(ck_monotonic_nanos() - begin < 9_000_000_000)
    }

    @Test func aSocketThatTakesNothingIsNotWritable() throws {
        let bench = try ReactorBench()
        let pair = try SocketPair()
        let chunk = [UInt8](repeating: 5, count: 65_536)
        while ck_send(pair.near, chunk, chunk.count) > 0 {}
        bench.reactor.add(pair.near, CK_READ | CK_WRITE, token: 3)
        #expect(bench.wait(nanos: 5_000_000).isEmpty)
        var room = [UInt8](repeating: 0, count: 1 << 20)
        var nanos: Int64 = 0
        while ck_wait_readable(pair.far, 20_000_000) == 1 {
            _ = ck_receive(pair.far, &room, room.count, &nanos)
        }
        try bench.wait(for: 3, CK_WRITE)
        // Level-triggered: it says so until it is no longer asked.
        #expect(bench.wait(nanos: 1_000_000_000)[3] == UInt32(CK_WRITE))
        bench.reactor.modify(pair.near, CK_READ, token: 3)
        #expect(bench.wait(nanos: 1_000_000).isEmpty)
        bench.close(pair.near)
    }

    @Test func aRefusedConnectIsReportedAndKeepsItsError() throws {
        let bench = try ReactorBench()
        var address = ck_address()
        #expect(ck_resolve("127.0.0.1", 9, &address, 1) == 1)
        let fd = ck_connect(&address, nil)
        guard fd >= 0 else { return }
        bench.reactor.add(fd, CK_WRITE, token: 4)
        #expect(try bench.wait(for: 4, CK_WRITE | CK_HANGUP) & UInt32(CK_HANGUP) != 0)
        #expect(ck_connect_result(fd) == -ECONNREFUSED)
        bench.close(fd)
    }

    @Test(arguments: [false, true]) func whatCameBeforeTheEndIsRead(isReset: Bool) throws {
        let bench = try ReactorBench()
        let pair = try SocketPair()
        bench.reactor.add(pair.near, CK_READ, token: 5)
        // The peer leaves a byte unread, which makes its close a reset.
        if isReset { _ = ck_send(pair.near, [1], 1) }
        ck_sleep_nanos(5_000_000)
        let sent = (0..<100_000).map { UInt8(truncatingIfNeeded: $0) }
        let count = pair.send(sent)
        if !isReset { pair.closeFar() }
        var got: [UInt8] = []
        var last: Int64 = 0
        while got.count < count {
            try bench.wait(for: 5)
            let received = bench.receive(pair.near, atMost: 7_000)
            got += received.bytes
            if received.result <= 0, received.result != -Int64(EAGAIN) { break }
        }
        #expect(got == Array(sent.prefix(count)))
        if isReset { pair.closeFar() }
        try bench.wait(for: 5, CK_HANGUP)
        last = bench.receive(pair.near).result
        #expect(last == (isReset ? -Int64(ECONNRESET) : 0))
        bench.close(pair.near)
    }

    /// Descriptors' numbers are used again at once, at every stage of a receive.
    @Test func aNewSocketOfTheSameNumberGetsItsOwnBytes() throws {
        let bench = try ReactorBench()
        var random = SplitMix64(seed: 11)
        var isReused = false
        var lastNumber: Int32 = -1
        for turn in 0..<400 {
            let token = UInt64(turn) << 32 | 1
            let pair = try SocketPair()
            isReused = isReused || pair.near == lastNumber
            lastNumber = pair.near
            bench.reactor.add(pair.near, CK_READ, token: token)
            let mine = UInt8(truncatingIfNeeded: turn)
            let step = Int.random(in: 0...4, using: &random)
            if step >= 1 { pair.send([UInt8](repeating: mine, count: 3_000)) }
            if step >= 2 {
                for (reported, _) in bench.wait(nanos: 20_000_000) { #expect(reported == token) }
            }
            if step >= 3 {
                let received = bench.receive(pair.near, atMost: 1_000)
                #expect(received.bytes.allSatisfy { $0 == mine })
            }
            if step >= 4 { pair.send([mine]) }
            let source = bench.reactor.source(of: pair.near)
            bench.close(pair.near)
            if bench.reactor.backend == .uring {
                var byte: UInt8 = 0
                var nanos: Int64 = 0
                #expect(source.receive(into: &byte, count: 1, nanos: &nanos) == -Int64(EBADF))
            }
        }
        #expect(isReused)
        // Cancelling takes a turn or two of the kernel.
        for _ in 0..<5 { #expect(bench.wait(nanos: 1_000_000).isEmpty) }
        if let counts = bench.reactor.ringCounts {
            #expect(counts.channels == 0)
            #expect(counts.buffers_held == 0)
        }
    }

    /// Against the rule, but harmless: the next socket of that number is not taken for the old one.
    @Test func aSocketThatWasClosedWithoutBeingRemovedLeavesNothing() throws {
        let bench = try ReactorBench()
        for turn in 0..<50 as Range<UInt8> {
            let (old, new) = (UInt64(turn) << 32 | 1, UInt64(turn) << 32 | 2)
            let first = try SocketPair()
            bench.reactor.add(first.near, CK_READ, token: old)
            if turn % 2 == 0 { _ = bench.wait() }
            first.send([200, 200])
            ck_close(first.near)
            let second = try SocketPair()
            let fd = dup2(second.near, first.near)
            #expect(bench.reactor.add(fd, CK_READ, token: new) == 0)
            second.send([turn])
            try bench.wait(for: new)
            #expect(bench.receive(fd).bytes == [turn])
            bench.close(fd)
            ck_close(second.near)
        }
    }

    /// A removed socket is really closed: its peer sees the end.
    @Test func removingLetsTheSocketGo() throws {
        let bench = try ReactorBench()
        let pair = try SocketPair()
        bench.reactor.add(pair.near, CK_READ, token: 1)
        _ = bench.wait(nanos: 1_000_000)
        bench.close(pair.near)
        _ = bench.wait(nanos: 1_000_000)
        #expect(ck_wait_readable(pair.far, 5_000_000_000) == 1)
        var byte: UInt8 = 0
        var nanos: Int64 = 0
        #expect(ck_receive(pair.far, &byte, 1, &nanos) == 0)
    }

    /// The kernel's stamp says when the bytes came, not when they were read.
    @Test func receiveTimesAreTheKernels() throws {
        let bench = try ReactorBench()
        let pair = try SocketPair()
        bench.reactor.add(pair.near, CK_READ, token: 1)
        var isStamped = false
        // The first stamps of a machine may be missing: the kernel begins to take them when somebody asks.
        for _ in 0..<20 where !isStamped {
            let before = ck_realtime_nanos()
            pair.send([1])
            let sent = ck_realtime_nanos()
            ck_sleep_nanos(40_000_000)
            try bench.wait(for: 1)
            let received = bench.receive(pair.near)
            #expect(received.nanos >= before && received.nanos <= ck_realtime_nanos())
            isStamped = received.nanos < sent + 30_000_000
        }
        #expect(isStamped)
        bench.close(pair.near)
    }

    /// One connection that nobody reads takes all buffers: the others get their bytes all the same.
    @Test func aShortageOfBuffersStopsNobody() throws {
        let bench = try ReactorBench(
            rings: cu_settings(submissions: 0, completions: 0, buffers: 2, buffer_bytes: 512, eager: 0))
        let (greedy, other) = (try SocketPair(), try SocketPair())
        bench.reactor.add(greedy.near, CK_READ, token: 1)
        bench.reactor.add(other.near, CK_READ, token: 2)
        let many = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 3) }
        #expect(greedy.send(many) == many.count)
        try bench.wait(for: 1)
        for turn in 0..<20 as Range<UInt8> {
            other.send([turn])
            var got: [UInt8] = []
            while got.isEmpty {
                try bench.wait(for: 2)
                got = bench.receive(other.near).bytes
            }
            #expect(got == [turn])
        }
        if let counts = bench.reactor.ringCounts {
            #expect(counts.shortages > 0 && counts.direct_receives > 0 && counts.buffers_held == 2)
        }
        var got: [UInt8] = []
        while got.count < many.count {
            try bench.wait(for: 1)
            got += bench.receive(greedy.near).bytes
        }
        #expect(got == many)
        bench.close(greedy.near)
        bench.close(other.near)
    }

    /// What io_uring is for: no system call where there is nothing to do, one where there is.
    @Test func systemCallsAreNotMadeInVain() throws {
        let bench = try ReactorBench()
        guard let start = bench.reactor.ringCounts, start.defers == 1 else { return }
        let pairs = try (0..<50).map { _ in try SocketPair() }
        for (index, pair) in pairs.enumerated() {
            bench.reactor.add(pair.near, CK_READ, token: UInt64(index))
        }
        for _ in 0..<10 { _ = bench.wait() }
        let before = bench.reactor.ringCounts?.enters ?? 0
        for _ in 0..<1_000 { #expect(bench.wait().isEmpty) }
        #expect(bench.reactor.ringCounts?.enters == before)
        for pair in pairs { pair.send([1, 2, 3]) }
        var seen = 0
        var waits: UInt64 = 0
        while seen < pairs.count, waits < 1_000 {
            waits += 1
            for token in bench.wait(nanos: 1_000_000).keys {
                #expect(bench.receive(pairs[Int(token)].near).bytes == [1, 2, 3])
                seen += 1
            }
        }
        #expect(seen == pairs.count)
        #expect((bench.reactor.ringCounts?.enters ?? 0) - before <= waits)
        for pair in pairs { bench.close(pair.near) }
    }

    /// More descriptors have something to say than one wait reports: none is left out.
    @Test func noneOfManyIsLeftOut() throws {
        let bench = try ReactorBench(
            rings: cu_settings(submissions: 16, completions: 32, buffers: 8, buffer_bytes: 256, eager: 0))
        let pairs = try (0..<300).map { _ in try SocketPair() }
        for (index, pair) in pairs.enumerated() {
            bench.reactor.add(pair.near, CK_READ, token: UInt64(index))
        }
        for round in 0..<3 {
            for (index, pair) in pairs.enumerated() { pair.send([UInt8(truncatingIfNeeded: index &+ round)]) }
            var missing = Set(0..<pairs.count)
            let deadline = ck_monotonic_nanos() + 10_000_000_000
            while !missing.isEmpty, ck_monotonic_nanos() < deadline {
                for token in bench.wait(nanos: 1_000_000).keys {
                    let index = Int(token)
                    let received = bench.receive(pairs[index].near)
                    guard received.result > 0 else { continue }
                    #expect(received.bytes == [UInt8(truncatingIfNeeded: index &+ round)])
                    #expect(missing.remove(index) != nil)
                }
            }
            #expect(missing.isEmpty)
        }
        for pair in pairs { bench.close(pair.near) }
    }
}
