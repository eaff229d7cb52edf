import CKernel
import Synchronization

/// What a thread does when there is nothing to do.
public enum IdleStrategy: String, Sendable, CaseIterable {
    /// Looks again at once: lowest latency, a whole core.
    case spin
    /// Spins, then yields, then parks.
    case adaptive
    /// Parks at once.
    case park
}

/// The work of one thread. Reading ``doWork()`` is reading the thread.
public protocol Stage: ~Copyable, SendableMetatype {
    /// Does what there is to do, a bounded amount of it, and returns how much that was; 0 where there was nothing, or
    /// nothing that could be done.
    mutating func doWork() -> Int
    /// Whether there is input that ``doWork()`` would take. Asked after announcing to park.
    mutating func hasInput() -> Bool
    /// How long the thread may park: until its next deadline, ns, at most a second.
    mutating func parkLimit() -> Int64
    /// Waits for the waker or for the stage's own descriptors.
    mutating func park(nanos: Int64)
}

/// What a thread shares with the control plane.
public final class StageControl: Sendable {
    /// Names the thread in metrics, errors and /proc; at most 15 bytes.
    public let name: String
    /// Wakes the thread where it parks.
    public let waker: Waker
    private let stopping = Atomic<Bool>(false)
    // Written with every cycle: on cache lines of the thread's own, not beside another thread's control block.
    private enum Count: Int, CaseIterable { case cycles, busyCycles, busyNanos, longestCycle, stalls }
    private let counts = CounterBlock(count: Count.allCases.count)
    private let finished = Atomic<Bool>(false)

    /// A cycle longer than this counts as a stall, ns: ten times the latency that is promised.
    public static let stallNanos: Int64 = 10_000_000

    /// A control block with a waker of its own.
    public init(name: String) throws(RingError) {
        self.name = name
        waker = try Waker()
    }

    /// Asks the thread to end after its current cycle.
    public func stop() {
        stopping.store(true, ordering: .sequentiallyConsistent)
        waker.wakeIfParked()
    }

    /// Whether ``stop()`` was called.
    public var isStopping: Bool { stopping.load(ordering: .sequentiallyConsistent) }
    /// Whether the thread has ended.
    public var hasFinished: Bool { finished.load(ordering: .acquiring) }
    /// Cycles so far; one that stands still for seconds belongs to a thread that hangs.
    public var cycleCount: UInt64 { UInt64(counts.value(Count.cycles.rawValue)) }
    /// Cycles that found work.
    public var busyCycleCount: UInt64 { UInt64(counts.value(Count.busyCycles.rawValue)) }
    /// Time in cycles that found work, ns: what a thread that never parks does with its CPU. What the machine took away in
    /// between is in it.
    public var busyNanos: UInt64 { UInt64(counts.value(Count.busyNanos.rawValue)) }
    /// The longest cycle so far, ns; time that was yielded or slept away is in none.
    public var longestCycleNanos: Int64 { Int64(counts.value(Count.longestCycle.rawValue)) }
    /// Cycles longer than ``stallNanos``.
    public var stallCount: UInt64 { UInt64(counts.value(Count.stalls.rawValue)) }

    fileprivate func count(cycle nanos: Int64, work: Int) {
        counts.add(1, to: Count.cycles.rawValue)
        if work > 0 {
            counts.add(1, to: Count.busyCycles.rawValue)
            counts.add(Int(nanos), to: Count.busyNanos.rawValue)
        }
        if nanos > longestCycleNanos { counts.set(Int(nanos), at: Count.longestCycle.rawValue) }
        if nanos > StageControl.stallNanos { counts.add(1, to: Count.stalls.rawValue) }
    }

    fileprivate func finish() { finished.store(true, ordering: .releasing) }
}

extension Stage where Self: ~Copyable {
    /// The loop of a thread: works until it is asked to stop, idles as told in between.
    @inlinable public mutating func run(control: StageControl, idle: IdleStrategy) {
        runLoop(control: control, idle: idle)
    }

    @usableFromInline mutating func runLoop(control: StageControl, idle: IdleStrategy) {
        // Adaptive: about 20 µs of spinning, then a few yields, before the 50 µs that a wake-up may cost.
        let spinLimit = idle == .park ? 0 : 2_000
        let yieldLimit = idle == .park ? 0 : 20
        var idleCycles = 0
        var before = ck_monotonic_nanos()
        while !control.isStopping {
            let work = doWork()
            let now = ck_monotonic_nanos()
            control.count(cycle: now - before, work: work)
            before = now
            if work > 0 {
                idleCycles = 0
                continue
            }
            idleCycles &+= 1
            if idle == .spin || idleCycles <= spinLimit {
                ck_pause()
            } else if idleCycles <= spinLimit + yieldLimit {
                ck_yield()
                // Others' time is none of the thread's cycles.
                before = ck_monotonic_nanos()
            } else {
                control.waker.beginPark()
                let limit = parkLimit()
                if limit > 0, !hasInput(), !control.isStopping { park(nanos: limit) }
                control.waker.endPark()
                before = ck_monotonic_nanos()
            }
        }
        control.finish()
    }
}

/// A running thread.
public final class StageThread: Sendable {
    private let handle: UInt
    /// Its control block.
    public let control: StageControl

    private final class Start {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    /// Starts a thread that makes its stage and runs it. `cpu`: pinned to it; failing that is told by `onPinError`
    /// with the errno, and the thread runs unpinned.
    public init<S: Stage & ~Copyable>(
        control: StageControl, idle: IdleStrategy, cpu: Int? = nil,
        onPinError: @escaping @Sendable (Int32) -> Void = { _ in },
        make: @escaping @Sendable () -> S
    ) throws(RingError) {
        self.control = control
        let start = Start {
            ck_name_thread(control.name)
            if let cpu {
                let code = ck_pin_thread(Int32(cpu))
                if code != 0 { onPinError(-code) }
            }
            var stage = make()
            stage.run(control: control, idle: idle)
        }
        var handle: UInt = 0
        let context = Unmanaged.passRetained(start)
        let code = ck_thread_start(
            { context in
                guard let context else { return }
                Unmanaged<Start>.fromOpaque(context).takeRetainedValue().body()
            }, context.toOpaque(), &handle)
        guard code == 0 else {
            context.release()
            throw RingError(
                description:
                    "thread \(control.name) could not be started (errno \(-code)); raise the limit of"
                    + " processes (ulimit -u) or the container's pids limit")
        }
        self.handle = handle
    }

    /// Waits for its end; call once, after `control.stop()`.
    public func join() { _ = ck_thread_join(handle) }
}
