import CTLS
import Foundation

/// The key of a service account, which signs its own tokens: no call to Google is needed, so a token can always be
/// had (https://google.aip.dev/auth/4111).
///
/// A token of its own that a service refused is followed by one from the token endpoint (RFC 7523), which also says why:
/// a deleted key, a wrong clock.
final class ServiceAccountKey: TokenProvider, @unchecked Sendable {
    // OpenSSL only reads the key while signing, so threads may share it.
    private let key: OpaquePointer
    private let keyID: String
    /// The account's name, an e-mail address.
    let account: String
    /// The project that the account belongs to.
    let project: String?

    private let address: String

    /// The token endpoint, and the audience of what is sent there, wherever that is (as google-auth has it).
    static let tokenAddress = "https://oauth2.googleapis.com/token"
    /// How long a token is good for, in seconds: the longest that Google accepts.
    static let lifetime = 3600

    init(_ file: CredentialsFile) throws(CredentialsError) {
        account = try file.text("client_email")
        keyID = try file.text("private_key_id")
        address = try file.address("token_uri", default: ServiceAccountKey.tokenAddress)
        project = file.json["project_id"] as? String
        let pem = Array(try file.text("private_key").utf8)
        var message = [CChar](repeating: 0, count: 256)
        guard let key = ct_signing_key_new(pem, pem.count, &message, message.count) else {
            let reason = String(
                decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw file.error("private_key: \(reason); download the key again")
        }
        self.key = key
    }

    deinit { ct_signing_key_free(key) }

    var description: String { "service account \(account)" }

    func token(_ request: TokenRequest) throws(CredentialsError) -> AccessToken {
        let now = Int(Date().timeIntervalSince1970)
        guard request.isAfterRefusal else {
            let claims: [String: Any] = ["iss": account, "sub": account, "scope": request.scope]
            return AccessToken(
                text: try sign(claims, now: now), lifetime: ServiceAccountKey.lifetime)
        }
        let assertion = try sign(
            ["iss": account, "scope": request.scope, "aud": ServiceAccountKey.tokenAddress], now: now)
        let server = "token endpoint \(address)"
        let answer = try WebRequest.form(
            address,
            [("assertion", assertion), ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")]
        ).send(to: server)
        return try AccessToken.take(
            answer, server: server,
            remedy: "is key \(keyID) of \(account) deleted or disabled? make a new one")
    }

    /// A signed JSON Web Token. `now`: seconds since the epoch.
    func sign(_ claims: [String: Any], now: Int) throws(CredentialsError) -> String {
        let header: [String: Any] = ["alg": "RS256", "typ": "JWT", "kid": keyID]
        var claims = claims
        claims["iat"] = now
        claims["exp"] = now + ServiceAccountKey.lifetime
        guard let head = try? JSONSerialization.data(withJSONObject: header, options: [.sortedKeys]),
            let body = try? JSONSerialization.data(withJSONObject: claims, options: [.sortedKeys])
        else { throw CredentialsError(description: "the token of \(account) could not be written") }
        let signed = Array((base64URL(head) + "." + base64URL(body)).utf8)
        var signature = [UInt8](repeating: 0, count: ct_signing_key_size(key))
        let count = ct_sign_sha256(key, signed, signed.count, &signature, signature.count)
        guard count > 0 else {
            throw CredentialsError(description: "the token of \(account) could not be signed")
        }
        return String(decoding: signed, as: UTF8.self) + "." + base64URL(Data(signature[..<Int(count)]))
    }

    private func base64URL(_ data: Data) -> String {
        data.base64EncodedString().replacingOccurrences(of: "+", with: "-")
            .replacingOccurrences(of: "/", with: "_").replacingOccurrences(of: "=", with: "")
    }
}
