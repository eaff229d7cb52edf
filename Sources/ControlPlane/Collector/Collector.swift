import Batching
import CKernel
import ExchangeAdapter
import Logging
import MarketData
import Publishing
import Rings
import Synchronization
import Telemetry
import Wire

/// A whole collector: made of a configuration, started, looked at, and drained. The composition root of the stages.
public final class Collector: Sendable {
    let configuration: Configuration
    let logger: Logger
    let threads: ThreadPlan
    /// What the configuration asked for at the start.
    let plan: FleetPlan
    /// What is in force, and its changes.
    let live: LiveSubscriptions
    let streamClock: StreamClock
    let topicWatch = TopicWatch()
    let lanes: [Lane]
    let batchMonitor = BatchMonitor()
    let ledger: PublishLedger
    let routes = RouteTable()
    let batchRing: RingStorage
    /// For compressing batches.
    let dictionaries: [CompressionDictionary]
    let runID: UInt64
    let startTime: Int64
    private let batchProducer: RingProducerBox
    private let batchConsumer: RingConsumerBox
    private let contexts: [TLSContext]
    /// What the I/O threads wait with, and why that is not what was asked for.
    private let backend: (choice: ReactorBackend, problem: String?)
    let budgets: [AttemptBudget]
    let attempts: AttemptKeeper
    private let resolverControl: StageControl
    private let resolver: ResolverStage.Mailbox
    private let running = RunningThreads()
    private let adapters: [any ExchangeAdapter]
    /// What fills holes over REST.
    let repairs = Mutex<[RepairService]>([])
    let spooling = Spooling()
    let billedRate = BilledRate()
    /// What writes down how far everything is; nil: nothing is repaired.
    let keeper = Mutex<CheckpointKeeper?>(nil)
    /// What is known of each instrument's continuity.
    let continuity = ContinuityLedger()
    let ledgerTimes = Mutex(LedgerTimes())
    /// What the last run left.
    let checkpoint: Checkpoint

    /// Makes everything that can fail, so that ``start()`` finds it ready; nothing runs or connects yet.
    ///
    /// - Throws: ``CollectorError``, `RingError`, `PublishError` or `TLSContext.Failure`, each with a remedy.
    public init(configuration: Configuration, logger: Logger) throws {
        guard configuration.exchanges.count <= BatchSettings.marketLimit else {
            throw CollectorError(
                "\(configuration.exchanges.count) markets are more than \(BatchSettings.marketLimit); run several collectors"
            )
        }
        self.configuration = configuration
        self.logger = logger
        threads = try ThreadPlan(configuration.collector)
        backend = ReactorBackend.choose(configuration.collector.backend.reactor)
        contexts = try configuration.exchanges.map {
            try TLSContext(
                certificateAuthority: $0.tls.certificateAuthority, verify: $0.tls.verify,
                minimum: $0.tls.minimum, records: $0.tls.records)
        }
        dictionaries = try configuration.batching.dictionary.load()
        let adapters = try configuration.exchanges.map { try Collector.adapter($0) }
        self.adapters = adapters
        let keyed = Collector.budgets(configuration)
        budgets = keyed.map(\.budget)
        attempts = AttemptKeeper(
            directory: configuration.collector.dataDirectory, budgets: keyed, logger: logger)
        resolverControl = try StageControl(name: "resolve")
        resolver = ResolverStage.Mailbox(waker: resolverControl.waker)
        // One market more, for what the spool holds of markets that are no longer configured.
        ledger = PublishLedger(markets: configuration.exchanges.count + 1)
        var run: UInt64 = 0
        _ = ck_random(&run, 8)
        runID = run
        startTime = ck_realtime_nanos()

        plan = try configuration.plan()
        if let warning = try OpenFiles.provide(sockets: plan.sockets()) { logger.warning("\(warning)") }
        checkpoint = Collector.checkpoint(configuration, logger: logger)
        var lanes: [Lane] = []
        for (index, plan) in plan.lanes.enumerated() {
            lanes.append(
                try Lane(
                    index: index, configuration: configuration, adapters: adapters, plan: plan,
                    threads: threads,
                    resumption: Resumption(checkpoint, lane: plan, exchanges: configuration.exchanges)))
        }
        self.lanes = lanes
        let clock = StreamClock(plan: plan)
        streamClock = clock
        live = LiveSubscriptions(
            fleet: Collector.fleet(
                plan: plan, lanes: lanes, clock: clock, topics: topicWatch, logger: logger),
            adapters: adapters, clock: { ck_monotonic_nanos() })
        // A dead letter's frame grows by a third in base64, and two batches must fit.
        let largest = (configuration.exchanges.map(\.maxMessageBytes).max() ?? 0) * 3 / 2 + 65_536
        (batchProducer, batchConsumer, batchRing) = try Ring.make(
            name: "batches",
            minimumCapacity: max(
                configuration.collector.batchRingBytes, 3 * (largest + configuration.batching.maxBytes)),
            waker: threads.publish.name == threads.batch.name ? nil : threads.publish.waker)
    }

