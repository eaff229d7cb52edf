import Synchronization

/// The connection attempts that one address may make to one exchange, shared by all slots of the process: never more
/// than a number in a window (Binance: 300 in five minutes, banned beyond), and never all at once.
///
/// Attempts beyond a burst are spaced, so that a thousand streams that lose their connections together do not come
/// back as one stampede.
public final class AttemptBudget: Sendable {
    private struct State {
        /// When the last attempts were granted, a ring; monotonic ns.
        var grants: [Int64] = []
        var next = 0
        var blockedUntil = Int64.min
        /// When the next attempt beyond the burst fits (the theoretical arrival time of the generic cell rate algorithm).
        var arrival = Int64.min
    }
    private let state = Mutex(State())
    /// Attempts in a window.
    public let perWindow: Int
    /// ns.
    public let windowNanos: Int64
    /// Time between attempts beyond the burst, ns.
    public static let spacingNanos: Int64 = 50_000_000
    /// Attempts that may come together.
    public static let burst: Int64 = 20

    /// `perWindow`: at least 1.
    public init(perWindow: Int, windowNanos: Int64) {
        self.perWindow = max(1, perWindow)
        self.windowNanos = windowNanos
    }

    /// Within an exchange's limits as the exchange counts: when attempts arrive there. One that was slow to get through
    /// arrives together with later ones, so the window is longer by as much as an attempt may take.
    public convenience init(limits: ConnectionLimits) {
        self.init(
            perWindow: limits.attemptsPerWindow, windowNanos: limits.attemptWindowNanos + limits.openNanos)
    }

    /// Takes one attempt. Nil where it is granted, else the moment to ask again.
    public func take(_ now: Int64) -> Int64? {
        state.withLock { state in
            if now < state.blockedUntil { return state.blockedUntil }
            let slack = AttemptBudget.spacingNanos * (AttemptBudget.burst - 1)
            let arrival = max(now, state.arrival)
            if arrival - slack > now { return arrival - slack }
            if state.grants.count < perWindow {
                state.grants.append(now)
            } else {
                let oldest = state.grants[state.next]
                if now - oldest < windowNanos { return oldest + windowNanos }
                state.grants[state.next] = now
                state.next = (state.next + 1) % perWindow
            }
            state.arrival = arrival + AttemptBudget.spacingNanos
            return nil
        }
    }

    /// The exchange wants no attempt before `until` (429, 418).
    public func block(until: Int64) {
        state.withLock { $0.blockedUntil = max($0.blockedUntil, until) }
    }

    /// Whether the exchange wants no attempt now.
    public func isBlocked(_ now: Int64) -> Bool { state.withLock { now < $0.blockedUntil } }

    /// Attempts in the window that ends now.
    public func used(_ now: Int64) -> Int {
        state.withLock { state in state.grants.count { now - $0 < windowNanos } }
    }
}

/// How many planned handovers may be under way in a lane at once, and never both legs of one shard. Owned by the I/O
/// thread.
public final class HandoverPermits {
    private var shards: Set<Int> = []
    private let limit: Int

    /// `limit`: handovers at once.
    public init(limit: Int = 2) { self.limit = limit }

    func take(_ shard: Int) -> Bool {
        guard shards.count < limit else { return false }
        return shards.insert(shard).inserted
    }

    func release(_ shard: Int) { shards.remove(shard) }
}

/// Random numbers for jitter: splitmix64 (Steele, Lea, Flood 2014). Seeded from the system's source in production,
/// from the run's seed in a simulation.
public struct SlotRandom: Sendable {
    private var state: UInt64

    /// The same seed gives the same numbers.
    public init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }

    /// 0 ..< limit; 0 where limit is not positive.
    mutating func next(below limit: Int64) -> Int64 {
        limit > 0 ? Int64(truncatingIfNeeded: next() % UInt64(limit)) : 0
    }
}
