import MarketData

/// A gap, for the log.
public struct GapNotice: Sendable {
    /// When it was seen, ns since the epoch.
    public var time: Int64
    /// Of which stream.
    public var kind: EventKind
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
}