    private static func adapter(_ exchange: Configuration.Exchange) throws -> any ExchangeAdapter {
        if let adapter = exchange.makeAdapter(Adapters.all) { return adapter }
        throw CollectorError("exchange \(exchange.adapter) \(exchange.market): no such adapter is built in")
    }

    /// By market. An exchange counts the attempts of an address, whichever lane or market makes them; a budget of the
    /// configuration is that of the process.
    private static func budgets(_ configuration: Configuration) -> [(key: String, budget: AttemptBudget)] {
        var known: [String: AttemptBudget] = [:]
        return configuration.exchanges.map { exchange in
            let key = configuration.collector.connectionAttempts == nil ? exchange.adapter : "all"
            let budget =
                known[key]
                ?? AttemptBudget(limits: exchange.limits)
            known[key] = budget
            return (key, budget)
        }
    }

    // MARK: Starting

    /// Starts all threads; connections are made from now on.
    public func start() throws {
        if let problem = backend.problem {
            logger.warning(
                "backend: epoll instead of io_uring, which does not work here; \(problem)")
        }
        logger.info("reactor", metadata: ["backend": "\(backend.choice.rawValue)"])
        switch configuration.sink.type {
        case .null: try start(NullSink(ledger: ledger))
        case .stdout: try start(StandardOutputSink(ledger: ledger))
        case .file:
            var settings = FileSettings(directory: configuration.sink.path)
            settings.segmentBytes = configuration.sink.rotateBytes
            settings.segmentAge = Int64(configuration.sink.rotateSeconds) * 1_000_000_000
            try start(FileSink(settings: settings, ledger: ledger))
        case .pubsub:
            let spool = try makeSpool()
            spooling.begin(spool?.monitor)
            try start(makePubSubSink(), spool: spool)
        case .nats: try start(makeNATSSink())
        }
    }

    private func start<S: Sink>(_ made: S, spool: Spool? = nil) throws {
        let sink = SinkHandover(made, spool)
        let idle = configuration.collector.idle
        let (resolver, resolverControl) = (resolver, resolverControl)
        running.add(
            try StageThread(control: resolverControl, idle: .park) {
                ResolverStage(mailbox: resolver, waker: resolverControl.waker)
            })
        let services = makeRepairServices(adapters: adapters)
        repairs.withLock { $0 = services }
        for service in services { service.start() }
        resumeContinuity()
        startCheckpoints(services)
        // The consumers first, so that no thread fills a ring that nobody empties.
        switch threads.grouping {
        case .single:
            // The sink's sockets are not in the reactor's epoll set, so the thread looks after them often.
            let hasSockets = [.pubsub, .nats].contains(configuration.sink.type)
            let parkMax: Int64 = hasSockets ? 1_000_000 : 1_000_000_000
            try run(threads.wire[0], idle) { [self] waker in
                StagePair(
                    StagePair(
                        StagePair(makeWire(0, waker), lanes[0].makeParser(waker: waker)), makeBatch(waker)),
                    makePublisher(sink, waker), parkMax: parkMax)
            }
        case .lane:
            try run(threads.publish, idle) { [self] waker in makePublisher(sink, waker) }
            if lanes.count == 1 {
                try run(threads.wire[0], idle) { [self] waker in
                    StagePair(
                        StagePair(makeWire(0, waker), lanes[0].makeParser(waker: waker)), makeBatch(waker))
                }
            } else {
                try run(threads.batch, idle) { [self] waker in makeBatch(waker) }
                for index in lanes.indices {
                    try run(threads.wire[index], idle) { [self] waker in
                        StagePair(makeWire(index, waker), lanes[index].makeParser(waker: waker))
                    }
                }
            }
        case .stage:
            try run(threads.publish, idle) { [self] waker in makePublisher(sink, waker) }
            try run(threads.batch, idle) { [self] waker in makeBatch(waker) }
            for index in lanes.indices {
                try run(threads.parse[index], idle) { [self] waker in lanes[index].makeParser(waker: waker) }
                try run(threads.wire[index], idle) { [self] waker in makeWire(index, waker) }
            }
        }
    }

