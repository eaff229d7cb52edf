import Batching
import CKernel
import Foundation
import MarketData
import Rings

/// Publishes batches to a stream of NATS JetStream: each is a message with Pub/Sub's attributes as headers and the
/// subject of its route; the ledger counts it when the stream has acknowledged it.
///
/// Of each route one batch is under way at a time, and of the routes as many as there are, so that a batch that is
/// refused, lost or sent again never falls behind a later one of its route. Batches that were under way when a
/// connection broke are sent again; the stream knows them by `Nats-Msg-Id` and keeps them once.
public final class NATSSink: Sink {
    /// Its books.
    public let ledger: PublishLedger
    let settings: NATSSettings
    let inbox: String
    var link: NATSLink
    var parser = NATSParser()
    var encoder: NATSEncoder
    /// What waits to go out; the bytes before `sent` have gone.
    var output = NATSBuffer(capacity: 512 << 10)
    var sent = 0
    var phase = Phase.resting
    /// When the phase is over, or for `.resting` when a connection is tried again; monotonic ns.
    var deadline: Int64 = 0
    var lastHeard: Int64 = 0
    var pingSent = false
    var server: NATSServerInfo?
    var isStreamKnown = false
    var failures = 0
    var hasProblem = false

    private(set) var slots: [Slot] = []
    private var free: [Int] = []
    private var routes: [RouteState?] = []
    /// Routes whose first batch may go out.
    private var sendable = Queue<Int>()
    /// Routes whose first batch was refused, and when it may go out again.
    private var delayed: [(route: Int, time: Int64)] = []
    private var held = 0
    private var inFlight = 0
    private var nextLook: Int64 = 0
    private let backoff = Backoff(initial: 100_000_000, maximum: 5_000_000_000)
    private var random = SplitMix64(seed: UInt64(bitPattern: ck_realtime_nanos()))
    private var isClosed = false

    /// What the connection is doing.
    enum Phase {
        case resting, dialling, greeting, securing, signingIn, preparing, ready
    }

    /// A batch, encoded.
    struct Slot {
        var buffer: NATSBuffer
        var receipt: BatchReceipt
        var route: Int
        var next = -1
        var generation: UInt64 = 0
        /// A bit for each message that is not acknowledged.
        var pending: [UInt64] = []
        var messages = 0
        var largest = 0
        /// 0: not under way.
        var sentAt: Int64 = 0
        var isRefused = false
        var attempts = 0
    }

    private struct RouteState {
        var headers: NATSRouteHeaders
        var subject: String
        var first = -1
        var last = -1
    }

    /// Bytes that are handed to the socket in one go.
    private static let outputLimit = 256 << 10

    /// Checks the settings; connects later.
    public init(settings: NATSSettings, ledger: PublishLedger) throws(PublishError) {
        guard settings.byteBudget >= 64 << 10 else {
            throw PublishError(description: "nats sink: a byte budget below 64 KiB is too small; raise it")
        }
        self.settings = settings
        self.ledger = ledger
        link = try NATSLink(settings.endpoint)
        inbox = "_INBOX." + String(settings.runID, radix: 36)
        encoder = NATSEncoder(inbox: inbox)
    }

    deinit {
        close()
        for slot in slots { slot.buffer.deallocate() }
        output.deallocate()
        encoder.deallocate()
    }

    // MARK: Taking

    /// Encodes the batch; full where the byte budget is used up.
    public func take(_ batch: BatchView) -> SinkAnswer {
        let count = batch.isEventMode ? Int(batch.header.count) : 1
        let size = batch.data.count + count * NATSEncoder.overhead
        guard !isClosed, held == 0 || held + size <= settings.byteBudget else { return .full }
        let index = batch.route.index
        while routes.count <= index { routes.append(nil) }
        var route =
            routes[index]
            ?? RouteState(
                headers: NATSRouteHeaders(
                    batch.route, runID: settings.runID, collector: settings.collector),
                subject: batch.route.topic)
        let slot = takeSlot(BatchReceipt(batch), route: index)
        slots[slot].buffer.count = 0
        let written = encoder.write(
            batch, route.headers, slot: slot, generation: slots[slot].generation, to: &slots[slot].buffer)
        (slots[slot].messages, slots[slot].largest) = written
        held += slots[slot].buffer.count
        if route.last >= 0 {
            slots[route.last].next = slot
        } else {
            route.first = slot
            sendable.append(index)
        }
        route.last = slot
        routes[index] = route
        ledger.take(slots[slot].receipt)
        return .accepted
    }

