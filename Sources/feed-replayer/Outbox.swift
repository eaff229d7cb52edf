import Glibc

/// WebSocket frames that wait to be sent on one connection, back to back in one growing buffer.
///
/// Lives at a fixed address for as long as its connection: subscriber lists point to it.
struct Outbox {
    /// Largest header of a server's frame (RFC 6455 section 5.2, unmasked).
    static let headerMax = 10

    /// The number that the ground truth calls the connection by; from 1.
    let connection: Int
    /// Whether market data go out as `{"stream":…,"data":…}`.
    var isCombined: Bool
    /// Whether the server's list of outboxes to flush holds this one.
    var isDirty = false
    /// Whether market frames wait for their time: see ``HeldFrames``.
    var isLagging = false
    /// Whether each market frame needs a look before it goes out: see ``ConnectionFaults``.
    var isFaulty = false
    /// Market frames that may still be sent before the connection is cut.
    var framesLeft: Int

    private(set) var base: UnsafeMutablePointer<UInt8>
    private(set) var start = 0
    private(set) var end = 0
    private var capacity: Int

    init(connection: Int, isCombined: Bool, framesLeft: Int = .max, capacity: Int = 1 << 17) {
        self.connection = connection
        self.isCombined = isCombined
        self.framesLeft = framesLeft
        self.capacity = capacity
        base = .allocate(capacity: capacity)
    }

    /// Frees the memory; the outbox must not be used afterwards.
    mutating func free() {
        base.deallocate()
        start = 0
        end = 0
        capacity = 0
    }

    /// Bytes that wait.
    var count: Int { end &- start }
    /// The bytes that wait.
    var waiting: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base + start, count: count) }

    /// Forgets the first `count` bytes: they are sent.
    mutating func drop(_ count: Int) {
        start &+= count
        if start == end {
            start = 0
            end = 0
        }
    }

    /// Adds one whole, unmasked frame.
    mutating func append(opcode: Opcode, _ payload: UnsafeRawPointer?, count: Int) {
        if end &+ count &+ Outbox.headerMax > capacity { makeRoom(count &+ Outbox.headerMax) }
        let at = base + end
        at[0] = 0x80 | opcode.rawValue
        let header: Int
        if count < 126 {
            at[1] = UInt8(truncatingIfNeeded: count)
            header = 2
        } else if count < 65_536 {
            at[1] = 126
            at[2] = UInt8(truncatingIfNeeded: count &>> 8)
            at[3] = UInt8(truncatingIfNeeded: count)
            header = 4
        } else {
            at[1] = 127
            for index in 0..<8 { at[2 &+ index] = UInt8(truncatingIfNeeded: count &>> (56 &- 8 &* index)) }
            header = 10
        }
        if let payload { memcpy(at + header, payload, count) }
        end &+= header &+ count
    }

    /// Adds bytes that are no frame: the answer to the HTTP request.
    mutating func append(bytes: [UInt8]) { bytes.withUnsafeBytes { append(raw: $0) } }

    /// Adds bytes as they are.
    mutating func append(raw bytes: UnsafeRawBufferPointer) {
        guard let from = bytes.baseAddress else { return }
        if end &+ bytes.count > capacity { makeRoom(bytes.count) }
        memcpy(base + end, from, bytes.count)
        end &+= bytes.count
    }

    @inline(never)
    private mutating func makeRoom(_ room: Int) {
        let waiting = count
        if waiting + room <= capacity {
            memmove(base, base + start, waiting)
        } else {
            while capacity < waiting + room { capacity *= 2 }
            let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
            memcpy(larger, base + start, waiting)
            base.deallocate()
            base = larger
        }
        start = 0
        end = waiting
    }
}
