/// A stretch of the UTC day.
public struct DayWindow: Sendable, Equatable {
    /// Seconds of the day, 0 ..< 86,400.
    public var begin: Int
    /// Seconds of the day; before `begin`: of the next one.
    public var end: Int

    /// A stretch.
    public init(begin: Int, end: Int) {
        self.begin = begin
        self.end = end
    }

    /// Its length, seconds; 0 where it begins as it ends.
    public var length: Int { (end - begin + 86_400) % 86_400 }
}

/// How one connection may behave towards its exchange.
public struct ConnectionLimits: Sendable, Equatable {
    /// Least time between two frames of ours, pongs included, ns.
    public var frameSpacingNanos: Int64 = 250_000_000
    /// A connection that brings no bytes at all for so long is made anew, ns.
    public var silenceNanos: Int64 = 75_000_000_000
    /// For TCP, TLS and upgrade together, ns.
    public var openNanos: Int64 = 10_000_000_000
    /// For a request's acknowledgement, ns.
    public var acknowledgementNanos: Int64 = 10_000_000_000
    /// The largest message, bytes; a larger one ends the connection with code 1009.
    public var messageBytes = 1 << 20
    /// Back-off between attempts: from `backoffFirstNanos`, doubled to `backoffLastNanos`, each drawn at random from
    /// the upper half.
    public var backoffFirstNanos: Int64 = 100_000_000
    /// See `backoffFirstNanos`.
    public var backoffLastNanos: Int64 = 30_000_000_000
    /// After an answer that will not change soon (HTTP 403, 451), ns.
    public var refusedNanos: Int64 = 300_000_000_000
    /// Streams that a plan puts on one connection.
    public var streamsPerConnection = 1_000
    /// Streams that the exchange takes on one connection. What is asked for a second time may count as one more.
    public var streamsHeld = 1_024
    /// Names in one request.
    public var namesPerRequest = 200
    /// Payload of one request, bytes.
    public var requestBytes = 4_000
    /// Connection attempts from one address in ``attemptWindowNanos``, of all connections together.
    public var attemptsPerWindow = 300
    /// See ``attemptsPerWindow``.
    public var attemptWindowNanos: Int64 = 300_000_000_000
    /// The exchange ends a connection at this age, ns; it is replaced before.
    public var lifetimeNanos: Int64 = 86_400_000_000_000
    /// A connection of this age is replaced, the new one delivering before the old one goes, ns; 0: never.
    public var rolloverAfterNanos: Int64 = 82_800_000_000_000
    /// The replacement comes earlier by a random part of this, so that connections made together part, ns.
    public var rolloverJitterNanos: Int64 = 1_800_000_000_000
    /// The time of day in which connections are replaced if they can be, seconds of the UTC day; may span midnight.
    public var rolloverWindow: DayWindow?
    /// A connection that is silent for so long, pings included, is asked for its subscriptions, ns.
    public var probeAfterNanos: Int64 = 40_000_000_000
    /// For the answer to that question, ns.
    public var probeAnswerNanos: Int64 = 5_000_000_000
    /// How long a stream may be silent of which nothing is known yet, ns.
    public var streamSilenceNanos: Int64 = 600_000_000_000
    /// How long a stream may be silent that delivered often enough to be known, at least, ns.
    public var streamSilenceFloorNanos: Int64 = 10_000_000_000
    /// How far a stream may be behind on one leg of what the other leg had, ns.
    public var legLagNanos: Int64 = 2_000_000_000

    /// The defaults above: those of Binance spot.
    public init() {}
}

/// How an exchange is asked for streams on an open connection. Used when a connection is made or changed, never for
/// each message.
public protocol ControlLanguage: Sendable {
    /// The payload of a request for streams.
    func subscribe(_ names: [String], id: Int64) -> [UInt8]
    /// The payload of a request to end streams.
    func unsubscribe(_ names: [String], id: Int64) -> [UInt8]
    /// The payload of a request for the list of what is subscribed; nil where the exchange has none.
    func list(id: Int64) -> [UInt8]?
}

