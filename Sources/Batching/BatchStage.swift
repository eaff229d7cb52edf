import CKernel
import CZstd
import MarketData
import Rings

/// One lane's events, as the batch thread sees them.
struct BatchInput: ~Copyable {
    var events: RingConsumer
    let instruments: InstrumentTable
    /// Index in the router's sources plus 1, by slot and instrument; 0 where there is none yet.
    let sources: UnsafeMutablePointer<Int32>
    let rows: Int

    init(events: consuming RingConsumer, instruments: InstrumentTable) {
        self.events = events
        self.instruments = instruments
        rows = Router.rows(instruments: instruments.capacity)
        sources = ZeroedPages.allocate(Int32.self, count: rows * Router.slotsPerInstrument)
    }

    deinit { ZeroedPages.deallocate(sources) }
}

/// Events of a lane that are not yet taken, whose memory is asked for.
private struct EventsAhead {
    /// Behind them.
    var position: UInt64
    var count = 0
    /// As in ``BatchInput/sources``.
    var sources = InlineArray<16, Int32>(repeating: 0)

    init(at position: UInt64) { self.position = position }
}

/// The batch thread: takes events of all lanes, writes each as JSON into its topic's open batch, closes batches on
/// size, count or age, compresses them into the publisher's ring.
public struct BatchStage: ~Copyable, Stage {
    /// Events that one cycle takes from one lane, so that ages are looked at in between.
    static let eventsPerCycle = 512

    /// Batches that one cycle closes by their age: as many as the publisher takes in one.
    static let expiredPerCycle = 256

    /// How many times the greatest age a batch may reach while more events wait than a cycle takes: what waits is late
    /// already, and many small batches would make it later.
    static let patience: Int64 = 16

    /// A cycle that found so few events leaves none behind that would be worth waiting for: its batches may close at
    /// once. Where more come they are gathered until a cycle finds few.
    static let quietEvents = 4

    private let settings: BatchSettings
    private var router: Router
    private let inputs: UnsafeMutablePointer<BatchInput>
    private let inputCount: Int
    private var output: RingProducer
    /// Nil: batches stay as they are.
    private let compressor: BatchCompressor?
    private let monitor: BatchMonitor
    /// The monitor's histograms, by kind.
    private let internalLatency: UnsafeMutablePointer<LatencyRecorder>
    private let feedLatency: UnsafeMutablePointer<LatencyRecorder>
    private let endToEndLatency: UnsafeMutablePointer<LatencyRecorder>
    private let batchedLatency: LatencyRecorder
    private let times: UnsafeMutablePointer<TimeText>
    private let waker: Waker
    private let routes: RouteTable
    private var open = OpenList()
    /// Batches that are older than `maxDelay` and wait for more, as their route waits on disk.
    private var patient = OpenList()
    private var batchNumber: UInt64 = 0
    private var openedNumber = 0
    /// The publisher's ring was full when a batch had to close.
    private var isBlocked = false

    /// - Parameters:
    ///   - inputs: each lane's event ring and instruments.
    ///   - output: the publisher's ring; it must hold at least two of the largest batches.
    ///   - routes: shared with the publisher.
    public init(
        settings: BatchSettings, inputs: [(events: RingConsumerBox, instruments: InstrumentTable)],
        output: consuming RingProducer, routes: RouteTable, monitor: BatchMonitor, waker: Waker
    ) {
        self.settings = settings
        router = Router(settings: settings, routes: routes)
        self.routes = routes
        self.inputs = .allocate(capacity: max(1, inputs.count))
        var count = 0
        for input in inputs {
            guard let events = input.events.take() else { continue }
            (self.inputs + count).initialize(to: BatchInput(events: events, instruments: input.instruments))
            count += 1
        }
        inputCount = count
        self.output = output
        compressor = BatchCompressor(settings)
        self.monitor = monitor
        internalLatency = .allocate(capacity: EventKind.count)
        feedLatency = .allocate(capacity: EventKind.count)
        endToEndLatency = .allocate(capacity: EventKind.count)
        batchedLatency = monitor.batchedLatency.recorder
        times = .allocate(capacity: 1)
        times.initialize(to: TimeText())
        for kind in 0..<EventKind.count {
            (internalLatency + kind).initialize(to: monitor.internalLatency[kind].recorder)
            (feedLatency + kind).initialize(to: monitor.feedLatency[kind].recorder)
            (endToEndLatency + kind).initialize(to: monitor.endToEndLatency[kind].recorder)
        }
        self.waker = waker
    }

