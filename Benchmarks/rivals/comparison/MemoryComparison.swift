import Glibc
import MarketData
import Wire

/// Frames in memory → events: the collector's decoder and its rivals, one after the other on the same runs.
struct MemoryComparison {
    let symbols: [String]
    let rivals: [Rival]
    let library: UnsafeMutableRawPointer
    let rounds: Int

    private typealias Copy =
        @convention(c) (UnsafeRawPointer, UnsafeRawPointer, Int, UnsafeMutableRawPointer) -> Int

    /// ns a frame, medians over the rounds, in the order: copying, rivals, the collector.
    func measure(_ frames: Frames) throws -> [Double] {
        let copy = try Rival.function(library, "rv_copy", as: Copy.self)
        let out = UnsafeMutableRawPointer.allocate(byteCount: 1 << 20, alignment: 64)
        let hot = UnsafeMutableRawBufferPointer.allocate(byteCount: frames.longestRun, alignment: 64)
        defer {
            out.deallocate()
            hot.deallocate()
        }
        let ours = try Ours(symbols: symbols)
        try check(frames, ours, out)
        var times = [[Double]](repeating: [], count: rivals.count + 2)
        for _ in 0..<rounds {
            var nanos = [Int64](repeating: 0, count: times.count)
            ours.forget()
            for run in frames.runs {
                // Every one finds the run where decryption would have left it: in the cache.
                guard let base = hot.baseAddress, let source = run.baseAddress else { continue }
                let header = source.load(as: FrameRunHeader.self)
                let table = UnsafeRawPointer(base) + Int(header.tableOffset)
                nanos[0] += timed(run, hot) { _ = copy(base, table, Int(header.frameCount), out) }
                for (index, rival) in rivals.enumerated() {
                    nanos[index + 1] += timed(run, hot) { _ = rival.decode(base, to: out) }
                }
                nanos[rivals.count + 1] += timed(run, hot) { _ = ours.decode(hot) }
                ours.drain { _ in }
            }
            for index in times.indices { times[index].append(Double(nanos[index]) / Double(frames.count)) }
        }
        return times.map { $0.sorted()[$0.count / 2] }
    }

    @inline(__always)
    private func timed(
        _ run: UnsafeMutableRawBufferPointer, _ hot: UnsafeMutableRawBufferPointer, _ work: () -> Void
    ) -> Int64 {
        hot.copyMemory(from: UnsafeRawBufferPointer(run))
        // The thread's own time: others may want the CPU too.
        let before = nanos(CLOCK_THREAD_CPUTIME_ID)
        work()
        return nanos(CLOCK_THREAD_CPUTIME_ID) - before
    }

    /// Every field of every event must be the same.
    private func check(_ frames: Frames, _ ours: Ours, _ out: UnsafeMutableRawPointer) throws {
        ours.forget()
        var checked = 0
        for run in frames.runs {
            guard let base = run.baseAddress else { continue }
            guard ours.decode(run) else {
                throw ComparisonFailure(description: "the collector's ring was too small for a run")
            }
            var expected: [[(name: String, value: String)]] = []
            try ours.drain { record in
                guard let event = record.baseAddress, let fields = EventFields.of(event) else {
                    throw ComparisonFailure(
                        description: "the collector's decoder made something else of a frame")
                }
                expected.append(fields)
            }
            let header = base.load(as: FrameRunHeader.self)
            guard expected.count == Int(header.frameCount) else {
                throw ComparisonFailure(
                    description: "the collector made \(expected.count) events of \(header.frameCount) frames")
            }
            for rival in rivals { try compare(rival, rival.decode(base, to: out), out, expected) }
            checked += expected.count
        }
        print("Checked: \(checked) events, every field the same for all.")
    }

    private func compare(
        _ rival: Rival, _ bytes: Int, _ out: UnsafeMutableRawPointer,
        _ expected: [[(name: String, value: String)]]
    ) throws {
        guard bytes > 0 else { throw ComparisonFailure(description: "\(rival.name) could not read a frame") }
        var at = 0
        for (index, fields) in expected.enumerated() {
            guard at < bytes, let stride = EventFields.stride(of: out + at),
                let found = EventFields.of(out + at)
            else { throw ComparisonFailure(description: "\(rival.name) made too few events") }
            for (mine, theirs) in zip(fields, found) where mine.value != theirs.value {
                throw ComparisonFailure(
                    description:
                        "event \(index): \(mine.name) is \(mine.value), and \(theirs.value) by \(rival.name)")
            }
            at += stride
        }
    }
}

/// Monotonic time, ns.
func nanosNow() -> Int64 { nanos(CLOCK_MONOTONIC) }

@inline(__always)
private func nanos(_ clock: clockid_t) -> Int64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
}
