import Wire

/// What Binance allows, as far as it is known, and what this adapter makes of it.
///
/// Sources: Binance's spot API documentation (web-socket-streams.md, state of 2026-07-21) and its derivatives pages
/// (state of 2026-07-24) where not said otherwise.
public enum BinanceLimits {
    /// Streams that a connection may carry.
    public static let streamsHeld = 1_024
    /// Streams that are put on one unless the configuration says otherwise. The 1025th was measured (USD-M, 2026-10-07)
    /// to end the connection with all the others, and it is not documented whether a stream that is asked for again
    /// counts twice: so many are left free for that.
    public static let streamsPerConnection = 1_000
    /// Names in one SUBSCRIBE: no documented limit; 200 were measured to be fine (USD-M, 2026-10-07).
    public static let namesPerRequest = 200
    /// Payload of one request, bytes: no documented limit; larger ones have been refused (437 names, 2020).
    public static let requestBytes = 4_000
    /// Messages of ours in a second, pings and pongs counted: 5 on spot. One in 250 ms leaves room for a pong.
    public static let frameSpacingNanos: Int64 = 250_000_000
    /// 10 a second on futures; one in 125 ms leaves as much room.
    public static let futuresFrameSpacingNanos: Int64 = 125_000_000
    /// Spot's server pings every 20 s and ends a connection without a pong after 60 s. A connection that has brought
    /// nothing at all for so long, not even three pings, is dead.
    public static let silenceNanos: Int64 = 75_000_000_000
    /// Futures' servers ping every 3 minutes (gaps of 140 to 320 s were measured, 2026-10-07) and wait 10 minutes for
    /// the pong.
    public static let futuresSilenceNanos: Int64 = 420_000_000_000
    /// The largest message, bytes. All-market arrays of about 360,000 bytes have been recorded.
    public static let messageBytes = 1 << 20
    /// A symbol's bytes, at most; the longest one seen has 20.
    public static let symbolBytes = 60

    /// All of them together. Attempts to connect are limited on spot (300 in 5 minutes); nothing is said of futures,
    /// where the same is kept.
    static func limits(isFutures: Bool) -> ConnectionLimits {
        var limits = ConnectionLimits()
        limits.frameSpacingNanos = isFutures ? futuresFrameSpacingNanos : frameSpacingNanos
        limits.silenceNanos = isFutures ? futuresSilenceNanos : silenceNanos
        limits.messageBytes = messageBytes
        limits.streamsPerConnection = streamsPerConnection
        limits.streamsHeld = streamsHeld
        limits.namesPerRequest = namesPerRequest
        limits.requestBytes = requestBytes
        return limits
    }
}