    deinit {
        inputs.deinitialize(count: inputCount)
        inputs.deallocate()
        times.deallocate()
        internalLatency.deallocate()
        feedLatency.deallocate()
        endToEndLatency.deallocate()
    }

    /// One cycle; see the type.
    public mutating func doWork() -> Int {
        isBlocked = false
        let now = ck_realtime_nanos()
        var work = 0
        var isBehind = false
        for index in 0..<inputCount {
            let taken = take(from: inputs + index, now: now)
            isBehind = isBehind || taken == BatchStage.eventsPerCycle
            work += taken
        }
        let isQuiet = work <= BatchStage.quietEvents
        work += closeExpired(now: now, age: settings.maxDelayNanos &* (isBehind ? BatchStage.patience : 1))
        if isQuiet, hasOpen, mayCloseAll { work += closeAll() }
        return work
    }

    private var hasOpen: Bool { open.oldest >= 0 || patient.oldest >= 0 }

    private var mayCloseAll: Bool {
        mutating get {
            if monitor.isFlushRequested { return true }
            return settings.closeWhenIdle && monitor.isPublisherIdle && output.isDrained()
        }
    }

    /// Appends up to ``eventsPerCycle`` of a lane's events.
    private mutating func take(from input: UnsafeMutablePointer<BatchInput>, now: Int64) -> Int {
        var taken = 0
        // Events of one read share their receipt: the clock is asked once for all of them.
        var receivedTime: Int64 = 0
        var sharing = 0
        var ahead = EventsAhead(at: input.pointee.events.position)
        var asked = 0
        while taken < BatchStage.eventsPerCycle, let record = input.pointee.events.peek() {
            if router.isWide {
                if asked == 0 { asked = askAhead(input, &ahead) }
                asked &-= 1
            }
            guard append(UnsafeRawBufferPointer(record), from: input, now: now) else {
                isBlocked = true
                break
            }
            let received = record.load(as: EventHeader.self).receivedTime
            if received != receivedTime, sharing > 0 {
                batchedLatency.record(ck_realtime_nanos() &- receivedTime, count: sharing)
                sharing = 0
            }
            receivedTime = received
            sharing &+= 1
            input.pointee.events.advance()
            taken += 1
        }
        if taken > 0 {
            batchedLatency.record(ck_realtime_nanos() &- receivedTime, count: sharing)
            input.pointee.events.release()
            monitor.counters.add(taken, to: BatchMonitor.Counter.openEvents.rawValue)
        }
        return taken
    }

    /// hot: one event into its batch. False where the batch had to close first and could not.
    private mutating func append(
        _ record: UnsafeRawBufferPointer, from input: UnsafeMutablePointer<BatchInput>, now: Int64
    ) -> Bool {
        let header = record.load(as: EventHeader.self)
        let slot = Router.place(header, rows: input.pointee.rows)
        var sourceIndex = input.pointee.sources[slot]
        if sourceIndex == 0 {
            sourceIndex = makeSource(header, slot, of: input)
            guard sourceIndex != 0 else { return false }
        }
        let source = router.sources.source(sourceIndex &- 1)
        let batch = router.batches + Int(source.batch)
        let needed = Int(source.prefixLength) &+ EventSerializer.bound(record)
        if batch.pointee.count > 0, isFull(batch) || batch.pointee.textLength &+ needed > textLimit {
            guard close(source.batch) else { return false }
        }
        if batch.pointee.textLength &+ needed > batch.pointee.textCapacity
            || batch.pointee.count == batch.pointee.eventCapacity
        {
            batch.pointee.grow(text: batch.pointee.textLength + needed, events: batch.pointee.count + 1)
        }
        write(record, header, source, to: batch)
        if batch.pointee.count == 1 { open(source.batch, now: now) }
        // A batch that cannot close now does so before its next event or by its age.
        if isFull(batch) { _ = close(source.batch) }
        return true
    }

