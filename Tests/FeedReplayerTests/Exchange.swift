import Glibc
import Testing

@testable import feed_replayer

/// A synthesised market of three symbols at 1,000 frames a second on two ports, with a control channel.
final class Exchange {
    let directory: TemporaryDirectory
    let server: RunningServer
    let control: TestControl
    let authority: String?

    init(
        tls: Bool = false, script: String? = nil,
        _ change: (inout ServerOptions) throws -> Void = { _ in }
    ) throws {
        directory = try TemporaryDirectory()
        let address = try #require(ListenAddress("127.0.0.1:0"))
        var options = ServerOptions(listen: [address, address], certificate: nil, pacing: .rate(1_000))
        if tls {
            options.certificate = try Certificates.write(
                directory: directory.path, names: Certificates.localNames, isExpired: false)
        }
        authority = options.certificate?.authority
        options.control = .socket(directory.path + "/control")
        options.groundTruth = directory.path + "/truth"
        if let script { options.rules = try FaultRule.read(path: try directory.write("script", script)) }
        try change(&options)
        let market = options.market
        server = try RunningServer(options) {
            SyntheticMarket(
                symbols: market.symbols(count: 3, nonASCII: false), mix: .standard, seed: 1, clock: .wall,
                market: market)
        }
        control = try TestControl(path: directory.path + "/control")
    }

    func client(_ target: String, listener: Int = 0) throws -> TestClient {
        let client = try TestClient(port: server.ports[listener], authority: authority)
        _ = try client.upgrade(target)
        return client
    }

    /// What the ground truth tells besides frames: connection and text.
    func told() throws -> [String] {
        _ = server.stop()
        let file = try FeedFile(path: directory.path + "/truth")
        var lines: [String] = []
        file.forEachLine {
            let fields = String(decoding: $0, as: UTF8.self).split(separator: "\t", maxSplits: 2)
            if fields.count == 3, fields[2].hasPrefix("! ") {
                lines.append("\(fields[0]) \(fields[2].dropFirst(2))")
            }
        }
        return lines
    }
}

/// Stream and trade id of a combined frame.
func tradeID(_ frame: TestClient.Frame) throws -> (stream: String, id: Int) {
    let text = frame.text
    let stream = try #require(text.split(separator: "\"").dropFirst(3).first)
    let start = try #require(text.firstRange(of: "\"t\":")?.upperBound)
    return (String(stream), try #require(Int(text[start...].prefix { $0.isNumber })))
}
