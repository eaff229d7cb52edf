/// How far the parser is behind what the I/O thread has put into the frame ring. Where it stands still, because what
/// comes behind it is full, streams and answers seem silent that only wait in our own ring.
struct ConsumerLag {
    /// From this lag on, ns: well above ``WireStage``'s longest time between two looks.
    static let limitNanos: Int64 = 2_000_000_000

    private var mark: UInt64 = 0
    private var markedAt: Int64
    /// What was put before this moment has been read.
    private var readUntil: Int64

    init(now: Int64) {
        markedAt = now
        readUntil = now
    }

    /// A look: the lag at most, ns. To be called about once a second.
    mutating func look(position: UInt64, consumed: UInt64, now: Int64) -> Int64 {
        if consumed >= mark {
            readUntil = markedAt
            mark = position
            markedAt = now
        }
        if consumed == position { readUntil = now }
        return now - readUntil
    }
}
