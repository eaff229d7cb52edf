/// Tells names that suggest a secret, so that values under them are never shown.
public enum SecretNames {
    private static let words = [
        "secret", "token", "password", "passwd", "credential", "authorization", "apikey",
    ]

    /// Whether a name of a variable, key or metadata entry suggests that its value is a secret. `API_KEY`, `dbPassword`
    /// and `api.token` do; `key` alone and `orderingKey` do not.
    public static func suggestsSecret(_ name: String) -> Bool {
        let folded = name.lowercased().filter { $0 != "_" && $0 != "-" && $0 != " " }
        if words.contains(where: { folded.contains($0) }) { return true }
        return folded.hasSuffix("privatekey") || folded.hasSuffix("accesskey")
            || folded.hasSuffix("signingkey")
    }
}
