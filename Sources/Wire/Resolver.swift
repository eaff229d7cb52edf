import CKernel
import Rings
import Synchronization

/// What the resolver found for one family of a host.
public struct ResolverAnswer: Sendable {
    var family: IPFamily
    /// In the resolver's order (RFC 6724); empty where ``problem`` says why.
    var addresses: [HostAddress]
    /// Why there are no addresses: the system's words.
    var problem: String?
}

/// Looks names up. Its thread never blocks: every lookup runs getaddrinfo on a short-lived thread of its own, so that a
/// name server that does not answer holds up nothing but the names it is asked for, and each of a host's families
/// answers for itself.
public struct ResolverStage: ~Copyable, Stage {
    /// A host to look up for a connection.
    struct Request: Sendable {
        var link: Int
        var generation: UInt32
        var host: String
        var port: UInt16
        var families: [IPFamily]
        var reply: CommandQueue<WireCommand>
    }

    /// What a resolver thread is reached by.
    public final class Mailbox: Sendable {
        let requests: CommandQueue<Request>
        /// `waker`: of the resolver's thread.
        public init(waker: Waker) { requests = CommandQueue(capacity: 4_096, waker: waker) }
    }

    /// Lookups that run at the same time; further names wait.
    static let lookupLimit = 32
    /// Of these, of one family of one name.
    static let lookupsOfName = 4
    /// A lookup that has taken longer is joined by nobody, ns: the name server may have been away when it was asked, and
    /// getaddrinfo asks again after five seconds only.
    static let freshNanos: Int64 = 2_000_000_000

    /// A lookup, and who waits for it.
    private struct Entry {
        let host: String
        let family: IPFamily
        var requests: [Request]
        var lookup: Lookup?
    }

    private let mailbox: Mailbox
    private let waker: Waker
    private var entries: [Entry] = []
    private let resolve: Lookup.Resolve
    private let freshNanos: Int64

    /// The thread's stage.
    public init(mailbox: Mailbox, waker: Waker) {
        self.init(
            mailbox: mailbox, waker: waker, freshNanos: ResolverStage.freshNanos,
            resolve: { Lookup.resolve($0, $1, onlyLiteral: false) })
    }

    /// `resolve`: called on a thread of its own, and may take its time.
    init(mailbox: Mailbox, waker: Waker, freshNanos: Int64, resolve: @escaping Lookup.Resolve) {
        self.mailbox = mailbox
        self.waker = waker
        self.freshNanos = freshNanos
        self.resolve = resolve
    }

    /// One cycle; see the type.
    public mutating func doWork() -> Int {
        let requests = mailbox.requests.drain()
        for request in requests {
            for family in request.families { add(request, family) }
        }
        return requests.count + finish() + startWaiting()
    }

    private mutating func add(_ request: Request, _ family: IPFamily) {
        if HostAddress(literal: request.host) != nil {
            answer([request], family, Lookup.resolve(request.host, family, onlyLiteral: true))
            return
        }
        let sameName = entries.indices.filter {
            entries[$0].host == request.host && entries[$0].family == family
        }
        // The link's last attempt no longer waits.
        for index in sameName {
            entries[index].requests.removeAll { $0.link == request.link && $0.reply === request.reply }
        }
        // A lookup that runs serves whoever joins: its answer is newer than the question. One that hangs may go on to hang
        // when the name server is back.
        let now = ck_monotonic_nanos()
        if let newest = sameName.last,
            !mayRepeat(sameName.count)
                || entries[newest].lookup.map({ now - $0.started < freshNanos }) ?? true
        {
            entries[newest].requests.append(request)
        } else {
            entries.append(Entry(host: request.host, family: family, requests: [request]))
        }
    }

    /// Whether a name that is being looked up so many times may be looked up once more. Names that are looked up for the
    /// first time have half of the threads to themselves.
    private func mayRepeat(_ count: Int) -> Bool {
        count < ResolverStage.lookupsOfName
            && entries.count { $0.lookup != nil } < ResolverStage.lookupLimit / 2
    }

    private mutating func finish() -> Int {
        var finished = 0
        for index in entries.indices.reversed() {
            guard let found = entries[index].lookup?.result else { continue }
            let entry = entries.remove(at: index)
            answer(entry.requests, entry.family, found)
            finished += 1
            guard found.problem == nil else { continue }
            // Who waits for another lookup of the name need not wait any longer; its thread is let go of when it ends.
            for other in entries.indices
            where entries[other].host == entry.host && entries[other].family == entry.family {
                answer(entries[other].requests, entry.family, found)
                entries[other].requests = []
            }
        }
        entries.removeAll { $0.lookup == nil && $0.requests.isEmpty }
        return finished
    }

