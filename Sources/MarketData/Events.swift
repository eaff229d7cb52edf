/// A number that the exchange did not send. Ids of -1 and times of 0 do occur, so neither can stand for *absent*.
@inlinable public var absentInteger: Int64 { Int64.min }

/// What every event begins with. The record in the event ring is this header followed by the fields of its kind.
///
/// All times are nanoseconds since the epoch.
@frozen public struct EventHeader: BitwiseCopyable, Sendable {
    /// Which struct this is.
    public var kind: EventKind
    /// Raw value of the ``Interval`` of a kline or the ``TickerWindow`` of a ticker, else 0.
    public var variant: UInt8
    /// Bit 0: repaired over REST.
    public var flags: UInt16
    /// Index in the lane's ``InstrumentTable``.
    public var instrument: UInt32
    /// The exchange's event time; ``absentInteger`` where it sends none.
    public var eventTime: Int64
    /// When the kernel received the bytes.
    public var receivedTime: Int64

    /// A header; `eventTime` absent by default.
    @inlinable public init(
        kind: EventKind, variant: UInt8 = 0, instrument: UInt32, eventTime: Int64 = absentInteger,
        receivedTime: Int64
    ) {
        self.kind = kind
        self.variant = variant
        self.flags = 0
        self.instrument = instrument
        self.eventTime = eventTime
        self.receivedTime = receivedTime
    }

    /// Whether the event was repaired over REST.
    @inlinable public var isFromREST: Bool { flags & 1 != 0 }
}

/// One execution.
@frozen public struct Trade: BitwiseCopyable, Sendable {
    /// Common fields.
    public var header: EventHeader
    /// The exchange's id, contiguous for each instrument.
    public var tradeID: Int64 = absentInteger
    /// When it was executed.
    public var tradeTime: Int64 = absentInteger
    /// Price in quote units.
    public var price = Decimal()
    /// Quantity in base units, or in contracts where the exchange counts those.
    public var quantity = Decimal()
    /// How it came about, as the exchange says it (`RPI`, `ADL`); absent where it was an ordinary execution, or where
    /// the exchange does not say.
    public var execution = ShortText()
    /// The taker's side.
    public var aggressor = Side.buy

    /// Absent fields.
    @inlinable public init(header: EventHeader) { self.header = header }
}

/// Executions of one taker order at one price.
@frozen public struct AggTrade: BitwiseCopyable, Sendable {
    /// Common fields.
    public var header: EventHeader
    /// The exchange's id, contiguous for each instrument.
    public var aggregateID: Int64 = absentInteger
    /// First trade inside, inclusive.
    public var firstTradeID: Int64 = absentInteger
    /// Last trade inside, inclusive.
    public var lastTradeID: Int64 = absentInteger
    /// When they were executed.
    public var tradeTime: Int64 = absentInteger
    /// Price in quote units.
    public var price = Decimal()
    /// Quantity in base units.
    public var quantity = Decimal()
    /// The taker's side.
    public var aggressor = Side.buy

    /// Absent fields.
    @inlinable public init(header: EventHeader) { self.header = header }
}

/// A bar; the interval is the header's variant.
@frozen public struct Kline: BitwiseCopyable, Sendable {
    /// Common fields.
    public var header: EventHeader
    /// Begin, inclusive.
    public var openTime: Int64 = absentInteger
    /// End: the next bar's begin less one unit of the exchange's clock.
    public var closeTime: Int64 = absentInteger
    /// First trade; -1 where the exchange says that there was none.
    public var firstTradeID: Int64 = absentInteger
    /// Last trade; -1 where the exchange says that there was none.
    public var lastTradeID: Int64 = absentInteger
    /// Number of trades.
    public var tradeCount: Int64 = absentInteger
    /// Price of the first trade.
    public var open = Decimal()
    /// Highest price.
    public var high = Decimal()
    /// Lowest price.
    public var low = Decimal()
    /// Price of the last trade so far.
    public var close = Decimal()
    /// Base units traded.
    public var volume = Decimal()
    /// Quote units traded.
    public var quoteVolume = Decimal()
    /// Base units bought by takers.
    public var takerBuyVolume = Decimal()
    /// Quote units spent by buying takers.
    public var takerBuyQuoteVolume = Decimal()
    /// Whether the bar is final.
    public var isClosed = false

