import MarketData

/// What `tail` shows.
public struct TailSettings: Sendable {
    /// Where events come from.
    public enum Source: Sendable {
        /// A directory of segments, or one segment file; `follow`: goes on with what is written later.
        case files(path: String, follow: Bool)
        /// A topic of a Pub/Sub emulator, from now on, over a subscription that is deleted at the end.
        case emulator(host: String, port: UInt16, project: String, topic: String)
    }

    /// Where events come from.
    public var source: Source
    /// Only these types; empty: all.
    public var types: Set<String> = []
    /// Only these symbols; empty: all.
    public var symbols: Set<String> = []
    /// A dictionary or a directory of them, beside those that the program brings; nil: only those.
    public var dictionaries: String?
    /// Only events from these times on and until them, ns since the epoch: their event times, where they have none those
    /// of their receipt.
    public var from = Int64.min
    /// See ``from``.
    public var to = Int64.max
    /// Ends after so many events; nil: does not.
    public var limit: Int?
    /// Lines of JSON as they were published, rather than lines for people.
    public var isJSON = false

    /// Whether times are asked for.
    var hasTimes: Bool { from != .min || to != .max }

    /// Shows everything.
    public init(source: Source) { self.source = source }
}

/// Why `tail` ended early.
public struct TailError: Error, CustomStringConvertible, Sendable {
    /// What kind of failure it is; decides the exit code.
    public enum Kind: Sendable {
        /// The source is not there.
        case noInput
        /// The source holds something else than events.
        case data
        /// The emulator does not answer, or refuses.
        case unavailable
        /// Reading or writing failed.
        case io
    }

    /// The kind.
    public let kind: Kind
    /// What failed, where, and the remedy.
    public let description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
