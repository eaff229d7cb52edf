import Batching
import CCurl
import CKernel
import Rings

/// Publishes batches with unary gRPC calls, google.pubsub.v1.Publisher/Publish, through libcurl: one connection or a
/// few, many requests in flight, one for each topic and ordering key. ``PublishScheduler`` decides, this moves the bytes.
public final class PubSubSink: Sink {
    private struct Slot {
        var request: OpaquePointer
        var work: PublishScheduler.Request?
        var isCreate: Bool?
        var seconds = 0
        var token: String?
        var hasHeaders = false
    }

    /// Its books.
    public let ledger: PublishLedger
    /// Where other threads ask for topics.
    public let topicRequests = TopicRequests()
    private let settings: PubSubSettings
    private let scheduler: PublishScheduler
    private let tokens: (any TokenSource)?
    /// libcurl's handles, one a connection.
    private let links: [OpaquePointer]
    /// Made as they are needed, at most as many as requests may be in flight.
    private var slots: [Slot] = []
    private var freeSlots: [Int] = []
    private let slotLimit: Int
    private var isClosed = false
    private var lastPerform: Int64 = 0
    /// The longest time without a call of curl_multi_perform while requests are in flight, ns.
    static let performPause: Int64 = 1_000_000
    /// So many looks without anything new until what is in flight is only waited for.
    static let shortParkLimit = 4
    private var tokenRetryAt: Int64 = 0
    private var refused: (token: String, until: Int64)?
    // libcurl looks at every request whenever it is called: with some in flight it is called at a pace.
    private var lastMove: Int64 = 0
    // libcurl 7.88.1 returns at once from polling while an upload waits for flow control.
    private var lastPoll: Int64 = 0
    private var quickPolls = 0
    private var movedBefore: Int64 = 0
    /// Parks that are to be short: libcurl may have something left to do of which neither socket nor timer tells.
    private var shortParks = 0
    private var lastSweep: Int64 = 0
    /// Calls of poll, for the test of what keeps them few.
    package private(set) var polls = 0

    /// Least time between two calls of libcurl while requests are in flight, ns: little beside the 10 ms that Pub/Sub
    /// takes for an answer, and it lets batches join.
    static let pace: Int64 = 100_000
    /// How long to wait for a token before asking again, ns.
    static let tokenPause: Int64 = 100_000_000
    /// A token that was refused is not sent again for so long, unless another one comes before, ns.
    static let refusalPause: Int64 = 2_000_000_000
    /// Timeouts from 10 s are rounded up to so many seconds, so that headers need not be made anew for each request.
    static let timeoutStep = 10
    /// A request without an answer for so long is shown as paused, ns.
    static let stallTime: Int64 = 5_000_000_000
    /// libcurl's own receive buffer, and one that holds any answer, bytes.
    private static let receiveBuffers: (usual: Int32, large: Int32) = (16_384, 131_072)

    /// A sink with no connection yet. `tokens`: nil for the emulator.
    public init(
        settings: PubSubSettings, ledger: PublishLedger, tokens: (any TokenSource)?
    ) throws(PublishError) {
        try settings.validate()
        var links: [OpaquePointer] = []
        for _ in 0..<settings.connections {
            guard let link = cc_multi_new() else {
                throw PublishError(
                    description: "pubsub sink: libcurl could not be started for want of memory")
            }
            links.append(link)
        }
        self.links = links
        self.settings = settings
        self.ledger = ledger
        self.tokens = tokens
        slotLimit = settings.maxRequests * settings.connections
        var seed: UInt64 = 0
        _ = withUnsafeMutableBytes(of: &seed) { ck_random($0.baseAddress, $0.count) }
        scheduler = PublishScheduler(settings: settings, ledger: ledger, seed: seed)
        ledger.report(
            information:
                "pubsub sink: publishing to project \(settings.project) at \(settings.endpoint.authority)"
                + " with \(String(cString: cc_version()))")
    }

    deinit { close() }

