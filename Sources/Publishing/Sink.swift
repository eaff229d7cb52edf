import Batching
import CKernel
import MarketData
import Rings

/// Why a sink could not be made.
public struct PublishError: Error, CustomStringConvertible, Equatable {
    /// What failed, where, and the remedy.
    public let description: String

    /// An error of that text.
    public init(description: String) { self.description = description }
}

/// Whether a sink took a batch.
@frozen public enum SinkAnswer: Sendable {
    /// It has a copy; the ring may give the bytes back.
    case accepted
    /// It holds as much as it may: the batch goes to the spool; without one it stays in the ring, and so the pressure
    /// reaches the socket.
    case full
    /// It holds as much as it may of this topic and ordering key; others would be taken.
    case laneFull
}

/// Where batches go. Belongs to the publisher thread; only the ledger is shared.
///
/// A sink forgets a batch only when the other side has it safe, and then tells the ledger.
public protocol Sink: AnyObject, SendableMetatype {
    /// Its books.
    var ledger: PublishLedger { get }
    /// Takes a copy of the batch, or says that it is full.
    func take(_ batch: BatchView) -> SinkAnswer
    /// Moves things on without waiting, and returns how much was done. `now`: monotonic ns.
    func doWork(now: Int64) -> Int
    /// Whether ``doWork(now:)`` would find something to do at once.
    func hasInput() -> Bool
    /// Until its next deadline, ns; a second where there is none.
    func parkLimit(now: Int64) -> Int64
    /// Waits for the waker or for the sink's own descriptors.
    func park(nanos: Int64, waker: Waker)
    /// Says once that no batch follows: what can be put away at once is put away, descriptors are closed. What is not
    /// acknowledged by then stays in the ledger as in flight.
    func close()
}

/// What the ledger must know about a batch, or about a part of one, when it is acknowledged.
struct BatchReceipt {
    var market: UInt32
    var events: UInt32
    var bytes: UInt32
    var rawBytes: UInt32
    var closedTime: Int64
    var kind: EventKind
    /// False for the parts of a batch other than its last.
    var endsBatch: Bool
    /// Index of the route.
    var route: UInt32
    /// Counts the batches of a run.
    var number: UInt64
    /// Where the spool has the batch.
    var place: SpoolPlace

    init(_ batch: BatchView) {
        market = UInt32(truncatingIfNeeded: batch.route.market)
        events = batch.header.count
        bytes = batch.header.dataBytes
        rawBytes = batch.header.rawBytes
        closedTime = batch.header.closedTime
        kind = batch.route.kind
        endsBatch = true
        route = UInt32(truncatingIfNeeded: batch.route.index)
        number = batch.header.number
        place = batch.place
    }
}
