import Batching
import CKernel

/// Decides what is sent when, without any input or output: batches come in, requests go out, outcomes come back. Time
/// is given (monotonic ns).
///
/// What it keeps to: one request in flight for each topic and ordering key; a batch is forgotten only on its
/// acknowledgement; what was in flight is sent again unchanged, before anything behind it; a connection is tried with
/// one request before others follow.
final class PublishScheduler {
    /// A request to be sent.
    struct Request {
        enum Work {
            case publish(Lane)
            case create(Topic)
        }
        var work: Work
        /// Stays in place until ``finish(_:_:now:)``.
        var body: UnsafeRawBufferPointer
        /// Messages of a Publish.
        var messages: Int
        /// Whether it must make a connection of its own.
        var isFresh: Bool
        /// How long it may take, ns.
        var timeout: Int64
        fileprivate var block: BufferPool.Block?
    }

    private enum Link {
        /// None is open; the next request opens one.
        case down
        /// That request is in flight.
        case probing
        case up
        /// Broken or suspected to be: nothing is sent until all requests in flight have ended.
        case draining
    }

    private enum Sleeper {
        case lane(Lane)
        case topic(Topic)
    }

    private struct LaneKey: Hashable {
        var topic: String
        var orderingKey: String
    }

    private let settings: PubSubSettings
    private let ledger: PublishLedger
    private var encoder: MessageEncoder
    private var pool: BufferPool
    private var random: SplitMix
    private let backoff: Backoff
    private let linkBackoff: Backoff
    private var templates: [RouteTemplate?] = []
    private var lanes: [LaneKey: Lane] = [:]
    private var topics: [String: Topic] = [:]
    private var ready = Queue<Lane>()
    private var missing = Queue<Topic>()
    private var sleepers: [(time: Int64, who: Sleeper)] = []
    private var nextWake = Int64.max
    private var spare: [Parcel] = []

    private var link = Link.down
    private var linkRetryAt: Int64 = 0
    private var linkFailures = 0
    private var linkHasProblem = false
    /// Lanes and topics that have reported a problem which is not over.
    private var problems = 0

    private(set) var inFlight = 0
    private var wireBytes = 0
    private var creating = 0
    private var nextCreateAt: Int64 = 0

    /// Topics are created four at a time and a hundred a second: Pub/Sub allows 6,000 administrative calls a minute.
    static let createLimit = 4
    static let createPace: Int64 = 10_000_000
    /// So long after its creation a topic may still be unknown to some servers, ns.
    static let spreading: Int64 = 10_000_000_000
    /// Failures in a row of a transient kind before it counts as a problem.
    static let patience = 3
    /// The longest wait before a broken connection is tried again: it costs the service nothing, and recovery should
    /// not be slept through.
    static let longestLinkWait: Int64 = 5_000_000_000

    init(settings: PubSubSettings, ledger: PublishLedger, seed: UInt64) {
        self.settings = settings
        self.ledger = ledger
        encoder = MessageEncoder(runID: settings.runID)
        pool = BufferPool(limit: settings.byteBudget)
        random = SplitMix(seed: seed)
        backoff = Backoff(maximum: settings.maximumBackoff)
        linkBackoff = Backoff(maximum: min(settings.maximumBackoff, PublishScheduler.longestLinkWait))
    }

    deinit {
        for lane in lanes.values {
            for parcel in lane.parcels { pool.give(parcel.block) }
        }
    }

    // MARK: Batches in

    /// Has these topics created, unless they exist, before anything is sent to them.
    func ensure(topics ids: [String]) {
        for id in ids {
            let topic = topic(id)
            if topic.state == .usable, topic.createdAt == nil { request(topic) }
        }
    }

    private func request(_ topic: Topic) {
        topic.state = .queued
        missing.append(topic)
        ledger.set(ledger.total(.topicsPending) + 1, at: .topicsPending)
    }

    private func topic(_ id: String) -> Topic {
        if let topic = topics[id] { return topic }
        let topic = Topic(project: settings.project, id: id)
        topics[id] = topic
        return topic
    }

    private func template(_ route: Route) -> RouteTemplate {
        if route.index < templates.count, let template = templates[route.index] { return template }
        let key = LaneKey(topic: route.topic, orderingKey: route.orderingKey)
        let lane = lanes[key] ?? Lane(topic: topic(route.topic), orderingKey: route.orderingKey)
        lanes[key] = lane
        let template = RouteTemplate(route: route, lane: lane, collector: settings.collector)
        while templates.count <= route.index { templates.append(nil) }
        templates[route.index] = template
        return template
    }

