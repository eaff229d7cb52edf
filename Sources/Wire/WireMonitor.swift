import CKernel
import Rings

/// Why a connection ended, or could not be made.
public enum ConnectionEnd: UInt8, Sendable, CaseIterable {
    /// The host's name could not be resolved.
    case resolve
    /// No TCP connection.
    case connect
    /// The proxy gave no tunnel.
    case proxy
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
        case .proxy: "proxy"
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

/// What an I/O thread shares: the counts of each of its slots, and its notices.
public final class WireMonitor: Sendable {
    private enum Cell: Int, CaseIterable { case state, frames, bytes, runs, pongs, opened }
    private static let stride = Cell.allCases.count + ConnectionEnd.allCases.count
    private let counters: CounterBlock
    /// Number of connection slots.
    public let slotCount: Int
    /// Notices in order; the control plane drains them. Where it does not keep up, further ones are dropped.
    public let notices = CommandQueue<WireNotice>(capacity: 1_024)

    /// For so many connection slots, all waiting.
    public init(slotCount: Int) {
        self.slotCount = slotCount
        counters = CounterBlock(count: max(1, slotCount) * WireMonitor.stride)
    }

    private func add(_ amount: Int, to cell: Cell, slot: Int) {
        counters.add(amount, to: slot &* WireMonitor.stride &+ cell.rawValue)
    }

    private func value(_ cell: Cell, slot: Int) -> Int {
        counters.value(slot * WireMonitor.stride + cell.rawValue)
    }

    func countRun(slot: Int, frames: Int, bytes: Int) {
        add(frames, to: .frames, slot: slot)
        add(bytes, to: .bytes, slot: slot)
        add(1, to: .runs, slot: slot)
    }

    func countPong(slot: Int) { add(1, to: .pongs, slot: slot) }
    func countOpened(slot: Int) { add(1, to: .opened, slot: slot) }

    func countEnd(_ end: ConnectionEnd, slot: Int) {
        counters.add(1, to: slot * WireMonitor.stride + Cell.allCases.count + Int(end.rawValue))
    }

    func set(_ state: ConnectionState, slot: Int) {
        counters.set(Int(state.rawValue), at: slot * WireMonitor.stride)
    }

    func notice(_ level: WireNotice.Level, slot: Int, _ text: String) {
        notices.send(WireNotice(time: ck_realtime_nanos(), level: level, slot: slot, text: text))
    }

    /// Messages received on a slot.
    public func frameCount(ofSlot slot: Int) -> Int { value(.frames, slot: slot) }
    /// Their bytes with WebSocket headers.
    public func byteCount(ofSlot slot: Int) -> Int { value(.bytes, slot: slot) }
    /// Records put into the frame ring: how well reading is batched.
    public func runCount(ofSlot slot: Int) -> Int { value(.runs, slot: slot) }
    /// Pings answered.
    public func pongCount(ofSlot slot: Int) -> Int { value(.pongs, slot: slot) }
    /// Connections opened so far.
    public func openedCount(ofSlot slot: Int) -> Int { value(.opened, slot: slot) }
    /// Connections, or attempts at one, that ended for this cause.
    public func endCount(_ end: ConnectionEnd, ofSlot slot: Int) -> Int {
        counters.value(slot * WireMonitor.stride + Cell.allCases.count + Int(end.rawValue))
    }
    /// The state of a slot.
    public func state(ofSlot slot: Int) -> ConnectionState {
        ConnectionState(rawValue: UInt8(value(.state, slot: slot))) ?? .waiting
    }
    /// Whether every slot has ended for good.
    public var isStopped: Bool { (0..<slotCount).allSatisfy { state(ofSlot: $0) == .stopped } }
}
