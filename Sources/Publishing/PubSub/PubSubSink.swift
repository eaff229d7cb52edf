import Batching
import CCurl
import CKernel
import Rings

/// Publishes batches with unary gRPC calls, google.pubsub.v1.Publisher/Publish, through libcurl: one connection, many
/// requests in flight, one for each topic and ordering key. ``PublishScheduler`` decides, this moves the bytes.
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
    private let settings: PubSubSettings
    private let scheduler: PublishScheduler
    private let tokens: (any TokenSource)?
    private let multi: OpaquePointer
    private var slots: [Slot] = []
    private var freeSlots: [Int] = []
    private var isClosed = false
    private var lastPerform: Int64 = 0
    /// The longest time without a call of curl_multi_perform while requests are in flight, ns.
    static let performPause: Int64 = 1_000_000
    private var tokenRetryAt: Int64 = 0
    // libcurl looks at every request whenever it is called: with some in flight it is called at a pace.
    private var lastMove: Int64 = 0
    // libcurl 7.88.1 returns at once from polling while an upload waits for flow control.
    private var lastPoll: Int64 = 0
    private var quickPolls = 0

    /// Least time between two calls of libcurl while requests are in flight, ns: little beside the 10 ms that Pub/Sub
    /// takes for an answer, and it lets batches join.
    static let pace: Int64 = 100_000
    /// How long to wait for a token before asking again, ns.
    static let tokenPause: Int64 = 100_000_000
    /// Timeouts are rounded up to so many seconds, so that headers need not be made anew for each request.
    static let timeoutStep = 10

    /// A sink with no connection yet. `tokens`: nil for the emulator.
    public init(
        settings: PubSubSettings, ledger: PublishLedger, tokens: (any TokenSource)?
    ) throws(PublishError) {
        try settings.validate()
        guard let multi = cc_multi_new(settings.endpoint.isSecure ? Int32(settings.connections) : 1) else {
            throw PublishError(description: "pubsub sink: libcurl could not be started for want of memory")
        }
        self.settings = settings
        self.ledger = ledger
        self.tokens = tokens
        self.multi = multi
        var seed: UInt64 = 0
        _ = withUnsafeMutableBytes(of: &seed) { ck_random($0.baseAddress, $0.count) }
        scheduler = PublishScheduler(settings: settings, ledger: ledger, seed: seed)
        for index in 0..<settings.maxRequests {
            guard let request = cc_request_new(settings.certificateAuthority, UInt(index)) else {
                throw PublishError(
                    description: "pubsub sink: libcurl could not be started for want of memory")
            }
            slots.append(Slot(request: request))
            freeSlots.append(index)
        }
        ledger.report(
            information:
                "pubsub sink: publishing to project \(settings.project) at \(settings.endpoint.authority)"
                + " with \(String(cString: cc_version()))")
    }

    deinit { close() }

    /// Has topics created, unless they exist, before anything is sent to them. Call it before the thread starts; the
    /// ledger's `topicsPending` and `topicsReady` tell the progress.
    public func ensureTopics(_ ids: [String]) { scheduler.ensure(topics: ids) }

    /// Copies the batch as messages.
    public func take(_ batch: BatchView) -> SinkAnswer { isClosed ? .full : scheduler.take(batch) }

    /// Moves requests on, takes answers, and sends what may be sent.
    public func doWork(now: Int64) -> Int {
        guard !isClosed, scheduler.inFlight == 0 || now - lastMove >= PubSubSink.pace else { return 0 }
        var work = 0
        if scheduler.inFlight > 0 {
            lastMove = now
            var woken: Int32 = 0
            // libcurl may hold bytes that it has read for another stream: neither socket nor timer tells of them.
            let isDue = now - lastPerform >= PubSubSink.performPause
            if cc_multi_poll(multi, -1, 0, &woken) > 0 || cc_multi_timeout(multi) == 0 || isDue {
                lastPerform = now
                work += perform(now: now)
            }
        }
        var started = 0
        while !freeSlots.isEmpty, scheduler.hasRequest(now: now), canStart(now: now),
            let request = scheduler.nextRequest(now: now)
        {
            start(request, now: now)
            started += 1
        }
        if started > 0 { work += started + perform(now: now) }
        if work > 0 { quickPolls = 0 }
        return work
    }

    private func canStart(now: Int64) -> Bool {
        guard let tokens else { return true }
        guard now >= tokenRetryAt else { return false }
        if tokens.token() != nil { return true }
        tokenRetryAt = now + PubSubSink.tokenPause
        ledger.report(
            problem:
                "pubsub sink: there are no credentials yet; see the errors of the credentials before this one"
        )
        return false
    }

    private func start(_ work: PublishScheduler.Request, now: Int64) {
        guard let index = freeSlots.popLast() else { return }
        prepare(index, work)
        slots[index].work = work
        let way: Int
        if settings.endpoint.isSecure {
            way = CC_TLS
        } else {
            way = work.isFresh ? CC_CLEARTEXT_FIRST : CC_CLEARTEXT_NEXT
        }
        // The service is told its limit; ours is a little longer, so that its answer can still come.
        let limit = Int64(slots[index].seconds) * 1000 + 2000
        let code = cc_request_start(
            multi, slots[index].request, work.body.baseAddress, work.body.count, limit, Int32(way),
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
        let step = PubSubSink.timeoutStep
        let seconds = (Int(work.timeout / 1_000_000_000) + step - 1) / step * step
        let token = tokens?.token()
        guard !slots[index].hasHeaders || slots[index].seconds != seconds || slots[index].token != token
        else { return }
        var lines = [
            "content-type: application/grpc", "te: trailers", "user-agent: exchange-collector",
            "grpc-timeout: \(seconds)S", "accept:", "expect:",
        ]
        if let token { lines.append("authorization: Bearer \(token)") }
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

    private func perform(now: Int64) -> Int {
        let code = cc_multi_perform(multi)
        if code != 0 { ledger.report(problem: "pubsub sink: libcurl failed (\(code))") }
        var done = 0
        while true {
            let index = cc_multi_next_done(multi)
            guard index >= 0 else { return done }
            done += 1
            guard let work = slots[index].work, let result = cc_request_result(slots[index].request)?.pointee
            else {
                continue
            }
            ledger.add(Int(result.new_connections), to: .connections)
            let messages: Int? =
                switch work.work {
                case .publish: work.messages
                case .create: nil
                }
            let outcome = RequestOutcome(result, messages: messages)
            // A connection that nobody asked for replaces one that the server gave up (GOAWAY).
            if !work.isFresh, !outcome.isLinkFault {
                ledger.add(Int(result.new_connections), to: .reconnects)
            }
            end(index, outcome, now: now)
        }
    }

    private func end(_ index: Int, _ outcome: RequestOutcome, now: Int64) {
        guard let work = slots[index].work else { return }
        slots[index].work = nil
        freeSlots.append(index)
        if outcome.code == .unauthenticated, let token = slots[index].token { tokens?.refuse(token) }
        scheduler.finish(work, outcome, now: now)
    }

    /// Whether a request may be sent at once.
    public func hasInput() -> Bool {
        let now = ck_monotonic_nanos()
        return !isClosed && !freeSlots.isEmpty && now >= tokenRetryAt && scheduler.hasRequest(now: now)
    }

    /// Until the next retry; libcurl's own timers are its poll's business.
    public func parkLimit(now: Int64) -> Int64 {
        let limit = max(0, scheduler.deadline() - now)
        return min(limit, tokenRetryAt > now ? tokenRetryAt - now : .max, 1_000_000_000)
    }

    /// Waits for an answer or for the waker.
    public func park(nanos: Int64, waker: Waker) {
        guard scheduler.inFlight > 0 else {
            waker.wait(nanos: nanos)
            return
        }
        var woken: Int32 = 0
        let milliseconds = Int32(min((nanos + 999_999) / 1_000_000, 1000))
        if cc_multi_poll(multi, waker.descriptor, milliseconds, &woken) > 0 { lastMove = 0 }
        let now = ck_monotonic_nanos()
        quickPolls = woken == 0 && now - lastPoll < 50_000 ? quickPolls + 1 : 0
        lastPoll = now
        if quickPolls >= 2 { waker.wait(nanos: 1_000_000) }
    }

    /// Ends all requests. Batches that are not acknowledged are given up; the ledger has them as in flight.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        for slot in slots { cc_request_free(multi, slot.request) }
        slots = []
        cc_multi_free(multi)
    }
}