    private func takeSlot(_ receipt: BatchReceipt, route: Int) -> Int {
        guard let slot = free.popLast() else {
            slots.append(Slot(buffer: NATSBuffer(capacity: 4096), receipt: receipt, route: route))
            return slots.count - 1
        }
        slots[slot].receipt = receipt
        slots[slot].route = route
        slots[slot].next = -1
        slots[slot].generation += 1
        slots[slot].sentAt = 0
        slots[slot].attempts = 0
        return slot
    }

    // MARK: Working

    /// Connects, reads answers, sends what may be sent.
    public func doWork(now: Int64) -> Int {
        guard !isClosed else { return 0 }
        var work = 0
        do throws(NATSFailure) {
            work += try advance(now: now)
            if phase == .ready {
                work += releaseDelayed(now: now)
                work += try send(now: now)
                try lookAfter(now: now)
            }
        } catch {
            fail(error, now: now)
            work += 1
        }
        ledger.set(held, at: .bytesHeld)
        ledger.set(inFlight, at: .requestsInFlight)
        return work
    }

    /// Fills the output with the first batches of the routes and gives it to the socket.
    private func send(now: Int64) throws(NATSFailure) -> Int {
        var work = 0
        while true {
            while output.count - sent < NATSSink.outputLimit, let index = sendable.popFirst() {
                guard let first = routes[index]?.first, first >= 0,
                    slots[first].sentAt == 0 || slots[first].isRefused
                else { continue }
                guard slots[first].largest <= server?.maxPayload ?? .max else {
                    report(
                        .invalidArgument,
                        "a message of \(slots[first].largest) bytes for \(routes[index]?.subject ?? "") is larger"
                            + " than the server takes (\(server?.maxPayload ?? 0)): raise its max_payload and"
                            + " restart it, or lower batching.maxBytes; the batches of that subject are kept")
                    delayed.append((index, now + 5_000_000_000))
                    continue
                }
                output.append(slots[first].buffer.bytes)
                begin(first, now: now)
                work += 1
            }
            let flushed = try flush()
            work += flushed > 0 ? 1 : 0
            if flushed == 0 || sendable.isEmpty { return work }
        }
    }

    private func begin(_ slot: Int, now: Int64) {
        slots[slot].sentAt = now
        slots[slot].isRefused = false
        slots[slot].pending.removeAll(keepingCapacity: true)
        var left = slots[slot].messages
        while left > 0 {
            slots[slot].pending.append(left >= 64 ? .max : (1 << UInt64(left)) - 1)
            left -= 64
        }
        if slots[slot].attempts > 0 { ledger.add(to: .retries) }
        slots[slot].attempts += 1
        inFlight += 1
    }

    /// Bytes that the socket took.
    func flush() throws(NATSFailure) -> Int {
        var flushed = 0
        while sent < output.count {
            let count = try link.send(UnsafeRawBufferPointer(rebasing: output.bytes[sent...]))
            if count == 0 { break }
            sent += count
            flushed += count
        }
        if sent == output.count { (sent, output.count) = (0, 0) }
        return flushed
    }

    /// Resends what was not answered in time.
    private func lookAfter(now: Int64) throws(NATSFailure) {
        guard now >= nextLook else { return }
        nextLook = now + 1_000_000_000
        for slot in slots.indices where slots[slot].sentAt > 0 {
            guard now - slots[slot].sentAt >= settings.acknowledgeTimeout, !slots[slot].isRefused else {
                continue
            }
            report(
                .deadlineExceeded,
                "no acknowledgement for \(routes[slots[slot].route]?.subject ?? "") within"
                    + " \(settings.acknowledgeTimeout / 1_000_000_000) s; look at the server's log, and whether this"
                    + " user may publish there and subscribe to _INBOX.>; it is sent again")
            refuse(slot, now: now)
        }
        if now - lastHeard >= 2 * settings.silence {
            throw NATSFailure(
                code: .unavailable,
                text: "nats sink: \(settings.endpoint): nothing was heard for"
                    + " \((now - lastHeard) / 1_000_000_000) s; it is connected to again")
        }
        if now - lastHeard >= settings.silence, !pingSent {
            pingSent = true
            output.append("PING\r\n")
        }
    }

    private func releaseDelayed(now: Int64) -> Int {
        guard !delayed.isEmpty else { return 0 }
        let due = delayed.filter { $0.time <= now }
        guard !due.isEmpty else { return 0 }
        delayed.removeAll { $0.time <= now }
        for entry in due { sendable.append(entry.route) }
        return due.count
    }

    // MARK: Answers

