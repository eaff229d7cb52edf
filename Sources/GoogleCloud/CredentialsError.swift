/// Why there are no credentials, or why a service of Google's refused a request.
public struct CredentialsError: Error, CustomStringConvertible, Equatable {
    /// What failed, where, and the remedy; never anything secret.
    public let description: String
    /// Whether the same request may do later: the server, or the way to it, was at fault.
    public let isTransient: Bool

    /// An error of that text.
    public init(description: String, isTransient: Bool = false) {
        self.description = description
        self.isTransient = isTransient
    }
}
