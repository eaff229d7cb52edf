import Batching
import CKernel
import MarketData

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
        /// The connection that it goes over.
        var link: Int
        /// Whether it must make a connection of its own.
        var isFresh: Bool
        /// How long it may take, ns.
        var timeout: Int64
        /// Monotonic ns.
        var startedAt: Int64
        /// Bytes that are not known to be uploaded.
        var wireBytes: Int
        var block: BufferPool.Block?
    }

    enum Sleeper {
        case lane(Lane)
        case topic(Topic)
    }

    struct LaneKey: Hashable {
        var topic: String
        var orderingKey: String
    }

    let settings: PubSubSettings
    let ledger: PublishLedger
    let desk: TopicDesk
    private var encoder: MessageEncoder
    var pool: BufferPool
    var random: SplitMix64
    let backoff: Backoff
    let linkBackoff: Backoff
    private var templates: [RouteTemplate?] = []
    private(set) var lanes: [LaneKey: Lane] = [:]
    private var ready = Queue<Lane>()
    var sleepers = Deadlines<Sleeper>()
    var spare: [Parcel] = []

    var links: [PublishLink]
    var window: FlightWindow
    /// Connections that broke or could not be made since one last could.
    var linkFailures = 0
    var linkHasProblem = false
    /// Since when requests wait for want of room on all connections; nil while they do not.
    private var crowdedSince: Int64?
    /// Lanes and topics that have reported a problem which is not over.
    var problems = 0
    /// Refused messages on their way to the dead letters.
    var letters = LetterBook()
    /// Lanes in trouble, for the ledger.
    var troubled: [ObjectIdentifier: Lane] = [:]
    private var troublesToldAt: Int64 = 0
    private(set) var inFlight = 0

    /// So long after its creation a topic may still be unknown to some servers, ns.
    static let spreading: Int64 = 10_000_000_000
    /// Failures in a row of a transient kind before it counts as a problem.
    static let patience = 3
    /// The longest wait before a broken connection is tried again: it costs the service nothing, and recovery should
    /// not be slept through.
    static let longestLinkWait: Int64 = 5_000_000_000
    /// How long requests must have waited for room before another connection is opened, ns.
    static let crowdPatience: Int64 = 20_000_000
    /// A lane in trouble may hold this part of the budget; the rest is the others'.
    static let laneShare = 4

    init(settings: PubSubSettings, ledger: PublishLedger, seed: UInt64) {
        self.settings = settings
        self.ledger = ledger
        desk = TopicDesk(settings: settings, ledger: ledger)
        encoder = MessageEncoder(runID: settings.runID)
        pool = BufferPool(limit: settings.byteBudget)
        random = SplitMix64(seed: seed)
        backoff = Backoff(maximum: settings.maximumBackoff)
        linkBackoff = Backoff(maximum: min(settings.maximumBackoff, PublishScheduler.longestLinkWait))
        links = Array(repeating: PublishLink(), count: settings.connections)
        window = FlightWindow(maximum: settings.maxRequests * settings.connections)
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
            let topic = desk.topic(id)
            if topic.createdAt == nil { desk.request(topic) }
        }
    }

    /// The lane of that topic and key.
    func lane(topic: String, orderingKey: String, isDeadLetter: Bool = false) -> Lane {
        let key = LaneKey(topic: topic, orderingKey: orderingKey)
        if let lane = lanes[key] { return lane }
        let lane = Lane(topic: desk.topic(topic), orderingKey: orderingKey, isDeadLetter: isDeadLetter)
        lanes[key] = lane
        return lane
    }

    func template(_ route: Route) -> RouteTemplate {
        if route.index < templates.count, let template = templates[route.index] { return template }
        let lane = lane(topic: route.topic, orderingKey: route.orderingKey)
        let template = RouteTemplate(route: route, lane: lane, collector: settings.collector)
        while templates.count <= route.index { templates.append(nil) }
        templates[route.index] = template
        return template
    }

    /// Takes a copy of the batch, as messages, or says that the budget is used up.
    func take(_ batch: BatchView) -> SinkAnswer {
        if batch.isEncoded { return takeEncoded(batch) }
        let template = template(batch.route)
        let lane = template.lane
        let header = batch.header
        let messages = batch.isEventMode ? Int(header.count) : 1
        let form =
            batch.isEventMode
            ? RouteTemplate.event : header.isCompressed ? RouteTemplate.compressed : RouteTemplate.plain
        let fixed = template.attributes.count + form.count
        let bound =
            batch.data.count
            + messages * MessageEncoder.sizeLimit(data: 0, fixed: fixed, key: lane.keyField.count)
        guard pool.inUse == 0 || pool.inUse + BufferPool.size(bound) <= settings.byteBudget else {
            return .full
        }
        if lane.trouble != nil, lane.bytes + bound > settings.byteBudget / PublishScheduler.laneShare {
            return .laneFull
        }

        let receipt = BatchReceipt(batch)
        ledger.take(receipt)
        if batch.isEventMode {
            takeEvents(of: batch, receipt: receipt, template: template)
        } else {
            encoder.describe(
                MessageEncoder.Extent(
                    count: UInt64(header.count), firstSequence: header.firstSequence,
                    lastSequence: header.lastSequence, firstEventTime: header.firstEventTime,
                    lastEventTime: header.lastEventTime, batch: header.number,
                    dictionary: header.dictionary, run: template.run))
            let parcel = append(batch.data, to: lane, fixed: template.attributes, form: form)
            parcel.entries.append(Parcel.Entry(receipt: receipt, messages: 1))
        }
        if lane.state == .idle { enqueue(lane) }
        ledger.set(pool.inUse, at: .bytesHeld)
        return .accepted
    }

    private func takeEvents(of batch: BatchView, receipt: BatchReceipt, template: RouteTemplate) {
        var rest = receipt
        var part = receipt
        (part.events, part.bytes, part.rawBytes, part.endsBatch) = (0, 0, 0, false)
        var parcel: Parcel?
        let lane = template.lane
        let fixed = template.eventAttributes
        let limit = MessageEncoder.sizeLimit(data: 0, fixed: fixed.count, key: lane.keyField.count)
        let count = Int(batch.header.count)
        // Without it a request of many events would be copied each time that it had doubled.
        let expected = batch.data.count + count * (template.eventOverhead + 4)
        encoder.setBatch(batch.header.number, run: template.run)
        for index in 0..<count {
            let slice = batch.slice(index)
            let data = batch.event(index)
            let next: Parcel
            if let parcel, parcel.end + limit + data.count <= min(parcel.block.size, settings.requestBytes),
                parcel.messages < PubSubSettings.messageLimit
            {
                next = parcel
            } else {
                next = open(lane, bound: limit + data.count, expected: index == 0 ? expected : 0)
            }
            encoder.describeEvent(sequence: slice.sequence, time: slice.eventTime, index: index)
            let size = encoder.write(
                data: data, fixed: fixed, key: lane.keyField, to: next.block.base + next.end)
            next.end += size
            next.messages += 1
            if index == 0 { template.eventOverhead = size - data.count }
            if let parcel, parcel !== next {
                // The batch goes on in another request; each part is acknowledged with its own.
                parcel.entries.append(Parcel.Entry(receipt: part, messages: Int(part.events)))
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
        parcel?.entries.append(Parcel.Entry(receipt: rest, messages: Int(rest.events)))
    }

    /// Adds a message to the lane's last request, or to a new one.
    private func append(_ data: UnsafeRawBufferPointer, to lane: Lane, fixed: [UInt8], form: [UInt8])
        -> Parcel
    {
        let bound = MessageEncoder.sizeLimit(
            data: data.count, fixed: fixed.count + form.count, key: lane.keyField.count)
        let parcel = open(lane, bound: bound)
        parcel.end += encoder.write(
            data: data, fixed: fixed, form: form, key: lane.keyField, to: parcel.block.base + parcel.end)
        parcel.messages += 1
        return parcel
    }

    /// The request that the lane's next message of at most `bound` bytes goes to. `expected`: what it and those that
    /// follow it at once are likely to take together.
    func open(_ lane: Lane, bound: Int, expected: Int = 0) -> Parcel {
        if let last = lane.parcels.last, !last.wasSent, last.messages < PubSubSettings.messageLimit,
            last.end + bound <= settings.requestBytes
        {
            if last.end + bound > last.block.size {
                let wanted = min(last.end + expected, settings.requestBytes)
                let larger = pool.take(max(last.end + bound, last.block.size * 2, wanted))
                larger.base.copyMemory(from: last.block.base, byteCount: last.end)
                lane.bytes += larger.size - last.block.size
                pool.give(last.block)
                last.block = larger
            }
            return last
        }
        let parcel = parcel(for: lane, bytes: max(bound, min(expected, settings.requestBytes)))
        lane.parcels.append(parcel)
        return parcel
    }

    /// A request to the lane's topic with room for so many bytes, not yet among the lane's.
    func parcel(for lane: Lane, bytes: Int) -> Parcel {
        let field = lane.topic.field
        let start = Parcel.prefix + field.count
        let block = pool.take(start + bytes)
        lane.bytes += block.size
        field.withUnsafeBytes { bytes in
            var out = block.base + Parcel.prefix
            Protobuf.copy(bytes, to: &out)
        }
        guard let used = spare.popLast() else { return Parcel(block: block, end: start) }
        used.block = block
        used.end = start
        return used
    }

    /// The lane's parcel is done with.
    func recycle(_ parcel: Parcel, of lane: Lane) {
        lane.bytes -= parcel.block.size
        pool.give(parcel.block)
        parcel.entries.removeAll(keepingCapacity: true)
        parcel.messages = 0
        parcel.wasSent = false
        if spare.count < 1024 { spare.append(parcel) }
    }

    // MARK: Requests out

    /// The next request that may be sent now; it is in flight from then on.
    func nextRequest(now: Int64) -> Request? {
        wake(now: now)
        guard inFlight < window.limit || desk.isDue(now) else { return nil }
        var request: Request?
        if let link = link(forBytes: 0, now: now) { request = nextCreate(link: link, now: now) }
        request = request ?? nextPublish(now: now)
        guard let request else { return nil }
        inFlight += 1
        links[request.link].requests += 1
        links[request.link].wireBytes += request.wireBytes
        ledger.set(inFlight, at: .requestsInFlight)
        if request.isFresh { links[request.link].state = .probing }
        return request
    }

    /// Whether ``nextRequest(now:)`` has one (or would find out that it has none, and not ask again).
    func hasRequest(now: Int64) -> Bool {
        if now >= sleepers.next { return true }
        if desk.isDue(now), link(forBytes: 0, now: now) != nil { return true }
        guard let lane = ready.first, let parcel = lane.parcels.first, inFlight < window.limit else {
            return false
        }
        return lane.topic.state != .usable || link(forBytes: parcel.end, now: now) != nil
    }

    /// Whether a request waits for uploads to make room.
    var waitsForUploads: Bool { crowdedSince != nil }

    /// A connection for so many bytes: the first that has room, or one to be opened where none is up or those that
    /// are have been crowded for a while; nil where the request must wait.
    private func link(forBytes bytes: Int, now: Int64) -> Int? {
        var down: Int?
        var isUp = false
        var isProbing = false
        for (index, link) in links.enumerated() {
            switch link.state {
            case .up:
                isUp = true
                if link.takes(bytes, requestLimit: settings.maxRequests, wireLimit: settings.wireBytes) {
                    if bytes > 0 { crowdedSince = nil }
                    return index
                }
            case .down: if down == nil, now >= link.retryAt { down = index }
            case .probing: isProbing = true
            case .draining: break
            }
        }
        // One connection is opened at a time.
        if isProbing { return nil }
        guard isUp else { return down }
        let since = crowdedSince ?? now
        crowdedSince = since
        return now - since >= PublishScheduler.crowdPatience ? down : nil
    }

    private func nextCreate(link: Int, now: Int64) -> Request? {
        guard let (topic, message) = desk.next(now: now) else { return nil }
        let parcel = Parcel(block: pool.take(Parcel.prefix + message.count), end: Parcel.prefix)
        message.withUnsafeBytes { bytes in
            var out = parcel.block.base + Parcel.prefix
            Protobuf.copy(bytes, to: &out)
        }
        parcel.end += message.count
        return request(.create(topic), parcel: parcel, owns: true, link: link, now: now)
    }

    private func nextPublish(now: Int64) -> Request? {
        while let lane = ready.first {
            guard lane.topic.state == .usable else {
                _ = ready.popFirst()
                lane.state = .blocked
                lane.topic.blocked.append(lane)
                continue
            }
            guard inFlight < window.limit, let parcel = lane.parcels.first,
                let link = link(forBytes: parcel.end, now: now)
            else { return nil }
            _ = ready.popFirst()
            lane.state = .inFlight
            parcel.wasSent = true
            return request(.publish(lane), parcel: parcel, owns: false, link: link, now: now)
        }
        return nil
    }

    private func request(_ work: Request.Work, parcel: Parcel, owns: Bool, link: Int, now: Int64) -> Request {
        Request(
            work: work, body: parcel.body(), messages: parcel.messages, link: link,
            isFresh: links[link].state == .down,
            timeout: settings.requestTimeout + Int64(parcel.end) * 10_000, startedAt: now,
            wireBytes: parcel.end, block: owns ? parcel.block : nil)
    }

    /// The whole body has left: it no longer takes room on its connection.
    func uploaded(_ request: inout Request) {
        links[request.link].wireBytes -= request.wireBytes
        request.wireBytes = 0
    }

    /// Puts the lane behind those that are ready.
    func enqueue(_ lane: Lane) {
        lane.state = .ready
        ready.append(lane)
    }

    private func wake(now: Int64) {
        while let sleeper = sleepers.popDue(now) {
            switch sleeper {
            case .lane(let lane): enqueue(lane)
            case .topic(let topic): desk.requeue(topic)
            }
        }
    }

    /// When ``nextRequest(now:)`` may have something new without anything having come in; `.max`: never.
    func deadline() -> Int64 {
        var deadline = sleepers.next
        let isUp = links.contains { $0.state == .up }
        if isUp { deadline = min(deadline, desk.deadline()) }
        let waits = isUp ? crowdedSince != nil : !ready.isEmpty || desk.hasMissing
        if waits, !links.contains(where: { $0.state == .probing }) {
            // When a connection may be opened.
            let patience = isUp ? (crowdedSince ?? 0) + PublishScheduler.crowdPatience : 0
            for link in links where link.state == .down {
                deadline = min(deadline, max(link.retryAt, patience))
            }
        }
        return deadline
    }

    /// The service's wire has ended a request; what follows is ``finish(_:_:now:)``'s.
    func release(_ request: Request) {
        inFlight -= 1
        links[request.link].requests -= 1
        links[request.link].wireBytes -= request.wireBytes
        ledger.set(inFlight, at: .requestsInFlight)
    }

    /// How often the ledger hears how lanes in trouble grow, ns.
    static let troublePause: Int64 = 1_000_000_000

    /// Tells the ledger which lanes rest and why; to be called about once a second. Nothing in steady state.
    func tellTroubles(now: Int64, atOnce: Bool = false) {
        guard atOnce || (!troubled.isEmpty && now - troublesToldAt >= PublishScheduler.troublePause) else {
            return
        }
        troublesToldAt = now
        ledger.set(
            paused: troubled.values.compactMap { lane in
                lane.trouble.map { (lane, $0) }
            }.sorted { $0.1.since < $1.1.since }.prefix(PublishLedger.pausedLimit).map { lane, trouble in
                PausedKey(
                    topic: lane.topic.id, orderingKey: lane.orderingKey, since: trouble.since,
                    reason: trouble.reason, batches: lane.parcels.reduce(0) { $0 + $1.entries.count },
                    bytes: lane.bytes)
            }, count: troubled.count)
    }
}
