import Synchronization

/// The values that are known to be secrets, so that no log line, error or summary shows one, however it got there.
public final class SecretValues: Sendable {
    /// Those of the process.
    public static let shared = SecretValues()

    /// Shorter ones are not looked for: they would stand in many innocent words.
    public static let leastBytes = 6

    // The longest first: one may hold another.
    private let values = Mutex<[String]>([])

    /// None yet.
    public init() {}

    /// From now on the value is never shown.
    public func insert(_ value: String) {
        guard value.utf8.count >= SecretValues.leastBytes else { return }
        values.withLock { values in
            guard !values.contains(value) else { return }
            values.append(value)
            values.sort { $0.utf8.count > $1.utf8.count }
        }
    }

    /// The text with `[redacted]` wherever a value stood.
    public func redact(_ text: String) -> String {
        let values = values.withLock { $0 }
        return values.reduce(text) { text, value in
            text.contains(value) ? text.replacing(value, with: "[redacted]") : text
        }
    }
}
