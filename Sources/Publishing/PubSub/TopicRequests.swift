import Synchronization

/// Topics that are wanted, from any thread to the publisher's.
public final class TopicRequests: Sendable {
    private let waiting = Mutex<[String]>([])
    private let isWaiting = Atomic<Bool>(false)

    init() {}

    /// Has topics created, unless they exist, before anything is sent to them. The ledger's `topicsPending` and
    /// `topicsReady` tell the progress.
    public func ensure(_ ids: [String]) {
        guard !ids.isEmpty else { return }
        waiting.withLock { $0 += ids }
        isWaiting.store(true, ordering: .releasing)
    }

    /// For the publisher thread: those that came since the last call. One load where there are none.
    func fetch() -> [String] {
        guard isWaiting.load(ordering: .relaxed), isWaiting.exchange(false, ordering: .acquiring) else {
            return []
        }
        return waiting.withLock { ids in
            defer { ids = [] }
            return ids
        }
    }
}