    /// Absent fields.
    @inlinable public init(header: EventHeader) { self.header = header }
}

/// Statistics of a rolling window; the ``TickerWindow`` is the header's variant.
@frozen public struct Ticker: BitwiseCopyable, Sendable {
    /// Common fields.
    public var header: EventHeader
    /// Begin of the window.
    public var openTime: Int64 = absentInteger
    /// End of the window.
    public var closeTime: Int64 = absentInteger
    /// Number of trades.
    public var tradeCount: Int64 = absentInteger
    /// First trade in the window.
    public var firstTradeID: Int64 = absentInteger
    /// Last trade in the window.
    public var lastTradeID: Int64 = absentInteger
    /// First price.
    public var open = Decimal()
    /// Highest price.
    public var high = Decimal()
    /// Lowest price.
    public var low = Decimal()
    /// Last price.
    public var last = Decimal()
    /// Quantity of the last trade.
    public var lastQuantity = Decimal()
    /// Price of the last trade before the window.
    public var previousClose = Decimal()
    /// Price change over the window.
    public var change = Decimal()
    /// The same in per cent.
    public var changePercent = Decimal()
    /// Volume-weighted average price.
    public var weightedAverage = Decimal()
    /// Best bid.
    public var bid = Decimal()
    /// Its quantity.
    public var bidQuantity = Decimal()
    /// Best ask.
    public var ask = Decimal()
    /// Its quantity.
    public var askQuantity = Decimal()
    /// Base units traded.
    public var volume = Decimal()
    /// Quote units traded.
    public var quoteVolume = Decimal()

    /// Absent fields.
    @inlinable public init(header: EventHeader) { self.header = header }
}

/// Statistics of the last 24 hours, short form.
@frozen public struct MiniTicker: BitwiseCopyable, Sendable {
    /// Common fields.
    public var header: EventHeader
    /// First price.
    public var open = Decimal()
    /// Highest price.
    public var high = Decimal()
    /// Lowest price.
    public var low = Decimal()
    /// Last price.
    public var last = Decimal()
    /// Base units traded.
    public var volume = Decimal()
    /// Quote units traded.
    public var quoteVolume = Decimal()

    /// Absent fields.
    @inlinable public init(header: EventHeader) { self.header = header }
}

/// Best bid and ask.
@frozen public struct BookTicker: BitwiseCopyable, Sendable {
    /// Common fields.
    public var header: EventHeader
    /// Order book update; rises, gaps are normal.
    public var updateID: Int64 = absentInteger
    /// Best bid.
    public var bid = Decimal()
    /// Its quantity.
    public var bidQuantity = Decimal()
    /// Best ask.
    public var ask = Decimal()
    /// Its quantity.
    public var askQuantity = Decimal()

    /// Absent fields.
    @inlinable public init(header: EventHeader) { self.header = header }
}

/// Average price over some minutes.
@frozen public struct AveragePrice: BitwiseCopyable, Sendable {
    /// Common fields.
    public var header: EventHeader
    /// The averaging interval as sent (`5m`), at most 8 bytes of ASCII, first byte lowest; 0 where absent.
    public var interval: UInt64 = 0
    /// When the last trade was executed.
    public var tradeTime: Int64 = absentInteger
    /// The average.
    public var price = Decimal()

    /// Absent fields.
    @inlinable public init(header: EventHeader) { self.header = header }
}

