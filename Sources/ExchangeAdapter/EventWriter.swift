import CKernel
import MarketData
import Rings
import Wire

/// Writes events into the event ring, in place, and counts them; drops repeats, follows ids, and holds events back
/// while others before them can still come. Owned by the parser thread. See <doc:Continuity> for the rules.
///
/// For each run of frames: ``beginRun(link:generation:receivedTime:now:)``. For each frame: ask
/// ``hasRoom(forFrameOf:)`` and set ``stream``; for each event in it take ``begin(_:)``, fill the struct, and
/// ``end(_:kind:)`` it, or leave it where the frame turns out to be unreadable. Nothing is visible to the batch thread
/// before ``publish()``.
@frozen public struct EventWriter: ~Copyable {
    @usableFromInline var producer: RingProducer
    /// Its books.
    public let counters: ParserCounters
    let legs: LegCounters
    @usableFromInline let activity: StreamActivity
    @usableFromInline let sequences: SequenceTable
    @usableFromInline let recent: RecentEvents
    @usableFromInline var held: HeldEvents
    @usableFromInline let bars: ClosedBars
    let gapNotices: CommandQueue<GapNotice>
    /// Where holes are told that are to be filled over REST; nil: nowhere.
    public let repair: RepairMailbox?
    /// By market: a bit of each kind that it fills. To ask the mailbox itself would count references.
    private let repairedKinds: [UInt32]
    /// Holes that were told to it.
    var holesTold = 0
    /// Deliveries of it that were put in their place.
    var deliveriesTaken = 0
    var links: [ParserLink] = []
    /// By shard.
    var members: [LiveMembers] = []
    /// The open connections of the shard at hand.
    var live: LiveMembers
    /// Who brought the run of frames at hand.
    public var source = RunSource()
    /// Whether more than one connection may bring the ids of the run at hand, or events wait.
    @usableFromInline var isTracking = false
    /// The stream that the frame at hand belongs to, `StreamPlan.id`: set by the decoder before the frame's first
    /// event. The frame's first event notes that it brought data.
    public var stream = UInt32.max
    /// Signals for the connection, in order; drained by the parser after each run.
    public var signals: [ControlSignal] = []

    /// A writer on a ring.
    ///
    /// - Parameters:
    ///   - instrumentCapacity: of the lane's table.
    ///   - activity: where to note when each stream brings data.
    ///   - repair: where holes are told that are to be filled over REST, and what fills them comes from.
    public init(
        producer: consuming RingProducer, counters: ParserCounters, instrumentCapacity: Int,
        gapNotices: CommandQueue<GapNotice>, activity: StreamActivity = StreamActivity(capacity: 1),
        legs: LegCounters? = nil, repair: RepairMailbox? = nil
    ) {
        self.producer = producer
        self.counters = counters
        self.gapNotices = gapNotices
        self.activity = activity
        self.repair = repair
        repairedKinds = repair?.repairedKinds ?? []
        self.legs = legs ?? LegCounters(marketCount: counters.marketCount)
        live = LiveMembers()
        sequences = SequenceTable(instrumentCapacity: instrumentCapacity)
        recent = RecentEvents(instrumentCapacity: instrumentCapacity)
        held = HeldEvents()
        bars = ClosedBars(instrumentCapacity: instrumentCapacity)
    }

    /// When the kernel received the run at hand, ns since the epoch: for the headers of its events.
    @inlinable public var receivedTime: Int64 {
        get { source.receivedTime }
        set { source.receivedTime = newValue }
    }
    /// The market of the run at hand.
    @inlinable public var market: Int {
        get { source.market }
        set { source.market = newValue }
    }

    /// The most bytes of events that a frame can become: an array element takes at least 60 bytes of JSON and becomes
    /// at most a ``Ticker`` (344 bytes), a dead letter is the frame and a header.
    @inlinable public static func bound(forFrameOf bytes: Int) -> Int { bytes &* 8 &+ 1_024 }