    /// Takes a copy of the batch, as messages, or says that the budget is used up.
    func take(_ batch: BatchView) -> SinkAnswer {
        let template = template(batch.route)
        let lane = template.lane
        let header = batch.header
        let messages = batch.isEventMode ? Int(header.count) : 1
        let fixed =
            batch.isEventMode
            ? template.event : header.isCompressed ? template.compressed : template.plain
        let bound =
            batch.data.count
            + messages * MessageEncoder.sizeLimit(data: 0, fixed: fixed.count, key: lane.keyField.count)
        guard pool.inUse == 0 || pool.inUse + BufferPool.size(bound) <= settings.byteBudget else {
            return .full
        }

        let receipt = BatchReceipt(batch)
        ledger.take(receipt)
        if batch.isEventMode {
            takeEvents(of: batch, receipt: receipt, lane: lane, fixed: fixed)
        } else {
            encoder.describe(
                MessageEncoder.Extent(
                    count: UInt64(header.count), firstSequence: header.firstSequence,
                    lastSequence: header.lastSequence, firstEventTime: header.firstEventTime,
                    lastEventTime: header.lastEventTime, batch: header.number,
                    dictionary: header.dictionary))
            append(batch.data, to: lane, fixed: fixed).receipts.append(receipt)
        }
        if lane.state == .idle { enqueue(lane) }
        ledger.set(pool.inUse, at: .bytesHeld)
        return .accepted
    }

    private func takeEvents(of batch: BatchView, receipt: BatchReceipt, lane: Lane, fixed: [UInt8]) {
        var rest = receipt
        var part = receipt
        (part.events, part.bytes, part.rawBytes, part.endsBatch) = (0, 0, 0, false)
        var parcel: Parcel?
        for index in 0..<Int(batch.header.count) {
            let slice = batch.slice(index)
            encoder.describe(
                MessageEncoder.Extent(
                    count: 1, firstSequence: slice.sequence, lastSequence: slice.sequence,
                    firstEventTime: slice.eventTime, lastEventTime: slice.eventTime,
                    batch: batch.header.number,
                    index: index))
            let next = append(batch.event(index), to: lane, fixed: fixed)
            if let parcel, parcel !== next {
                // The batch goes on in another request; each part is acknowledged with its own.
                parcel.receipts.append(part)
                rest.events -= part.events
                rest.bytes -= part.bytes
                rest.rawBytes -= part.rawBytes
                (part.events, part.bytes, part.rawBytes) = (0, 0, 0)
            }
            parcel = next
            part.events += 1
            part.bytes += slice.length
            part.rawBytes += slice.length
        }
        parcel?.receipts.append(rest)
    }

    /// Adds a message to the lane's last request, or to a new one.
    private func append(_ data: UnsafeRawBufferPointer, to lane: Lane, fixed: [UInt8]) -> Parcel {
        let bound = MessageEncoder.sizeLimit(data: data.count, fixed: fixed.count, key: lane.keyField.count)
        let parcel = open(lane, bound: bound)
        parcel.end += encoder.write(
            data: data, fixed: fixed, key: lane.keyField, to: parcel.block.base + parcel.end)
        parcel.messages += 1
        return parcel
    }

    private func open(_ lane: Lane, bound: Int) -> Parcel {
        if let last = lane.parcels.last, !last.wasSent, last.messages < PubSubSettings.messageLimit,
            last.end + bound <= settings.requestBytes
        {
            if last.end + bound > last.block.size {
                let larger = pool.take(max(last.end + bound, last.block.size * 2))
                larger.base.copyMemory(from: last.block.base, byteCount: last.end)
                pool.give(last.block)
                last.block = larger
            }
            return last
        }
        let field = lane.topic.field
        let start = Parcel.prefix + field.count
        let block = pool.take(start + bound)
        field.withUnsafeBytes { bytes in
            var out = block.base + Parcel.prefix
            Protobuf.copy(bytes, to: &out)
        }
        let parcel: Parcel
        if let used = spare.popLast() {
            used.block = block
            used.end = start
            parcel = used
        } else {
            parcel = Parcel(block: block, end: start)
        }
        lane.parcels.append(parcel)
        return parcel
    }

    // MARK: Requests out

    /// The next request that may be sent now; it is in flight from then on.
    func nextRequest(now: Int64) -> Request? {
        wake(now: now)
        switch link {
        case .probing, .draining: return nil
        case .down: guard now >= linkRetryAt, inFlight == 0 else { return nil }
        case .up: guard inFlight < settings.maxRequests else { return nil }
        }
        guard let request = nextCreate(now: now) ?? nextPublish() else { return nil }
        inFlight += 1
        wireBytes += request.body.count
        ledger.set(inFlight, at: .requestsInFlight)
        if link == .down { link = .probing }
        return request
    }

