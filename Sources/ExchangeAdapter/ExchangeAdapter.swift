import MarketData
import Rings
import Wire

/// A stream that an exchange can be asked for.
public struct StreamPlan: Sendable, Equatable {
    /// The exchange's name of it: `btcusdt@trade`.
    public var name: String
    /// What its events are.
    public var kind: EventKind
    /// Raw ``Interval`` or ``TickerWindow``, else 0.
    public var variant: UInt8
    /// The symbol in the exchange's spelling; nil for an all-market stream.
    public var symbol: String?
    /// The exchange sends it at least so often, ns; nil where only the market decides.
    public var period: Int64?
    /// Index in the lane, given by the planner: of its cells in `StreamActivity`.
    public var id: UInt32

    /// A stream.
    public init(
        name: String, kind: EventKind, variant: UInt8 = 0, symbol: String?, period: Int64? = nil,
        id: UInt32 = 0
    ) {
        self.name = name
        self.kind = kind
        self.variant = variant
        self.symbol = symbol
        self.period = period
        self.id = id
    }
}

/// Why a subscription cannot be made, with the remedy.
public struct SubscriptionError: Error, CustomStringConvertible, Sendable {
    /// The sentence.
    public let description: String
    /// A sentence that names the subscription, what is wrong and what to write instead.
    public init(_ description: String) { self.description = description }
}

/// Everything that the collector must know of one market of one exchange. Used by the control plane, except for the
/// decoder that it makes.
public protocol ExchangeAdapter: Sendable {
    /// The name in configurations: `binance`.
    static var name: String { get }
    /// The markets that it knows, the default first: `spot`, …
    static var markets: [String] { get }

    /// An adapter for one of ``markets``; nil for another.
    init?(market: String)

    /// An adapter of the same market that asks for times in microseconds and reads them; nil where the market has only
    /// milliseconds.
    func inMicroseconds() -> (any ExchangeAdapter)?

    /// The market's name in topics, events and metrics: `binance`, `binance-usdm`.
    var exchange: String { get }
    /// Where to connect to unless the configuration says otherwise.
    var defaultEndpoint: Endpoint { get }
    /// Where else the same streams can be had, for redundant legs and for when the default fails; the default first.
    var endpoints: [Endpoint] { get }
    /// How connections may behave.
    var limits: ConnectionLimits { get }
    /// How streams are asked for.
    var language: any ControlLanguage { get }

    /// The request target of the connections that can carry a stream: `/stream`, `/public/stream`. Streams of
    /// different targets never share a connection.
    func target(of stream: StreamPlan) -> String

    /// The streams that serve these subscriptions, without repeats, in a fixed order. `warnings` are sentences for
    /// the user about what will be accepted and yet not deliver.
    func streams(
        for subscriptions: [Subscription], warnings: inout [String]
    ) throws(SubscriptionError) -> [StreamPlan]

    /// Where the market's past is served; nil: holes are told, not filled.
    var backfill: (any Backfill)? { get }

    /// A decoder for one lane. `market`: index in `instruments.exchanges`. Symbols of `streams` are interned here.
    func makeDecoder(market: Int, instruments: InstrumentTable, streams: [StreamPlan]) -> any FrameDecoder
}

extension ExchangeAdapter {
    /// Nil: only milliseconds.
    public func inMicroseconds() -> (any ExchangeAdapter)? { nil }
}

/// Reads frames of one market; owned by one parser thread. Called once for a run of frames, so that the dynamic call
/// is not paid for each message.
public protocol FrameDecoder: AnyObject {
    /// Decodes the run's frames from `first` on and writes their events, dead letters and signals to `events`.
    /// Returns how many frames were dealt with: fewer than there are where the event ring is full (see
    /// ``EventWriter/hasRoom(forFrameOf:)``), to be called again later with the rest.
    func decode(_ run: FrameRun, from first: Int, into events: inout EventWriter) -> Int

    /// From now on these are the streams. Called between two runs, when subscriptions change.
    func update(streams: [StreamPlan])
}

/// What an exchange's answer means for the connection it came on.
public enum ControlSignal: Sendable, Equatable {
    /// A request was accepted.
    case acknowledged(id: Int64)
    /// A request was refused, or some request that cannot be told (id nil). `text`: the answer, at most 256 bytes.
    case refused(id: Int64?, code: Int64?, text: String)
    /// The streams that the exchange holds subscribed on this connection.
    case listed(id: Int64, names: [String])
    /// The exchange will end the connection soon: open another.
    case serverShutdown
}