/// One stream of a slot.
public struct SlotStream: Sendable, Equatable {
    /// Index in the lane: of its cells in ``StreamActivity``.
    public var id: UInt32
    /// The exchange's name of it: `btcusdt@trade`.
    public var name: String
    /// The exchange sends it at least so often, ns; nil where only the market decides.
    public var period: Int64?

    /// A stream.
    public init(id: UInt32, name: String, period: Int64? = nil) {
        self.id = id
        self.name = name
        self.period = period
    }
}

/// How pings are answered.
public enum PongPolicy: Sendable {
    /// The latest one, when the pace of our frames allows: exchanges count pongs too.
    case latest
    /// Each at once, in order.
    case each
}

/// When a connection ends that the peer has closed, or that broke the protocol.
public enum EndingPolicy: Sendable {
    /// Now: whoever wants data wants a new connection.
    case atOnce
    /// When the frame ring's consumer has released all that came before, and its answers are sent; then the peer gets
    /// two seconds to end it. For who answers messages.
    case settled
}

/// One connection slot: where to connect and what to ask for there.
public struct ConnectionPlan: Sendable {
    /// Index of the slot in its lane.
    public var slot: Int
    /// Index of the shard in its lane; both legs of a redundant pair have the same.
    public var shard: Int
    /// 0, or 1 for the second leg of a redundant pair.
    public var leg: Int
    /// Legs of the shard.
    public var legs = 1
    /// Index of the market in the lane's ``InstrumentTable`` and of its decoder.
    public var market: Int
    /// Where to, now: one of ``endpoints``.
    public var endpoint: Endpoint
    /// Where to, in order of preference.
    public var endpoints: [Endpoint]
    /// Request target of the upgrade, with query: `/stream`.
    public var target: String
    /// Index of the TLS settings in the lane's list; ignored without TLS.
    public var tls: Int
    /// The streams to ask for once it is open.
    public var streams: [SlotStream]
    /// How they are asked for; nil: not at all.
    public var language: (any ControlLanguage)?
    /// Limits.
    public var limits: ConnectionLimits
    /// How it uses the network.
    public var network = NetworkSettings()
    /// Offered to the server for compressing messages; nil: nothing.
    public var deflate: DeflateOffer?
    /// How pings are answered.
    public var pongs = PongPolicy.latest
    /// When a connection ends that is to end.
    public var ending = EndingPolicy.atOnce
    /// The slot is opened once and stops when that connection has ended, or could not be made.
    public var opensOnce = false

    /// A plan. `endpoints`: at least one.
    public init(
        slot: Int, shard: Int? = nil, leg: Int = 0, market: Int, endpoint: Endpoint,
        endpoints: [Endpoint]? = nil,
        target: String, tls: Int = 0, streams: [SlotStream] = [], language: (any ControlLanguage)? = nil,
        limits: ConnectionLimits = ConnectionLimits()
    ) {
        self.slot = slot
        self.shard = shard ?? slot
        self.leg = leg
        self.market = market
        self.endpoint = endpoint
        self.endpoints = endpoints ?? [endpoint]
        self.target = target
        self.tls = tls
        self.streams = streams
        self.language = language
        self.limits = limits
    }
}

/// Numbers that name a slot's connections.
public enum LinkIndex {
    /// Connections that a slot may own at once: the delivering one and its successor.
    @inlinable public static var sides: Int { 2 }
    /// In the frame ring's records and in commands: `slot * 2 + side`.
    @inlinable public static func link(slot: Int, side: Int) -> Int { slot &* sides &+ side }
    /// Which of its shard's connections it is: `leg * 2 + side`.
    @inlinable public static func member(leg: Int, link: Int) -> Int { leg &* sides &+ link % sides }
}
