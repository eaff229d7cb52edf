/// A request that a slot has sent on one of its connections.
public struct SlotRequest: Sendable, Equatable {
    /// What it asks for.
    public enum Method: Sendable, Equatable {
        /// The streams, from now on.
        case subscribe
        /// The same, of streams that the exchange holds and does not send: nothing is given up for it.
        case repeated
        /// The streams no longer.
        case unsubscribe
        /// Which streams the exchange holds subscribed on this connection: the probe.
        case list
    }
    /// Identifies the answer; positive, unique within the connection.
    public var id: Int64
    /// What it asks for.
    public var method: Method
    /// Of which streams; none for ``Method/list``.
    public var streams: [SlotStream]
}

/// What a slot wants done. Sides are 0 and 1, the slot's two connections.
public enum SlotAction: Sendable, Equatable {
    /// Dial, from resolving the name to the accepted upgrade. `opened` or `ended` answers.
    case open(side: Int, generation: UInt32, endpoint: Int)
    /// Send a request; it is within the pace.
    case send(side: Int, SlotRequest)
    /// Answer the pings that came; within the pace.
    case pong(side: Int)
    /// Send a close frame and read on until the connection ends; `ended` answers within a second.
    case close(side: Int)
    /// Close at once. Nothing answers.
    case drop(side: Int, cause: ConnectionEnd)
    /// Tell the operator.
    case report(SlotReport)
}

/// Why a slot replaces a connection that still works.
public enum HandoverReason: UInt8, Sendable, CaseIterable {
    /// Its age.
    case rollover
    /// The exchange announced its end.
    case serverShutdown
    /// A stream on it stays silent though it was asked for again.
    case move

    /// The word in logs and metrics.
    public var name: String {
        switch self {
        case .rollover: "rollover"
        case .serverShutdown: "server_shutdown"
        case .move: "move"
        }
    }
}

/// What a slot tells the operator.
public enum SlotReport: Sendable, Equatable {
    /// All streams are acknowledged.
    case live(streams: Int)
    /// A request was not answered in time.
    case unanswered(id: Int64)
    /// Nothing came for so long, ns, not even pings.
    case silent(nanos: Int64)
    /// The connection was asked for its subscriptions.
    case probed
    /// The next attempt waits for so long, ns.
    case waiting(nanos: Int64)
    /// The budget of attempts is used up; waits for so long, ns.
    case outOfBudget(nanos: Int64)
    /// The exchange wants no attempts (429, 418); waits for so long, ns.
    case blocked(nanos: Int64)
    /// A second connection is being made.
    case handoverBegan(HandoverReason)
    /// The second connection delivers, the first is closed; took so long, ns.
    case handedOver(HandoverReason, nanos: Int64)
    /// The second connection did not come to deliver; the first goes on.
    case handoverFailed(HandoverReason)
    /// The first connection ended during a handover; the second carries on.
    case promoted
    /// A stream brought nothing for so long, ns, longer than it ever did.
    case suspect(stream: String, nanos: Int64)
    /// It was asked for again.
    case resubscribed(stream: String, wasListed: Bool)
    /// It delivers again.
    case revived(stream: String)
    /// The exchange refuses to be asked twice for a stream.
    case refusesRepeats
    /// It stays silent on a new connection too: taken for quiet.
    case quiet(stream: String)
    /// No stream is left: the connection is closed, and made anew when there are some.
    case emptied
    /// The exchange refuses it: asked for again later, and ever more rarely.
    case refusesStream(stream: String)
}

extension SlotReport: CustomStringConvertible {
    /// A sentence for the log.
    public var description: String {
        func seconds(_ nanos: Int64) -> String {
            nanos < 10_000_000_000 ? "\(nanos / 1_000_000) ms" : "\(nanos / 1_000_000_000) s"
        }
        switch self {
        case .live(let streams): return "all \(streams) streams acknowledged"
        case .unanswered(let id):
            return "request \(id) was not answered; likely cause: a frame over the exchange's size limit"
        case .silent(let nanos): return "no bytes for \(seconds(nanos)), pings included"
        case .probed: return "asked for its subscriptions, to see whether it lives"
        case .waiting(let nanos): return "next attempt in \(seconds(nanos))"
        case .outOfBudget(let nanos):
            return "the budget of connection attempts is used up; next attempt in \(seconds(nanos))"
        case .blocked(let nanos):
            return "the exchange wants no attempts from this address; next one in \(seconds(nanos))"
        case .handoverBegan(let reason): return "replacing the connection (\(reason.name))"
        case .handedOver(let reason, let nanos):
            return "replaced the connection (\(reason.name)) in \(seconds(nanos))"
        case .handoverFailed(let reason):
            return "the replacement (\(reason.name)) did not come to deliver all streams; tried again later"
        case .promoted: return "the connection ended while it was being replaced; its successor carries on"
        case .suspect(let stream, let nanos):
            return "\(stream) has brought nothing for \(seconds(nanos)): its subscription is being checked"
        case .resubscribed(let stream, let wasListed):
            return "\(stream) is asked for again"
                + (wasListed ? ", though the exchange lists it" : ": the exchange had lost it")
        case .revived(let stream): return "\(stream) delivers again"
        case .refusesRepeats:
            return "the exchange refuses to be asked again for a stream that it lists;"
                + " a second connection is made instead"
        case .emptied: return "no stream is left: its connection is closed"
        case .quiet(let stream):
            return "\(stream) stays silent on a new connection too: taken for quiet;"
                + " likely cause: no market activity, or a name that does not exist"
        case .refusesStream(let stream):
            return "the exchange refuses \(stream): asked for again later, ever more rarely; check its name"
        }
    }

    /// How much it matters.
    public var level: WireNotice.Level {
        switch self {
        case .live, .probed, .waiting, .handoverBegan, .handedOver, .revived, .emptied: .info
        case .unanswered, .refusesStream: .error
        default: .warning
        }
    }
}
