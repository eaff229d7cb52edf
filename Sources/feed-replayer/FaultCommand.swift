/// What to do to connections, or to clients that want one: read by ``FaultGrammar`` from scripts and from the
/// control channel. Times in ns.
struct FaultCommand: Equatable {
    var action: FaultAction
    /// nil: the connection that triggered the command, or all doors.
    var target: FaultTarget?
    /// How long a condition lasts; nil: until it is ended.
    var duration: Int64?
    /// As it was written, for the ground truth.
    var text: String
}

enum FaultAction: Equatable {
    /// Ends the TCP stream (FIN) without a close frame.
    case cut
    /// Breaks the TCP stream (RST); what was not sent yet is lost.
    case reset
    /// A close frame with this code; nil: without any.
    case close(code: UInt16?, reason: String)
    /// A fatal TLS alert in the middle of the session.
    case alert
    /// One frame that makes no sense.
    case garbage(GarbageKind)
    /// No market data any more; pings and answers go on.
    case stall
    /// Nothing is read or sent any more, and nobody says so.
    case freeze
    /// Bytes trickle at this rate.
    case slow(bytesPerSecond: Int)
    /// Streams stay silent, those that are subscribed later included.
    case silent(StreamPattern, healsOnSubscribe: Bool)
    /// The next market frames are left out.
    case skip(count: Int, StreamPattern)
    /// The next market frames are sent twice.
    case repeatFrames(count: Int, StreamPattern)
    /// Requests are swallowed: neither answer nor effect.
    case deaf
    /// Requests take effect, and no answer comes.
    case unanswered
    /// Announces a shutdown, and closes after `lead`; nil: after the lead that the options say.
    case shutdown(lead: Int64?)
    /// Ends all lasting conditions of a connection.
    case resume

    /// Answers upgrades with an HTTP status.
    case refuse(status: Int, retryAfter: RetryTime?)
    /// Closes every connection with 1008 as soon as it is open.
    case flood
    /// Clients wait for ever at this stage.
    case hang(HandshakeStage)
    /// Answers a TLS greeting with the alert handshake_failure.
    case handshakeAlert
    /// Ends `refuse`, `flood`, `hang` and `handshakeAlert`.
    case welcome
    /// How old connections become that open from now on; nil: as old as they like.
    case lifetime(ClosedRange<Int64>?)

    /// Something about the REST host.
    case rest(RestFault)
    /// Tells of the connections.
    case list
    /// Ends all rules of scripts.
    case forget

    /// Whether it is about connections that are open (and not about those to come).
    var strikesConnections: Bool {
        switch self {
        case .refuse, .flood, .hang, .handshakeAlert, .welcome, .lifetime, .list, .forget, .rest: false
        default: true
        }
    }
}

/// Frames that make no sense.
enum GarbageKind: String, CaseIterable {
    /// A text frame that is no JSON.
    case text
    /// A frame with an opcode that RFC 6455 reserves.
    case opcode
    /// A text frame whose bytes are not UTF-8.
    case utf8
}

/// Where a client can be left waiting.
enum HandshakeStage: String, CaseIterable {
    /// TCP connects, because the kernel does that; nobody accepts.
    case accept
    /// The TLS greeting is not answered.
    case tls
    /// The upgrade is not answered.
    case upgrade
}

/// Which connections a fault strikes. Only open ones count.
enum FaultTarget: Equatable {
    case number(Int)
    case all
    /// One by chance.
    case any
    case newest
    case oldest
    /// All that came to this address or port.
    case listener(String)
}

/// Names of streams: one name, or one with a `*` that stands for anything.
struct StreamPattern: Equatable {
    var text: String

    static let all = StreamPattern(text: "*")

    func matches(_ name: String) -> Bool {
        guard let star = text.utf8.firstIndex(of: UInt8(ascii: "*")) else { return text == name }
        let before = text[..<star]
        let after = text[text.index(after: star)...]
        return name.utf8.count >= before.utf8.count + after.utf8.count && name.hasPrefix(before)
            && name.hasSuffix(after)
    }
}