    /// Has topics created, unless they exist, before anything is sent to them. Call it before the thread starts; other
    /// threads use ``topicRequests``.
    public func ensureTopics(_ ids: [String]) { scheduler.ensure(topics: ids) }

    /// Copies the batch as messages.
    public func take(_ batch: BatchView) -> SinkAnswer { isClosed ? .full : scheduler.take(batch) }

    /// Shows the messages as they would be sent.
    public func secure(_ selection: HeldSelection, _ store: (HeldBatch) -> SpoolPlace?) -> Bool {
        isClosed || scheduler.secure(selection, store)
    }

    /// Moves requests on, takes answers, and sends what may be sent.
    public func doWork(now: Int64) -> Int {
        guard !isClosed, scheduler.inFlight == 0 || now - lastMove >= PubSubSink.pace else { return 0 }
        let wanted = topicRequests.fetch()
        if !wanted.isEmpty { scheduler.ensure(topics: wanted) }
        var work = wanted.count
        if scheduler.inFlight > 0 {
            lastMove = now
            // libcurl may hold bytes that it has read for another stream: neither socket nor timer tells of them.
            let isDue = now - lastPerform >= PubSubSink.performPause
            if isDue { lastPerform = now }
            for (index, link) in links.enumerated() where scheduler.links[index].requests > 0 {
                var woken: Int32 = 0
                if isDue || cc_multi_poll(link, nil, 0, 0, &woken) > 0 || cc_multi_timeout(link) == 0 {
                    work += perform(link, now: now)
                }
            }
            sweep(now: now)
        }
        work += startAll(now: now)
        scheduler.tellTroubles(now: now)
        if work > 0 {
            quickPolls = 0
            shortParks = PubSubSink.shortParkLimit
        }
        return work
    }

    private func startAll(now: Int64) -> Int {
        var started = 0
        var touched: UInt8 = 0
        while hasSlot, scheduler.hasRequest(now: now), canStart(now: now),
            let request = scheduler.nextRequest(now: now)
        {
            touched |= 1 << UInt8(request.link)
            start(request, now: now)
            started += 1
        }
        guard started > 0 else { return 0 }
        for (index, link) in links.enumerated() where touched & 1 << UInt8(index) != 0 {
            started += perform(link, now: now)
        }
        return started
    }

    /// Looks at all requests in flight, where the scheduler waits for room, or once a second.
    private func sweep(now: Int64) {
        let isLong = now - lastSweep >= 1_000_000_000
        guard isLong || scheduler.waitsForUploads else { return }
        if isLong { lastSweep = now }
        for index in slots.indices {
            guard var work = slots[index].work else { continue }
            if work.wireBytes > 0, cc_request_uploaded(slots[index].request) >= Int64(work.body.count) {
                scheduler.uploaded(&work)
                slots[index].work = work
            }
            if isLong, now - work.startedAt >= PubSubSink.stallTime { scheduler.noteStall(work, now: now) }
        }
    }

    private func canStart(now: Int64) -> Bool {
        guard let tokens else { return true }
        guard now >= tokenRetryAt else { return false }
        if let token = tokens.token() {
            guard let refused, refused.token == token, now < refused.until else { return true }
            tokenRetryAt = now + PubSubSink.tokenPause / 10
            return false
        }
        tokenRetryAt = now + PubSubSink.tokenPause
        ledger.report(
            problem:
                "pubsub sink: there are no credentials yet; see the errors of the credentials before this one"
        )
        return false
    }

    private var hasSlot: Bool { !freeSlots.isEmpty || slots.count < slotLimit }

    private func takeSlot() -> Int? {
        if let index = freeSlots.popLast() { return index }
        let sizes = PubSubSink.receiveBuffers
        let buffer = settings.remedies.contains(.largeBuffer) ? sizes.large : sizes.usual
        guard let request = cc_request_new(settings.certificateAuthority, UInt(slots.count), buffer) else {
            return nil
        }
        slots.append(Slot(request: request))
        return slots.count - 1
    }

