import MarketData

/// Where an exchange serves what is past, over REST, without a key. Used by the control plane.
public protocol Backfill: Sendable {
    /// `https://host` unless the configuration says otherwise.
    var defaultEndpoint: String { get }
    /// Addresses are billed by this: markets with the same name share what an address may ask for.
    var pool: String { get }
    /// What an address may ask for in a minute.
    var weightPerMinute: Int { get }
    /// The answer's header that tells how much of it is used, in lower case.
    var usedWeightHeader: String { get }

    /// The cheapest request whose answer tells how much is used: made once before all others, as an earlier run or others
    /// at the address may have used it up. nil: there is none.
    var usageRequest: BackfillRequest? { get }

    /// Whether it serves what is past of that kind without a key.
    func serves(_ kind: EventKind) -> Bool

    /// Asks for what of a hole follows from `first` on; nil where the exchange does not serve it without a key.
    ///
    /// - Parameter symbol: of the hole's instrument, as the exchange spells it.
    func request(for range: MissingRange, from first: Int64, symbol: String) -> BackfillRequest?

    /// Reads an answer of status 200: events whose ids rise, from the request's first on. `body` must be followed by 64
    /// bytes that may be read.
    ///
    /// - Throws: ``BackfillError`` where it is not what was asked for.
    func read(
        _ body: UnsafeRawBufferPointer, of range: MissingRange, receivedTime: Int64
    ) throws(BackfillError) -> RepairedEvents
}

/// A request for what is past.
public struct BackfillRequest: Sendable, Equatable {
    /// Path and query.
    public var target: String
    /// What it costs.
    public var weight: Int
    /// The first id that is asked for.
    public var first: Int64
    /// The most events that the answer can hold.
    public var limit: Int

    /// A request.
    public init(target: String, weight: Int, first: Int64, limit: Int) {
        self.target = target
        self.weight = weight
        self.first = first
        self.limit = limit
    }
}

/// Why an answer cannot be used.
public struct BackfillError: Error, CustomStringConvertible, Sendable {
    /// The sentence.
    public let description: String
    /// A sentence that says what is wrong, and where.
    public init(_ description: String) { self.description = description }
}

extension ExchangeAdapter {
    /// Most exchanges serve nothing that fills holes.
    public var backfill: (any Backfill)? { nil }
}
