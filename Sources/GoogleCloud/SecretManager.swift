import Foundation
import Synchronization

/// The name of a version of a secret: `secret://projects/P/secrets/S/versions/V`, or, for regional secrets,
/// `secret://projects/P/locations/L/secrets/S/versions/V`. V is a number, an alias, or `latest`.
public struct SecretReference: Sendable, Hashable, CustomStringConvertible {
    /// Without `secret://`.
    public let name: String
    /// The region of a regional secret.
    public let location: String?

    /// How every reference begins.
    public static let scheme = "secret://"

    /// Nil where the text is no such name.
    public init?(_ text: String) {
        guard text.hasPrefix(SecretReference.scheme) else { return nil }
        let name = String(text.dropFirst(SecretReference.scheme.count))
        let parts = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let isRegional = parts.count == 8
        let words =
            isRegional
            ? ["projects", "locations", "secrets", "versions"] : ["projects", "secrets", "versions"]
        guard parts.count == 2 * words.count else { return nil }
        for (index, word) in words.enumerated() {
            guard parts[2 * index] == word, SecretReference.isID(parts[2 * index + 1]) else { return nil }
        }
        self.name = name
        location = isRegional ? parts[3] : nil
    }

    /// Letters, digits, hyphens, underscores; domain-scoped projects hold a dot and a colon.
    private static func isID(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 255 && text != "." && text != ".."
            && text.utf8.allSatisfy {
                (0x30...0x3A).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                    || $0 == 0x2D || $0 == 0x2E || $0 == 0x5F
            }
    }

    /// As in the configuration.
    public var description: String { SecretReference.scheme + name }
}

/// Reads secrets from Google's Secret Manager (REST, v1) with the application default credentials, which are looked for
/// when the first is read. Blocks its caller; of several at the same time one is served after the other.
public final class SecretManager: Sendable {
    private struct State {
        var credentials: Credentials?
        var known: [SecretReference: String] = [:]
    }

    private let environment: [String: String]
    private let endpoint: String?
    private let patience: Double
    private let state = Mutex(State())

    /// How long a service that is only not ready is asked again, seconds: as Google's own clients do.
    public static let patience = 60.0
    /// The first wait between two tries, seconds; each further one is twice as long.
    static let firstPause = 2.0

    /// `environment`: where the credentials are found; SECRET_MANAGER_ENDPOINT is asked instead of Google's own address
    /// where it is set (`https://host`, or `http://` for this machine itself). `patience`: seconds.
    public init(environment: [String: String], patience: Double = SecretManager.patience) {
        self.environment = environment
        self.patience = patience
        endpoint = environment["SECRET_MANAGER_ENDPOINT"].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The secret's text. One that was read before is not asked for again.
    public func read(_ reference: SecretReference) throws(CredentialsError) -> String {
        try result(reference).get()
    }

    /// As ``read(_:)``.
    public func result(_ reference: SecretReference) -> Result<String, CredentialsError> {
        state.withLock { state in
            if let text = state.known[reference] { return .success(text) }
            do throws(CredentialsError) {
                let text = try read(reference, &state)
                state.known[reference] = text
                return .success(text)
            } catch {
                return .failure(error)
            }
        }
    }

    private func read(
        _ reference: SecretReference, _ state: inout State
    ) throws(CredentialsError) -> String {
        let end = ProcessInfo.processInfo.systemUptime + patience
        var pause = SecretManager.firstPause
        while true {
            do throws(CredentialsError) {
                return try access(reference, &state)
            } catch {
                guard error.isTransient, ProcessInfo.processInfo.systemUptime + pause < end else {
                    throw error
                }
                Thread.sleep(forTimeInterval: pause)
                pause *= 2
            }
        }
    }

    private func address(of reference: SecretReference) throws(CredentialsError) -> String {
        guard let endpoint else {
            let host = reference.location.map { "secretmanager.\($0).rep.googleapis.com" }
            return "https://\(host ?? "secretmanager.googleapis.com")"
        }
        guard WebAddress.isSafe(endpoint) else {
            throw CredentialsError(
                description: "SECRET_MANAGER_ENDPOINT is '\(WebAnswer.harmless(endpoint))', which is not an"
                    + " https address; correct or unset it")
        }
        return endpoint.hasSuffix("/") ? String(endpoint.dropLast()) : endpoint
    }

    private func access(
        _ reference: SecretReference, _ state: inout State
    ) throws(CredentialsError) -> String {
        let address = try address(of: reference)
        let credentials: Credentials
        if let found = state.credentials {
            credentials = found
        } else {
            credentials = try Credentials.resolve(environment: environment)
            state.credentials = credentials
        }
        var token = try credentials.current(patience: 0)
        for attempt in 0...Credentials.forcedRenewals {
            var headers = ["Authorization: Bearer \(token)", "Accept: application/json"]
            if let project = credentials.quotaProject { headers.append("x-goog-user-project: \(project)") }
            let answer = try WebRequest(url: "\(address)/v1/\(reference.name):access", headers: headers)
                .send(to: "Secret Manager at \(address)")
            // A token may be withdrawn before its time; one of another kind may do.
            if answer.status == 401, attempt < Credentials.forcedRenewals,
                let next = try credentials.replacement(for: token)
            {
                token = next
                continue
            }
            return try text(of: answer, reference, who: credentials.description)
        }
        throw CredentialsError(description: "\(reference): all tokens were refused")
    }

    private func text(
        of answer: WebAnswer, _ reference: SecretReference, who: String
    ) throws(CredentialsError) -> String {
        guard answer.status == 200 else {
            let clock = answer.status == 401 ? answer.clockFault(now: Int(Date().timeIntervalSince1970)) : ""
            throw CredentialsError(
                description: "\(reference): Secret Manager: status \(answer.status): \(answer.reason);"
                    + " \(remedy(answer, who: who))\(clock)", isTransient: answer.isTransient)
        }
        guard let payload = answer.object?["payload"] as? [String: Any],
            let data = Data(base64Encoded: payload["data"] as? String ?? "")
        else {
            throw CredentialsError(
                description: "\(reference): the answer is not one of Secret Manager's; look at the proxy and"
                    + " at SECRET_MANAGER_ENDPOINT")
        }
        guard let sum = payload["dataCrc32c"] as? String, Int64(sum) == Int64(CRC32C.checksum(data)) else {
            throw CredentialsError(
                description: "\(reference): the checksum (CRC32C) of the answer is missing or does not fit:"
                    + " it was changed on its way; look at the proxy")
        }
        guard let text = String(data: data, encoding: .utf8), !text.isEmpty else {
            throw CredentialsError(description: "\(reference): the secret is empty or no UTF-8 text")
        }
        return text
    }

    private func remedy(_ answer: WebAnswer, who: String) -> String {
        if answer.isTransient { return "try again later" }
        switch answer.status {
        case 400:
            return "the version is disabled or destroyed, or the name is wrong: enable it or name another"
        case 401: return "the credentials (\(who)) were refused: are they revoked or expired?"
        case 403:
            return "grant roles/secretmanager.secretAccessor on the secret to \(who), and check its name"
        case 404: return "there is no such secret or version: check the name"
        default: return "look at SECRET_MANAGER_ENDPOINT"
        }
    }
}
