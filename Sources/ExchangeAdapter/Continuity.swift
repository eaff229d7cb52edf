import CKernel
import MarketData
import Rings

/// Follows the contiguous ids of trades and aggregate trades, for each instrument of a lane. Owned by the parser
/// thread; two words for each instrument and kind, touched only as they are used.
@frozen @usableFromInline struct Continuity: ~Copyable {
    /// What follows the last id, 0 where none came yet; two for each instrument.
    @usableFromInline let expected: UnsafeMutablePointer<Int64>
    /// The connection that brought it.
    @usableFromInline let connection: UnsafeMutablePointer<UInt64>

    init(instrumentCapacity: Int) {
        let count = (instrumentCapacity + 1) * 2
        guard let expected = ck_zeroed(count, 8), let connection = ck_zeroed(count, 8) else {
            preconditionFailure("no address space for \(count) ids")
        }
        self.expected = expected.bindMemory(to: Int64.self, capacity: count)
        self.connection = connection.bindMemory(to: UInt64.self, capacity: count)
    }

    // Inlinable because its owner is: the 6.3 optimizer aborts on a deinit that is not, inside one that is.
    @inlinable deinit {
        ck_zeroed_free(expected)
        ck_zeroed_free(connection)
    }

    /// hot: notes an id. Returns the first missing one where ids before it are missing, else nil. An id that is not
    /// above the last one seen tells nothing.
    @inlinable mutating func follow(
        id: Int64, instrument: UInt32, isAggregate: Bool, connection now: UInt64
    ) -> (firstMissing: Int64, isReconnected: Bool)? {
        let index = Int(instrument) &* 2 &+ (isAggregate ? 1 : 0)
        let next = expected[index]
        guard id >= next, id != absentInteger else { return nil }
        expected[index] = id &+ 1
        if id == next || next == 0 {
            connection[index] = now
            return nil
        }
        let isReconnected = connection[index] != now
        connection[index] = now
        return (next, isReconnected)
    }
}

/// A gap, for the log.
public struct GapNotice: Sendable {
    /// When it was seen, ns since the epoch.
    public var time: Int64
    /// Of which stream.
    public var kind: EventKind
    /// Index in the lane's table.
    public var instrument: UInt32
    /// Inclusive.
    public var firstMissing: Int64
    /// Inclusive.
    public var lastMissing: Int64
    /// Why.
    public var cause: GapCause
}