    private func run<S: Stage & ~Copyable>(
        _ control: StageControl, _ idle: IdleStrategy, make: @escaping @Sendable (Waker) -> S
    ) throws {
        let cpu = threads.cpu(of: control)
        let logger = logger
        running.add(
            try StageThread(
                control: control, idle: idle, cpu: cpu,
                onPinError: { code in
                    logger.warning(
                        "thread \(control.name) could not be pinned to CPU \(cpu ?? -1) (errno \(code)) and runs anywhere"
                    )
                },
                make: { make(control.waker) }))
    }

    private func makeWire(_ index: Int, _ waker: Waker) -> WireStage {
        lanes[index].makeWire(
            contexts: contexts, budgets: budgets, resolver: resolver, waker: waker, backend: backend.choice)
    }

    private func makeBatch(_ waker: Waker) -> BatchStage {
        guard let producer = batchProducer.take() else {
            preconditionFailure("the batch stage was made twice")
        }
        return BatchStage(
            settings: batchSettings, inputs: lanes.map { ($0.eventConsumer, $0.instruments) },
            output: producer,
            routes: routes, monitor: batchMonitor, waker: waker)
    }

    private func makePublisher<S: Sink>(_ sink: SinkHandover<S>, _ waker: Waker) -> PublisherStage<S> {
        guard let consumer = batchConsumer.take() else { preconditionFailure("the publisher was made twice") }
        return PublisherStage(
            input: consumer, routes: routes, sink: sink.sink, spool: sink.spool, monitor: batchMonitor,
            waker: waker)
    }

    // MARK: Ending

    /// Ends in the order of a message's way, so that everything received is published: connections are closed, rings
    /// run dry, open batches close, the sink acknowledges. Gives up waiting after `graceNanos`, and where there is a spool,
    /// sooner when the sink gets nowhere: what is not acknowledged waits there for the next start.
    ///
    /// - Returns: whether everything was delivered or is in the spool.
    public func drain(graceNanos: Int64) async -> Bool {
        let deadline = ck_monotonic_nanos() + graceNanos
        live.fleet.close()
        for lane in lanes { lane.commands.send(.stop) }
        await wait(until: min(deadline, ck_monotonic_nanos() + 2_000_000_000)) { [self] in
            lanes.allSatisfy { $0.wireMonitor.isStopped }
        }
        await wait(until: deadline) { [self] in
            lanes.allSatisfy {
                $0.frameRing.bytesUsed == 0 && $0.counters.waiting == 0 && $0.eventRing.bytesUsed == 0
            }
        }
        batchMonitor.requestFlush()
        let patience = DrainPatience()
        await wait(until: deadline) { [self] in
            batchMonitor.openBatchCount == 0 && batchRing.bytesUsed == 0
                && (ledger.batchesInFlight == 0 || spooling.isEnabled && patience.isOver(ledger))
        }
        await beginLastCheckpoint(deadline: deadline)
        // What is in flight then goes to the spool.
        running.stopAll()
        await endLastCheckpoint(deadline: deadline)
        logNotices()
        writeContinuity()
        repairs.withLock { for service in $0 { service.stop() } }
        return (ledger.batchesInFlight == 0 || spooling.isEnabled && ledger.oldestUnsafe == nil)
            && batchRing.bytesUsed == 0 && batchMonitor.openBatchCount == 0
    }

    func wait(until deadline: Int64, _ condition: @Sendable () -> Bool) async {
        while !condition(), ck_monotonic_nanos() < deadline {
            for control in threads.controls { control.waker.wakeIfParked() }
            try? await Task.sleep(nanoseconds: 1_000_000)
        }
    }
}

/// Carries a sink and its spool to the publisher thread, which alone uses them from then on.
private final class SinkHandover<S: Sink>: @unchecked Sendable {
    let sink: S
    let spool: Spool?
    init(_ sink: S, _ spool: Spool?) {
        self.sink = sink
        self.spool = spool
    }
}
