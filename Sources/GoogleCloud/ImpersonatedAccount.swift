import Foundation

/// A service account whose tokens another account may get (IAM Credentials API, generateAccessToken).
struct ImpersonatedAccount: TokenProvider {
    private let source: any TokenProvider
    private let address: String
    private let delegates: [String]
    private let lifetime: Int

    /// Of the source: the impersonated account's project shows nowhere.
    var project: String? { source.project }
    var description: String { "service account \(account), by \(source.description)" }

    /// `projects/-/serviceAccounts/NAME:generateAccessToken` → NAME.
    private var account: String {
        let last = address.split(separator: "/").last ?? ""
        return String(last.prefix { $0 != ":" })
    }

    /// How long Google's tokens are good for unless asked otherwise, seconds.
    static let defaultLifetime = 3600

    /// Of a file of type impersonated_service_account, whose `source_credentials` are another file's content.
    init(_ file: CredentialsFile, source: any TokenProvider) throws(CredentialsError) {
        self.init(
            source: source, address: try file.address("service_account_impersonation_url", default: nil),
            delegates: file.json["delegates"] as? [String] ?? [],
            lifetime: ImpersonatedAccount.defaultLifetime)
    }

    init(source: any TokenProvider, address: String, delegates: [String], lifetime: Int) {
        self.source = source
        self.address = address
        self.delegates = delegates
        self.lifetime = lifetime
    }

    func token(_ request: TokenRequest) throws(CredentialsError) -> AccessToken {
        let own = try source.token(
            TokenRequest(scope: TokenRequest.iam, isAfterRefusal: request.isAfterRefusal))
        let asked: [String: Any] = [
            "delegates": delegates, "scope": [request.scope], "lifetime": "\(lifetime)s",
        ]
        guard let body = try? JSONSerialization.data(withJSONObject: asked, options: [.sortedKeys]) else {
            throw CredentialsError(description: "\(description): the request could not be written")
        }
        let server = "IAM Credentials API for \(account)"
        let answer = try WebRequest(
            method: "POST", url: address,
            headers: ["Content-Type: application/json", "Authorization: Bearer \(own.text)"],
            body: String(decoding: body, as: UTF8.self)
        ).send(to: server)
        guard answer.status == 200 else {
            _ = try AccessToken.take(
                answer, server: server,
                remedy: "grant roles/iam.workloadIdentityUser (federation) or"
                    + " roles/iam.serviceAccountTokenCreator on that account to \(source.description)")
            throw CredentialsError(description: "\(server): status \(answer.status)")
        }
        guard let object = answer.object, let text = object["accessToken"] as? String,
            AccessToken.isUsable(text), let end = object["expireTime"] as? String,
            let left = seconds(until: end, answer)
        else {
            throw CredentialsError(
                description: "\(server): its answer holds no token (\(answer.reason)); is that address"
                    + " right?")
        }
        return AccessToken(text: text, lifetime: left)
    }

    /// By the server's own clock, because this machine's may be wrong; never more than was asked for.
    private func seconds(until end: String, _ answer: WebAnswer) -> Int? {
        guard let end = UTCTime.rfc3339(end) else { return nil }
        let left = end - (answer.time ?? Int(Date().timeIntervalSince1970))
        return left > 0 ? min(left, lifetime) : nil
    }
}
