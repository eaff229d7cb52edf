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
    /// Shows what of the selection it holds and the spool has not, lane by lane in order, and notes the place that `store`
    /// gives to each; nil ends it. It goes on holding all of it. Returns whether the spool has the whole selection now.
    func secure(_ selection: HeldSelection, _ store: (HeldBatch) -> SpoolPlace?) -> Bool
    /// Says once that no batch follows: what can be put away at once is put away, descriptors are closed. What is not
    /// acknowledged by then stays in the ledger as in flight.
    func close()
}

extension Sink {
    /// For sinks that keep nothing worth it, or cannot show it.
    public func secure(_ selection: HeldSelection, _ store: (HeldBatch) -> SpoolPlace?) -> Bool { true }
}

/// Which batches are to be put into the spool.
public enum HeldSelection: Sendable {
    /// All of a topic and ordering key.
    case lane(topic: String, orderingKey: String)
    /// All of those topics and keys whose oldest was closed before that time, ns since the epoch.
    case closedBefore(Int64)
}

/// A batch, or a part of one, that a sink holds.
public struct HeldBatch {
    /// Where it goes: not always where its route does, as dead letters have their own topic.
    var topic: String
    /// See ``topic``.
    var orderingKey: String
    var receipt: BatchReceipt
    /// As the sink has encoded it; valid during the call.
    var messages: UnsafeRawBufferPointer
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
    /// It was put there while the sink held it: the place is this receipt's alone.
    var isSecured = false
    /// With ``isSecured``, whether the place is done with this receipt: false for parts that it was divided into later,
    /// but for the last.
    var endsRecord = true

    init(_ batch: BatchView) {
        let facts = batch.routeFacts
        market = UInt32(truncatingIfNeeded: facts.market)
        events = batch.header.count
        bytes = batch.header.dataBytes
        rawBytes = batch.header.rawBytes
        closedTime = batch.header.closedTime
        kind = facts.kind
        endsBatch = true
        route = UInt32(truncatingIfNeeded: facts.index)
        number = batch.header.number
        place = batch.place
    }
}
