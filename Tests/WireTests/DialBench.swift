import CKernel
import Testing

@testable import Rings
@testable import Wire

/// An I/O stage whose names are resolved as a test says, moved on by hand together with its peers.
final class DialBench {
    let monitor: WireMonitor
    let commands = CommandQueue<WireCommand>(capacity: 1_000)
    let budget = AttemptBudget(perWindow: 300, windowNanos: 300_000_000_000)
    var stage: WireStage
    /// Addresses of each name; a name that is not here never gets an answer, an empty list is one.
    var names: [String: [String]] = [:]
    /// Every name that was asked for.
    private(set) var asked: [String] = []
    private(set) var notices: [WireNotice] = []
    /// Moves the peers on.
    var peers: [() -> Void] = []
    private let mailbox: ResolverStage.Mailbox
    private var frames: RingConsumer

    init(_ plans: [ConnectionPlan], contexts: [TLSContext] = []) throws {
        monitor = WireMonitor(slotCount: plans.count)
        let waker = try Waker()
        mailbox = ResolverStage.Mailbox(waker: waker)
        let (producerBox, consumerBox, _) = try Ring.make(name: "frames", minimumCapacity: 1 << 20)
        guard let producer = producerBox.take(), let consumer = consumerBox.take() else {
            throw TestFailure(description: "taken twice")
        }
        frames = consumer
        stage = WireStage(
            plans: plans, contexts: contexts, frames: producer, monitor: monitor,
            activity: StreamActivity(capacity: 16),
            budgets: [budget],
            commands: commands, resolver: mailbox, waker: waker, backend: OnBothBackends.current)
    }

    /// A plan without streams that is soon tried again.
    static func plan(
        _ endpoint: String, slot: Int = 0, change: (inout ConnectionPlan) throws -> Void = { _ in }
    ) throws -> ConnectionPlan {
        var plan = ConnectionPlan(
            slot: slot, market: 0, endpoint: try Endpoint(endpoint), target: "/stream")
        plan.limits.backoffFirstNanos = 2_000_000
        plan.limits.backoffLastNanos = 2_000_000
        try change(&plan)
        return plan
    }

    func turn() {
        resolve()
        _ = stage.doWork()
        for pump in peers { pump() }
        notices += monitor.notices.drain()
        while frames.next() != nil {}
        frames.release()
    }

    private func resolve() {
        for request in mailbox.requests.drain() {
            asked.append(request.host)
            guard let literals = names[request.host] else { continue }
            for family in request.families {
                let found = literals.compactMap { HostAddress(literal: $0, port: request.port) }.filter {
                    $0.family == family
                }
                request.reply.send(
                    .resolved(
                        slot: request.link, generation: request.generation,
                        answer: ResolverAnswer(
                            family: family, addresses: found,
                            problem: found.isEmpty ? "Name or service not known" : nil)))
            }
        }
    }

    /// Turns until something holds, for twenty seconds at most.
    func turn(until isDone: () -> Bool) throws {
        let deadline = ck_monotonic_nanos() + 20_000_000_000
        while !isDone() {
            turn()
            guard ck_monotonic_nanos() < deadline else {
                throw TestFailure(
                    description:
                        "did not come about on \(OnBothBackends.current.rawValue); notices: \(notices.map(\.text))"
                )
            }
        }
    }

    func noticed(_ text: String) -> Bool { notices.contains { $0.text.contains(text) } }
    func isOpen(_ slot: Int = 0, times: Int = 1) -> Bool { monitor.openedCount(ofSlot: slot) >= times }

    /// The socket of a slot's connection.
    func socket(ofSlot slot: Int = 0) -> Int32? {
        stage.connections[LinkIndex.link(slot: slot, side: 0)].transport?.fd
    }
}

/// A listener that never accepts and whose queue is full: whoever connects gets no answer, as from a host that drops.
final class Blackhole {
    private let listener: Int32
    private var fillers: [Int32] = []

    init(address literal: String, port: UInt16) throws {
        var address = try #require(HostAddress(literal: literal, port: port)).raw
        listener = ck_listen(&address, 0)
        guard listener >= 0 else { throw TestFailure(description: "cannot listen: \(listener)") }
        for _ in 0..<8 {
            let fd = ck_connect(&address, nil)
            if fd >= 0 { fillers.append(fd) }
        }
        // Those that fit are connected now; the others get no answer.
        ck_sleep_nanos(20_000_000)
    }

    deinit {
        for fd in fillers { ck_close(fd) }
        ck_close(listener)
    }
}

/// A proxy for one client at a time that tunnels, or answers as a test says; moved on by hand.
final class ScriptedProxy {
    /// What is answered instead of tunnelling; nil: nothing special.
    var answer: ((_ request: String) -> [UInt8]?)?
    /// Answers nothing at all.
    var isSilent = false
    /// Requests with everything in them.
    private(set) var requests: [String] = []
    private let listener: Int32
    private var client: Int32 = -1
    private var server: Int32 = -1
    private var head: [UInt8] = []
    private var isOpen = false

    init() throws {
        var address = try #require(HostAddress(literal: "127.0.0.1", port: 0)).raw
        listener = ck_listen(&address, 16)
        guard listener >= 0 else { throw TestFailure(description: "cannot listen: \(listener)") }
    }

    deinit {
        disconnect()
        ck_close(listener)
    }

    var port: UInt16 { ck_local_port(listener) }

    private func disconnect() {
        for fd in [client, server] where fd >= 0 { ck_close(fd) }
        client = -1
        server = -1
        head = []
        isOpen = false
    }

    func pump() {
        if client < 0 {
            client = ck_accept(listener)
            guard client >= 0 else { return }
        }
        guard isOpen else { return readHead() }
        relay(from: client, to: server)
        if isOpen { relay(from: server, to: client) }
    }

    private func readHead() {
        var bytes = [UInt8](repeating: 0, count: 4_096)
        var time: Int64 = 0
        let count = ck_receive(client, &bytes, bytes.count, &time)
        if count == 0 { return disconnect() }
        guard count > 0 else { return }
        head += bytes[..<Int(count)]
        guard head.suffix(4).elementsEqual("\r\n\r\n".utf8), !isSilent else { return }
        let request = String(decoding: head, as: UTF8.self)
        head = []
        requests.append(request)
        if let answer = answer?(request) {
            send(answer, to: client)
            return disconnect()
        }
        let target = request.split(separator: " ").dropFirst().first ?? ""
        guard let port = UInt16(target.split(separator: ":").last ?? ""),
            var address = HostAddress(literal: "127.0.0.1", port: port)?.raw
        else { return disconnect() }
        server = ck_connect(&address, nil)
        guard server >= 0 else { return disconnect() }
        isOpen = true
        send(Array("HTTP/1.1 200 Connection established\r\n\r\n".utf8), to: client)
    }

    private func relay(from: Int32, to: Int32) {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        var time: Int64 = 0
        let count = ck_receive(from, &bytes, bytes.count, &time)
        if count == 0 || (count < 0 && count != -11) { return disconnect() }
        if count > 0 { send(Array(bytes[..<Int(count)]), to: to) }
    }

    private func send(_ bytes: [UInt8], to fd: Int32) { _ = ck_send(fd, bytes, bytes.count) }
}
