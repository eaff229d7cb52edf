import CKernel

/// One connection slot: the plan, and the connection that serves it now. Owned by the I/O thread.
struct Connection: ~Copyable {
    enum Phase {
        case waiting
        case resolving
        case connecting
        /// The proxy was asked for a tunnel.
        case tunnelling
        case handshaking
        case upgrading
        case open
        /// Our close frame is out; the peer's is awaited.
        case closing
        case stopped
    }

    let plan: ConnectionPlan
    let context: TLSContext?
    var phase = Phase.waiting
    /// Counts connections of this slot; 0 before the first attempt.
    var generation: UInt32 = 0
    var transport: Transport?
    var upgrade: Upgrade?
    var upgradeAnswer: [UInt8] = []
    var unframer: Unframer
    /// Both directions' compression, where it was agreed on.
    var deflate: MessageDeflate?
    /// The connection is to end: nothing more is read.
    var conclusion: Conclusion?
    /// Bytes that were read but not handed over yet: the beginning of a frame.
    var carry: UnsafeMutableRawPointer
    var carryCapacity: Int
    var carryCount = 0
    /// Bytes that the message at the beginning of the carry needs as a whole.
    var carryNeed = 0
    /// The carry holds whole frames, which the last run had no room for.
    var hasWholeFrames = false

    var dialing = DialState()
    /// Attempts since the last success.
    var attempts = 0
    /// When the phase must have ended, or the wait is over; monotonic ns.
    var deadline: Int64 = 0
    var lastBytesTime: Int64 = 0
    /// Of the last run, ns since the epoch.
    var lastReceivedTime: Int64 = 0
    /// What the reactor watches for.
    var watched: UInt32 = 0
    /// Encoded bytes that the socket would not take yet.
    var unsent: [UInt8] = []
    /// The latest ping's payload, to be answered when the pace allows.
    var pong: [UInt8]?
    var nextControlFrame = 0
    /// Requests sent and not yet answered, and until when they must be.
    var unanswered: [Int64: Int64] = [:]
    var nextFrameTime: Int64 = 0

    static let carryCapacityFirst = 4_096

    init(plan: ConnectionPlan, context: TLSContext?) {
        self.plan = plan
        self.context = context
        unframer = Unframer(messageLimit: plan.limits.messageBytes)
        carryCapacity = Connection.carryCapacityFirst
        carry = .allocate(byteCount: carryCapacity, alignment: 16)
    }

    deinit { carry.deallocate() }

    /// Makes room in the carry; a larger one is kept until the connection ends.
    mutating func ensureCarry(_ bytes: Int) {
        guard bytes > carryCapacity else { return }
        var capacity = carryCapacity
        while capacity < bytes { capacity *= 2 }
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        larger.copyMemory(from: carry, byteCount: carryCount)
        carry.deallocate()
        carry = larger
        carryCapacity = capacity
    }

    /// Forgets all that belonged to the connection that ended.
    mutating func reset() {
        transport = nil
        upgrade = nil
        upgradeAnswer = []
        unframer = Unframer(messageLimit: plan.limits.messageBytes)
        deflate = nil
        conclusion = nil
        if carryCapacity > Connection.carryCapacityFirst {
            carry.deallocate()
            carryCapacity = Connection.carryCapacityFirst
            carry = .allocate(byteCount: carryCapacity, alignment: 16)
        }
        carryCount = 0
        carryNeed = 0
        hasWholeFrames = false
        watched = 0
        unsent = []
        pong = nil
        nextControlFrame = 0
        unanswered = [:]
        nextFrameTime = 0
    }

    /// The next wait: doubled from attempt to attempt up to the limit, drawn from its upper half.
    func backoff(jitter: (Int64) -> Int64) -> Int64 {
        let limits = plan.limits
        var wait = limits.backoffFirstNanos
        for _ in 0..<min(attempts, 40) where wait < limits.backoffLastNanos { wait *= 2 }
        wait = min(wait, limits.backoffLastNanos)
        return wait / 2 + jitter(wait / 2 + 1)
    }

    /// The earliest moment at which something must be done, monotonic ns.
    var nextDeadline: Int64 {
        switch phase {
        case .stopped: return Int64.max
        case .resolving, .connecting: return min(deadline, dialing.race.deadline)
        case .waiting, .tunnelling, .handshaking, .upgrading, .closing: return deadline
        case .open:
            var next = lastBytesTime + plan.limits.silenceNanos
            for due in unanswered.values { next = min(next, due) }
            if pong != nil || nextControlFrame < plan.controlFrames.count { next = min(next, nextFrameTime) }
            return next
        }
    }
}