    /// hot: asks for the memory that the next events need, up to 16 of them: how many. Where instruments are
    /// many each event's tables lie in another cache's reach, and one after the other its processor would wait for them;
    /// the loads of several events overlap.
    private func askAhead(_ input: UnsafeMutablePointer<BatchInput>, _ ahead: inout EventsAhead) -> Int {
        if ahead.count == 0 { find(&ahead, of: input) }
        // Their sources have been asked for some events ago.
        for index in 0..<ahead.count where ahead.sources[index] != 0 {
            let batch = router.batches + Int(router.sources.source(ahead.sources[index] &- 1).batch)
            ck_prefetch(batch.pointee.sequence)
            ck_prefetch(batch.pointee.text + batch.pointee.textLength)
        }
        let count = ahead.count
        find(&ahead, of: input)
        return count
    }

    /// hot: finds the sources of the events that follow those that were found last, and asks for them.
    @inline(__always)
    private func find(_ ahead: inout EventsAhead, of input: UnsafeMutablePointer<BatchInput>) {
        ahead.count = 0
        while ahead.count < ahead.sources.count,
            let record = input.pointee.events.payload(at: ahead.position)
        {
            // Looking ahead keeps the processor from seeing that the ring is read from front to end: as much as an event of the
            // common kinds has is asked for with each.
            if let start = record.baseAddress {
                ck_prefetch(start + 2_048)
                ck_prefetch(start + 2_048 + 64)
            }
            let place = Router.place(record.load(as: EventHeader.self), rows: input.pointee.rows)
            let source = input.pointee.sources[place]
            if source != 0 {
                let entry = router.sources.entry(source &- 1)
                ck_prefetch(entry)
                ck_prefetch(entry + 64)
            }
            ahead.sources[ahead.count] = source
            ahead.count &+= 1
            ahead.position &+= UInt64(truncatingIfNeeded: Ring.recordSize(record.count))
        }
    }

    /// The first event of its kind and instrument: the index of its source plus 1; 0 where there is no room for another.
    @inline(never)
    private mutating func makeSource(
        _ header: EventHeader, _ slot: Int, of input: UnsafeMutablePointer<BatchInput>
    ) -> Int32 {
        guard let made = router.make(header, instruments: input.pointee.instruments) else { return 0 }
        input.pointee.sources[slot] = made + 1
        return made + 1
    }

    @inline(__always) private func isFull(_ batch: UnsafeMutablePointer<OpenBatch>) -> Bool {
        batch.pointee.count >= settings.maxEvents || batch.pointee.textLength >= settings.maxBytes
    }

    /// The bound of an event is generous, so a batch may be filled that much further than its limit allows to plan.
    private var textLimit: Int { settings.maxBytes + 4_096 }

