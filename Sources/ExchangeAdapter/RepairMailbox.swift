import MarketData
import Rings
import Synchronization

/// Ids of one stream that did not come, for the control plane to fetch over REST.
public struct MissingRange: Sendable, Equatable {
    /// Of which type.
    public var kind: EventKind
    /// Raw ``Interval`` of a kline, else 0.
    public var variant: UInt8
    /// Index in the lane's table.
    public var instrument: UInt32
    /// Index of the market in the lane.
    public var market: Int
    /// First missing id, inclusive; of bars their number, see `Interval.number(opening:)`.
    public var first: Int64
    /// Last missing id, inclusive.
    public var last: Int64
    /// Why they are missing.
    public var cause: GapCause
    /// Which of the sequence's counts the ids are of: it changes where the exchange counts anew, and where the stream
    /// is given up.
    public var epoch: UInt32
    /// When the hole was seen, monotonic ns.
    public var seen: Int64
    /// Whether an earlier run saw it, so that its ids lie below all that this one knows of.
    var isResumed = false

    /// A range.
    public init(
        kind: EventKind, variant: UInt8 = 0, instrument: UInt32, market: Int, first: Int64, last: Int64,
        cause: GapCause, epoch: UInt32, seen: Int64
    ) {
        self.kind = kind
        self.variant = variant
        self.instrument = instrument
        self.market = market
        self.first = first
        self.last = last
        self.cause = cause
        self.epoch = epoch
        self.seen = seen
    }
}

/// Events that were read from the answer to a REST request, by rising ids.
public enum RepairedEvents: Sendable {
    /// Trades.
    case trades([Trade])
    /// Aggregate trades.
    case aggTrades([AggTrade])
    /// Closed bars.
    case klines([Kline])

    /// How many there are.
    public var count: Int {
        switch self {
        case .trades(let events): events.count
        case .aggTrades(let events): events.count
        case .klines(let events): events.count
        }
    }

    /// The id that an event is followed by; of a bar its number.
    public func id(at index: Int) -> Int64 {
        switch self {
        case .trades(let events): events[index].tradeID
        case .aggTrades(let events): events[index].aggregateID
        case .klines(let events):
            Interval(rawValue: events[index].header.variant)?.number(opening: events[index].openTime) ?? -1
        }
    }

    /// Those at these places.
    public subscript(_ range: Range<Int>) -> RepairedEvents {
        switch self {
        case .trades(let events): .trades(Array(events[range]))
        case .aggTrades(let events): .aggTrades(Array(events[range]))
        case .klines(let events): .klines(Array(events[range]))
        }
    }
}

/// How some of a ``MissingRange``'s ids have ended.
public struct RepairDelivery: Sendable {
    /// The hole that they are of.
    public var range: MissingRange
    /// The ids that this settles, within the hole.
    public var ids: ClosedRange<Int64>
    /// Those that were found.
    public var events: RepairedEvents
    /// What is said of all others: ``GapState/absent`` or ``GapState/lost``.
    public var others: GapState
    /// When they were received, ns since the epoch.
    public var receivedTime: Int64

    /// A delivery of some of a hole's ids.
    public init(
        range: MissingRange, ids: ClosedRange<Int64>, events: RepairedEvents, others: GapState,
        receivedTime: Int64
    ) {
        self.range = range
        self.ids = ids
        self.events = events
        self.others = others
        self.receivedTime = receivedTime
    }
}

/// Between a parser thread, which sees holes and puts in order what fills them, and the control plane, which fetches it.
public final class RepairMailbox: Sendable {
    /// Events of a delivery at most, so that a cycle of the parser stays short.
    public static let eventsPerDelivery = 128
    /// Holes that wait for the control plane: more than that takes at a time, so that all of a checkpoint have room.
    static let missingCapacity = 65_536
    /// Deliveries that wait for the parser.
    static let deliveryCapacity = 256

    /// What the parser asks for, by market.
    public let missing: [CommandQueue<MissingRange>]
    /// What the control plane has found.
    public let deliveries: CommandQueue<RepairDelivery>
    private let delivered = Mutex(0)
    /// By market: how long an event waits for those before it, ns; nil: nothing is repaired.
    public let patience: [Int64?]
    /// By market: the kinds that the exchange tells of again. Nobody waits for others.
    public let served: [Set<EventKind>]

    /// - Parameters:
    ///   - patience: by market, see ``patience``.
    ///   - served: by market, see ``served``.
    ///   - parser: wakes the parser thread.
    public init(patience: [Int64?], served: [Set<EventKind>], parser: Waker? = nil) {
        self.patience = patience
        self.served = served
        missing = patience.map { _ in CommandQueue(capacity: RepairMailbox.missingCapacity) }
        deliveries = CommandQueue(capacity: RepairMailbox.deliveryCapacity, waker: parser)
    }

    /// How long an event of that kind waits for those before it, ns; nil: nothing of it is repaired.
    func patience(_ kind: EventKind, market: Int) -> Int64? {
        guard market < patience.count, served[market].contains(kind) else { return nil }
        return patience[market]
    }

    /// By market: a bit of each kind that is filled.
    var repairedKinds: [UInt32] {
        patience.indices.map { market in
            patience[market] == nil ? 0 : served[market].reduce(0) { $0 | $1.bit }
        }
    }

    /// Hands a delivery to the parser; which one it is, from 1. nil where there is no room.
    public func deliver(_ delivery: RepairDelivery) -> Int? {
        delivered.withLock { count in
            guard deliveries.send(delivery) else { return nil }
            count += 1
            return count
        }
    }
}

extension EventKind {
    /// For sets of kinds in a word.
    var bit: UInt32 { 1 << UInt32(rawValue) }
}