    /// Whether ``nextRequest(now:)`` has one (or would find out that it has none, and not ask again).
    func hasRequest(now: Int64) -> Bool {
        if now >= nextWake { return true }
        switch link {
        case .probing, .draining: return false
        case .down: return now >= linkRetryAt && inFlight == 0 && (!ready.isEmpty || !missing.isEmpty)
        case .up: break
        }
        guard inFlight < settings.maxRequests else { return false }
        if !missing.isEmpty, creating < PublishScheduler.createLimit, now >= nextCreateAt { return true }
        guard let lane = ready.first, let parcel = lane.parcels.first else { return false }
        return lane.topic.state != .usable || inFlight == 0 || wireBytes + parcel.end <= settings.wireBytes
    }

    private func nextCreate(now: Int64) -> Request? {
        guard creating < PublishScheduler.createLimit, now >= nextCreateAt, let topic = missing.popFirst()
        else {
            return nil
        }
        topic.state = .creating
        creating += 1
        nextCreateAt = now + PublishScheduler.createPace
        let parcel = Parcel(block: pool.take(Parcel.prefix + topic.field.count), end: Parcel.prefix)
        topic.field.withUnsafeBytes { bytes in
            var out = parcel.block.base + Parcel.prefix
            Protobuf.copy(bytes, to: &out)
        }
        parcel.end += topic.field.count
        return request(.create(topic), parcel: parcel, owns: true)
    }

    private func nextPublish() -> Request? {
        while let lane = ready.first {
            guard lane.topic.state == .usable else {
                _ = ready.popFirst()
                lane.state = .blocked
                lane.topic.blocked.append(lane)
                continue
            }
            guard let parcel = lane.parcels.first,
                inFlight == 0 || wireBytes + parcel.end <= settings.wireBytes
            else {
                return nil
            }
            _ = ready.popFirst()
            lane.state = .inFlight
            parcel.wasSent = true
            return request(.publish(lane), parcel: parcel, owns: false)
        }
        return nil
    }

    private func request(_ work: Request.Work, parcel: Parcel, owns: Bool) -> Request {
        Request(
            work: work, body: parcel.body(), messages: parcel.messages, isFresh: link == .down,
            timeout: settings.requestTimeout + Int64(parcel.end) * 10_000, block: owns ? parcel.block : nil)
    }

    private func enqueue(_ lane: Lane) {
        lane.state = .ready
        ready.append(lane)
    }

    private func sleep(_ who: Sleeper, until time: Int64) {
        sleepers.append((time, who))
        nextWake = min(nextWake, time)
    }

    private func wake(now: Int64) {
        guard now >= nextWake else { return }
        nextWake = .max
        sleepers.removeAll { sleeper in
            guard sleeper.time <= now else {
                nextWake = min(nextWake, sleeper.time)
                return false
            }
            switch sleeper.who {
            case .lane(let lane): enqueue(lane)
            case .topic(let topic):
                topic.state = .queued
                missing.append(topic)
            }
            return true
        }
    }

    /// When ``nextRequest(now:)`` may have something new without anything having come in; `.max`: never.
    func deadline() -> Int64 {
        var deadline = nextWake
        if link == .down, !ready.isEmpty || !missing.isEmpty { deadline = min(deadline, linkRetryAt) }
        if link == .up, !missing.isEmpty, creating < PublishScheduler.createLimit {
            deadline = min(deadline, nextCreateAt)
        }
        return deadline
    }

    // MARK: Outcomes back

    /// Takes the outcome of a request. Called exactly once for each.
    func finish(_ request: Request, _ outcome: RequestOutcome, now: Int64) {
        inFlight -= 1
        wireBytes -= request.body.count
        ledger.set(inFlight, at: .requestsInFlight)
        ledger.count(outcome.code)
        if outcome.lacksStatus { ledger.add(to: .answersWithoutStatus) }
        updateLink(outcome, now: now)
        switch request.work {
        case .publish(let lane): finish(lane, outcome, now: now)
        case .create(let topic):
            creating -= 1
            finish(topic, outcome, now: now)
        }
        if let block = request.block { pool.give(block) }
        ledger.set(pool.inUse, at: .bytesHeld)
        if problems == 0, !linkHasProblem, outcome.code == .ok {
            ledger.reportRecovery(
                "pubsub sink: \(settings.endpoint.authority) takes messages again, nothing was lost")
        }
    }

    private func updateLink(_ outcome: RequestOutcome, now: Int64) {
        if outcome.isLinkFault {
            if link == .up { ledger.add(to: .reconnects) }
            if link != .draining {
                linkFailures += 1
                linkRetryAt = now + linkBackoff.wait(attempt: linkFailures, random: &random)
            }
            if linkFailures > 1 {
                linkHasProblem = true
                ledger.report(
                    problem:
                        "pubsub sink: \(settings.endpoint.authority): \(outcome.text); check the network and"
                        + " sink.endpoint or PUBSUB_EMULATOR_HOST; the batches are kept and tried again")
            }
            link = .draining
        } else if link == .probing {
            link = .up
            linkFailures = 0
            linkHasProblem = false
        }
        if link == .draining, inFlight == 0 { link = .down }
    }

