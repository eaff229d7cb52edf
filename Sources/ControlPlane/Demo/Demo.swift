import CKernel
import Logging
import Telemetry

/// The whole system on one machine: a fake exchange with a synthesised market, the collector, and a live table.
public enum Demo {
    /// What can be chosen.
    public struct Settings: Sendable {
        /// Messages a second that the market sends; 0: as fast as they are taken.
        public var rate = 5_000
        /// Ends by itself after so many seconds; nil: with Ctrl-C.
        public var seconds: Int?
        /// Directory of the file sink.
        public var output = "./data/demo"
        /// The market's seed.
        public var seed = 1
        /// How stages are put on threads.
        public var threads = Configuration.Threads.auto
        /// Port of the API on 127.0.0.1; 0: any free one.
        public var apiPort = 0
        /// The defaults.
        public init() {}
    }

    static let symbols = [
        "BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "ADAUSDT", "TRXUSDT", "AVAXUSDT",
        "LINKUSDT",
    ]
    static let mix = "trade=70,aggTrade=8,bookTicker=12,kline=5,ticker=2,miniTicker=2,avgPrice=1"

    /// Runs until `stop` is requested or the time is over, and shows a live table meanwhile.
    ///
    /// - Returns: whether received equals published at the end.
    public static func run(
        _ settings: Settings, logger: Logger, stop: StopRequest, context: ConfigurationContext
    ) async throws -> Bool {
        var screen = LiveScreen()
        screen.append("starting a fake exchange (feed-replayer) and a collector; Ctrl-C ends with a summary")
        let replayer = try ReplayerProcess(arguments: [
            "serve", "--listen", "127.0.0.1:0", "--synthetic", "--symbols", "\(symbols.count)", "--seed",
            "\(settings.seed)", "--mix", mix, "--pace", settings.rate > 0 ? "rate=\(settings.rate)" : "max",
            "--exit-with-stdin",
        ])
        let configuration = try configuration(settings, replayer: replayer.greeting, context: context)
        screen.append(
            "market at \(replayer.greeting.listening), output in \(settings.output)"
                + " (`exchange-collector tail \(settings.output)` shows it)\n")
        let begin = ck_monotonic_nanos()
        var previous = CollectorSnapshot()
        var shownTime = begin
        let result = try await CollectorRun.run(
            configuration, logger: logger, stop: stop,
            watch: { collector in
                let now = ck_monotonic_nanos()
                if let seconds = settings.seconds, now - begin >= Int64(seconds) * 1_000_000_000 {
                    stop.request()
                }
                guard replayer.isRunning else {
                    throw CollectorError("the fake exchange has ended by itself")
                }
                guard now - shownTime >= (screen.isTerminal ? 500_000_000 : 1_000_000_000) else { return }
                let current = collector.snapshot()
                let interval = Double(now - shownTime) / 1e9
                screen.show(
                    table: DemoTable.render(
                        current: current, previous: previous, interval: interval, width: screen.width),
                    line: DemoTable.line(current: current, previous: previous, interval: interval))
                previous = current
                shownTime = now
            })
        let summary = SummaryText.render(result.snapshot)
        screen.append("\n" + summary.text)
        return summary.isBalanced && result.isDelivered
    }

    private static func configuration(
        _ settings: Settings, replayer: ReplayerProcess.Greeting, context: ConfigurationContext
    ) throws -> Configuration {
        let list = symbols.joined(separator: ", ")
        let yaml = """
            collector: { name: demo, threads: \(settings.threads.rawValue) }
            exchanges:
              - adapter: binance
                market: spot
                endpoint: \(replayer.listening)
                tls: { certificateAuthority: "\(replayer.certificateAuthority ?? "")" }
                subscriptions:
                  - { type: trade, symbols: [\(list)] }
                  - { type: aggTrade, symbols: [\(list)] }
                  - { type: bookTicker, symbols: [\(list)] }
                  - { type: kline, interval: 1m, symbols: [\(list)] }
                  - { type: ticker, symbols: [\(list)] }
                  - { type: miniTicker, symbols: [\(list)] }
                  - { type: averagePrice, symbols: [\(list)] }
            sink: { type: file, path: "\(settings.output)" }
            api: { listen: "127.0.0.1:\(settings.apiPort)" }
            """
        return try Configuration.parse(yaml: yaml, file: "the demo's configuration", context: context)
            .configuration
    }
}
