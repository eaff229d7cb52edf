/// A person's credentials, as `gcloud auth application-default login` leaves them: a refresh token that gives access
/// tokens (RFC 6749, section 6).
struct AuthorizedUser: TokenProvider {
    private let address: String
    private let client: String
    private let clientSecret: String
    private let refreshToken: String
    private let file: CredentialsFile

    let project: String? = nil
    var description: String { "the user of \(file.origin)" }

    init(_ file: CredentialsFile) throws(CredentialsError) {
        self.file = file
        client = try file.text("client_id")
        clientSecret = try file.text("client_secret")
        refreshToken = try file.text("refresh_token")
        address = try file.address("token_uri", default: ServiceAccountKey.tokenAddress)
    }

    func token(_ request: TokenRequest) throws(CredentialsError) -> AccessToken {
        let server = "token endpoint \(address)"
        let answer = try WebRequest.form(
            address,
            [
                ("grant_type", "refresh_token"), ("client_id", client), ("client_secret", clientSecret),
                ("refresh_token", refreshToken),
            ]
        ).send(to: server)
        return try AccessToken.take(
            answer, server: server,
            remedy: "\(file.origin) is no longer valid: run gcloud auth application-default login")
    }
}