    private func start(_ work: PublishScheduler.Request, now: Int64) {
        guard let index = takeSlot() else {
            scheduler.finish(work, RequestOutcome(.internal, text: "memory is short"), now: now)
            return
        }
        prepare(index, work)
        slots[index].work = work
        let way: Int
        if settings.endpoint.isSecure {
            way = CC_TLS
        } else {
            let isFirst = work.isFresh || !settings.remedies.contains(.laterRequestsPlain)
            way = isFirst ? CC_CLEARTEXT_FIRST : CC_CLEARTEXT_NEXT
        }
        // The service is told its limit; ours is a little longer, so that its answer can still come.
        let limit = Int64(slots[index].seconds) * 1000 + 2000
        let code = cc_request_start(
            links[work.link], slots[index].request, work.body.baseAddress, work.body.count, limit, Int32(way),
            work.isFresh ? 1 : 0)
        if code != 0 {
            end(index, RequestOutcome(.internal, text: "libcurl refused a request (\(code))"), now: now)
        }
    }

    /// Sets URL and headers where they differ from those of the slot's last request.
    private func prepare(_ index: Int, _ work: PublishScheduler.Request) {
        let isCreate =
            switch work.work {
            case .create: true
            case .publish: false
            }
        if slots[index].isCreate != isCreate {
            let method = isCreate ? "CreateTopic" : "Publish"
            let url = settings.endpoint.base + "/google.pubsub.v1.Publisher/" + method
            slots[index].isCreate = cc_request_set_url(slots[index].request, url) == 0 ? isCreate : nil
        }
        let step = work.timeout < 10_000_000_000 ? 1 : PubSubSink.timeoutStep
        let seconds = (Int(work.timeout / 1_000_000_000) + step - 1) / step * step
        let token = tokens?.token()
        guard !slots[index].hasHeaders || slots[index].seconds != seconds || slots[index].token != token
        else { return }
        var lines = [
            "content-type: application/grpc", "te: trailers", "user-agent: exchange-collector",
            "grpc-timeout: \(seconds)S", "accept:", "expect:",
        ]
        if let token { lines.append("authorization: Bearer \(token)") }
        if let project = settings.quotaProject { lines.append("x-goog-user-project: \(project)") }
        slots[index].hasHeaders = set(lines, on: slots[index].request)
        slots[index].seconds = seconds
        slots[index].token = token
    }

    private func set(_ lines: [String], on request: OpaquePointer) -> Bool {
        var text: [CChar] = []
        var starts: [Int] = []
        for line in lines {
            starts.append(text.count)
            text += line.utf8CString
        }
        return text.withUnsafeBufferPointer { text in
            let pointers = starts.map { start in text.baseAddress.map { $0 + start } }
            return cc_request_set_headers(request, pointers, Int32(pointers.count)) == 0
        }
    }

    private func perform(_ link: OpaquePointer, now: Int64) -> Int {
        let code = cc_multi_perform(link)
        if code != 0 { ledger.report(problem: "pubsub sink: libcurl failed (\(code))") }
        var done = 0
        while true {
            let index = cc_multi_next_done(link)
            guard index >= 0 else { return done }
            done += 1
            guard let work = slots[index].work, let result = cc_request_result(slots[index].request)?.pointee
            else {
                continue
            }
            let messages: Int? =
                switch work.work {
                case .publish: work.messages
                case .create: nil
                }
            let outcome = RequestOutcome(
                result, messages: messages, acceptsWhole: settings.remedies.contains(.wholeAnswers))
            if settings.remedies.contains(.countedEnds) {
                ledger.add(Int(result.new_connections), to: .connections)
                // A connection that nobody asked for replaces one that the server gave up (GOAWAY).
                if !work.isFresh, !outcome.isLinkFault {
                    ledger.add(Int(result.new_connections), to: .reconnects)
                }
            }
            end(index, outcome, now: now)
        }
    }

