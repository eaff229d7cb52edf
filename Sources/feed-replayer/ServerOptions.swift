/// How the server behaves. Times in ns.
struct ServerOptions {
    var listen: [ListenAddress]
    /// How late market frames go out, for each of `listen`; none: at once.
    var lags: [Int64] = []
    /// A client that does not read is cut when this much waits for it; nil: the feed waits for it.
    var backlogCut: Int?
    /// Where the market's past is served over REST; nil: nowhere.
    var restListen: ListenAddress?
    /// Trades of each symbol that REST remembers.
    var restHistory = 100_000
    /// The part of trades that REST lacks.
    var restLack = 0.0
    /// Weight that an address may use in a minute; nil: what the exchange allows.
    var restWeight: Int?
    var certificate: CertificateFiles?
    var pacing: Pacing
    var market = Market.spot
    var recordsAreSingle = false
    var startAfterStreams = 1
    var exitWhenDone = false
    /// Ends when this descriptor does: the parent process is gone.
    var lifeline: Int32?
    var duration: Int64?
    var messages = Int.max
    var pingInterval: Int64 = 20_000_000_000
    var pongPatience: Int64 = 60_000_000_000
    var spins = false
    var errorShape = ErrorShape.wire
    var groundTruth: String?
    var injected: [InjectedFrame] = []
    // Faults.
    var upgradeStatus: Int?
    var holdsHandshake = false
    var serverShutdownAfter: Int64?
    /// From the notice of a shutdown until the close.
    var shutdownLead: Int64 = 5_000_000_000
    /// How old connections become.
    var lifetime: ClosedRange<Int64>?
    var rules: [FaultRule] = []
    var chances = FaultChances()
    var seed: UInt64 = 1
    var control: ControlAddress?
    var closeAfterFrames = Int.max
    var isQuiet = false
}

/// Where commands come from.
enum ControlAddress: Equatable {
    /// Standard input; answers go to standard output.
    case standardInput
    /// A Unix socket at this path.
    case socket(String)
}

/// PEM files of a TLS server.
struct CertificateFiles: Equatable {
    /// nil where the files are somebody else's.
    var authority: String?
    var certificate: String
    var key: String
    /// A directory that was made for this run alone and goes with it.
    var temporaryDirectory: String?
}

/// Where to listen: `127.0.0.1:9443`, `[::1]:0`, `localhost:9443`.
struct ListenAddress: Equatable {
    var host: String
    /// 0: the system chooses.
    var port: UInt16

    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty else { return nil }
        self.host = host
        self.port = port
    }

    /// Whether `name` is the port, or the whole address.
    func isNamed(_ name: String, port real: UInt16? = nil) -> Bool {
        let port = real ?? port
        return name == String(port) || name == (host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)")
    }

    /// The name that clients on this machine use and that the server's own certificate is for.
    var clientHost: String {
        ["127.0.0.1", "::1", "0.0.0.0", "::"].contains(host) ? "localhost" : host
    }
}
