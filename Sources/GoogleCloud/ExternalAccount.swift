import Foundation

/// Workload identity federation: another identity provider's token for this workload is exchanged for one of Google's
/// (RFC 8693; https://google.aip.dev/auth/4117), where wanted for one of a service account.
struct ExternalAccount: TokenProvider {
    private let subject: SubjectToken
    private let audience: String
    private let subjectType: String
    private let address: String
    private let client: (id: String, secret: String)?
    private let userProject: String?

    let project: String? = nil
    var description: String { "external account \(audience)" }

    /// The provider of a file of type external_account.
    static func provider(_ file: CredentialsFile) throws(CredentialsError) -> any TokenProvider {
        let account = try ExternalAccount(file)
        guard file.json["service_account_impersonation_url"] != nil else { return account }
        let options = file.json["service_account_impersonation"] as? [String: Any]
        let lifetime =
            options?["token_lifetime_seconds"] as? Int ?? ImpersonatedAccount.defaultLifetime
        guard (600...43_200).contains(lifetime) else {
            throw file.error("'token_lifetime_seconds' is \(lifetime); write 600 to 43200")
        }
        return ImpersonatedAccount(
            source: account, address: try file.address("service_account_impersonation_url", default: nil),
            delegates: [], lifetime: lifetime)
    }

    private init(_ file: CredentialsFile) throws(CredentialsError) {
        audience = try file.text("audience")
        subjectType = try file.text("subject_token_type")
        address = try file.address("token_url", default: "https://sts.googleapis.com/v1/token")
        subject = try SubjectToken(file)
        userProject = file.json["workforce_pool_user_project"] as? String
        if let id = file.json["client_id"] as? String, let secret = file.json["client_secret"] as? String {
            client = (id, secret)
        } else {
            client = nil
        }
    }

    func token(_ request: TokenRequest) throws(CredentialsError) -> AccessToken {
        let server = "security token service \(address)"
        var fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), ("audience", audience),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", subjectType), ("subject_token", try subject.read()),
            ("scope", request.scope),
        ]
        if let userProject, client == nil,
            let options = try? JSONSerialization.data(withJSONObject: ["userProject": userProject])
        {
            fields.append(("options", String(decoding: options, as: UTF8.self)))
        }
        var exchange = WebRequest.form(address, fields)
        if let client {
            let pair = Data("\(client.id):\(client.secret)".utf8).base64EncodedString()
            exchange.headers.append("Authorization: Basic \(pair)")
        }
        return try AccessToken.take(
            try exchange.send(to: server), server: server,
            remedy: "check the audience, and the provider's issuer, audiences and attribute condition in the"
                + " workload identity pool; \(subject.origin) must hold a token that is valid now")
    }
}

/// Where the other identity provider's token comes from: read anew for each exchange, because its writer renews it.
struct SubjectToken: Sendable {
    private enum Place: Sendable {
        case file(String)
        case address(String, headers: [String])
    }

    private let place: Place
    /// The field of a JSON object that holds it; nil: the text is the token.
    private let field: String?

    /// For errors.
    var origin: String {
        switch place {
        case .file(let path): path
        case .address(let url, _): url
        }
    }

    init(_ file: CredentialsFile) throws(CredentialsError) {
        guard let source = file.json["credential_source"] as? [String: Any] else {
            throw file.error("has no 'credential_source'; write its file or url")
        }
        let remedy = "use a source of kind file or url: let a helper write the token to a file"
        if source["executable"] != nil {
            throw file.error(
                "'credential_source.executable' is not supported: no programs are run; \(remedy)")
        }
        if source["environment_id"] != nil {
            throw file.error("'credential_source' of AWS is not supported; \(remedy)")
        }
        if source["certificate"] != nil {
            throw file.error("'credential_source.certificate' is not supported; \(remedy)")
        }
        if let path = source["file"] as? String, !path.isEmpty {
            place = .file(path)
        } else if let url = source["url"] as? String, url.hasPrefix("http://") || url.hasPrefix("https://") {
            let headers = source["headers"] as? [String: String] ?? [:]
            let lines = headers.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
            guard !lines.contains(where: { $0.contains(where: \.isNewline) }) else {
                throw file.error("'credential_source.headers' holds a line break")
            }
            place = .address(url, headers: lines)
        } else {
            throw file.error("'credential_source' has neither a file nor an http(s) url; \(remedy)")
        }
        let format = source["format"] as? [String: Any]
        switch format?["type"] as? String ?? "text" {
        case "text": field = nil
        case "json":
            guard let name = format?["subject_token_field_name"] as? String, !name.isEmpty else {
                throw file.error("'credential_source.format' is json without 'subject_token_field_name'")
            }
            field = name
        case let other: throw file.error("'credential_source.format' is '\(other)'; write text or json")
        }
    }

    /// The token as it is now.
    func read() throws(CredentialsError) -> String {
        let data: Data
        switch place {
        case .file(let path):
            guard let content = FileManager.default.contents(atPath: path) else {
                throw CredentialsError(
                    description: "subject token \(path): the file cannot be read; is it mounted, and may this"
                        + " user read it?", isTransient: true)
            }
            data = content
        case .address(let url, let headers):
            let answer = try WebRequest(url: url, headers: headers).send(to: "subject token \(url)")
            guard answer.status == 200 else {
                throw CredentialsError(
                    description: "subject token \(url): status \(answer.status): \(answer.reason); does the"
                        + " identity provider's endpoint want other headers?", isTransient: answer.isTransient
                )
            }
            data = answer.body
        }
        var text: String?
        if let field {
            text = (try? JSONSerialization.jsonObject(with: data) as? [String: Any])?[field] as? String
        } else {
            text = String(data: data, encoding: .utf8)
        }
        let token = text?.trimmingCharacters(in: .whitespacesAndNewlines) ?? ""
        guard !token.isEmpty else {
            let what = field.map { "JSON with the field '\($0)'" } ?? "a token"
            throw CredentialsError(description: "subject token \(origin): it does not hold \(what)")
        }
        return token
    }
}
