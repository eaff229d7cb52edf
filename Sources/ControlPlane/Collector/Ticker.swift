import Foundation
import Synchronization

/// Resumes a task at an even pace, from a thread of its own.
///
/// A task that sleeps goes over Dispatch's timers, which took three threads some six turns for each sleep (schedstat of the
/// threads, at ten a second): disturbances of whatever else runs on the CPUs that are left to them.
final class Ticker: Sendable {
    private enum State {
        /// Nobody waits, and nothing is due.
        case idle
        /// A time has passed that nobody has waited for.
        case due
        case waiting(CheckedContinuation<Void, Never>)
        case stopped
    }

    private let state = Mutex(State.idle)

    /// `microseconds`: between two times, 1 to 999,999.
    init(microseconds: UInt32) {
        // Holds on to the ticker until it is stopped.
        let thread = Thread {
            repeat { usleep(microseconds) } while self.tick()
        }
        thread.name = "ticker"
        thread.start()
    }

    /// Returns when the next time has come, at once where one has passed unseen or the ticker is stopped. For one task at
    /// a time.
    func next() async {
        await withCheckedContinuation { continuation in
            let mustWait = state.withLock { state in
                switch state {
                case .idle:
                    state = .waiting(continuation)
                    return true
                case .due:
                    state = .idle
                    return false
                case .waiting, .stopped: return false
                }
            }
            if !mustWait { continuation.resume() }
        }
    }

    /// Ends the thread at its next turn; who waits is resumed.
    func stop() {
        resume(into: .stopped)
    }

    /// Whether it goes on.
    private func tick() -> Bool {
        resume(into: .due)
    }

    @discardableResult
    private func resume(into next: State) -> Bool {
        let (waiting, goesOn) = state.withLock { state -> (CheckedContinuation<Void, Never>?, Bool) in
            switch state {
            case .stopped: return (nil, false)
            case .waiting(let continuation):
                if case .due = next { state = .idle } else { state = next }
                return (continuation, true)
            case .idle, .due:
                state = next
                return (nil, true)
            }
        }
        waiting?.resume()
        return goesOn
    }
}