    @inline(__always)
    private func write(
        _ record: UnsafeRawBufferPointer, _ header: EventHeader, _ source: Source,
        to batch: UnsafeMutablePointer<OpenBatch>
    ) {
        let sequence = batch.pointee.sequence.pointee &+ 1
        batch.pointee.sequence.pointee = sequence
        let begin = batch.pointee.textLength
        var json = JSONCursor(at: batch.pointee.text + begin, times: times)
        json.bytes(source.prefix, count: Int(source.prefixLength))
        json.integer(sequence)
        EventSerializer.write(record, header, to: &json)
        let end = json.at - batch.pointee.text
        json.byte(UInt8(ascii: "\n"))
        batch.pointee.textLength = end &+ 1

        let count = batch.pointee.count
        let hasTime = header.eventTime != absentInteger
        let eventTime = hasTime ? header.eventTime : header.receivedTime
        if count == 0 {
            batch.pointee.firstSequence = sequence
            batch.pointee.firstEventTime = eventTime
        }
        batch.pointee.lastSequence = sequence
        batch.pointee.lastEventTime = eventTime
        batch.pointee.times[count] = EventTimes(received: header.receivedTime, event: header.eventTime)
        batch.pointee.slices?[count] = EventSlice(
            end: UInt32(truncatingIfNeeded: end), length: UInt32(truncatingIfNeeded: end &- begin),
            sequence: sequence, eventTime: eventTime)
        batch.pointee.count = count &+ 1
        if hasTime {
            feedLatency[Int(header.kind.rawValue)].record(header.receivedTime &- header.eventTime)
        }
    }

    // MARK: The list of open batches

    private mutating func open(_ index: Int32, now: Int64) {
        let batch = router.batches + Int(index)
        openedNumber += 1
        batch.pointee.openedTime = now
        batch.pointee.openedNumber = openedNumber
        batch.pointee.isPatient = false
        open.append(index, router.batches)
        monitor.counters.add(1, to: BatchMonitor.Counter.opened.rawValue)
        monitor.counters.add(1, to: BatchMonitor.Counter.openBatches.rawValue)
        tellOldest()
    }

    private mutating func unlink(_ index: Int32) {
        if router.batches[Int(index)].isPatient {
            patient.remove(index, router.batches)
        } else {
            open.remove(index, router.batches)
        }
        tellOldest()
        monitor.counters.add(-1, to: BatchMonitor.Counter.openBatches.rawValue)
    }

    /// Both lists are in the order of opening.
    private func tellOldest() {
        var number = open.oldest >= 0 ? router.batches[Int(open.oldest)].openedNumber : 0
        if patient.oldest >= 0 {
            let other = router.batches[Int(patient.oldest)].openedNumber
            number = number == 0 ? other : min(number, other)
        }
        monitor.setOldestOpen(number)
    }

    private mutating func closeExpired(now: Int64, age: Int64) -> Int {
        var closed = 0
        while open.oldest >= 0, closed < BatchStage.expiredPerCycle {
            let index = open.oldest
            guard isExpired(index, age, now: now) else { break }
            if mayGrow(index) {
                open.remove(index, router.batches)
                router.batches[Int(index)].isPatient = true
                patient.append(index, router.batches)
                continue
            }
            guard close(index) else {
                isBlocked = true
                break
            }
            closed += 1
        }
        while patient.oldest >= 0 {
            guard isExpired(patient.oldest, settings.waitingDelayNanos, now: now) || !mayGrow(patient.oldest)
            else { break }
            guard close(patient.oldest) else {
                isBlocked = true
                break
            }
            closed += 1
        }
        return closed
    }

    private func isExpired(_ index: Int32, _ delay: Int64, now: Int64) -> Bool {
        let opened = router.batches[Int(index)].openedTime
        // A clock that was set back must not keep batches open.
        return now - opened >= delay || now < opened
    }

    /// Whether the batch would wait on disk behind others.
    private func mayGrow(_ index: Int32) -> Bool {
        settings.waitingDelayNanos > settings.maxDelayNanos && monitor.doRoutesWait
            && routes.route(Int(router.batches[Int(index)].route)).isWaiting
    }

    private mutating func closeAll() -> Int {
        var closed = 0
        while open.oldest >= 0, close(open.oldest) { closed += 1 }
        while patient.oldest >= 0, close(patient.oldest) { closed += 1 }
        return closed
    }

    // MARK: Closing

