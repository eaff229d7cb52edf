import BinanceAdapter
import CKernel
import ExchangeAdapter
import Glibc
import MarketData
import Parsing
import Rings
import Wire

/// Socket → typed event with the collector's own stages: I/O and parser on one thread, events discarded behind their
/// ring. What `hand_client` does, with all that the collector does besides.
final class LaneClient {
    private var wire: WireStage
    private var parser: ParserStage
    private var events: RingConsumer
    private var resolver: ResolverStage
    private let monitor: WireMonitor
    private let counters: ParserCounters

    private init(endpoint: Endpoint, authority: String?, symbols: [String]) throws {
        let adapter = try ComparedStreams.adapter()
        let streams = try ComparedStreams.plans(of: symbols, adapter: adapter)
        let instruments = InstrumentTable(exchanges: [adapter.exchange])
        let waker = try Waker()
        let mailbox = ResolverStage.Mailbox(waker: waker)
        resolver = ResolverStage(mailbox: mailbox, waker: waker)
        let commands = CommandQueue<WireCommand>(capacity: 1_024, waker: waker)
        let activity = StreamActivity(capacity: streams.count)
        var plan = ConnectionPlan(
            slot: 0, market: 0, endpoint: endpoint, target: adapter.target(of: streams[0]))
        plan.streams = streams.map { SlotStream(id: $0.id, name: $0.name, period: $0.period) }
        plan.language = adapter.language
        plan.limits = adapter.limits
        monitor = WireMonitor(slotCount: 1)
        counters = ParserCounters(marketCount: 1)
        // The collector's default sizes.
        let (frameProducer, frameConsumer, _) = try Ring.make(name: "frames", minimumCapacity: 8 << 20)
        let (eventProducer, eventConsumer, _) = try Ring.make(
            name: "events",
            minimumCapacity: max(8 << 20, EventWriter.bound(forFrameOf: plan.limits.messageBytes) * 3 / 2))
        guard let frames = frameProducer.take(), let taken = frameConsumer.take(),
            let made = eventProducer.take(),
            let events = eventConsumer.take()
        else { throw ComparisonFailure(description: "a fresh ring has both ends") }
        wire = WireStage(
            plans: [plan],
            contexts: try authority.map { [try TLSContext(certificateAuthority: $0)] } ?? [],
            frames: frames, monitor: monitor, activity: activity,
            budgets: [AttemptBudget(limits: plan.limits)],
            commands: commands, resolver: mailbox, waker: waker)
        parser = ParserStage(
            frames: taken,
            events: EventWriter(
                producer: made, counters: counters, instrumentCapacity: instruments.capacity,
                gapNotices: CommandQueue(capacity: 64), activity: activity),
            decoders: [adapter.makeDecoder(market: 0, instruments: instruments, streams: streams)],
            streams: [streams], links: ParserLink.table(of: [plan], sides: LinkIndex.sides),
            instruments: instruments, commands: commands, requests: CommandQueue(capacity: 16), waker: waker)
        self.events = events
    }

    /// One cycle; the number of events.
    private func turn() -> Int {
        _ = wire.doWork() + parser.doWork()
        var count = 0
        while let record = events.next() {
            // A frame that became none of the wanted events must not count as read.
            guard record.load(as: EventHeader.self).kind.rawValue < EventKind.gap.rawValue else { return -1 }
            count &+= 1
        }
        events.release()
        return count
    }

    /// See main.swift.
    static func run(_ words: [String]) throws {
        guard words.count == 6, let warm = Double(words[3]), let seconds = Double(words[4]),
            let cpu = Int32(words[5])
        else {
            throw ComparisonFailure(
                description: "socket takes ENDPOINT AUTHORITY|- SYMBOLS WARM-SECONDS SECONDS CPU")
        }
        guard ck_pin_thread(cpu) == 0 else {
            throw ComparisonFailure(description: "cannot be pinned to CPU \(cpu)")
        }
        let client = try LaneClient(
            endpoint: try Endpoint(words[0]), authority: words[1] == "-" ? nil : words[1],
            symbols: try lines(of: words[2]))
        var begin: Int64 = 0
        let limit = nanosNow() + 20_000_000_000
        while begin == 0 {
            _ = client.resolver.doWork()
            if try client.count() > 0 { begin = nanosNow() }
            guard nanosNow() < limit else {
                throw ComparisonFailure(
                    description: "no event within 20 s: "
                        + client.monitor.notices.drain().map(\.text).joined(separator: "; "))
            }
        }
        while nanosNow() - begin < Int64(warm * 1e9) { _ = try client.count() }
        let start = nanosNow()
        let cpuStart = cpuNanos()
        // Repeats were read like all others.
        let before = client.received
        while nanosNow() - start < Int64(seconds * 1e9) { _ = try client.count() }
        let events = client.received - before
        let span = Double(nanosNow() - start) / 1e9
        print(
            "{\"frames\":\(events),\"seconds\":\(span),\"framesPerSecond\":\((Double(events) / span).rounded()),"
                + "\"cpuNanosPerFrame\":\(((Double(cpuNanos() - cpuStart) / Double(max(1, events))) * 10).rounded() / 10)}"
        )
    }

    private var received: Int {
        EventKind.allCases.reduce(0) { $0 + counters.counts($1, market: 0).received }
    }

    private func count() throws -> Int {
        let count = turn()
        guard count >= 0 else {
            throw ComparisonFailure(description: "a gap, or a frame that could not be read")
        }
        return count
    }

    private static func cpuNanos() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
