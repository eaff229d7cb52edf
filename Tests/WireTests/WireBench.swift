import CKernel
import Testing

@testable import Rings
@testable import Wire

/// What the frame ring told.
enum Record: Equatable {
    case opened(generation: UInt32)
    case closed(generation: UInt32)
    case frame([UInt8], generation: UInt32)
}

/// `+1 a,b`, `-2 a`, `?3`.
struct TestLanguage: ControlLanguage {
    func subscribe(_ names: [String], id: Int64) -> [UInt8] {
        Array("+\(id) \(names.joined(separator: ","))".utf8)
    }
    func unsubscribe(_ names: [String], id: Int64) -> [UInt8] {
        Array("-\(id) \(names.joined(separator: ","))".utf8)
    }
    func list(id: Int64) -> [UInt8]? { Array("?\(id)".utf8) }
}

/// An I/O stage with one slot and its resolver, moved on by hand together with a server.
final class WireBench {
    let server: ScriptedServer
    let monitor = WireMonitor(slotCount: 1)
    let activity = StreamActivity(capacity: 16)
    let commands: CommandQueue<WireCommand>
    let ring: RingStorage
    var stage: WireStage
    var resolver: ResolverStage
    var frames: RingConsumer
    private(set) var records: [Record] = []
    private(set) var notices: [WireNotice] = []
    /// Receive times of the runs.
    private(set) var times: [Int64] = []
    /// Whether the frame ring is emptied.
    var consumes = true
    /// Whether messages are sent back before their records are released.
    var echoes = false

    init(
        server: ScriptedServer, host: String = "localhost", isTLS: Bool = false, context: TLSContext? = nil,
        streams: [String] = [], ringBytes: Int = 1 << 22,
        limits: (inout ConnectionLimits) -> Void = { _ in }, change: (inout ConnectionPlan) -> Void = { _ in }
    ) throws {
        self.server = server
        var plan = ConnectionPlan(
            slot: 0, market: 0, endpoint: try Endpoint("\(isTLS ? "wss" : "ws")://\(host):\(server.port)"),
            target: "/stream",
            streams: streams.enumerated().map { SlotStream(id: UInt32($0.offset), name: $0.element) },
            // Without streams the connection itself is what is wanted.
            language: streams.isEmpty ? nil : TestLanguage())
        plan.limits.backoffFirstNanos = 2_000_000
        limits(&plan.limits)
        change(&plan)
        let waker = try Waker()
        let mailbox = ResolverStage.Mailbox(waker: waker)
        let (producerBox, consumerBox, ring) = try Ring.make(name: "frames", minimumCapacity: ringBytes)
        self.ring = ring
        commands = CommandQueue(capacity: 100)
        guard let producer = producerBox.take() else { throw TestFailure(description: "taken twice") }
        stage = WireStage(
            plans: [plan], contexts: context.map { [$0] } ?? [], frames: producer, monitor: monitor,
            activity: activity, budgets: [AttemptBudget(perWindow: 300, windowNanos: 300_000_000_000)],
            commands: commands, resolver: mailbox, waker: waker, backend: OnBothBackends.current)
        guard stage.reactor.backend == OnBothBackends.current else {
            throw TestFailure(description: stage.reactor.problem ?? "another backend")
        }
        resolver = ResolverStage(mailbox: mailbox, waker: waker)
        guard let consumer = consumerBox.take() else { throw TestFailure(description: "taken twice") }
        frames = consumer
    }

    var messages: [[UInt8]] {
        records.compactMap { if case .frame(let bytes, _) = $0 { bytes } else { nil } }
    }

    /// One turn of everything.
    func turn() {
        _ = resolver.doWork()
        _ = stage.doWork()
        server.pump()
        notices += monitor.notices.drain()
        guard consumes else { return }
        while let payload = frames.next() {
            let run = FrameRun(payload: payload)
            let header = run.header
            switch header.kind {
            case .opened: records.append(.opened(generation: header.generation))
            case .closed: records.append(.closed(generation: header.generation))
            case .frames:
                times.append(header.receivedTime)
                for index in 0..<Int(header.frameCount) {
                    let bytes = Array(run.frame(index))
                    records.append(.frame(bytes, generation: header.generation))
                    guard echoes else { continue }
                    let isBinary = run.slice(index).isBinary
                    commands.send(
                        .message(slot: 0, generation: header.generation, isBinary: isBinary, payload: bytes))
                }
            }
        }
        frames.release()
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
}
