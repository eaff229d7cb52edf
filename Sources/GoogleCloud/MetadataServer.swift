import Foundation

/// The metadata server of a virtual machine or of GKE, which gives tokens for the account that runs there.
struct MetadataServer: TokenProvider {
    /// `host` or `host:port`.
    let host: String

    /// Google's name for it; only answers inside Google Cloud.
    static let defaultHost = "metadata.google.internal"
    /// The server is on the same machine.
    private static let timeoutMilliseconds: Int64 = 3000

    var description: String { "metadata server \(host)" }
    /// It must be asked for: see ``askedProject()``.
    let project: String? = nil

    init(host: String) { self.host = host }

    func token(_ request: TokenRequest) throws(CredentialsError) -> AccessToken {
        // Without a scope it gives what the machine was made with, as Google's libraries want it.
        let answer = try get("instance/service-accounts/default/token")
        guard let token = AccessToken(answer) else {
            throw CredentialsError(
                description: "metadata server \(host): its answer holds no token; give the machine or pod a"
                    + " service account", isTransient: true)
        }
        return token
    }

    /// The project that the machine belongs to.
    func askedProject() throws(CredentialsError) -> String {
        let answer = try get("project/project-id")
        guard let project = String(bytes: answer.body, encoding: .utf8), !project.isEmpty else {
            throw CredentialsError(description: "metadata server \(host): its answer holds no project id")
        }
        return project
    }

    private func get(_ path: String) throws(CredentialsError) -> WebAnswer {
        let remedy = "outside Google Cloud set GOOGLE_APPLICATION_CREDENTIALS to a file of credentials"
        let answer = try WebRequest(
            url: "http://\(host)/computeMetadata/v1/\(path)", headers: ["Metadata-Flavor: Google"],
            timeoutMilliseconds: MetadataServer.timeoutMilliseconds, usesProxy: false
        ).send(to: description, remedy: remedy)
        guard answer.status == 200 else {
            throw CredentialsError(
                description: "metadata server \(host): status \(answer.status) for \(path); give the machine"
                    + " or pod a service account", isTransient: answer.isTransient)
        }
        // Anything may answer under that name in a foreign network.
        let lines = answer.headers.lowercased().split(whereSeparator: \.isNewline)
        guard lines.contains("metadata-flavor: google") else {
            throw CredentialsError(
                description: "metadata server \(host): the answer is not from a metadata server; \(remedy)")
        }
        return answer
    }
}
