import ArgumentParser
import CKernel

/// Options of `serve` about sockets and the machine.
struct NetworkOptions: ParsableArguments {
    enum Records: String, ExpressibleByArgument, CaseIterable { case shared, single }
    enum Idle: String, ExpressibleByArgument, CaseIterable { case spin, park }

    @Option(
        help:
            "Address and port; port 0 takes any free one. Given several times, all serve the same market. (default: 127.0.0.1:9443)"
    )
    var listen: [String] = []

    @Option(
        help: ArgumentHelp(
            "Market frames of this listener go out so much later; may be given for each.",
            valueName: "9444=5ms"))
    var lag: [String] = []

    @Option(
        help: ArgumentHelp(
            "Serve the past of a synthesised market over REST here, with the exchange's weights: historicalTrades, aggTrades, klines, time.",
            valueName: "127.0.0.1:9444"))
    var restListen: String?

    @Option(help: "Trades of each symbol that REST remembers.")
    var restHistory = 100_000

    @Option(help: "Weight that REST allows in a minute. (default: the exchange's)")
    var restWeight: Int?

    @Option(help: "The part of trades that REST lacks, as 0.001, drawn by chance.")
    var restLack = 0.0

    @Option(
        help: "Cut a client for which so many bytes wait, instead of having the feed wait for it.")
    var backlogCut: Int?

    @Flag(help: "Plain TCP instead of TLS.")
    var plain = false

    @Option(
        help:
            "Where ca.pem, server.pem and server-key.pem are, or are made. (default: a new temporary directory)"
    )
    var certificateDirectory: String?

    @Option(help: "Server certificate chain (PEM), instead of --certificate-directory.")
    var certificate: String?

    @Option(help: "Key of --certificate (PEM).")
    var key: String?

    @Option(help: "TLS records: shared by frames that are due together, or a single one for each frame.")
    var records = Records.shared

    @Option(help: "Seconds between pings.")
    var pingInterval = 20.0

    @Option(help: "Seconds to wait for a pong.")
    var pongTimeout = 60.0

    @Option(help: "Run on this CPU only.")
    var cpu: Int?

    @Option(help: "While nothing is due: spin on the CPU, or park the thread.")
    var idle = Idle.park

    func serverOptions(pacing: Pacing) throws(ReplayerError) -> ServerOptions {
        var addresses: [ListenAddress] = []
        for text in listen.isEmpty ? ["127.0.0.1:9443"] : listen {
            guard let address = ListenAddress(text) else {
                throw .usage("--listen \(text): expected ADDRESS:PORT, as in 127.0.0.1:9443 or [::1]:0")
            }
            addresses.append(address)
        }
        guard pingInterval > 0, pongTimeout > 0, pingInterval < 1e6, pongTimeout < 1e6 else {
            throw .usage("--ping-interval and --pong-timeout are seconds above 0")
        }
        var options = ServerOptions(listen: addresses, certificate: try certificateFiles(), pacing: pacing)
        options.recordsAreSingle = records == .single
        try readLags(into: &options)
        if let backlogCut {
            guard backlogCut > 0 else { throw .usage("--backlog-cut is a number of bytes above 0") }
            options.backlogCut = backlogCut
        }
        try readREST(into: &options)
        options.pingInterval = Int64(pingInterval * 1e9)
        options.pongPatience = Int64(pongTimeout * 1e9)
        options.spins = idle == .spin
        return options
    }

    private func readREST(into options: inout ServerOptions) throws(ReplayerError) {
        guard restHistory > 0, restWeight ?? 1 > 0, (0...1).contains(restLack) else {
            throw .usage("--rest-history and --rest-weight are numbers above 0, --rest-lack goes from 0 to 1")
        }
        options.restHistory = restHistory
        options.restWeight = restWeight
        options.restLack = restLack
        guard let restListen else { return }
        guard let address = ListenAddress(restListen) else {
            throw .usage(
                "--rest-listen \(restListen): expected ADDRESS:PORT, as in 127.0.0.1:9444 or [::1]:0")
        }
        options.restListen = address
    }

    private func readLags(into options: inout ServerOptions) throws(ReplayerError) {
        options.lags = options.listen.map { _ in 0 }
        for text in lag {
            let pair = text.split(separator: "=", maxSplits: 1).map(String.init)
            guard pair.count == 2, let time = FaultWords.nanos(pair[1]), time <= 3_600_000_000_000 else {
                throw .usage("--lag \(text): expected PORT=TIME or ADDRESS:PORT=TIME, as in 9444=5ms")
            }
            let found = options.listen.indices.filter { options.listen[$0].isNamed(pair[0]) }
            guard !found.isEmpty else { throw .usage("--lag \(text): there is no --listen with \(pair[0])") }
            for index in found { options.lags[index] = time }
        }
    }

