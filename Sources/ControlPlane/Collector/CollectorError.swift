/// Why the collector could not be started.
public struct CollectorError: Error, CustomStringConvertible {
    /// What failed, where, and the remedy.
    public let description: String

    init(_ description: String) { self.description = description }
}
