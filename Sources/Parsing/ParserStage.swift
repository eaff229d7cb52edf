import CKernel
import ExchangeAdapter
import MarketData
import Rings
import Wire

/// How the control plane speaks to the parser thread of a lane.
public enum ParserCommand: Sendable {
    /// From now on these are the streams of a market. Sent before they are asked for on a connection: frames of
    /// streams that the parser does not know are ignored.
    case streams(market: Int, [StreamPlan])
    /// From now on these are the links, those of before at the same indices.
    case links([ParserLink])
    /// Tells how far all sequences are.
    case snapshot(SequenceSnapshot)
}

/// Keeps a decoder where it can be called without counting a reference.
private final class DecoderBox {
    let decoder: any FrameDecoder

    init(_ decoder: any FrameDecoder) { self.decoder = decoder }
}

/// The parser thread of a lane: hands each run of frames to its market's decoder, which writes events into the event
/// ring, and tells the I/O thread what the exchange answered.
public struct ParserStage: ~Copyable, Stage {
    /// Runs that one cycle takes.
    static let runsPerCycle = 64

    private var frames: RingConsumer
    private var events: EventWriter
    /// By market, retained until the stage ends: to call one counts no reference.
    private let decoders: [Unmanaged<DecoderBox>]
    /// By link.
    private var links: [ParserLink]
    /// By market.
    private var streams: [[StreamPlan]]
    private let instruments: InstrumentTable
    private let commands: CommandQueue<WireCommand>
    private let requests: CommandQueue<ParserCommand>
    private let parsedLatency: LatencyRecorder
    private let waker: Waker
    /// Frames of the run at hand that are dealt with already: the event ring was full.
    private var resumeAt = 0
    private var isBlocked = false
    private let repair: RepairMailbox?
    /// The queue of `repair`, which keeps it: to look into it counts no reference.
    private let deliveries: Unmanaged<CommandQueue<RepairDelivery>>?
    /// What was found of a hole and does not fit in the event ring yet.
    private var waiting: RepairDelivery?
    /// Deliveries that one cycle takes.
    static let deliveriesPerCycle = 4

    /// - Parameters:
    ///   - decoders: by market, made for `streams`.
    ///   - streams: by market.
    ///   - links: what each link of the lane brings; see ``ParserLink/table(of:sides:)``.
    ///   - instruments: of the lane.
    ///   - commands: of the lane's I/O thread.
    ///   - requests: to this thread, waking it by `waker`.
    public init(
        frames: consuming RingConsumer, events: consuming EventWriter, decoders: [any FrameDecoder],
        streams: [[StreamPlan]], links: [ParserLink], instruments: InstrumentTable,
        commands: CommandQueue<WireCommand>, requests: CommandQueue<ParserCommand>, waker: Waker
    ) {
        self.frames = frames
        self.events = events
        self.decoders = decoders.map { Unmanaged.passRetained(DecoderBox($0)) }
        self.streams = streams
        self.links = links
        self.instruments = instruments
        self.commands = commands
        self.requests = requests
        self.waker = waker
        repair = self.events.repair
        deliveries = repair.map { Unmanaged.passUnretained($0.deliveries) }
        parsedLatency = self.events.counters.parsedLatency.recorder
        self.events.setLinks(links)
    }

    deinit { for decoder in decoders { decoder.release() } }

    /// One cycle; see the type.
    public mutating func doWork() -> Int {
        isBlocked = false
        var work = obeyRequests()
        if waiting != nil || hasDeliveries, let repair { work += take(from: repair) }
        if events.isHolding { isBlocked = !events.settle(now: ck_monotonic_nanos()) || isBlocked }
        var runs = 0
        while !isBlocked, runs < ParserStage.runsPerCycle, let record = frames.peek() {
            guard parse(FrameRun(payload: record)) else {
                isBlocked = true
                break
            }
            frames.advance()
            runs += 1
        }
        events.publish()
        frames.release()
        return work + runs
    }

    /// hot: one run. False where the event ring is too full for its rest.
    private mutating func parse(_ run: FrameRun) -> Bool {
        let header = run.header
        let link = Int(header.connection)
        // A slot that was added in this very cycle: what tells of it was sent before it.
        if link >= links.count { obeyRequests() }
        guard link < links.count else { return true }
        let now = ck_monotonic_nanos()
        switch header.kind {
        case .opened: events.opened(link: link, generation: header.generation)
        case .closed: events.closed(link: link, generation: header.generation)
        case .frames:
            events.beginRun(
                link: link, generation: header.generation, receivedTime: header.receivedTime, now: now)
            let done = decoders[links[link].market]._withUnsafeGuaranteedRef {
                $0.decoder.decode(run, from: resumeAt, into: &events)
            }
            resumeAt += done
            parsedLatency.record(ck_realtime_nanos() &- header.receivedTime, count: done)
            if !events.signals.isEmpty { tell(slot: link, generation: header.generation) }
            guard resumeAt == Int(header.frameCount) else { return false }
            resumeAt = 0
        }
        if events.isHolding { isBlocked = !events.settle(now: now) }
        return true
    }

    private var hasDeliveries: Bool {
        guard let deliveries else { return false }
        return deliveries._withUnsafeGuaranteedRef { !$0.isEmpty }
    }

    /// Puts what was found of holes in its place.
    private mutating func take(from repair: RepairMailbox) -> Int {
        var count = 0
        while count < ParserStage.deliveriesPerCycle {
            guard let delivery = waiting ?? repair.deliveries.drain(limit: 1).first else { return count }
            guard events.take(delivery, now: ck_monotonic_nanos()) else {
                waiting = delivery
                isBlocked = true
                return count
            }
            waiting = nil
            count += 1
        }
        return count
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

    @discardableResult private mutating func obeyRequests() -> Int {
        var count = 0
        while !requests.isEmpty {
            for request in requests.drain() {
                obey(request)
                count += 1
            }
        }
        return count
    }

    private mutating func obey(_ command: ParserCommand) {
        switch command {
        case .links(let links):
            self.links = links
            events.setLinks(links)
        case .snapshot(let snapshot): events.snapshot(into: snapshot, instruments: instruments.count)
        case .streams(let market, let plans):
            decoders[market].takeUnretainedValue().decoder.update(streams: plans)
            let kept = Set(plans.map(\.name))
            // What else is forgotten of a stream that ends tells nothing wrong when it begins again.
            let followed: Set<EventKind> = [.trade, .aggTrade, .kline]
            for stream in streams[market] where followed.contains(stream.kind) {
                guard !kept.contains(stream.name),
                    let symbol = stream.symbol, let instrument = instruments.intern(symbol, market: market)
                else { continue }
                events.forget(stream.kind, variant: stream.variant, instrument: instrument)
            }
            streams[market] = plans
        }
    }

    // MARK: Stage

    /// Whether the next cycle would find something to do.
    public mutating func hasInput() -> Bool {
        !requests.isEmpty
            || (!isBlocked && (frames.hasInput() || hasDeliveries))
    }

    /// Until the next deadline, ns.
    public mutating func parkLimit() -> Int64 {
        // A full event ring is looked at again soon: its consumer does not wake its producer.
        if isBlocked { return 200_000 }
        guard let deadline = events.nextDeadline else { return 100_000_000 }
        return min(100_000_000, max(0, deadline - ck_monotonic_nanos()))
    }

    /// Waits for the waker or for descriptors.
    public mutating func park(nanos: Int64) { waker.wait(nanos: nanos) }
}
