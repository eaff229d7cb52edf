/// Why there are no credentials.
public struct CredentialsError: Error, CustomStringConvertible, Equatable {
    /// What failed, where, and the remedy; never anything secret.
    public let description: String
}
