import CTLS
import Foundation

/// The key of a service account, which signs its own tokens: no call to Google is needed, so a token can always be
/// had (https://google.aip.dev/auth/4111).
final class ServiceAccountKey: @unchecked Sendable {
    // OpenSSL only reads the key while signing, so threads may share it.
    private let key: OpaquePointer
    private let keyID: String
    /// The account's name, an e-mail address.
    let account: String
    /// The project that the account belongs to.
    let project: String?

    /// What tokens may be used for.
    static let scope = "https://www.googleapis.com/auth/cloud-platform"
    /// How long a token is good for, in seconds: the longest that Google accepts.
    static let lifetime = 3600

    /// Of a key file's JSON object; `path` names it in errors.
    init(_ json: [String: Any], path: String) throws(CredentialsError) {
        func text(_ name: String) throws(CredentialsError) -> String {
            guard let text = json[name] as? String, !text.isEmpty else {
                throw CredentialsError(
                    description: "\(path): the service account key has no '\(name)'; download the key again")
            }
            return text
        }
        account = try text("client_email")
        keyID = try text("private_key_id")
        project = json["project_id"] as? String
        let pem = Array(try text("private_key").utf8)
        var message = [CChar](repeating: 0, count: 256)
        guard let key = ct_signing_key_new(pem, pem.count, &message, message.count) else {
            let reason = String(
                decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw CredentialsError(description: "\(path): private_key: \(reason); download the key again")
        }
        self.key = key
    }

    deinit { ct_signing_key_free(key) }

    /// A signed token. `now`: seconds since the epoch.
    func token(now: Int) throws(CredentialsError) -> String {
        let header: [String: Any] = ["alg": "RS256", "typ": "JWT", "kid": keyID]
        let claims: [String: Any] = [
            "iss": account, "sub": account, "scope": ServiceAccountKey.scope, "iat": now,
            "exp": now + ServiceAccountKey.lifetime,
        ]
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
