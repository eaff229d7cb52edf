import Rings

/// What a connection brings, for the parser: of which market, and which of the connections that carry the same
/// streams it is.
public struct ParserLink: Sendable, Equatable {
    /// Index of the market in the lane.
    public var market: Int
    /// Index of the shard in the lane: its connections carry the same streams.
    public var shard: Int
    /// Which of the shard's four connections: `leg * 2 + side`.
    public var member: Int
    /// Whether the shard has two legs.
    public var isPaired: Bool

    /// A link.
    public init(market: Int, shard: Int, member: Int, isPaired: Bool) {
        self.market = market
        self.shard = shard
        self.member = member
        self.isPaired = isPaired
    }
}

/// Who brought the run of frames at hand.
@frozen public struct RunSource: BitwiseCopyable, Sendable {
    /// Index of the market in the lane.
    public var market = 0
    /// Index of the shard in the lane.
    public var shard = 0
    /// Which of its shard's four connections: `leg * 2 + side`.
    public var member = 0
    /// Of that connection.
    public var generation: UInt32 = 0
    /// Tells the connection from all others. Bits 0–31: the generation; 32–33: the member; above: the link.
    public var connection: UInt64 = 0
    /// Whether the shard has two legs.
    public var isPaired = false
    /// When the kernel received the run, ns since the epoch: for the headers of its events.
    public var receivedTime: Int64 = 0
    /// When the parser took the run up, monotonic ns.
    public var now: Int64 = 0

    /// Nothing yet.
    @inlinable public init() {}

    /// The leg of a connection, 0 or 1.
    @inlinable static func leg(ofConnection connection: UInt64) -> Int {
        Int(truncatingIfNeeded: connection &>> 33) & 1
    }
    /// The leg at hand.
    @inlinable var leg: Int { member &>> 1 }
}

/// The open connections of one shard.
@frozen @usableFromInline struct LiveMembers: BitwiseCopyable {
    /// Bit m: member m is open.
    @usableFromInline var mask: UInt8 = 0
    /// Of each member's latest connection.
    @usableFromInline var generations = SIMD4<UInt32>()

    init() {}

    /// Whether some other member than `member` is open.
    @usableFromInline func hasOther(than member: Int) -> Bool { mask & ~(1 &<< UInt8(member)) != 0 }
    func isLive(_ member: Int) -> Bool { mask & 1 << UInt8(member) != 0 }
}
