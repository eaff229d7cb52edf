extension CollectorSnapshot {
    /// Counts of the spool.
    public struct SpoolCounts: Sendable {
        /// Bytes of files that hold a batch which the sink has not acknowledged, now.
        public var bytes = 0
        /// Such files.
        public var segments = 0
        /// Such batches.
        public var batches = 0
        /// Age of the oldest of these, s, now.
        public var oldestSeconds = 0.0
        /// Batches written.
        public var stored = 0
        /// Batches read back and handed to the sink.
        public var handed = 0
        /// Events in these.
        public var eventsHanded = 0
        /// Batches that the sink acknowledged.
        public var acknowledged = 0
        /// Batches that an earlier run left.
        public var recovered = 0
        /// Batches dropped at a limit.
        public var dropped = 0
        /// Writes, syncs and reads that failed.
        public var failures = 0
        /// Times that nothing was acknowledged for a while although the sink reported no problem.
        public var stalls = 0
        /// Bytes that were found damaged.
        public var damagedBytes = 0
        /// What is wrong with the disk, now.
        public var problem: String?
        /// Whether it has all that the sink has not acknowledged.
        public var holdsAllInFlight = false

        /// All 0.
        public init() {}
    }
}
