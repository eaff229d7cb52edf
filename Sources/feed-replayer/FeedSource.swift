/// A frame that is to be sent, in memory of its source: valid until the source is asked for the next one.
struct FeedFrame {
    /// Index of its stream among the source's streams.
    var stream = 0
    /// The combined form, `{"stream":…,"data":…}`.
    var combined = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Where the bare payload lies within `combined`.
    var payload = 0..<0
}

/// What a source had to offer.
enum FeedStep {
    /// A frame that somebody subscribed to.
    case frame
    /// A frame of the recording that nobody subscribed to.
    case skipped
    /// The market moved for a while and nobody listens to what happened.
    case idle
    /// The feed is over.
    case end
}

/// A market that the server can ask for its next frame: recorded or synthesised.
protocol FeedSource: ~Copyable {
    /// Names of all streams that it can serve; a stream's index is its place here.
    var streamNames: [[UInt8]] { get }
    /// Frames that it holds, 0 where it makes them.
    var frameCount: Int { get }
    /// Says whether anybody listens to a stream.
    mutating func setSubscribed(stream: Int, _ isSubscribed: Bool)
    /// When the next frame is due, ns after the feed's beginning; nil where it keeps no time of its own or is over.
    mutating func nextDue() -> Int64?
    /// Makes one step. `now`: ns since the epoch.
    mutating func next(_ frame: inout FeedFrame, now: Int64) -> FeedStep
    /// Remembers so many trades of each symbol from now on, for REST.
    mutating func keepHistory(_ capacity: Int, lacking: Double)
    /// The next trades of each symbol will not be remembered.
    mutating func lack(_ count: Int)
    /// The rows that a query asks for, without what is younger than `lag` ms; nil for a symbol that it does not know.
    func history(_ query: RestQuery, lag: Int64) -> [UInt8]?
}

extension FeedSource where Self: ~Copyable {
    // A recording has no past but what it plays.
    mutating func keepHistory(_ capacity: Int, lacking: Double) {}
    mutating func lack(_ count: Int) {}
    func history(_ query: RestQuery, lag: Int64) -> [UInt8]? { Array("[]".utf8) }
}