/// Mark price of a derivative, and what goes with it.
@frozen public struct MarkPrice: BitwiseCopyable, Sendable {
    /// Common fields.
    public var header: EventHeader
    /// When funding is next exchanged; 0 where the exchange says that it never is.
    public var nextFundingTime: Int64 = absentInteger
    /// The price by which positions are valued.
    public var markPrice = Decimal()
    /// Price of what is underneath.
    public var indexPrice = Decimal()
    /// The price at which the contract would be settled, as estimated now.
    public var settlementPrice = Decimal()
    /// What longs pay to shorts at the next funding, as a part of the position.
    public var fundingRate = Decimal()
    /// Average of the mark price.
    public var averageMarkPrice = Decimal()

    /// Absent fields.
    @inlinable public init(header: EventHeader) { self.header = header }
}

/// A hole in a stream of contiguous ids; the header's variant is the raw ``EventKind`` of that stream.
@frozen public struct Gap: BitwiseCopyable, Sendable {
    /// Common fields; no event time.
    public var header: EventHeader
    /// First missing id, inclusive.
    public var firstMissing: Int64
    /// Last missing id, inclusive.
    public var lastMissing: Int64
    /// How it stands.
    public var state: GapState
    /// Why it is.
    public var cause: GapCause

    /// For a header's flags: whose bars are missing.
    @inlinable public static func flags(interval: UInt8) -> UInt16 { (UInt16(interval) &+ 1) << 8 }

    /// Raw ``Interval`` of the bars that are missing; nil for a gap in something else. Then ``firstMissing`` and
    /// ``lastMissing`` are opening times, ns since the epoch.
    @inlinable public var interval: UInt8? {
        header.flags >> 8 == 0 ? nil : UInt8(truncatingIfNeeded: (header.flags >> 8) &- 1)
    }

    /// A gap of the ids `firstMissing ... lastMissing`.
    @inlinable public init(
        header: EventHeader, firstMissing: Int64, lastMissing: Int64, state: GapState, cause: GapCause
    ) {
        self.header = header
        self.firstMissing = firstMissing
        self.lastMissing = lastMissing
        self.state = state
        self.cause = cause
    }
}

/// A frame that could not be read. The frame's bytes follow the struct in the same record.
@frozen public struct DeadLetter: BitwiseCopyable, Sendable {
    /// Common fields; the instrument is the lane's entry for the market itself.
    public var header: EventHeader
    /// Raw value of the ``DeadLetterReason``.
    public var reason: DeadLetterReason
    /// Offset in the frame at which reading failed.
    public var offset: UInt32
    /// Bytes of the frame that follow.
    public var frameLength: UInt32

    /// A dead letter.
    @inlinable public init(header: EventHeader, reason: DeadLetterReason, offset: UInt32, frameLength: UInt32)
    {
        self.header = header
        self.reason = reason
        self.offset = offset
        self.frameLength = frameLength
    }
}

/// Why a frame could not be read.
@frozen public enum DeadLetterReason: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// Not JSON, or JSON that ends too soon.
    case malformed
    /// A key that the type needs is not there.
    case missingKey
    /// A value is of another type than its key has.
    case wrongType
    /// A decimal that is not plain digits, or longer than can be held exactly.
    case decimal
    /// An integer beyond 64 bits.
    case integer
    /// A symbol or stream name that is too long, empty, or escaped.
    case name
    /// More instruments than the table holds.
    case tooManyInstruments
    /// A frame that is neither data nor an answer that is known.
    case unknownShape

    /// The words in the dead letter.
    public var text: String {
        switch self {
        case .malformed: "malformed JSON"
        case .missingKey: "a required key is missing"
        case .wrongType: "a value has an unexpected type"
        case .decimal: "a decimal is not plain digits or too long to be held exactly"
        case .integer: "an integer does not fit 64 bits"
        case .name: "a symbol or stream name is empty, escaped or too long"
        case .tooManyInstruments: "the instrument table is full"
        case .unknownShape: "neither market data nor a known answer"
        }
    }
}
