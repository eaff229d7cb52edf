import Wire

/// What happened, for the report of a failure.
struct TraceEntry {
    enum What {
        case event(SimulationEvent)
        case action(SlotAction)
        case fault(FaultKind, String)
        case note(String)
    }
    var time: Int64
    var slot: Int
    var what: What

    var text: String {
        let place = slot < 0 ? "" : " slot \(slot)"
        return switch what {
        case .event(let event): "\(Trace.clock(time))\(place) \(event.kind) \(event.a) \(event.b)"
        case .action(.report(let report)): "\(Trace.clock(time))\(place) says: \(report.description)"
        case .action(let action): "\(Trace.clock(time))\(place) does: \(action)"
        case .fault(let kind, let detail): "\(Trace.clock(time))\(place) fault: \(kind) \(detail)"
        case .note(let text): "\(Trace.clock(time))\(place) \(text)"
        }
    }
}

/// The latest entries, or all of them as they come.
struct Trace {
    static let kept = 50
    private var entries: [TraceEntry] = []
    private var next = 0
    let isVerbose: Bool

    init(isVerbose: Bool) { self.isVerbose = isVerbose }

    mutating func add(_ entry: TraceEntry) {
        if isVerbose { print(entry.text) }
        if entries.count < Trace.kept {
            entries.append(entry)
        } else {
            entries[next] = entry
            next = (next + 1) % Trace.kept
        }
    }

    /// The latest, oldest first.
    var latest: [String] { (entries[next...] + entries[..<next]).map(\.text) }

    /// Days, hours, minutes and seconds since the start.
    static func clock(_ time: Int64) -> String {
        func padded(_ value: Int64, _ width: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        let since = max(0, time - Simulation.start)
        return
            "d\(since / Time.day) \(padded(since / Time.hour % 24, 2)):\(padded(since / Time.minute % 60, 2)):"
            + "\(padded(since / Time.second % 60, 2)).\(padded(since / Time.millisecond % 1_000, 3))"
    }
}

/// What must always hold.
public enum Invariant: String, Sendable, CaseIterable {
    /// A stream was on no connection for longer than its bound.
    case unowned
    /// No connection that carries a stream delivered it for longer than its bound.
    case dead
    /// A connection on which nothing was wrong was given up while it was the only one to carry a stream.
    case gaveUpWorking
    /// A connection whose end was announced in time, or known by its age, was not replaced before.
    case notReplaced
    /// More sockets than planned and handing over.
    case sockets
    /// A slot without streams keeps a connection.
    case emptyConnection
    /// Too many messages on a connection.
    case messageRate
    /// Too many attempts from the address.
    case attemptRate
    /// Too many streams on a connection.
    case streamsPerConnection
    /// A request that is too large.
    case requestSize
    /// Both legs of a shard were in a planned handover at once.
    case legsTogether
    /// A trade came through twice.
    case twice
    /// A trade was neither delivered nor reported missing.
    case lost
    /// A trade did not come though nothing can excuse it.
    case needlessGap
    /// A request was not answered, and the connection went on.
    case unanswered
    /// A stream was given up that the exchange never refused by itself.
    case refusedInnocent
    /// Too many actions or wake-ups in an hour.
    case livelock
    /// At the end not everything is as it was asked for.
    case notRestored
    /// A machine did not end when it was told to.
    case notStopped
    /// The driver was asked for what makes no sense.
    case badAction
}

/// Where and why a run failed.
public struct SimulationFailure: Sendable {
    /// Of the run.
    public var seed: UInt64
    /// When, in the simulated week.
    public var time: String
    /// What did not hold.
    public var invariant: Invariant
    /// In which way.
    public var text: String
    /// The latest events, oldest first.
    public var trace: [String]
}

/// What a run came to.
public struct SimulationResult: Sendable {
    /// Of the run.
    public var seed: UInt64
    /// What did not hold; nil: everything held.
    public var failure: SimulationFailure?
    /// Events of the run.
    public var events = 0
    /// What the machines wanted done, reports included.
    public var actions = 0
    /// Simulated, ns.
    public var length: Int64 = 0
    /// Connection slots.
    public var slots = 0
    /// Faults that befell.
    public var faults = 0
    /// Connections that were open.
    public var connections = 0
    /// Trades that happened on streams that were wanted.
    public var trades = 0
    /// Trades that came through.
    public var delivered = 0
    /// Trades that came a second time and were dropped.
    public var duplicates = 0
    /// Trades that were reported missing.
    public var reported = 0
    /// Planned replacements that were completed.
    public var handovers = 0
    /// All that happened, in a number: the same for the same seed.
    public var fingerprint: UInt64 = 0xCBF2_9CE4_8422_2325
}
