import Foundation

/// A bearer token.
struct AccessToken: Sendable, Equatable {
    var text: String
    /// For how many seconds it is good, from when it was asked for.
    var lifetime: Int
}

/// What a token is asked for.
struct TokenRequest: Sendable {
    /// What it may be used for.
    var scope = TokenRequest.cloudPlatform
    /// Whether a service refused the last one: one of another kind, and what the token endpoint says about the
    /// account, are wanted then.
    var isAfterRefusal = false

    /// All of Google Cloud that the account may use.
    static let cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"
    /// Enough for getting another account's token.
    static let iam = "https://www.googleapis.com/auth/iam"
}

/// A kind of credentials. Asks servers and waits for them.
protocol TokenProvider: Sendable {
    /// Who the credentials are of, for logs.
    var description: String { get }
    /// The project that they belong to, where they say so.
    var project: String? { get }
    /// A token, or why there is none.
    func token(_ request: TokenRequest) throws(CredentialsError) -> AccessToken
}

extension AccessToken {
    /// Of an answer such as `{"access_token":"…","expires_in":3599,"token_type":"Bearer"}` (RFC 6749, section 5.1).
    init?(_ answer: WebAnswer) {
        guard answer.status == 200, let object = answer.object, let text = object["access_token"] as? String,
            AccessToken.isUsable(text), let lifetime = object["expires_in"] as? Int, lifetime > 0
        else { return nil }
        self.init(text: text, lifetime: lifetime)
    }

    /// Whether a text can stand in a header.
    static func isUsable(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    }

    /// The token of an answer, or the error that it is; `remedy` stands behind what the server says.
    static func take(
        _ answer: WebAnswer, server: String, remedy: String
    ) throws(CredentialsError) -> AccessToken {
        if let token = AccessToken(answer) { return token }
        if answer.status == 200 {
            throw CredentialsError(
                description: "\(server): its answer holds no token (\(answer.reason)); is that address"
                    + " right?")
        }
        let clock = answer.clockFault(now: Int(Date().timeIntervalSince1970))
        let advice = answer.isTransient ? "it is asked again" : remedy
        throw CredentialsError(
            description: "\(server): status \(answer.status): \(answer.reason); \(advice)\(clock)",
            isTransient: answer.isTransient)
    }
}
