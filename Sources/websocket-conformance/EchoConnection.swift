import Rings
import Wire

/// What all connections of a run share.
struct ConnectionSettings: Sendable {
    var endpoint: Endpoint
    var context: TLSContext?
    var deflate: DeflateOffer?
    var backend: ReactorBackend

    /// The suite's largest message, bytes.
    static let messageBytes = 16 << 20
}

/// One connection to the suite, opened once: an I/O stage with a single slot whose frame ring is read here. Every
/// message is sent back as it came. Moved on by hand, in one thread with the others.
final class EchoConnection {
    private let monitor = WireMonitor(slotCount: 1)
    private let commands: CommandQueue<WireCommand>
    private var stage: WireStage
    private var frames: RingConsumer
    private let echoes: Bool
    /// The last message, where they are not sent back.
    private(set) var message: [UInt8] = []

    /// `echoes`: send messages back, rather than keep the last.
    init(
        _ target: String, _ settings: ConnectionSettings, resolver: ResolverStage.Mailbox, echoes: Bool
    ) throws(RingError) {
        self.echoes = echoes
        var plan = ConnectionPlan(
            slot: 0, market: 0, endpoint: settings.endpoint, target: target)
        plan.limits.messageBytes = ConnectionSettings.messageBytes
        plan.deflate = settings.deflate
        plan.pongs = .each
        plan.ending = .settled
        plan.opensOnce = true
        let (producer, consumer, _) = try Ring.make(
            name: "frames",
            minimumCapacity: WireStage.ringBytes(messageBytes: ConnectionSettings.messageBytes))
        let waker = try Waker()
        // A record's messages at most: the next one is taken only when all answers are on their way.
        commands = CommandQueue(capacity: 8_192, waker: waker)
        guard let producer = producer.take(), let consumer = consumer.take() else {
            preconditionFailure("a new ring's ends are there to be taken")
        }
        frames = consumer
        stage = WireStage(
            plans: [plan], contexts: settings.context.map { [$0] } ?? [], frames: producer, monitor: monitor,
            activity: StreamActivity(capacity: 1),
            budgets: [AttemptBudget(perWindow: 1, windowNanos: 1_000_000_000)], commands: commands,
            resolver: resolver, waker: waker, backend: settings.backend)
    }

    /// Whether the connection has ended, or could not be made.
    var isOver: Bool { monitor.state(ofSlot: 0) == .stopped }
    /// Whether it was open at all.
    var wasOpen: Bool { monitor.openedCount(ofSlot: 0) > 0 }
    /// What became of it.
    var story: String { monitor.notices.drain().map(\.text).joined(separator: "; ") }

    /// One turn of the stage and of its consumer; how much there was to do.
    func turn() -> Int {
        var work = stage.doWork()
        while commands.isEmpty, let payload = frames.next() {
            answer(FrameRun(payload: payload))
            frames.release()
            work += 1
        }
        return work
    }

    private func answer(_ run: FrameRun) {
        let header = run.header
        guard header.kind == .frames else { return }
        for index in 0..<Int(header.frameCount) {
            let bytes = Array(run.frame(index))
            guard echoes else {
                message = bytes
                continue
            }
            commands.send(
                .message(
                    slot: 0, generation: header.generation, isBinary: run.slice(index).isBinary,
                    payload: bytes))
        }
    }
}
