import CKernel
import Logging
import Rings
import Telemetry

/// The whole system on one machine for some seconds, to see where a message's time goes: a fake exchange that stamps
/// its frames in µs, and the collector, whose always-on histograms are read.
public enum Bench {
    /// What can be chosen.
    public struct Settings: Sendable {
        /// Frames a second that the market sends; 0: as fast as they are taken.
        public var rate = 10_000
        /// How long is measured, after ``warmUpSeconds``.
        public var seconds = 5
        /// Symbols of the market.
        public var symbols = 50
        /// How stages are put on threads.
        public var threads = Configuration.Threads.auto
        /// What stage threads do when there is nothing to do; the market spins where they spin.
        public var idle = IdleStrategy.adaptive
        /// See `collector.pin`; nil: auto.
        public var pin: [Int]? = []
        /// The CPU of the fake exchange; nil: any.
        public var replayerCPU: Int?
        /// Lanes.
        public var lanes = 1
        /// Of `batching.dictionary`.
        public var dictionary = "none"
        /// Whether batches are compressed.
        public var compresses = true
        /// The defaults.
        public init() {}
    }

    /// Connections are made and batches have grown to their size by then.
    public static let warmUpSeconds = 1
    static let mix = "trade=90,kline=7,ticker=3"

    /// What was measured.
    public struct Result: Sendable {
        /// At the end and when measuring began.
        public var end: CollectorSnapshot
        /// See ``end``.
        public var begin: CollectorSnapshot
        /// Names threads with their CPUs.
        public var threads: String
        /// Whether everything received was delivered and accounted for.
        public var isComplete: Bool
    }

    /// Runs until the time is over, or until `stop` is requested.
    public static func run(
        _ settings: Settings, logger: Logger, stop: StopRequest, context: ConfigurationContext
    ) async throws -> Result {
        var arguments = [
            "serve", "--listen", "127.0.0.1:0", "--synthetic", "--symbols", "\(settings.symbols)", "--mix",
            mix,
            "--pace", settings.rate > 0 ? "rate=\(settings.rate)" : "max", "--time-unit", "microsecond",
            "--start-after-streams", "\(settings.symbols * 3)", "--exit-with-stdin",
            "--idle", settings.idle == .spin ? "spin" : "park",
        ]
        if let cpu = settings.replayerCPU { arguments += ["--cpu", "\(cpu)"] }
        let replayer = try ReplayerProcess(arguments: arguments)
        let configuration = try configuration(settings, replayer: replayer.greeting, context: context)
        var begin: CollectorSnapshot?
        var beginTime: Int64 = 0
        var threads = ""
        let result = try await CollectorRun.run(
            configuration, logger: logger, stop: stop,
            watch: { collector in
                guard replayer.isRunning else {
                    throw CollectorError("the fake exchange has ended by itself")
                }
                let now = ck_monotonic_nanos()
                threads = collector.threadSummary
                if begin == nil {
                    // The clock starts when events flow.
                    guard collector.ledger.eventsPublished > 0 else { return }
                    if beginTime == 0 { beginTime = now + Int64(warmUpSeconds) * 1_000_000_000 }
                    guard now >= beginTime else { return }
                    begin = collector.snapshot()
                    beginTime = now
                } else if now - beginTime >= Int64(settings.seconds) * 1_000_000_000 {
                    stop.request()
                }
            })
        guard let begin else { throw CollectorError("stopped before anything was measured") }
        let summary = SummaryText.render(result.snapshot)
        return Result(
            end: result.snapshot, begin: begin, threads: threads,
            isComplete: summary.isBalanced && result.isDelivered)
    }

    private static func configuration(
        _ settings: Settings, replayer: ReplayerProcess.Greeting, context: ConfigurationContext
    ) throws -> Configuration {
        let list = replayer.symbols.prefix(settings.symbols).joined(separator: ", ")
        let yaml = """
            collector:
              name: bench
              lanes: \(settings.lanes)
              threads: \(settings.threads.rawValue)
              idle: \(settings.idle.rawValue)
              pin: \(settings.pin.map { "\($0)" } ?? "auto")
            exchanges:
              - adapter: binance
                market: spot
                timeUnit: microsecond
                endpoint: \(replayer.listening)
                tls: { certificateAuthority: "\(replayer.certificateAuthority ?? "")" }
                subscriptions:
                  - { type: trade, symbols: [\(list)] }
                  - { type: kline, interval: 1m, symbols: [\(list)] }
                  - { type: ticker, symbols: [\(list)] }
            batching: { compression: \(settings.compresses ? "zstd" : "none"), dictionary: "\(settings.dictionary)" }
            sink: { type: "null" }
            api: { listen: off }
            """
        return try Configuration.parse(yaml: yaml, file: "the bench's configuration", context: context)
            .configuration
    }
}