    private func end(_ index: Int, _ outcome: RequestOutcome, now: Int64) {
        guard let work = slots[index].work else { return }
        slots[index].work = nil
        freeSlots.append(index)
        var outcome = outcome
        if outcome.code == .unauthenticated, let tokens, let token = slots[index].token {
            let isKnown = refused.map { $0.token == token && now < $0.until } ?? false
            if tokens.token() != token || isKnown {
                // Sent before it was known; with the next token it goes out at once.
                outcome.isStaleToken = tokens.token() != token
            } else {
                refused = (token, now + PubSubSink.refusalPause)
                tokens.refuse(token)
                outcome.isStaleToken = true
            }
        }
        scheduler.finish(work, outcome, now: now)
    }

    /// Whether a request may be sent at once.
    public func hasInput() -> Bool {
        let now = ck_monotonic_nanos()
        return !isClosed && hasSlot && now >= tokenRetryAt && scheduler.hasRequest(now: now)
    }

    /// Until the next retry; libcurl's own timers are its poll's business.
    public func parkLimit(now: Int64) -> Int64 {
        let limit = max(0, scheduler.deadline() - now)
        return min(limit, tokenRetryAt > now ? tokenRetryAt - now : .max, 1_000_000_000)
    }

    /// Waits for an answer or for the waker.
    public func park(nanos: Int64, waker: Waker) {
        guard scheduler.inFlight > 0, let first = scheduler.links.firstIndex(where: { $0.requests > 0 })
        else {
            waker.wait(nanos: nanos)
            return
        }
        polls += 1
        var woken: Int32 = 0
        let limit = shortParks > 0 ? PubSubSink.performPause : nanos
        let milliseconds = Int32((min(nanos, limit) + 999_999) / 1_000_000)
        var descriptors = (waker.descriptor, Int32(-1), Int32(-1), Int32(-1))
        var count: Int32 = 1
        // Others than the first are busy only under load; what is not seen of them waits for `performPause`.
        for index in links.indices.dropFirst(first + 1) where scheduler.links[index].requests > 0 && count < 4
        {
            let socket = cc_multi_socket(links[index])
            guard socket >= 0 else { continue }
            withUnsafeMutableBytes(of: &descriptors) {
                $0.storeBytes(of: socket, toByteOffset: Int(count) * 4, as: Int32.self)
            }
            count += 1
        }
        let ready = withUnsafeBytes(of: descriptors) { bytes in
            cc_multi_poll(
                links[first], bytes.bindMemory(to: Int32.self).baseAddress, count, milliseconds, &woken)
        }
        let now = ck_monotonic_nanos()
        // One of libcurl's own timers ends the poll, too; left alone it would end the next ones at once.
        if ready > 0 || cc_multi_timeout(links[first]) == 0 {
            lastMove = 0
            shortParks = PubSubSink.shortParkLimit
        } else if shortParks > 0 {
            shortParks = hasMoved() ? PubSubSink.shortParkLimit : shortParks - 1
        }
        quickPolls = woken == 0 && now - lastPoll < 50_000 ? quickPolls + 1 : 0
        lastPoll = now
        guard quickPolls >= 2, settings.remedies.contains(.sleepWhenIdle) else { return }
        // A large body or answer that gets on by parts wakes us as often, and is not to wait.
        if !hasMoved() { waker.wait(nanos: 1_000_000) }
        quickPolls = 0
    }

    /// Whether bytes of the requests in flight have left or come since the last call.
    private func hasMoved() -> Bool {
        let moved = slots.reduce(0) { $0 + ($1.work == nil ? 0 : cc_request_moved($1.request)) }
        defer { movedBefore = moved }
        return moved != movedBefore
    }

    /// Ends all requests. Batches that are not acknowledged are given up; the ledger has them as in flight.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        for slot in slots { cc_request_free(slot.request) }
        slots = []
        for link in links { cc_multi_free(link) }
    }
}
