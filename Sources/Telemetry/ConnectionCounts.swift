import Rings

extension CollectorSnapshot {
    /// What the connection slots of one exchange have done, and how its streams fare.
    public struct SlotCounts: Sendable {
        /// Connections that the plan has.
        public var planned = 0
        /// Groups of streams that share connections; each has one connection a leg.
        public var shards = 0
        /// Of these, those of which a connection is open: one leg is enough.
        public var shardsOpen = 0
        /// Sockets now: opening, open or closing. More than ``planned`` while connections are being replaced.
        public var sockets = 0
        /// Connections replaced without a gap, by reason: `rollover`, `server_shutdown`, `move`.
        public var handovers: [String: Int] = [:]
        /// Replacements that did not come to deliver, so that the old connection went on.
        public var handoversFailed = 0
        /// Old connections that ended while their replacement was being made.
        public var promotions = 0
        /// Times that a silent connection was asked for its subscriptions.
        public var probes = 0
        /// Streams that were silent beyond measure.
        public var suspects = 0
        /// Streams that were asked for again.
        public var resubscriptions = 0
        /// Suspects that delivered again.
        public var revivals = 0
        /// Streams that the exchange refuses.
        public var refusedStreams = 0
        /// By leg; empty where no stream has two.
        public var legs: [LegCounts] = []
        /// Streams now, by state: `connecting`, `waiting`, `silent`, `delivering`.
        public var streams: [String: Int] = [:]
        /// Some of the streams that have not delivered by their deadline.
        public var silentStreams: [String] = []
        /// The delivering stream whose last message is the oldest.
        public var quietestStream: String?
        /// How old that message is, ns.
        public var quietestNanos: Int64 = 0

        /// All 0.
        public init() {}
    }

    /// What one leg of redundant pairs is worth.
    public struct LegCounts: Sendable {
        /// 0 or 1.
        public var leg: Int
        /// Events that it brought first.
        public var won: Int
        /// Ids that it did not bring.
        public var lost: Int
        /// By how much it came first, where it did.
        public var lead: LatencySnapshot

        /// Counts.
        public init(leg: Int, won: Int, lost: Int, lead: LatencySnapshot) {
            self.leg = leg
            self.won = won
            self.lost = lost
            self.lead = lead
        }
    }

    /// The budget of connection attempts, now.
    public struct AttemptCounts: Sendable {
        /// Attempts in the window that ends now.
        public var used: Int
        /// Attempts that are allowed in a window.
        public var limit: Int
        /// The window, ns.
        public var windowNanos: Int64

        /// Counts.
        public init(used: Int, limit: Int, windowNanos: Int64) {
            self.used = used
            self.limit = limit
            self.windowNanos = windowNanos
        }
    }

    /// Streams that have not delivered by their deadline, with their exchange; not all where there are many.
    public var silentStreams: [String] {
        markets.flatMap { market in market.slots.silentStreams.map { "\(market.exchange) \($0)" } }
    }

    /// How many streams have not delivered by their deadline.
    public var silentStreamCount: Int { markets.reduce(0) { $0 + $1.slots.streams["silent", default: 0] } }
}
