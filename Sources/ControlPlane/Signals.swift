import CKernel
import Glibc
import Synchronization

/// What the process was asked by signals. Whoever works looks at it from time to time.
public final class StopRequest: Sendable {
    private let stop = Atomic<Bool>(false)
    private let reloadCount = Atomic<Int>(0)

    /// Nothing was asked yet.
    public init() {}

    /// Whether a stop was asked for.
    public var isRequested: Bool { stop.load(ordering: .acquiring) }

    /// SIGHUPs so far.
    public var reloads: Int { reloadCount.load(ordering: .relaxed) }

    /// Asks for a stop, as SIGTERM does.
    public func request() { stop.store(true, ordering: .releasing) }

    func noteReload() { reloadCount.add(1, ordering: .relaxed) }
}

/// Runs work while the main thread watches for signals.
public enum SignalledRun {
    /// Runs `body` in a task and returns its result. Call it on the main thread before any other thread exists, so
    /// that every thread inherits the blocked signals. SIGTERM and SIGINT fill the request; a second one ends the
    /// process at once with 128 + its number, as a shell would tell it. SIGHUP is counted.
    public static func run<Result: Sendable>(
        _ body: @escaping @Sendable (StopRequest) async throws -> Result
    ) throws -> Result {
        let descriptor = ck_signal_fd()
        guard descriptor >= 0 else { throw SignalError(code: -descriptor) }
        defer { ck_close(descriptor) }
        let request = StopRequest()
        let box = Outcome<Result>()
        // Wakes the main thread from its wait for signals.
        let done = ck_eventfd()
        guard done >= 0 else { throw SignalError(code: -done) }
        Task.detached {
            do {
                let value = try await body(request)
                box.set(.success(value), waking: done)
            } catch {
                box.set(.failure(error), waking: done)
            }
        }
        while true {
            var waits = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: done, events: Int16(POLLIN), revents: 0),
            ]
            poll(&waits, 2, 1_000)
            if let outcome = box.get() {
                ck_close(done)
                return try outcome.get()
            }
            while true {
                let signal = ck_signal_next(descriptor)
                guard signal > 0 else { break }
                if signal == SIGHUP {
                    request.noteReload()
                } else if request.isRequested {
                    _exit(128 + signal)
                } else {
                    request.request()
                }
            }
        }
    }

    private final class Outcome<Value: Sendable>: Sendable {
        private let value = Mutex<Result<Value, any Error>?>(nil)
        // Woken inside of the lock: who has seen the outcome may close the descriptor.
        func set(_ outcome: Result<Value, any Error>, waking descriptor: Int32) {
            value.withLock {
                $0 = outcome
                ck_eventfd_signal(descriptor)
            }
        }
        func get() -> Result<Value, any Error>? { value.withLock { $0 } }
    }
}

/// Signals cannot be watched.
public struct SignalError: Error, CustomStringConvertible {
    /// The errno.
    public let code: Int32
    /// The sentence.
    public var description: String {
        "signals cannot be watched (errno \(code)); raise the limit of open files (ulimit -n)"
    }
}
