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
              Two addresses for one market, faults on demand:
                feed-replayer serve --synthetic --listen 127.0.0.1:9443 --listen 127.0.0.1:9444 --control /tmp/faults
                echo 'cut 3' | nc -N -U /tmp/faults
              Faults by chance, the same with the same seed:
                feed-replayer serve --synthetic --seed 7 --fault cut=0.01/s,reset=0.01/s,skip=0.0001
              Faults by script:
                feed-replayer serve --synthetic --fault-script faults.txt --ground-truth sent.tsv

            FAULT SCRIPTS
              A rule a line; times count from the feed's beginning; # begins a comment.
                at 12s cut connection 3
                every 30s..60s reset any
                on open 2 silent btcusdt@trade
                on open each slow 500 for 10s
                at 1m refuse 429 retry-after 2 for 5s

            FAULT COMMANDS (scripts and --control)
              WHO is a connection's number, all, any, newest, oldest or listener PORT; D a time as 200ms or 5s.
                cut WHO                      end the TCP stream (FIN), no close frame
                reset WHO                    break it (RST)
                close CODE|none WHO [reason TEXT]
                alert WHO                    a fatal TLS alert in the middle
                garbage [text|opcode|utf8] WHO
                stall WHO [for D]            no market data; pings and answers go on
                freeze WHO [for D]           nothing sent, nothing read, nothing said
                slow BYTES WHO [for D]       so many bytes a second
                silent STREAM WHO [for D] [until resubscribed]     * stands for anything in STREAM
                skip N [STREAM] WHO          leave out the next N market frames
                repeat N [STREAM] WHO        send the next N market frames twice
                deaf WHO [for D]             swallow requests
                unanswered WHO [for D]       obey requests, answer none
                shutdown WHO [lead D]        announce serverShutdown, close after D
                resume WHO                   end what lasts
                connections                  tell which are open
                forget                       end all rules; --control takes rules, too, with times from now on
              On the REST host (--rest-listen; [for D]): rest slow D (answers come later), rest lag D (what is younger is not
                served yet), rest wrong (answers make no sense), rest refuse STATUS [retry-after S | retry-after-date D],
                rest lack N (the next N trades of each symbol are never served), rest well (end these)
              On clients to come, all or of one listener ([listener PORT] [for D]):
                refuse STATUS [retry-after S | retry-after-date D] (in seconds, or as the date that is D later),
                flood (close each with 1008), hang accept|tls|upgrade, alert handshake, welcome (end these), lifetime D|D..D|none
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
        options.seed = market.seed
        options.market = market.market
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
            + "\"latestMilliseconds\":\(Double(pacer.latest) / 1e6)\(restSummary)}"
    }
}
