import Batching

/// Why the spool could not be opened.
public struct SpoolError: Error, CustomStringConvertible, Equatable {
    /// What failed, where, and the remedy.
    public let description: String
}

/// When what was spooled is made to outlast the machine, and not only the process.
public enum SpoolSync: String, Sendable, CaseIterable {
    /// When the system likes.
    case never
    /// Once in ``SpoolSettings/syncInterval``.
    case interval
    /// Before a batch leaves the ring.
    case each
}

/// What is done when the spool is as large or as old as it may be.
public enum SpoolLimitPolicy: String, Sendable, CaseIterable {
    /// Batches stay in the ring, and so the pressure reaches the socket.
    case block
    /// The oldest segment is deleted; its events are counted as dropped.
    case dropOldest
}

/// How the spool is kept. Times are ns.
public struct SpoolSettings: Sendable, Equatable {
    /// Made where it is missing; one process at a time may use it.
    public var directory: String
    /// What the batches are for, such as a project: the spool of one is never sent to another.
    public var destination: String
    /// This run, which stands in the messages' attributes.
    public var origin: Route.Origin
    /// Bytes of all segments at most.
    public var maxBytes = 8 << 30
    /// Batches older than this are dropped, whatever ``whenFull`` says; 0: none are.
    public var maxAge: Int64 = 0
    /// A segment ends before it would grow beyond so many bytes.
    public var segmentBytes = 16 << 20
    /// How safe a spooled batch is from the machine's end.
    public var fsync = SpoolSync.interval
    /// For ``SpoolSync/interval``.
    public var syncInterval: Int64 = 1_000_000_000
    /// What happens at ``maxBytes``.
    public var whenFull = SpoolLimitPolicy.block
    /// What a sink has not acknowledged after so long is put on disk.
    public var patience: Int64 = 1_000_000_000
    /// Batches older than this make the collector not ready.
    public var warnAge: Int64 = 30_000_000_000
    /// Bytes that were read back and are not acknowledged yet, at most; no lane takes more than a quarter.
    public var window = 4 << 20
    /// Places of batches that their lane could not take, which are kept in memory (16 bytes each), at most.
    public var deferredLimit = 1 << 20

    /// The defaults, for that directory.
    public init(directory: String, destination: String, origin: Route.Origin) {
        self.directory = directory
        self.destination = destination
        self.origin = origin
    }
}
