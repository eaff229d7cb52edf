/// The program's version.
public enum ProductVersion {
    /// Semantic version: `0.1.0`.
    public static let text = "0.1.0"
}
