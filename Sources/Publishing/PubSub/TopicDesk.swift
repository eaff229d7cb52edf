/// Knows the topics and has them made: each once at a time, a few together, and all within the service's pace.
final class TopicDesk {
    private let settings: PubSubSettings
    private let fields: [UInt8]
    private let ledger: PublishLedger
    private var topics: [String: Topic] = [:]
    private var missing = Queue<Topic>()
    private var creating = 0
    private var nextCreateAt: Int64 = 0

    /// CreateTopics in flight at most.
    static let createLimit = 4

    init(settings: PubSubSettings, ledger: PublishLedger) {
        self.settings = settings
        self.ledger = ledger
        fields = settings.topics.fields
    }

    /// The topic of that id, which is believed to exist where nothing else is known.
    func topic(_ id: String) -> Topic {
        if let topic = topics[id] { return topic }
        let topic = Topic(project: settings.project, id: id)
        topics[id] = topic
        return topic
    }

    /// Has the topic made, unless that is under way.
    func request(_ topic: Topic) {
        guard topic.state == .usable else { return }
        topic.state = .queued
        missing.append(topic)
        ledger.set(ledger.total(.topicsPending) + 1, at: .topicsPending)
    }

    /// Its wait is over.
    func requeue(_ topic: Topic) {
        topic.state = .queued
        missing.append(topic)
    }

    var hasMissing: Bool { !missing.isEmpty }

    /// Whether a topic may be made now.
    func isDue(_ now: Int64) -> Bool {
        !missing.isEmpty && creating < TopicDesk.createLimit && now >= nextCreateAt
    }

    /// When the pace next allows one; `.max` where it is not the pace that hinders.
    func deadline() -> Int64 { hasMissing && creating < TopicDesk.createLimit ? nextCreateAt : .max }

    /// The next topic to be made, as the message of CreateTopic; nil where none may be made now.
    func next(now: Int64) -> (topic: Topic, message: [UInt8])? {
        guard isDue(now), let topic = missing.popFirst() else { return nil }
        topic.state = .creating
        creating += 1
        nextCreateAt = max(nextCreateAt, now - settings.createPace) + settings.createPace
        return (topic, topic.field + fields)
    }

    /// A CreateTopic has ended. True where the topic is there.
    func end(_ topic: Topic, _ code: PublishCode, now: Int64) -> Bool {
        creating -= 1
        guard code == .ok || code == .alreadyExists else {
            topic.failures += 1
            topic.state = .waiting
            return false
        }
        topic.state = .usable
        topic.createdAt = now
        topic.failures = 0
        ledger.add(to: .topicsReady)
        ledger.set(ledger.total(.topicsPending) - 1, at: .topicsPending)
        return true
    }
}