    /// Whether all that a frame of so many bytes can become fits in the ring. Where not, stop and come back.
    @inlinable public mutating func hasRoom(forFrameOf bytes: Int) -> Bool {
        if held.sequenceCount != 0, !makeRoom(forFrameOf: bytes) { return false }
        return producer.reserve(EventWriter.bound(forFrameOf: bytes)) != nil
    }

    /// Whether all that so many frames of so many bytes together can become fits in the ring, as long as no events
    /// are held back: then no frame need be asked for. Where not, ask for each.
    @inlinable public mutating func hasRoom(forRunOf bytes: Int, frames: Int) -> Bool {
        held.sequenceCount == 0 && producer.reserve(bytes &* 8 &+ frames &* 1_024) != nil
    }

    /// Uninitialised room for one event in the ring. Call only after ``hasRoom(forFrameOf:)`` said yes.
    @inlinable public mutating func begin<Event: BitwiseCopyable>(
        _ type: Event.Type
    ) -> UnsafeMutablePointer<Event> {
        guard let room = producer.reserve(MemoryLayout<Event>.size) else {
            preconditionFailure("begin without room: hasRoom(forFrameOf:) was not asked")
        }
        return room.assumingMemoryBound(to: Event.self)
    }

    /// hot: asks for the memory that an event of this stream will need.
    @inlinable public func askFor(stream: UInt32, kind: EventKind, instrument: UInt32) {
        activity.askFor(stream: stream, member: source.member)
        switch kind {
        case .trade, .aggTrade:
            ck_prefetch(sequences.states + SequenceTable.index(kind, instrument: instrument))
        default: break
        }
    }

    /// hot: the event that was begun last is complete; it is of `kind`. It is published, or dropped as a repeat, or
    /// kept until those before it are there. Where ids are missing, a ``Gap`` event follows.
    @inlinable public mutating func end<Event: BitwiseCopyable>(_ type: Event.Type, kind: EventKind) {
        let event = producer.pending
        let size = MemoryLayout<Event>.size
        if stream != .max {
            activity.record(
                stream: stream, member: source.member, generation: source.generation, now: source.now)
            stream = .max
        }
        let isWanted =
            switch kind {
            case .trade:
                follow(
                    kind, event.assumingMemoryBound(to: Trade.self).pointee.header.instrument,
                    id: event.assumingMemoryBound(to: Trade.self).pointee.tradeID,
                    time: event.assumingMemoryBound(to: Trade.self).pointee.tradeTime, size: size)
            case .aggTrade:
                follow(
                    kind, event.assumingMemoryBound(to: AggTrade.self).pointee.header.instrument,
                    id: event.assumingMemoryBound(to: AggTrade.self).pointee.aggregateID,
                    time: event.assumingMemoryBound(to: AggTrade.self).pointee.tradeTime, size: size)
            case .bookTicker:
                isNew(
                    kind, event, first: event.assumingMemoryBound(to: BookTicker.self).pointee.updateID,
                    second: 0, words: 1, capacity: RecentEvents.narrowCapacity)
            case .kline: isNew(kind, event, figures: EventDigest.kline(event))
            case .ticker: isNew(kind, event, figures: EventDigest.ticker(event))
            case .miniTicker: isNew(kind, event, figures: EventDigest.miniTicker(event))
            case .averagePrice: isNew(kind, event, figures: EventDigest.averagePrice(event))
            case .markPrice: isNew(kind, event, figures: EventDigest.markPrice(event))
            case .depth, .gap, .deadLetter: true
            }
        guard isWanted else { return }
        producer.commit(size)
        counters.received(kind, market: source.market)
        if kind == .kline, event.assumingMemoryBound(to: Kline.self).pointee.isClosed { followBar(event) }
    }

