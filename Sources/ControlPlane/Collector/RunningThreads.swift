import Rings
import Synchronization

/// The threads that run, to be ended together.
final class RunningThreads: Sendable {
    private let threads = Mutex<[StageThread]>([])

    func add(_ thread: StageThread) { threads.withLock { $0.append(thread) } }

    /// Asks all to end and waits for them.
    func stopAll() {
        let all = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        for thread in all { thread.control.stop() }
        for thread in all { thread.join() }
    }
}
