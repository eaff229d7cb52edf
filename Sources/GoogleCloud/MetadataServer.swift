import CCurl
import Foundation

/// The metadata server of a virtual machine or of GKE, which gives tokens for the account that runs there.
struct MetadataServer: Sendable {
    /// `host` or `host:port`.
    let host: String

    /// Google's name for it; only answers inside Google Cloud.
    static let defaultHost = "metadata.google.internal"
    /// The server is on the same machine.
    private static let timeoutMilliseconds: Int64 = 3000

    /// A token and how many seconds it is good for.
    func token() throws(CredentialsError) -> (token: String, lifetime: Int) {
        let body = try get("instance/service-accounts/default/token")
        guard let json = try? JSONSerialization.jsonObject(with: body) as? [String: Any],
            let token = json["access_token"] as? String, !token.isEmpty,
            token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), let lifetime = json["expires_in"] as? Int
        else {
            throw CredentialsError(description: "metadata server \(host): its answer holds no token")
        }
        return (token, lifetime)
    }

    /// The project that the machine belongs to.
    func project() throws(CredentialsError) -> String {
        let body = try get("project/project-id")
        guard let project = String(bytes: body, encoding: .utf8), !project.isEmpty else {
            throw CredentialsError(description: "metadata server \(host): its answer holds no project id")
        }
        return project
    }

    private func get(_ path: String) throws(CredentialsError) -> Data {
        var response = cc_response()
        defer { cc_response_free(&response) }
        let url = "http://\(host)/computeMetadata/v1/\(path)"
        let code = "Metadata-Flavor: Google".withCString { header in
            cc_fetch("GET", url, [header], 1, nil, 0, MetadataServer.timeoutMilliseconds, 0, nil, &response)
        }
        guard code == 0 else {
            let reason = withUnsafeBytes(of: response.error) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw CredentialsError(
                description: "metadata server \(host): \(reason); outside Google Cloud set"
                    + " GOOGLE_APPLICATION_CREDENTIALS to a service account's key file")
        }
        guard response.status == 200 else {
            throw CredentialsError(
                description:
                    "metadata server \(host): status \(response.status) for \(path); give the machine or pod"
                    + " a service account")
        }
        // Anything may answer under that name in a foreign network.
        let lines = response.headers.map { String(cString: $0).lowercased() } ?? ""
        guard lines.split(whereSeparator: \.isNewline).contains("metadata-flavor: google") else {
            throw CredentialsError(
                description: "metadata server \(host): the answer is not from a metadata server; set"
                    + " GOOGLE_APPLICATION_CREDENTIALS to a service account's key file")
        }
        return response.body.map { Data(bytes: $0, count: response.body_size) } ?? Data()
    }
}
