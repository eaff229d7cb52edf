import ExchangeAdapter
import GoogleCloud
import MarketData
import Wire

@testable import ControlPlane

/// An exchange that knows trades, klines and tickers of any symbol in capitals.
struct FakeAdapter: ExchangeAdapter {
    static let name = "fake"
    static let markets = ["spot", "futures"]
    let market: String

    init?(market: String) {
        guard FakeAdapter.markets.contains(market) else { return nil }
        self.market = market
    }

    var exchange: String { market == "spot" ? "fake" : "fake-\(market)" }
    var defaultEndpoint: Endpoint { FakeAdapter.endpoint }
    var limits: ConnectionLimits { ConnectionLimits() }
    var endpoints: [Endpoint] { [FakeAdapter.endpoint] }
    var language: any ControlLanguage { FakeLanguage() }
    func target(of stream: StreamPlan) -> String { "/stream" }

    private static let endpoint: Endpoint = {
        do { return try Endpoint("wss://stream.fake.example:9443") } catch { preconditionFailure("\(error)") }
    }()

    func streams(
        for subscriptions: [Subscription], warnings: inout [String]
    ) throws(SubscriptionError) -> [StreamPlan] {
        var plans: [StreamPlan] = []
        for subscription in subscriptions {
            guard [.trade, .kline, .ticker].contains(subscription.kind) else {
                throw SubscriptionError("fake has no \(subscription.kind.name); leave the subscription out")
            }
            switch subscription.symbols {
            case .all: throw SubscriptionError("fake has no all-market stream; name symbols")
            case .some(let symbols):
                for symbol in symbols {
                    if symbol == "OLDUSDT" { warnings.append("OLDUSDT is not traded any more") }
                    plans.append(
                        StreamPlan(
                            name: "\(symbol)@\(subscription.kind.name)", kind: subscription.kind,
                            symbol: symbol))
                }
            }
        }
        guard plans.count <= 4 else {
            throw SubscriptionError("fake serves at most 4 streams; name fewer symbols")
        }
        return plans
    }

    func makeDecoder(market: Int, instruments: InstrumentTable, streams: [StreamPlan]) -> any FrameDecoder {
        FakeDecoder()
    }
}

/// `+name,name`, `-name,name`, `?`.
struct FakeLanguage: ControlLanguage {
    func subscribe(_ names: [String], id: Int64) -> [UInt8] { Array("+\(names.joined(separator: ","))".utf8) }
    func unsubscribe(_ names: [String], id: Int64) -> [UInt8] {
        Array("-\(names.joined(separator: ","))".utf8)
    }
    func list(id: Int64) -> [UInt8]? { [UInt8(ascii: "?")] }
}

final class FakeDecoder: FrameDecoder {
    func update(streams: [StreamPlan]) {}
    func decode(_ run: FrameRun, from first: Int, into events: inout EventWriter) -> Int { 0 }
}

extension ConfigurationContext {
    /// CPUs 0 and 1, one readable file, some variables.
    static let forTests = ConfigurationContext(
        environment: [
            "LANES": "2", "EMPTY": "", "API_TOKEN": "short", "GOOD_TOKEN": "0123456789abcdef", "HOST": "h",
        ],
        adapters: [FakeAdapter.self], allowedCPUs: [0, 1],
        secrets: .read { reference in
            let texts = [
                "projects/p/locations/europe-west1/secrets/weak/versions/latest": "short",
                "projects/p/secrets/number/versions/2": "98765432",
                "projects/p/secrets/token/versions/1": "token-of-secret-manager",
            ]
            guard let text = texts[reference.name] else {
                return .failure(
                    CredentialsError(description: "\(reference): no secrets are kept for this test"))
            }
            return .success(text)
        },
        unreadable: { $0 == "ca.pem" ? nil : "no such file or directory" })
}
