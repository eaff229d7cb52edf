import ExchangeAdapter
import GoogleCloud

/// One thing that is wrong with a configuration, or that its author should know.
public struct ConfigurationProblem: Error, Sendable, Equatable, CustomStringConvertible {
    /// Whether the configuration can be used nonetheless.
    public enum Severity: String, Sendable {
        /// It cannot.
        case error
        /// It can.
        case warning
    }

    /// How grave it is.
    public var severity: Severity
    /// The file as it was named.
    public var file: String
    /// From 1; 0 where the file as a whole is meant.
    public var line: Int
    /// From 1, in Unicode scalars; 0 where the file as a whole is meant.
    public var column: Int
    /// `exchanges[0].subscriptions[1].interval`; empty at the top.
    public var keyPath: String
    /// What is wrong and what to write instead.
    public var message: String

    /// `file:line:column: error: key.path: message`.
    public var description: String {
        let place = line > 0 ? "\(file):\(line):\(column)" : file
        return "\(place): \(severity.rawValue): \(keyPath.isEmpty ? "" : keyPath + ": ")\(message)"
    }
}

/// All that is wrong with a configuration, in the order of the file.
public struct ConfigurationErrors: Error, CustomStringConvertible {
    /// Errors and warnings, at least one error.
    public var problems: [ConfigurationProblem]
    /// Whether there was nothing to check, because the file could not be read.
    public var isUnreadableFile = false

    /// Problems of a configuration.
    public init(problems: [ConfigurationProblem], isUnreadableFile: Bool = false) {
        self.problems = problems
        self.isUnreadableFile = isUnreadableFile
    }

    /// One line each.
    public var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// A value that is taken from Secret Manager.
public struct SecretUse: Sendable, Equatable {
    /// Where it stands: `api.token`.
    public var keyPath: String
    /// Which secret.
    public var reference: SecretReference
    /// Whether it was read.
    public var isRead: Bool
}

/// What a configuration is checked against.
public struct ConfigurationContext: Sendable {
    /// The environment that `${VAR}` refers to.
    public var environment: [String: String]
    /// The adapters that `exchanges[].adapter` may name.
    public var adapters: [any ExchangeAdapter.Type]
    /// The CPUs that `collector.pin` may name.
    public var allowedCPUs: [Int]
    /// Why a file cannot be read, or nil where it can.
    public var unreadable: @Sendable (String) -> String?
    /// What is done with `secret://` references.
    public var secrets: SecretAccess

    /// What is done with `secret://` references.
    public enum SecretAccess: Sendable {
        /// They are errors.
        case refused
        /// They are told, and their values are neither read nor checked.
        case named
        /// They are read. The closure may take its time.
        case read(@Sendable (SecretReference) -> Result<String, CredentialsError>)
    }

    /// A context.
    public init(
        environment: [String: String], adapters: [any ExchangeAdapter.Type], allowedCPUs: [Int],
        secrets: SecretAccess = .refused, unreadable: @escaping @Sendable (String) -> String?
    ) {
        self.environment = environment
        self.adapters = adapters
        self.allowedCPUs = allowedCPUs
        self.unreadable = unreadable
        self.secrets = secrets
    }
}