    /// hot: an id of a contiguous sequence. False where all is done: the event is no longer the caller's.
    @inlinable mutating func follow(
        _ kind: EventKind, _ instrument: UInt32, id: Int64, time: Int64, size: Int
    ) -> Bool {
        let index = SequenceTable.index(kind, instrument: instrument)
        let state = sequences.states + index
        guard !isTracking, id == state.pointee.expected else {
            arrive(kind, index, id: id, time: time, size: size)
            return false
        }
        state.pointee.expected = id &+ 1
        state.pointee.newest = max(state.pointee.newest, time)
        state.pointee.connection = source.connection
        return true
    }

    /// hot: an event known by its time and all its figures. False where it is a repeat, which is counted here.
    @inlinable mutating func isNew(
        _ kind: EventKind, _ event: UnsafeMutableRawPointer, figures: Int64
    ) -> Bool {
        let time = event.assumingMemoryBound(to: EventHeader.self).pointee.eventTime
        // Without a time nothing proves that it is a repeat.
        guard time != absentInteger else { return true }
        return isNew(
            kind, event, first: time, second: figures, words: 2, capacity: RecentEvents.wideCapacity)
    }

    @inlinable mutating func isNew(
        _ kind: EventKind, _ event: UnsafeMutableRawPointer, first: Int64, second: Int64, words: Int,
        capacity: Int
    ) -> Bool {
        let header = event.assumingMemoryBound(to: EventHeader.self)
        let row = RecentEvents.row(kind, variant: header.pointee.variant)
        let finding = recent.find(
            row: row, instrument: header.pointee.instrument, first: first, second: second, words: words,
            capacity: capacity, source: source)
        guard finding == .new else {
            countRepeat(kind, row: row, instrument: header.pointee.instrument, first: first)
            return false
        }
        if source.isPaired { countWon() }
        return true
    }

    @usableFromInline @inline(never)
    mutating func countRepeat(_ kind: EventKind, row: Int, instrument: UInt32, first: Int64) {
        counters.duplicate(kind, market: source.market)
        guard source.isPaired,
            let lead = recent.lead(row: row, instrument: instrument, first: first, leg: source.leg)
        else { return }
        countLead(over: lead.connection, received: lead.received)
    }

    /// A frame that could not be read. `kind`: what it was taken for, nil where unknown. `instrument`: any of the
    /// market's, or 0.
    @inline(never) public mutating func deadLetter(
        _ frame: UnsafeRawBufferPointer, reason: DeadLetterReason, offset: Int, kind: EventKind?
    ) {
        let size = MemoryLayout<DeadLetter>.stride
        guard let room = producer.reserve(size + frame.count) else {
            preconditionFailure("deadLetter without room: hasRoom(forFrameOf:) was not asked")
        }
        var header = EventHeader(kind: .deadLetter, instrument: 0, receivedTime: receivedTime)
        // No instrument stands for the market itself, so the market travels in the variant.
        header.variant = UInt8(truncatingIfNeeded: market)
        room.storeBytes(
            of: DeadLetter(
                header: header, reason: reason, offset: UInt32(truncatingIfNeeded: offset),
                frameLength: UInt32(truncatingIfNeeded: frame.count)),
            as: DeadLetter.self)
        if let base = frame.baseAddress { (room + size).copyMemory(from: base, byteCount: frame.count) }
        producer.commit(size + frame.count)
        counters.received(.deadLetter, market: market)
        counters.deadLettered(kind, market: market)
    }

    /// A frame that is data, but of a stream that nobody asked for.
    @inlinable public mutating func ignore() { counters.ignored(market: market) }

    /// Whether holes of a market's kind are filled over REST.
    func repairs(_ kind: EventKind, market: Int) -> Bool {
        market < repairedKinds.count && repairedKinds[market] & kind.bit != 0
    }

    /// Hands everything over to the batch thread.
    @inlinable public mutating func publish() { producer.publish() }

    /// Whether the batch thread has taken everything.
    @inlinable public mutating func isDrained() -> Bool { producer.isDrained() }
}
