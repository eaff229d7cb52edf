import CKernel
import Rings
import Synchronization

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
    /// Carries no stream, and so has no connection.
    case idle
    /// Ended for good.
    case stopped

    /// The label in metrics.
    public var name: String {
        switch self {
        case .waiting: "waiting"
        case .opening: "opening"
        case .subscribing: "subscribing"
        case .live: "live"
        case .idle: "idle"
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
    private enum Cell: Int, CaseIterable {
        case state, sockets, primary, openFirst, openSecond, liveGeneration, liveSince, frames, bytes, runs,
            pongs, opened
        case probes, handoversBegun, handoversFailed, rollovers, shutdownHandovers, moves, promotions
        case suspects, resubscriptions, revivals, refusedStreams
    }
    /// Behind the cells: ends by cause, as often as there are kinds of what ended.
    private static let stride = Cell.allCases.count + EndOf.allCases.count * ConnectionEnd.allCases.count

    /// What it is that ended.
    private enum EndOf: Int, CaseIterable {
        case any
        /// It never came to be open.
        case attempt
        /// It was open and the slot's own: another one is made.
        case primary
    }
    /// From the kernel's receipt until the bytes are read, decrypted and unframed, once for each message.
    public let readLatency = LatencyHistogram()
    private let counters: CounterBlock
    /// Number of connection slots that there is room for.
    public let slotCapacity: Int
    /// Notices in order; the control plane drains them. Where it does not keep up, further ones are dropped.
    public let notices = CommandQueue<WireNotice>(capacity: 1_024)

    private let used = Atomic<Int>(0)
    /// Connection slots that there are.
    public var slotCount: Int { used.load(ordering: .relaxed) }

    /// For so many connection slots, all waiting. `slotCapacity`: how many there may come to be.
    public init(slotCount: Int, slotCapacity: Int? = nil) {
        self.slotCapacity = max(slotCount, slotCapacity ?? slotCount)
        counters = CounterBlock(count: max(1, self.slotCapacity) * WireMonitor.stride)
        used.store(slotCount, ordering: .relaxed)
    }

    func setSlotCount(_ count: Int) { used.store(count, ordering: .relaxed) }

    // The counting side names a link: both sides of a slot count together.

    private func add(_ amount: Int, to cell: Cell, link: Int) {
        counters.add(amount, to: (link &>> 1) &* WireMonitor.stride &+ cell.rawValue)
    }

    private func value(_ cell: Cell, slot: Int) -> Int {
        counters.value(slot * WireMonitor.stride + cell.rawValue)
    }

    func countRun(link: Int, frames: Int, bytes: Int) {
        add(frames, to: .frames, link: link)
        add(bytes, to: .bytes, link: link)
        add(1, to: .runs, link: link)
    }

    func countPong(link: Int) { add(1, to: .pongs, link: link) }
    func countOpened(link: Int) { add(1, to: .opened, link: link) }

    /// `wasOpen`: it was a connection; else an attempt at one.
    func countEnd(_ end: ConnectionEnd, wasOpen: Bool, generation: UInt32, link: Int) {
        let slot = link >> 1
        counters.add(1, to: WireMonitor.place(of: end, .any, slot: slot))
        if !wasOpen {
            counters.add(1, to: WireMonitor.place(of: end, .attempt, slot: slot))
        } else if value(.primary, slot: slot) == Int(generation) {
            // A successor that is given up is no reconnect: the connection that it was to replace goes on.
            counters.add(1, to: WireMonitor.place(of: end, .primary, slot: slot))
        }
    }

    private static func place(of end: ConnectionEnd, _ what: EndOf, slot: Int) -> Int {
        slot * stride + Cell.allCases.count + what.rawValue * ConnectionEnd.allCases.count + Int(end.rawValue)
    }

    /// Counts what a slot did.
    func count(_ report: SlotReport, slot: Int) {
        let cell: Cell? =
            switch report {
            case .probed: .probes
            case .handoverBegan: .handoversBegun
            case .handedOver(.rollover, _): .rollovers
            case .handedOver(.serverShutdown, _): .shutdownHandovers
            case .handedOver(.move, _): .moves
            case .handoverFailed: .handoversFailed
            case .promoted: .promotions
            case .suspect: .suspects
            case .resubscribed: .resubscriptions
            case .revived: .revivals
            case .refusesStream: .refusedStreams
            default: nil
            }
        guard let cell else { return }
        counters.add(1, to: slot * WireMonitor.stride + cell.rawValue)
    }

    func set(_ standing: SlotStanding, slot: Int, now: Int64) {
        func set(_ cell: Cell, _ value: Int) {
            counters.set(value, at: slot * WireMonitor.stride + cell.rawValue)
        }
        set(.sockets, standing.sockets)
        set(.primary, Int(standing.primary))
        set(.openFirst, Int(standing.open[0]))
        set(.openSecond, Int(standing.open[1]))
        if standing.state != .live {
            set(.liveSince, 0)
            set(.liveGeneration, 0)
        } else if value(.liveGeneration, slot: slot) != Int(standing.primary) {
            // However short the time without a live connection was: this one is another.
            set(.liveSince, Int(now))
            set(.liveGeneration, Int(standing.primary))
        }
        set(.state, Int(standing.state.rawValue))
    }

    func notice(_ level: WireNotice.Level, slot: Int, _ text: String) {
        notices.send(WireNotice(time: ck_realtime_nanos(), level: level, slot: slot, text: text))
    }

    func notice(_ level: WireNotice.Level, link: Int, _ text: String) { notice(level, slot: link >> 1, text) }

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
        counters.value(WireMonitor.place(of: end, .any, slot: slot))
    }
    /// Of these, the attempts: they never came to be open.
    public func failedAttemptCount(_ end: ConnectionEnd, ofSlot slot: Int) -> Int {
        counters.value(WireMonitor.place(of: end, .attempt, slot: slot))
    }
    /// Of these, the connections that had been open and were not a successor that did not come to take over.
    public func reconnectCount(_ end: ConnectionEnd, ofSlot slot: Int) -> Int {
        counters.value(WireMonitor.place(of: end, .primary, slot: slot))
    }
    /// Since when the connection that delivers has had all its streams acknowledged, or has taken over from the one
    /// before, monotonic ns; nil: there is none such.
    public func liveSince(ofSlot slot: Int) -> Int64? {
        let since = Int64(value(.liveSince, slot: slot))
        return since > 0 ? since : nil
    }
    /// The generation of a side's open connection; nil: none is open.
    public func openGeneration(ofSlot slot: Int, side: Int) -> UInt32? {
        let generation = value(side == 0 ? .openFirst : .openSecond, slot: slot)
        return generation > 0 ? UInt32(truncatingIfNeeded: generation) : nil
    }
    /// Connections of a slot that are being opened, are open, or are being closed.
    public func socketCount(ofSlot slot: Int) -> Int { value(.sockets, slot: slot) }
    /// What a slot has done so far.
    public func activity(ofSlot slot: Int) -> SlotActivity {
        SlotActivity(
            probes: value(.probes, slot: slot), handoversBegun: value(.handoversBegun, slot: slot),
            handoversFailed: value(.handoversFailed, slot: slot), rollovers: value(.rollovers, slot: slot),
            shutdownHandovers: value(.shutdownHandovers, slot: slot), moves: value(.moves, slot: slot),
            promotions: value(.promotions, slot: slot), suspects: value(.suspects, slot: slot),
            resubscriptions: value(.resubscriptions, slot: slot), revivals: value(.revivals, slot: slot),
            refusedStreams: value(.refusedStreams, slot: slot))
    }
    /// The state of a slot.
    public func state(ofSlot slot: Int) -> ConnectionState {
        ConnectionState(rawValue: UInt8(value(.state, slot: slot))) ?? .waiting
    }
    /// Whether every slot has ended for good.
    public var isStopped: Bool { (0..<slotCount).allSatisfy { state(ofSlot: $0) == .stopped } }
}

/// What a slot has done so far, in numbers.
public struct SlotActivity: Sendable, Equatable {
    /// Times that a connection was asked for its subscriptions.
    public var probes: Int
    /// Second connections made, for whatever reason.
    public var handoversBegun: Int
    /// Of these, given up.
    public var handoversFailed: Int
    /// Replacements for age.
    public var rollovers: Int
    /// Replacements because the exchange announced an end.
    public var shutdownHandovers: Int
    /// Replacements for a stream that stayed silent.
    public var moves: Int
    /// Times that the first connection ended while its successor was being made.
    public var promotions: Int
    /// Streams that were silent beyond measure.
    public var suspects: Int
    /// Streams that were asked for again.
    public var resubscriptions: Int
    /// Suspects that delivered again.
    public var revivals: Int
    /// Streams that the exchange refuses.
    public var refusedStreams: Int
}
