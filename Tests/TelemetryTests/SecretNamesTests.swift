import Telemetry
import Testing

@Suite struct SecretNamesTests {
    @Test(arguments: [
        "API_TOKEN", "api.token", "dbPassword", "client-secret", "Authorization", "PRIVATE_KEY",
        "awsAccessKey",
        "GOOGLE_APPLICATION_CREDENTIALS", "api key",
    ])
    func secret(name: String) { #expect(SecretNames.suggestsSecret(name)) }

    @Test(arguments: ["key", "orderingKey", "sink.orderingKey", "symbol", "collector.name", "HOST", "monkey"])
    func plain(name: String) { #expect(!SecretNames.suggestsSecret(name)) }
}
