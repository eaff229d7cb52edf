/// What a user asks of one market.
public struct Subscription: Sendable, Hashable {
    /// The symbols of a subscription.
    public enum Symbols: Sendable, Hashable {
        /// These, in the exchange's own spelling.
        case some([String])
        /// Every symbol, over the exchange's all-market stream (`symbols: ["*"]`).
        case all
    }

    /// What kind of events.
    public var kind: EventKind
    /// Of which symbols.
    public var symbols: Symbols
    /// A kline's interval.
    public var interval: Interval?
    /// A ticker's window.
    public var window: TickerWindow
    /// The time between two updates, ns, where the exchange offers several; nil: the shortest one that it offers.
    public var updateSpeed: Int64?

    /// A subscription; klines need an interval, tickers default to 24 hours.
    public init(
        kind: EventKind, symbols: Symbols, interval: Interval? = nil, window: TickerWindow = .hours24,
        updateSpeed: Int64? = nil
    ) {
        self.kind = kind
        self.symbols = symbols
        self.interval = interval
        self.window = window
        self.updateSpeed = updateSpeed
    }
}
