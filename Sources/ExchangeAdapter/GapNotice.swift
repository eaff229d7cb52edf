import MarketData

/// A gap, for the log.
public struct GapNotice: Sendable {
    /// When it was seen, ns since the epoch.
    public var time: Int64
    /// Of which stream.
    public var kind: EventKind
    /// Raw ``Interval`` of bars, else 0.
    public var variant: UInt8
    /// Index in the lane's table.
    public var instrument: UInt32
    /// Inclusive.
    public var firstMissing: Int64
    /// Inclusive.
    public var lastMissing: Int64
    /// Open, or repaired: then these ids came late.
    public var state: GapState
    /// Why.
    public var cause: GapCause

    /// A gap, or what became of one.
    public init(
        time: Int64, kind: EventKind, variant: UInt8 = 0, instrument: UInt32, firstMissing: Int64,
        lastMissing: Int64, state: GapState, cause: GapCause
    ) {
        self.time = time
        self.kind = kind
        self.variant = variant
        self.instrument = instrument
        self.firstMissing = firstMissing
        self.lastMissing = lastMissing
        self.state = state
        self.cause = cause
    }
}