    private func certificateFiles() throws(ReplayerError) -> CertificateFiles? {
        if plain {
            guard certificate == nil, key == nil, certificateDirectory == nil else {
                throw .usage("--plain has no certificate: leave one of them out")
            }
            return nil
        }
        guard (certificate == nil) == (key == nil) else {
            throw .usage("--certificate and --key belong together")
        }
        guard let certificate, let key else {
            return try Certificates.prepare(directory: certificateDirectory)
        }
        guard certificateDirectory == nil else {
            throw .usage("--certificate and --certificate-directory exclude each other")
        }
        return CertificateFiles(authority: nil, certificate: certificate, key: key)
    }
}

/// Units of the times in frames.
enum TimeUnit: String, ExpressibleByArgument, CaseIterable {
    case millisecond, microsecond
}

/// Options of `serve` about what is sent.
struct MarketOptions: ParsableArguments {
    @Option(help: "A recorded feed, .ndjson or .ndjson.zst; may be given several times, played in order.")
    var feed: [String] = []

    @Flag(help: "A synthesised market.")
    var synthetic = false

    @Option(
        help:
            "Which host to be: spot, usdm (routes /public and /market; a stream on the wrong one stays silent) or coinm."
    )
    var market = Market.spot

    @Option(help: "Symbols of the synthesised market.")
    var symbols = 50

    @Option(help: "The same seed makes the same market.")
    var seed: UInt64 = 1

    @Option(
        help:
            "What happens how often: weights of trade, aggTrade, kline, ticker, miniTicker, bookTicker, avgPrice (spot) and markPrice (futures)."
    )
    var mix = MarketMix.standard

    @Option(
        help:
            "Unit of the synthesised market's times: millisecond or microsecond (spot only; as the exchange does for timeUnit=MICROSECOND). In microseconds E is when the frame was made, just before it is sent."
    )
    var timeUnit = TimeUnit.millisecond

    @Flag(name: .customLong("non-ascii"), help: "One symbol is 币安人生USDT.")
    var nonASCII = false

    @Option(
        help: "Begin the market's own clock at this time (ms since the epoch) instead of using the machine's."
    )
    var epochMs: Int64?

    func synthesised(pacing: Pacing) throws(ReplayerError) -> SyntheticMarket {
        guard (1...100_000).contains(symbols) else { throw .usage("--symbols goes from 1 to 100000") }
        guard timeUnit == .millisecond || market == .spot else {
            throw .usage("--time-unit microsecond goes with --market spot")
        }
        var clock = MarketClock.wall
        if let epochMs {
            guard (0...4_102_444_800_000).contains(epochMs) else {
                throw .usage("--epoch-ms is a time in ms since the epoch, before the year 2100")
            }
            // Unpaced frames lie a microsecond apart.
            var step = 1_000.0
            switch pacing {
            case .rate(let rate), .steady(let rate): step = 1e9 / rate
            case .recorded, .max: break
            }
            clock = .virtual(epoch: epochMs, step: step)
        }
        return SyntheticMarket(
            symbols: market.symbols(count: symbols, nonASCII: nonASCII), mix: mix, seed: seed, clock: clock,
            market: market, tellsMicros: timeUnit == .microsecond)
    }
}

/// Options of `serve` about when it is sent.
struct PaceOptions: ParsableArguments {
    @Option(
        help:
            """
            recorded, xN (N times as fast), rate=N (frames a second), steady=N (the same, but what was missed is left out) \
            or max. (default: recorded; rate=1000 where synthesised)
            """
    )
    var pace: Pacing?

    @Option(help: "Write down every frame sent: connection, tab, ns since the epoch, tab, frame.")
    var groundTruth: String?

    @Option(help: "Send nothing before so many streams are subscribed, all connections together.")
    var startAfterStreams = 1

    @Flag(help: "Play the recorded feed again and again.")
    var loop = false

    @Flag(help: "Close all connections and exit when the feed is over and sent.")
    var exitWhenDone = false

    @Flag(help: "End as on SIGTERM when standard input ends: the parent process is gone.")
    var exitWithStdin = false

    @Option(help: "The feed is over after so many seconds.")
    var duration: Double?

    @Option(help: "The feed is over after so many frames, all connections together.")
    var messages: Int?

    func pacing(isRecorded: Bool) throws(ReplayerError) -> Pacing {
        guard let pace else { return isRecorded ? .recorded(speed: 1) : .rate(1_000) }
        if case .recorded = pace, !isRecorded {
            throw .usage("a synthesised market has no recorded pace: use --pace rate=N or --pace max")
        }
        return pace
    }

    func apply(to options: inout ServerOptions) throws(ReplayerError) {
        guard startAfterStreams >= 0 else { throw .usage("--start-after-streams is a number of streams") }
        if let duration {
            guard duration > 0, duration < 1e9 else {
                throw .usage("--duration is a number of seconds above 0")
            }
            options.duration = Int64(duration * 1e9)
        }
        if let messages {
            guard messages > 0 else { throw .usage("--messages is a number of frames above 0") }
            options.messages = messages
        }
        options.groundTruth = groundTruth
        options.startAfterStreams = startAfterStreams
        options.exitWhenDone = exitWhenDone
        if exitWithStdin { options.lifeline = 0 }
    }
}
