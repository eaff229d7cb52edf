import CKernel
import Rings

/// Why a connection ended, or could not be made.
public enum ConnectionEnd: UInt8, Sendable, CaseIterable {
    /// The host's name could not be resolved.
    case resolve
    /// No TCP connection.
    case connect
    /// The TLS handshake failed.
    case tls
    /// The upgrade was refused or broken.
    case upgrade
    /// Opening took too long.
    case openTimeout
    /// The server sent a close frame.
    case closed
    /// The connection ended without one.
    case ended
    /// The server broke the protocol.
    case protocolError
    /// A message over the limit.
    case tooLarge
    /// No bytes for too long.
    case silence
    /// A request was refused, or not answered in time.
    case request
    /// The exchange announced its shutdown.
    case serverShutdown
    /// The collector ends.
    case stopped

    /// The label in metrics.
    public var name: String {
        switch self {
        case .resolve: "resolve"
        case .connect: "connect"
        case .tls: "tls"
        case .upgrade: "upgrade"
        case .openTimeout: "open_timeout"
        case .closed: "closed"
        case .ended: "ended"
        case .protocolError: "protocol"
        case .tooLarge: "too_large"
        case .silence: "silence"
        case .request: "request"
        case .serverShutdown: "server_shutdown"
        case .stopped: "stopped"
        }
    }
}

/// How far a connection is.
public enum ConnectionState: UInt8, Sendable, CaseIterable {
    /// Waits for its next attempt.
    case waiting
    /// Resolves, connects, shakes hands or upgrades.
    case opening
    /// Open, requests not all acknowledged.
    case subscribing
    /// All requests acknowledged.
    case live
    /// Ended for good.
    case stopped

    /// The label in metrics.
    public var name: String {
        switch self {
        case .waiting: "waiting"
        case .opening: "opening"
        case .subscribing: "subscribing"
        case .live: "live"
        case .stopped: "stopped"
        }
    }
}

/// Something that the operator should know; rare.
public struct WireNotice: Sendable {
    /// How much it matters.
    public enum Level: Sendable {
        /// As planned.
        case info
        /// Unexpected, being mended; a data gap is possible.
        case warning
        /// An operator is needed: retrying alone will hardly help.
        case error
    }
    /// When, ns since the epoch.
    public var time: Int64
    /// How much it matters.
    public var level: Level
    /// Which connection slot.
    public var slot: Int
    /// What happened, with the likely cause.
    public var text: String
}

/// What an I/O thread shares: its counts and its notices.
public final class WireMonitor: Sendable {
    private static let endBase = 8
    private static let stateBase = endBase + ConnectionEnd.allCases.count
    private let counters: CounterBlock
    private let slotBase = WireMonitor.stateBase + ConnectionState.allCases.count
    /// Notices in order; the control plane drains them. Where it does not keep up, further ones are dropped.
    public let notices = CommandQueue<WireNotice>(capacity: 1_024)

    /// For so many connection slots.
    public init(slotCount: Int) {
        counters = CounterBlock(count: slotBase + slotCount)
        for _ in 0..<slotCount { counters.add(1, to: WireMonitor.stateBase) }
    }

    @inline(__always) func countRun(frames: Int, bytes: Int) {
        counters.add(frames, to: 0)
        counters.add(bytes, to: 1)
        counters.add(1, to: 2)
    }

    func countPong() { counters.add(1, to: 3) }
    func countOpened() { counters.add(1, to: 4) }
    func countEnd(_ end: ConnectionEnd) { counters.add(1, to: WireMonitor.endBase + Int(end.rawValue)) }

    func set(_ state: ConnectionState, slot: Int) {
        let old = counters.value(slotBase + slot)
        counters.add(-1, to: WireMonitor.stateBase + old)
        counters.add(1, to: WireMonitor.stateBase + Int(state.rawValue))
        counters.set(Int(state.rawValue), at: slotBase + slot)
    }

    func notice(_ level: WireNotice.Level, slot: Int, _ text: String) {
        notices.send(WireNotice(time: ck_realtime_nanos(), level: level, slot: slot, text: text))
    }

    /// Messages received.
    public var frameCount: Int { counters.value(0) }
    /// Their bytes with WebSocket headers.
    public var byteCount: Int { counters.value(1) }
    /// Records put into the frame ring: how well reading is batched.
    public var runCount: Int { counters.value(2) }
    /// Pings answered.
    public var pongCount: Int { counters.value(3) }
    /// Connections opened so far.
    public var openedCount: Int { counters.value(4) }
    /// Connections that ended, by cause.
    public func endCount(_ end: ConnectionEnd) -> Int {
        counters.value(WireMonitor.endBase + Int(end.rawValue))
    }
    /// Slots that are in a state now.
    public func slotCount(in state: ConnectionState) -> Int {
        counters.value(WireMonitor.stateBase + Int(state.rawValue))
    }
    /// The state of one slot.
    public func state(ofSlot slot: Int) -> ConnectionState {
        ConnectionState(rawValue: UInt8(counters.value(slotBase + slot))) ?? .waiting
    }
}