    /// An answer to message `index` of a batch.
    func settle(slot: Int, generation: UInt64, index: Int, _ reply: NATSReply, now: Int64) {
        guard slots.indices.contains(slot), slots[slot].generation == generation, slots[slot].sentAt > 0,
            index < slots[slot].messages, index >= 0
        else { return }
        guard reply.code == .ok else {
            ledger.count(reply.code)
            guard !slots[slot].isRefused else { return }
            let subject = routes[slots[slot].route]?.subject ?? ""
            hasProblem = true
            ledger.report(
                problem: "nats sink: \(subject): \(reply.text); \(remedy(reply)); the batch is kept")
            if reply.code == .notFound { isStreamKnown = false }
            refuse(slot, now: now)
            return
        }
        slots[slot].pending[index / 64] &= ~(1 << UInt64(index % 64))
        guard slots[slot].pending.allSatisfy({ $0 == 0 }) else { return }
        finish(slot)
    }

    private func finish(_ slot: Int) {
        let index = slots[slot].route
        // A refused batch waits among the delayed; a late acknowledgement makes that wait void.
        if slots[slot].isRefused { delayed.removeAll { $0.route == index } } else { inFlight -= 1 }
        slots[slot].sentAt = 0
        held -= slots[slot].buffer.count
        ledger.acknowledge(slots[slot].receipt, now: ck_realtime_nanos())
        ledger.count(.ok)
        let next = slots[slot].next
        routes[index]?.first = next
        if next < 0 { routes[index]?.last = -1 } else { sendable.append(index) }
        free.append(slot)
        failures = 0
        if hasProblem, delayed.isEmpty {
            hasProblem = false
            ledger.reportRecovery("nats sink: \(settings.endpoint) takes batches again, nothing was lost")
        }
    }

    /// The batch goes out again later.
    private func refuse(_ slot: Int, now: Int64) {
        slots[slot].isRefused = true
        inFlight -= 1
        let wait = max(backoff.wait(attempt: slots[slot].attempts, random: &random), 20_000_000)
        delayed.append((slots[slot].route, now + wait))
    }

    private func remedy(_ reply: NATSReply) -> String {
        switch reply.code {
        case .notFound:
            settings.createStream
                ? "enable JetStream at the server (-js)"
                : "make a stream that takes that subject (nats stream add), or set sink.createTopics"
        case .unavailable: "look at the server's storage, limits and cluster (nats stream report)"
        case .resourceExhausted: "raise the stream's limits or shorten what it keeps (nats stream info, edit)"
        case .failedPrecondition: "look at the stream's limits (nats stream info)"
        case .permissionDenied: "let this user publish there"
        default: "look at the server's log"
        }
    }

    func report(_ code: PublishCode, _ text: String) {
        hasProblem = true
        ledger.count(code)
        ledger.report(problem: "nats sink: \(text)")
    }

    // MARK: The connection's end

    /// The connection is given up: what was under way goes out again on the next.
    func fail(_ failure: NATSFailure, now: Int64) {
        if phase == .ready { ledger.add(to: .reconnects) }
        failures += 1
        hasProblem = true
        ledger.count(failure.code)
        ledger.report(problem: failure.text)
        link.close()
        parser.removeAll()
        (output.count, sent, pingSent) = (0, 0, false)
        phase = .resting
        deadline = now + max(backoff.wait(attempt: failures, random: &random), 20_000_000)
        sendable = Queue<Int>()
        delayed.removeAll(keepingCapacity: true)
        inFlight = 0
        for index in routes.indices {
            guard let first = routes[index]?.first, first >= 0 else { continue }
            slots[first].sentAt = 0
            slots[first].isRefused = false
            sendable.append(index)
        }
    }

    // MARK: Waiting

    /// Whether batches wait that could go out now.
    public func hasInput() -> Bool {
        guard !isClosed else { return false }
        return phase == .ready && !link.wantsWrite && (!sendable.isEmpty || sent < output.count)
    }

    /// Until the next try, deadline or look at the answers.
    public func parkLimit(now: Int64) -> Int64 {
        var limit: Int64 = 1_000_000_000
        if phase != .ready { limit = min(limit, link.isLookingUp ? 10_000_000 : deadline - now) }
        for entry in delayed { limit = min(limit, entry.time - now) }
        return max(limit, 0)
    }

    /// Waits for the waker or the socket.
    public func park(nanos: Int64, waker: Waker) {
        let writable = link.wantsWrite || (phase == .ready && sent < output.count)
        _ = ck_wait_socket(waker.descriptor, link.descriptor, writable ? 1 : 0, nanos)
    }

    /// Closes the connection; what is not acknowledged stays in the ledger as in flight.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        link.close()
    }
}
