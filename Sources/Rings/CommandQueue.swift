import Synchronization

/// How the control plane and neighbours speak to a stage: rarely, from any thread, never for each message. Bounded;
/// the stage pays one relaxed load a cycle while it is empty.
public final class CommandQueue<Command: Sendable>: Sendable {
    private let commands = Mutex<[Command]>([])
    // Read first and written last under the lock: the thread sanitizer does not see how a contended `Mutex` hands over.
    private let hasAny = Atomic<Bool>(false)
    private let waker: Waker?
    /// Most commands that wait.
    public let capacity: Int

    /// An empty queue. `waker`: of the stage that drains it.
    public init(capacity: Int, waker: Waker? = nil) {
        self.capacity = capacity
        self.waker = waker
    }

    /// Puts a command behind the others; false where the queue is full.
    @discardableResult public func send(_ command: Command) -> Bool {
        let isTaken = commands.withLock { commands in
            _ = hasAny.load(ordering: .acquiring)
            defer { hasAny.store(!commands.isEmpty, ordering: .sequentiallyConsistent) }
            guard commands.count < capacity else { return false }
            commands.append(command)
            return true
        }
        if isTaken { waker?.wakeIfParked() }
        return isTaken
    }

    /// Whether a command waits.
    public var isEmpty: Bool { !hasAny.load(ordering: .sequentiallyConsistent) }

    /// Takes up to `limit` commands, oldest first.
    public func drain(limit: Int = 64) -> [Command] {
        guard hasAny.load(ordering: .relaxed) else { return [] }
        return commands.withLock { commands in
            _ = hasAny.load(ordering: .acquiring)
            defer { hasAny.store(!commands.isEmpty, ordering: .sequentiallyConsistent) }
            let count = min(limit, commands.count)
            let taken = Array(commands[..<count])
            commands.removeFirst(count)
            return taken
        }
    }
}
