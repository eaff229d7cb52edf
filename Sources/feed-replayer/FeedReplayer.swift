import ArgumentParser

/// A fake exchange: serves a recorded or a synthesised market over WebSocket as Binance's stream hosts do.
@main
struct FeedReplayer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "feed-replayer",
        abstract: "A fake exchange for demonstrations, tests and load runs.",
        discussion: """
            EXAMPLES
              A synthesised market of 50 symbols over TLS, a thousand messages a second:
                feed-replayer serve --synthetic --pace rate=1000
              A recorded feed at ten times its own pace, without TLS:
                feed-replayer serve --plain --feed btcusdt.ndjson.zst --pace x10
              The futures host with its routes, and a connection cut every minute or so:
                feed-replayer serve --synthetic --market usdm --fault cut=0.016/s
              Certificates for a test:
                feed-replayer certificate --directory ./certificates --name localhost
            """,
        subcommands: [ServeCommand.self, CertificateCommand.self])
}
