import MarketData
import Synchronization

/// The connection attempts that one address may make to one exchange, shared by all slots of the process: never more
/// than a number in a window (Binance: 300 in five minutes, banned beyond), and never all at once.
///
/// Attempts beyond a burst are spaced, so that a thousand streams that lose their connections together do not come
/// back as one stampede.
public final class AttemptBudget: Sendable {
    private struct State {
        /// When attempts were granted, in order, from `first` on; monotonic ns.
        var grants: [Int64] = []
        var first = 0
        var blockedUntil = Int64.min
        /// When the next attempt beyond the burst fits (the theoretical arrival time of the generic cell rate algorithm).
        var arrival = Int64.min
        var changes = 0

        mutating func insert(_ time: Int64) {
            // Threads read the clock before they wait for the lock: nearly in order.
            var place = grants.endIndex
            while place > first, grants[place - 1] > time { place -= 1 }
            grants.insert(time, at: place)
        }

        mutating func forget(until time: Int64) {
            while first < grants.count, grants[first] <= time { first += 1 }
            if first > 64, first * 2 > grants.count {
                grants.removeFirst(first)
                first = 0
            }
        }
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
            state.forget(until: now - windowNanos)
            let live = state.grants.count - state.first
            // So many must leave the window first.
            if live >= perWindow { return state.grants[state.grants.count - perWindow] + windowNanos }
            state.insert(now)
            state.arrival = arrival + AttemptBudget.spacingNanos
            state.changes += 1
            return nil
        }
    }

    /// An attempt that was taken at or shortly before `begun` ended before anything of it reached the exchange, which
    /// has not counted it. It stays spaced from the others: what all attempts fail at here should not be stampeded either.
    public func giveBack(_ begun: Int64) {
        state.withLock { state in
            guard let place = state.grants[state.first...].lastIndex(where: { $0 <= begun }) else { return }
            state.grants.remove(at: place)
            state.changes += 1
        }
    }

    /// The exchange wants no attempt before `until` (429, 418).
    public func block(until: Int64) {
        state.withLock {
            $0.blockedUntil = max($0.blockedUntil, until)
            $0.changes += 1
        }
    }

    /// Whether the exchange wants no attempt now.
    public func isBlocked(_ now: Int64) -> Bool { state.withLock { now < $0.blockedUntil } }

    /// Attempts in the window that ends now.
    public func used(_ now: Int64) -> Int {
        state.withLock { state in state.grants[state.first...].count { now - $0 < windowNanos } }
    }

    // MARK: Across processes

    /// What the exchange remembers of this address's attempts, for the process that follows this one; monotonic ns.
    public struct Memory: Sendable, Equatable {
        /// When attempts of the window that ends now were granted, in order.
        public var grants: [Int64]
        /// Until when the exchange wants no attempt; nil: it takes them.
        public var blockedUntil: Int64?

        /// What is remembered.
        public init(grants: [Int64], blockedUntil: Int64?) {
            self.grants = grants
            self.blockedUntil = blockedUntil
        }
    }

    /// Rises with everything that changes the ``Memory`` but the time.
    public var changes: Int { state.withLock { $0.changes } }

    /// See ``Memory``.
    public func memory(_ now: Int64) -> Memory {
        state.withLock { state in
            Memory(
                grants: state.grants[state.first...].filter { now - $0 < windowNanos },
                blockedUntil: state.blockedUntil > now ? state.blockedUntil : nil)
        }
    }

    /// Takes over what an earlier process remembered, besides what there is. What lies in the future, or further back than
    /// a window, is none of its attempts.
    public func restore(_ memory: Memory, _ now: Int64) {
        state.withLock { state in
            for time in memory.grants.sorted() where time <= now && now - time < windowNanos {
                state.insert(time)
                state.arrival = max(state.arrival, time) + AttemptBudget.spacingNanos
            }
            if let until = memory.blockedUntil {
                state.blockedUntil = max(state.blockedUntil, min(until, now + RetryAfter.longestNanos))
            }
            state.changes += 1
        }
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

extension SplitMix64 {
    /// 0 ..< limit; 0 where limit is not positive.
    mutating func next(below limit: Int64) -> Int64 {
        limit > 0 ? Int64(truncatingIfNeeded: next() % UInt64(limit)) : 0
    }
}
