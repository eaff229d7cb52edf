import CKernel

/// One side of a slot: its connection, if there is one. Owned by the I/O thread.
struct Connection: ~Copyable {
    enum Phase {
        case none
        case resolving
        case connecting
        /// The proxy was asked for a tunnel.
        case tunnelling
        case handshaking
        case upgrading
        case open
        /// Our close frame is out; the peer's is awaited.
        case closing
    }

    var plan: ConnectionPlan
    private let tlsContext: TLSContext?
    /// Nil where the endpoint is plain.
    var context: TLSContext? { plan.endpoint.isTLS ? tlsContext : nil }
    var phase = Phase.none
    /// Which of the slot's connections this is; 0 before the first.
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
    /// When it must be open, or closed; monotonic ns.
    var deadline: Int64 = 0
    var lastBytesTime: Int64 = 0
    /// When the kernel was last asked to delay acknowledgements; monotonic ns.
    var delayedTime: Int64 = 0
    /// Of the last run, ns since the epoch.
    var lastReceivedTime: Int64 = 0
    /// What the reactor watches for.
    var watched: UInt32 = 0
    /// Encoded bytes that the socket would not take yet.
    var unsent: [UInt8] = []
    /// The latest ping's payload, to be answered when the pace allows.
    var pong: [UInt8]?

    static let carryCapacityFirst = 4_096

    init(plan: ConnectionPlan, context: TLSContext?) {
        self.plan = plan
        tlsContext = context
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
        delayedTime = 0
        unsent = []
        pong = nil
        phase = .none
    }

    /// When opening or closing must have come to its end, monotonic ns.
    var nextDeadline: Int64 {
        switch phase {
        case .none, .open: Int64.max
        case .resolving, .connecting: min(deadline, dialing.race.deadline)
        default: deadline
        }
    }
}
