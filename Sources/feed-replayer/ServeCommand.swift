import ArgumentParser
import CKernel
import Glibc

/// `feed-replayer serve`
struct ServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve a recorded or a synthesised market.",
        discussion: """
            Prints one line of JSON when it listens and one when it ends; SIGINT and SIGTERM end it.

            EXAMPLES
              feed-replayer serve --synthetic --symbols 50 --pace rate=10000
              feed-replayer serve --synthetic --mix trade=60,bookTicker=30,kline=10 --pace max --start-after-streams 3
              feed-replayer serve --feed a.ndjson.zst --feed b.ndjson --pace x10 --ground-truth sent.tsv --exit-when-done
              feed-replayer serve --plain --listen 127.0.0.1:0 --synthetic --seed 7 --epoch-ms 1790000000000 --messages 100000
              Faults: --upgrade-status 451, --hold-handshake, --close-after-frames 1000, --inject corrupt.txt
            """)

    @OptionGroup(title: "Connections") var network: NetworkOptions
    @OptionGroup(title: "Market") var market: MarketOptions
    @OptionGroup(title: "Pace") var pace: PaceOptions
    @OptionGroup(title: "Faults") var faults: FaultOptions

    @Flag(help: "No progress lines.")
    var quiet = false

    func run() throws {
        do throws(ReplayerError) {
            try serve()
        } catch {
            report(error.description)
            throw ExitCode(error.exitCode)
        }
    }

    private func serve() throws(ReplayerError) {
        var options = try network.serverOptions(pacing: try pace.pacing(isRecorded: !market.feed.isEmpty))
        let certificate = options.certificate
        defer { Certificates.remove(certificate) }
        try pace.apply(to: &options)
        try faults.apply(to: &options)
        options.isQuiet = quiet
        if let cpu = network.cpu {
            guard (0..<1024).contains(cpu) else { throw .usage("--cpu is the number of a CPU, from 0") }
            let result = ck_pin_thread(Int32(cpu))
            guard result >= 0 else { throw .usage("--cpu \(cpu): \(errorText(Int(result)))") }
        }
        guard market.feed.isEmpty == market.synthetic else {
            throw .usage("serve needs either --feed FILE or --synthetic; see feed-replayer serve --help")
        }
        if market.synthetic {
            try serve(try market.synthesised(pacing: options.pacing), options)
        } else {
            let feed = try RecordedFeed(paths: market.feed, loops: pace.loop)
            if feed.leftOut > 0 { report("\(feed.leftOut) lines are no market data and are left out") }
            try serve(feed, options)
        }
    }

    private func serve<Source: FeedSource & ~Copyable>(
        _ source: consuming Source, _ options: ServerOptions
    ) throws(ReplayerError) {
        var server = try Server(options: options, source: source)
        writeText(server.announcement + "\n", to: STDOUT_FILENO)
        try server.run()
        writeText(server.summary + "\n", to: STDOUT_FILENO)
    }
}

extension Server where Source: ~Copyable {
    /// The last line. `latestMilliseconds`: how much later than due a frame was made, at most.
    var summary: String {
        let end = ended ?? ck_monotonic_nanos()
        let seconds = began.map { Double(end - $0) / 1e9 } ?? 0
        return "{\"framesSent\":\(totals.framesSent),\"bytesSent\":\(totals.bytesSent),"
            + "\"connections\":\(totals.connections),\"seconds\":\(seconds),"
            + "\"latestMilliseconds\":\(Double(pacer.latest) / 1e6)}"
    }
}