    /// Puts a batch into the publisher's ring; false where that is too full.
    private mutating func close(_ index: Int32) -> Bool {
        let batch = router.batches + Int(index)
        let raw = batch.pointee.textLength
        let count = batch.pointee.count
        let dataRoom = settings.isCompressed ? max(raw, cz_bound(raw)) : raw
        let tableRoom = batch.pointee.slices == nil ? 0 : count * MemoryLayout<EventSlice>.stride + 8
        guard let room = output.reserve(BatchHeader.size + dataRoom + tableRoom) else { return false }

        var header = BatchHeader()
        let data = room + BatchHeader.size
        var dataBytes = raw
        if raw >= settings.compressMinBytes,
            let frame = compressor?.compress(
                batch.pointee.kind, from: batch.pointee.text, count: raw, to: data, room: dataRoom),
            frame.bytes > 0
        {
            header.isCompressed = true
            header.dictionary = frame.dictionary
            dataBytes = frame.bytes
        }
        if !header.isCompressed { data.copyMemory(from: batch.pointee.text, byteCount: raw) }
        var size = BatchHeader.size + dataBytes
        if let slices = batch.pointee.slices {
            size = (size + 7) & ~7
            header.tableOffset = UInt32(size)
            (room + size).copyMemory(from: slices, byteCount: count * MemoryLayout<EventSlice>.stride)
            size += count * MemoryLayout<EventSlice>.stride
        }
        batchNumber += 1
        header.route = batch.pointee.route
        header.count = UInt32(count)
        header.dataBytes = UInt32(dataBytes)
        header.rawBytes = UInt32(raw)
        header.number = batchNumber
        header.firstSequence = batch.pointee.firstSequence
        header.lastSequence = batch.pointee.lastSequence
        header.firstEventTime = batch.pointee.firstEventTime
        header.lastEventTime = batch.pointee.lastEventTime
        let closedTime = ck_realtime_nanos()
        header.closedTime = closedTime
        room.storeBytes(of: header, as: BatchHeader.self)
        output.commit(size)
        output.publish()

        let latency = internalLatency[Int(batch.pointee.kind.rawValue)]
        let endToEnd = endToEndLatency[Int(batch.pointee.kind.rawValue)]
        for event in 0..<count {
            let times = batch.pointee.times[event]
            latency.record(closedTime &- times.received)
            if times.event != absentInteger { endToEnd.record(closedTime &- times.event) }
        }
        account(count: count, raw: raw, data: dataBytes)
        batch.pointee.count = 0
        batch.pointee.textLength = 0
        unlink(index)
        return true
    }

    private func account(count: Int, raw: Int, data: Int) {
        monitor.counters.add(1, to: BatchMonitor.Counter.batches.rawValue)
        monitor.counters.add(count, to: BatchMonitor.Counter.events.rawValue)
        monitor.counters.add(raw, to: BatchMonitor.Counter.rawBytes.rawValue)
        monitor.counters.add(data, to: BatchMonitor.Counter.dataBytes.rawValue)
        monitor.counters.add(-count, to: BatchMonitor.Counter.openEvents.rawValue)
    }

    // MARK: Stage

    /// Whether the next cycle would find something to do.
    public mutating func hasInput() -> Bool {
        for index in 0..<inputCount where inputs[index].events.hasInput() { return !isBlocked }
        return false
    }

    /// Until the next deadline, ns.
    public mutating func parkLimit() -> Int64 {
        if isBlocked { return 500_000 }
        var due = Int64.max
        if open.oldest >= 0 { due = router.batches[Int(open.oldest)].openedTime + settings.maxDelayNanos }
        if patient.oldest >= 0 {
            due = min(due, router.batches[Int(patient.oldest)].openedTime + settings.waitingDelayNanos)
        }
        return due == .max ? 100_000_000 : min(max(0, due - ck_realtime_nanos()), 100_000_000)
    }

    /// Waits for the waker or for descriptors.
    public mutating func park(nanos: Int64) { waker.wait(nanos: nanos) }

    /// Whether nothing is open and nothing waits.
    public mutating func isIdle() -> Bool { !hasOpen && !hasInput() }
}
