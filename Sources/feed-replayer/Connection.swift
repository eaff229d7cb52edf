import Glibc

/// One client: its socket, what it subscribed to, and how far it is.
final class Connection {
    enum Phase: Equatable {
        case handshake
        case request
        case open
        /// A close frame or a refusal was queued; the peer's end is awaited until the deadline (monotonic ns).
        case closing(deadline: Int64)
        /// To be closed at once.
        case dead
    }

    /// From 1; also the token in epoll.
    let number: Int
    let transport: Transport
    /// At a fixed address: subscriber lists point to it.
    let outbox: UnsafeMutablePointer<Outbox>
    var phase: Phase
    var frames = ClientFrameReader()
    /// Bytes of the HTTP request so far.
    var request: [UInt8] = []
    /// Names in the order of subscription, and the same as a set.
    var streams: [String] = []
    var streamSet: Set<String> = []
    var messageTimes = MessageRate()
    var pings = PingSchedule()
    /// Registered for writability, because the socket is full.
    var waitsToWrite = false
    /// Too much waits: the feed stands still for it.
    var isBlocked = false
    var wasInjected = false
    /// The peer's close frame has come.
    var hasPeerClosed = false
    /// The end of sending was told to the peer.
    var hasEndedSending = false
    /// When to close after a notice of shutdown or at the end of its life, monotonic ns.
    var closesAt = Int64.max
    /// The code to close with then; nil: a close frame without one.
    var closesWith: UInt16?
    /// When it opened, monotonic ns.
    var opened: Int64 = 0
    /// Which of the listeners it came to.
    let listener: Int
    var route = Market.Route.none
    var faults = ConnectionFaults()
    /// Where its listener lags.
    let held: HeldFrames?
    /// Nothing of it is ever looked at.
    var isHanging = false
    /// The TLS greeting is answered with an alert.
    var refusesTLS = false

    init(
        number: Int, listener: Int, lag: Int64, transport: consuming Transport, phase: Phase, framesLeft: Int
    ) {
        self.number = number
        self.listener = listener
        self.transport = transport
        self.phase = phase
        held = lag > 0 ? HeldFrames(lag: lag, connection: number) : nil
        outbox = .allocate(capacity: 1)
        outbox.initialize(to: Outbox(connection: number, isCombined: false, framesLeft: framesLeft))
        outbox.pointee.isLagging = lag > 0
    }

    deinit {
        outbox.pointee.free()
        outbox.deallocate()
    }

    /// Nothing waits to be sent.
    var isFlushed: Bool { transport.backlog(outbox) == 0 }

    func send(text: String) { send(.text, Array(text.utf8)) }

    func send(_ opcode: Opcode, _ payload: [UInt8]) {
        payload.withUnsafeBytes { bytes in
            outbox.pointee.append(opcode: opcode, bytes.baseAddress, count: bytes.count)
        }
    }

    /// Queues a close frame; `deadline` (monotonic ns) ends the wait for the peer's. A nil code sends none.
    func sendClose(code: UInt16?, reason: String, deadline: Int64) {
        guard phase == .open else { return }
        var payload: [UInt8] = []
        if let code { payload = [UInt8(code >> 8), UInt8(code & 0xFF)] + Array(reason.utf8) }
        send(.close, payload)
        phase = .closing(deadline: deadline)
    }
}

/// The exchange's limit on what a client may send in a second, whatever it is.
struct MessageRate {
    private var times: [Int64] = []

    /// Notes a message at `now` (ns); false where it is one too many.
    mutating func allows(now: Int64, limit: Int) -> Bool {
        if times.count == limit {
            guard now - times[0] >= 1_000_000_000 else { return false }
            times.removeFirst()
        }
        times.append(now)
        return true
    }
}

/// When to ping, and which pings were not answered yet. Times are monotonic ns.
struct PingSchedule {
    private(set) var due: Int64 = .max
    private var unanswered: [(payload: [UInt8], time: Int64)] = []

    mutating func begin(now: Int64, interval: Int64) { due = now + interval }

    /// Notes a ping that was sent.
    mutating func sent(_ payload: [UInt8], now: Int64, interval: Int64) {
        unanswered.append((payload, now))
        due = now + interval
    }

    /// A pong counts where it copies the payload of a ping; it answers older ones as well.
    mutating func answered(_ payload: [UInt8]) {
        guard let index = unanswered.firstIndex(where: { $0.payload == payload }) else { return }
        unanswered.removeFirst(index + 1)
    }

    /// Whether a ping has waited longer than `patience` for its pong.
    func isOverdue(now: Int64, patience: Int64) -> Bool {
        unanswered.first.map { now - $0.time > patience } ?? false
    }
}
