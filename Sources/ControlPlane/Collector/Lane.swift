import ExchangeAdapter
import MarketData
import Parsing
import Rings
import Wire

/// What belongs to one lane: rings, tables, counters, and the two ends that its threads will take.
struct Lane {
    let plans: [ConnectionPlan]
    let streams: [[StreamPlan]]
    let instruments: InstrumentTable
    let wireMonitor: WireMonitor
    let counters: ParserCounters
    let activity: StreamActivity
    let commands: CommandQueue<WireCommand>
    let legs: LegCounters
    let parserCommands: CommandQueue<ParserCommand>
    let gapNotices = CommandQueue<GapNotice>(capacity: 65_536)
    let repair: RepairMailbox
    /// Where sequences were when the last run ended.
    private let resumption: Resumption
    let frameProducer: RingProducerBox
    let frameConsumer: RingConsumerBox
    let frameRing: RingStorage
    let eventProducer: RingProducerBox
    let eventConsumer: RingConsumerBox
    let eventRing: RingStorage
    private let exchanges: [any ExchangeAdapter]

    /// Streams that a lane may come to have while it runs; memory is touched only as they are used.
    static let streamCapacity = Planner.streamsPerLane
    /// Slots that may be added while it runs.
    static let spareSlots = 64

    init(
        index: Int, configuration: Configuration, adapters: [any ExchangeAdapter], plan: FleetPlan.Lane,
        threads: ThreadPlan, resumption: Resumption = Resumption()
    ) throws {
        self.resumption = resumption
        exchanges = adapters
        streams = plan.streams
        plans = plan.slots
        activity = StreamActivity(capacity: Lane.streamCapacity)
        instruments = InstrumentTable(exchanges: configuration.exchanges.map(\.exchange))
        wireMonitor = WireMonitor(slotCount: plans.count, slotCapacity: plans.count + Lane.spareSlots)
        counters = ParserCounters(marketCount: configuration.exchanges.count)
        legs = LegCounters(marketCount: configuration.exchanges.count)
        commands = CommandQueue(capacity: 65_536, waker: threads.wire[index].waker)
        parserCommands = CommandQueue(capacity: 4_096, waker: threads.parse[index].waker)

        repair = RepairMailbox(
            patience: configuration.exchanges.map { $0.repair.isEnabled ? $0.repair.holdNanos : nil },
            served: adapters.map { adapter in
                Set(EventKind.allCases.filter { adapter.backfill?.serves($0) == true })
            },
            parser: threads.parse[index].waker)

        // Whatever is configured, the largest message must fit, as frame and as the events that it becomes.
        let largest = configuration.exchanges.map(\.maxMessageBytes).max() ?? 0
        let parser = threads.parse[index]
        (frameProducer, frameConsumer, frameRing) = try Ring.make(
            name: "frames-\(index)",
            minimumCapacity: max(
                configuration.collector.frameRingBytes, WireStage.ringBytes(messageBytes: largest)),
            waker: parser.name == threads.wire[index].name ? nil : parser.waker)
        (eventProducer, eventConsumer, eventRing) = try Ring.make(
            name: "events-\(index)",
            minimumCapacity: max(
                configuration.collector.eventRingBytes, EventWriter.bound(forFrameOf: largest) * 3 / 2),
            waker: threads.batch.name == parser.name ? nil : threads.batch.waker)
    }

    /// The lane's I/O stage; called once, on its thread.
    func makeWire(
        contexts: [TLSContext], budgets: [AttemptBudget], resolver: ResolverStage.Mailbox, waker: Waker,
        backend: ReactorBackend
    ) -> WireStage {
        guard let producer = frameProducer.take() else { preconditionFailure("the I/O stage was made twice") }
        return WireStage(
            plans: plans, contexts: contexts, frames: producer, monitor: wireMonitor,
            activity: activity, budgets: budgets, commands: commands, resolver: resolver, waker: waker,
            backend: backend)
    }

    /// The lane's parser stage; called once, on its thread.
    func makeParser(waker: Waker) -> ParserStage {
        guard let consumer = frameConsumer.take(), let producer = eventProducer.take() else {
            preconditionFailure("the parser stage was made twice")
        }
        let decoders = exchanges.enumerated().map { market, adapter in
            adapter.makeDecoder(market: market, instruments: instruments, streams: streams[market])
        }
        var events = EventWriter(
            producer: producer, counters: counters, instrumentCapacity: instruments.capacity,
            gapNotices: gapNotices, activity: activity, legs: legs, repair: repair)
        resumption.apply(to: &events, instruments: instruments)
        return ParserStage(
            frames: consumer, events: events,
            decoders: decoders, streams: streams, links: ParserLink.table(of: plans, sides: LinkIndex.sides),
            instruments: instruments, commands: commands, requests: parserCommands, waker: waker)
    }
}
