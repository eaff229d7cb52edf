/// Two stages on one thread, their work done in turn. The thread parks as the first one does.
public struct StagePair<First: Stage & ~Copyable, Second: Stage & ~Copyable>: ~Copyable, Stage {
    private var first: First
    private var second: Second
    private let parkMax: Int64

    /// `parkMax`: the longest time to park, ns: short where the second stage waits for descriptors of its own.
    public init(_ first: consuming First, _ second: consuming Second, parkMax: Int64 = 1_000_000_000) {
        self.first = first
        self.second = second
        self.parkMax = parkMax
    }

    /// One cycle; see the type.
    public mutating func doWork() -> Int { first.doWork() + second.doWork() }
    /// Whether the next cycle would find something to do.
    public mutating func hasInput() -> Bool { first.hasInput() || second.hasInput() }
    /// Until the next deadline, ns.
    public mutating func parkLimit() -> Int64 { min(first.parkLimit(), second.parkLimit(), parkMax) }
    /// Waits for the waker or for descriptors.
    public mutating func park(nanos: Int64) { first.park(nanos: nanos) }
}
