import ArgumentParser
import Glibc
import Wire

/// The client that the Autobahn test suite's fuzzing server drives: the collector's own I/O stage, and nothing of
/// WebSocket besides.
@main
struct WebSocketConformance: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "websocket-conformance",
        abstract: "Runs the Wire stage through the Autobahn WebSocket test suite, as a client.",
        discussion: """
            EXAMPLE
              With a fuzzing server on port 9001:
                AUTOBAHN_URL=ws://127.0.0.1:9001 websocket-conformance --jobs 16

            Every case is run and every message sent back; the server writes the verdicts.
            """)

    @Option(help: "The fuzzing server. Default: the environment's AUTOBAHN_URL.")
    var url: String?
    @Option(help: "The name in the reports.")
    var agent = "exchange-collector"
    @Option(help: "Cases at the same time.")
    var jobs = 8
    @Option(help: "\(ReactorBackend.allCases.map(\.rawValue).joined(separator: " or ")).")
    var backend = ReactorBackend.epoll
    @Option(help: "Who opens the records of TLS 1.3: openssl or direct.")
    var records = TLSContext.Records.openssl
    @Flag(inversion: .prefixedNo, help: "Offer permessage-deflate.")
    var deflate = true
    @Option(help: "A PEM file to trust, for wss://. Default: the environment's AUTOBAHN_CERT.")
    var certificateAuthority: String?
    @Flag(name: .shortAndLong, help: "Print how each case ended.")
    var verbose = false

    func validate() throws {
        guard jobs > 0 else { throw ValidationError("--jobs must be at least 1") }
        _ = try endpoint()
    }

    private func endpoint() throws -> Endpoint {
        guard let text = url ?? WebSocketConformance.environment("AUTOBAHN_URL") else {
            throw ValidationError("no server: set AUTOBAHN_URL or give --url ws://127.0.0.1:9001")
        }
        return try Endpoint(text)
    }

    private static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    func run() throws {
        let endpoint = try endpoint()
        var context: TLSContext?
        if endpoint.isTLS {
            context = try TLSContext(
                certificateAuthority: certificateAuthority
                    ?? WebSocketConformance.environment("AUTOBAHN_CERT"),
                records: records)
        }
        if let problem = ReactorBackend.choose(backend).problem {
            throw SuiteFailure(description: "no \(backend.rawValue) here: \(problem)")
        }
        let settings = ConnectionSettings(
            endpoint: endpoint, context: context, deflate: deflate ? DeflateOffer() : nil, backend: backend)
        var suite = try SuiteRun(settings: settings, agent: agent, jobs: jobs, isVerbose: verbose)
        print("\(agent): \(try suite.run()) cases run")
    }
}

extension ReactorBackend: ExpressibleByArgument {}
extension TLSContext.Records: ExpressibleByArgument {}