    private mutating func startWaiting() -> Int {
        var running = entries.count { $0.lookup != nil }
        var started = 0
        for index in entries.indices where running < ResolverStage.lookupLimit && entries[index].lookup == nil
        {
            let lookup = Lookup(
                host: entries[index].host, family: entries[index].family, waker: waker, resolve: resolve)
            lookup.start()
            entries[index].lookup = lookup
            running += 1
            started += 1
        }
        return started
    }

    private func answer(_ requests: [Request], _ family: IPFamily, _ found: Lookup.Found) {
        for request in requests {
            request.reply.send(
                .resolved(
                    slot: request.link, generation: request.generation,
                    answer: ResolverAnswer(
                        family: family, addresses: found.addresses.map { $0.with(port: request.port) },
                        problem: found.problem)))
        }
    }

    /// Whether the next cycle would find something to do.
    public mutating func hasInput() -> Bool {
        !mailbox.requests.isEmpty || entries.contains { $0.lookup?.result != nil }
    }
    /// Until the next deadline, ns.
    public mutating func parkLimit() -> Int64 { 1_000_000_000 }
    /// Waits for the waker or for descriptors.
    public mutating func park(nanos: Int64) { waker.wait(nanos: nanos) }
}

/// One run of getaddrinfo, on a thread that ends with it; whoever has lost interest lets go of it.
final class Lookup: Sendable {
    struct Found {
        var addresses: [HostAddress]
        var problem: String?
    }

    private let host: String
    private let family: IPFamily
    private let waker: Waker
    private let found = Mutex<Found?>(nil)
    private let resolve: Resolve
    /// When it began, monotonic ns.
    let started = ck_monotonic_nanos()

    /// A name's addresses of a family.
    typealias Resolve = @Sendable (String, IPFamily) -> Found

    init(host: String, family: IPFamily, waker: Waker, resolve: @escaping Resolve) {
        self.host = host
        self.family = family
        self.waker = waker
        self.resolve = resolve
    }

    /// Nil while it runs.
    var result: Found? { found.withLock { $0 } }

    func start() {
        var handle: UInt = 0
        let context = Unmanaged.passRetained(self)
        let code = ck_thread_start(
            { context in
                guard let context else { return }
                ck_name_thread("lookup")
                Unmanaged<Lookup>.fromOpaque(context).takeRetainedValue().run()
            }, context.toOpaque(), &handle)
        if code == 0 {
            ck_thread_detach(handle)
        } else {
            context.release()
            let problem = "no thread could be started for it (\(systemErrorText(-code)))"
            found.withLock { $0 = Found(addresses: [], problem: problem) }
        }
    }

    private func run() {
        let result = resolve(host, family)
        found.withLock { $0 = result }
        waker.wakeIfParked()
    }

    static func resolve(_ host: String, _ family: IPFamily, onlyLiteral: Bool) -> Found {
        let limit = AddressRace.candidateLimit
        var addresses = [ck_address](repeating: ck_address(), count: limit)
        let code = ck_resolve_family(
            host, 0, Int32(family == .v4 ? CK_FAMILY_V4 : CK_FAMILY_V6), onlyLiteral ? 1 : 0, &addresses,
            Int32(limit))
        guard code > 0 else {
            return Found(addresses: [], problem: String(cString: ck_resolve_error(code)))
        }
        return Found(addresses: addresses[..<Int(code)].compactMap { HostAddress($0) }, problem: nil)
    }
}

/// What other threads tell an I/O thread.
public enum WireCommand: Sendable {
    /// The exchange accepted a request. `slot`, here and below where a generation stands beside it: the link,
    /// `FrameRunHeader.connection`.
    case acknowledged(slot: Int, generation: UInt32, id: Int64)
    /// The exchange refused a request, or one that it does not name; the connection is made anew.
    case refused(slot: Int, generation: UInt32, id: Int64?, text: String)
    /// The exchange's list of what a connection has subscribed.
    case listed(slot: Int, generation: UInt32, id: Int64, names: [String])
    /// The exchange will end the connection.
    case serverShutdown(slot: Int, generation: UInt32)
    /// Send a message on an open connection, at once.
    case message(slot: Int, generation: UInt32, isBinary: Bool, payload: [UInt8])
    /// A slot is to carry other streams. `slot`: the slot; `target`: where the connections to come ask, where that is
    /// another place than before: the slot had no streams then.
    case change(slot: Int, add: [SlotStream], remove: [UInt32], target: String?)
    /// A new slot, whose index follows the last one's.
    case addSlot(ConnectionPlan)
    /// Close everything and read no more.
    case stop
    /// The resolver's answer for one family of a host.
    case resolved(slot: Int, generation: UInt32, answer: ResolverAnswer)
}
