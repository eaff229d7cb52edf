import MarketData
import Rings

/// Writes events into the event ring, in place, and counts them. Owned by the parser thread.
///
/// For each frame: ask ``hasRoom(forFrameOf:)``; for each event in it take ``begin(_:)``, fill the struct, and
/// ``end(_:)`` it, or leave it where the frame turns out to be unreadable. Nothing is visible to the batch thread
/// before ``publish()``.
@frozen public struct EventWriter: ~Copyable {
    @usableFromInline var producer: RingProducer
    @usableFromInline let counters: ParserCounters
    @usableFromInline var continuity: Continuity
    private let gapNotices: CommandQueue<GapNotice>
    /// Signals for the connection, in order; drained by the parser after each run.
    public var signals: [ControlSignal] = []
    /// Receive time of the run being read, ns since the epoch: for the headers of its events.
    public var receivedTime: Int64 = 0
    /// The market of the run being read.
    public var market = 0
    /// The stream that the frame at hand belongs to: set by the decoder before the frame's first event.
    public var stream: UInt32 = 0
    /// Tells the connection of the run being read from all others: slot and generation.
    public var connection: UInt64 = 0

    /// A writer on a ring. `instrumentCapacity`: of the lane's table.
    public init(
        producer: consuming RingProducer, counters: ParserCounters, instrumentCapacity: Int,
        gapNotices: CommandQueue<GapNotice>
    ) {
        self.producer = producer
        self.counters = counters
        self.gapNotices = gapNotices
        continuity = Continuity(instrumentCapacity: instrumentCapacity)
    }

    /// The most bytes of events that a frame can become: an array element takes at least 60 bytes of JSON and becomes
    /// at most a ``Ticker`` (344 bytes), a dead letter is the frame and a header.
    @inlinable public static func bound(forFrameOf bytes: Int) -> Int { bytes &* 8 &+ 1_024 }

    /// Whether all that a frame of so many bytes can become fits in the ring. Where not, stop and come back.
    @inlinable public mutating func hasRoom(forFrameOf bytes: Int) -> Bool {
        producer.reserve(EventWriter.bound(forFrameOf: bytes)) != nil
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

    /// The event that was begun last is complete; it is of `kind`. Trades and aggregate trades are followed by their
    /// ids; where some are missing, a ``Gap`` event follows.
    @inlinable public mutating func end<Event: BitwiseCopyable>(_ type: Event.Type, kind: EventKind) {
        let event = producer.pending
        producer.commit(MemoryLayout<Event>.size)
        counters.received(kind, market: market)
        if kind == .trade {
            let trade = event.assumingMemoryBound(to: Trade.self)
            follow(kind, id: trade.pointee.tradeID, instrument: trade.pointee.header.instrument)
        } else if kind == .aggTrade {
            let trade = event.assumingMemoryBound(to: AggTrade.self)
            follow(kind, id: trade.pointee.aggregateID, instrument: trade.pointee.header.instrument)
        }
    }

    @inlinable mutating func follow(_ kind: EventKind, id: Int64, instrument: UInt32) {
        if let gap = continuity.follow(
            id: id, instrument: instrument, isAggregate: kind == .aggTrade, connection: connection)
        {
            reportGap(
                kind, instrument: instrument, first: gap.firstMissing, last: id &- 1,
                cause: gap.isReconnected ? .reconnect : .sequence)
        }
    }

    /// A gap is an event of its own, a count, and a notice for the log.
    @usableFromInline @inline(never)
    mutating func reportGap(_ kind: EventKind, instrument: UInt32, first: Int64, last: Int64, cause: GapCause)
    {
        counters.gap(kind, market: market)
        gapNotices.send(
            GapNotice(
                time: receivedTime, kind: kind, instrument: instrument, firstMissing: first,
                lastMissing: last,
                cause: cause))
        let event = begin(Gap.self)
        event.initialize(
            to: Gap(
                header: EventHeader(
                    kind: .gap, variant: kind.rawValue, instrument: instrument, receivedTime: receivedTime),
                firstMissing: first, lastMissing: last, state: .open, cause: cause))
        end(Gap.self, kind: .gap)
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

    /// Hands everything over to the batch thread.
    @inlinable public mutating func publish() { producer.publish() }

    /// Whether the batch thread has taken everything.
    @inlinable public mutating func isDrained() -> Bool { producer.isDrained() }
}
