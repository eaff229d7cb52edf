import ExchangeAdapter
import MarketData
import Rings
import Wire

/// The parser thread of a lane: hands each run of frames to its market's decoder, which writes events into the event
/// ring, and tells the I/O thread what the exchange answered.
public struct ParserStage: ~Copyable, Stage {
    /// Runs that one cycle takes.
    static let runsPerCycle = 64

    private var frames: RingConsumer
    private var events: EventWriter
    /// By market.
    private let decoders: [any FrameDecoder]
    /// Market of each connection slot.
    private let markets: [Int]
    private let commands: CommandQueue<WireCommand>
    private let waker: Waker
    /// Frames of the run at hand that are dealt with already: the event ring was full.
    private var resumeAt = 0
    private var isBlocked = false

    /// - Parameters:
    ///   - decoders: by market.
    ///   - markets: the market of each connection slot of the lane.
    ///   - commands: of the lane's I/O thread.
    public init(
        frames: consuming RingConsumer, events: consuming EventWriter, decoders: [any FrameDecoder],
        markets: [Int],
        commands: CommandQueue<WireCommand>, waker: Waker
    ) {
        self.frames = frames
        self.events = events
        self.decoders = decoders
        self.markets = markets
        self.commands = commands
        self.waker = waker
    }

    /// One cycle; see the type.
    public mutating func doWork() -> Int {
        isBlocked = false
        var runs = 0
        while runs < ParserStage.runsPerCycle, let record = frames.peek() {
            guard parse(FrameRun(payload: record)) else {
                isBlocked = true
                break
            }
            frames.advance()
            runs += 1
        }
        events.publish()
        frames.release()
        return runs
    }

    /// hot: one run. False where the event ring is too full for its rest.
    private mutating func parse(_ run: FrameRun) -> Bool {
        let header = run.header
        guard header.kind == .frames else { return true }
        let slot = Int(header.connection)
        events.market = markets[slot]
        events.receivedTime = header.receivedTime
        events.connection = UInt64(header.connection) << 32 | UInt64(header.generation)
        resumeAt += decoders[markets[slot]].decode(run, from: resumeAt, into: &events)
        if !events.signals.isEmpty { tell(slot: slot, generation: header.generation) }
        guard resumeAt == Int(header.frameCount) else { return false }
        resumeAt = 0
        return true
    }

    @inline(never) private mutating func tell(slot: Int, generation: UInt32) {
        for signal in events.signals {
            switch signal {
            case .acknowledged(let id):
                commands.send(.acknowledged(slot: slot, generation: generation, id: id))
            case .refused(let id, let code, let text):
                let which = id.map { "request \($0)" } ?? "a request"
                let why = code.map { "code \($0), " } ?? ""
                commands.send(
                    .refused(slot: slot, generation: generation, id: id, text: "\(which): \(why)\(text)"))
            case .listed(let id, let names):
                commands.send(.listed(slot: slot, generation: generation, id: id, names: names))
            case .serverShutdown: commands.send(.serverShutdown(slot: slot, generation: generation))
            }
        }
        events.signals.removeAll()
    }

    // MARK: Stage

    /// Whether the next cycle would find something to do.
    public mutating func hasInput() -> Bool { !isBlocked && frames.hasInput() }
    // A full event ring is looked at again soon: its consumer does not wake its producer.
    /// Until the next deadline, ns.
    public mutating func parkLimit() -> Int64 { isBlocked ? 200_000 : 100_000_000 }
    /// Waits for the waker or for descriptors.
    public mutating func park(nanos: Int64) { waker.wait(nanos: nanos) }
}