    private func finish(_ lane: Lane, _ outcome: RequestOutcome, now: Int64) {
        guard outcome.code != .ok else {
            acknowledge(lane)
            return
        }
        if outcome.code == .notFound, settings.createTopics {
            let topic = lane.topic
            let isNew = topic.createdAt.map { now - $0 < PublishScheduler.spreading } ?? false
            if topic.state != .usable || !isNew {
                lane.state = .blocked
                topic.blocked.append(lane)
                if topic.state == .usable { request(topic) }
                return
            }
        }
        lane.failures += 1
        ledger.add(to: .retries)
        let isTransient = outcome.code.isTransient || (outcome.code == .notFound && settings.createTopics)
        if !isTransient || (lane.failures >= PublishScheduler.patience && !outcome.isLinkFault) {
            if !lane.hasProblem { problems += 1 }
            lane.hasProblem = true
            report("publish to \(lane.topic.name)", outcome)
        }
        lane.state = .waiting
        sleep(.lane(lane), until: now + wait(outcome, isTransient: isTransient, failures: lane.failures))
    }

    private func acknowledge(_ lane: Lane) {
        let parcel = lane.parcels.removeFirst()
        let time = ck_realtime_nanos()
        for receipt in parcel.receipts { ledger.acknowledge(receipt, now: time) }
        pool.give(parcel.block)
        parcel.receipts.removeAll(keepingCapacity: true)
        parcel.messages = 0
        parcel.wasSent = false
        if spare.count < 1024 { spare.append(parcel) }
        lane.failures = 0
        if lane.hasProblem { problems -= 1 }
        lane.hasProblem = false
        if lane.parcels.isEmpty { lane.state = .idle } else { enqueue(lane) }
    }

    private func finish(_ topic: Topic, _ outcome: RequestOutcome, now: Int64) {
        if outcome.code == .ok || outcome.code == .alreadyExists {
            topic.state = .usable
            topic.createdAt = now
            topic.failures = 0
            if topic.hasProblem { problems -= 1 }
            topic.hasProblem = false
            for lane in topic.blocked { enqueue(lane) }
            topic.blocked.removeAll()
            ledger.add(to: .topicsReady)
            ledger.set(ledger.total(.topicsPending) - 1, at: .topicsPending)
            return
        }
        topic.failures += 1
        ledger.add(to: .retries)
        if !outcome.code.isTransient || (topic.failures >= PublishScheduler.patience && !outcome.isLinkFault)
        {
            if !topic.hasProblem { problems += 1 }
            topic.hasProblem = true
            report("creating \(topic.name)", outcome)
        }
        topic.state = .waiting
        let pause = wait(outcome, isTransient: outcome.code.isTransient, failures: topic.failures)
        sleep(.topic(topic), until: now + pause)
    }

    private func wait(_ outcome: RequestOutcome, isTransient: Bool, failures: Int) -> Int64 {
        guard isTransient else {
            return settings.slowRetry / 2 + Int64(random.next() % UInt64(max(settings.slowRetry / 2, 1)))
        }
        let backoff = outcome.isLinkFault ? linkBackoff : backoff
        return max(backoff.wait(attempt: failures, random: &random), outcome.retryDelay)
    }

    private func report(_ action: String, _ outcome: RequestOutcome) {
        let words = outcome.text.isEmpty ? "" : " (\(outcome.text))"
        ledger.report(
            problem:
                "pubsub sink: \(action): \(outcome.code.name)\(words); \(remedy(outcome.code)); the batches are"
                + " kept and tried again")
    }

    private func remedy(_ code: PublishCode) -> String {
        switch code {
        case .notFound: "create the topic or set sink.createTopics: true"
        case .permissionDenied:
            "give the collector's service account roles/pubsub.publisher (roles/pubsub.editor to create topics) in"
                + " project \(settings.project)"
        case .unauthenticated: "check GOOGLE_APPLICATION_CREDENTIALS or the workload identity, and the clock"
        case .resourceExhausted: "raise the project's Pub/Sub quota or publish less"
        case .invalidArgument:
            "the service refuses the messages as they are: check the topic's schema and its name"
        case .failedPrecondition: "check the topic's storage policy, schema and encryption key"
        case .unimplemented: "check that sink.endpoint is a Pub/Sub service"
        default: "check the state of the Pub/Sub service"
        }
    }
}
