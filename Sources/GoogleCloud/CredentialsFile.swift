import Foundation

/// A file of credentials: a JSON object with a `type`.
struct CredentialsFile: @unchecked Sendable {
    // Only strings, numbers, lists and objects of JSON, which nobody changes.
    let json: [String: Any]
    /// Path and variable, for errors.
    let origin: String

    /// The only one that is known; others have other hosts for every service.
    static let universe = "googleapis.com"
    /// Types of one file inside another at most.
    private static let deepest = 4

    init(json: [String: Any], origin: String) {
        self.json = json
        self.origin = origin
    }

    init(path: String, origin: String) throws(CredentialsError) {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CredentialsError(
                description:
                    "\(origin): the file cannot be read; name a file of credentials that this user may read")
        }
        guard let json = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
            throw CredentialsError(
                description: "\(origin): not a JSON object; name a service account's key file, or what gcloud"
                    + " wrote")
        }
        self.init(json: json, origin: origin)
    }

    /// An error that names this file.
    func error(_ text: String) -> CredentialsError { CredentialsError(description: "\(origin): \(text)") }

    /// A text that must be there.
    func text(_ name: String) throws(CredentialsError) -> String {
        guard let text = json[name] as? String, !text.isEmpty else {
            let type = json["type"] as? String ?? ""
            let remedy =
                switch type {
                case "service_account": "download the key again"
                case "authorized_user": "run gcloud auth application-default login"
                default: "make it again with gcloud iam workload-identity-pools create-cred-config"
                }
            throw error("the credentials of type \(type) have no '\(name)'; \(remedy)")
        }
        return text
    }

    /// An address that secrets are sent to. `default` nil: it must be there.
    func address(_ name: String, default fallback: String?) throws(CredentialsError) -> String {
        if json[name] == nil, let fallback { return fallback }
        let address = try text(name)
        guard WebAddress.isSafe(address) else {
            throw error("'\(name)' is not an https address")
        }
        return address
    }

    /// The provider that the file describes.
    func provider(depth: Int = 0) throws(CredentialsError) -> any TokenProvider {
        if let universe = json["universe_domain"] as? String, universe != CredentialsFile.universe {
            throw error(
                "the credentials are of the universe '\(WebAnswer.harmless(universe))'; only"
                    + " \(CredentialsFile.universe) is supported")
        }
        switch json["type"] as? String {
        case "service_account": return try ServiceAccountKey(self)
        case "authorized_user": return try AuthorizedUser(self)
        case "external_account": return try ExternalAccount.provider(self)
        case "impersonated_service_account":
            guard let source = json["source_credentials"] as? [String: Any],
                depth < CredentialsFile.deepest
            else { throw error("the credentials have no usable 'source_credentials'") }
            let inner = CredentialsFile(json: source, origin: "\(origin), source_credentials")
            return try ImpersonatedAccount(self, source: inner.provider(depth: depth + 1))
        case let type:
            throw error(
                "credentials of type '\(WebAnswer.harmless(type ?? ""))' cannot be used; name those of a"
                    + " service account (service_account), of federation (external_account), of gcloud"
                    + " (authorized_user, impersonated_service_account), or run where a metadata server answers"
            )
        }
    }
}
