import CKernel
import ExchangeAdapter
import Foundation
import GoogleCloud
import Yams

extension Configuration {
    /// A configuration that can be used, with what its author should know.
    public struct Loaded: Sendable {
        /// The configuration.
        public var configuration: Configuration
        /// Warnings, in the order of the file.
        public var warnings: [ConfigurationProblem]
        /// The values that stand in Secret Manager, in the order of the reading.
        public var secrets: [SecretUse] = []
    }

    /// Reads and checks a file. All errors are found in one go. A file that cannot be read gives one problem without
    /// a line.
    public static func load(file: String, context: ConfigurationContext) throws(ConfigurationErrors) -> Loaded
    {
        let data: [UInt8]
        switch FileReading.read(file) {
        case .success(let bytes): data = bytes
        case .failure(let failure):
            throw ConfigurationErrors(
                problems: [problem(file, 0, 0, "cannot be read: \(failure.reason); name a YAML file")],
                isUnreadableFile: true)
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw ConfigurationErrors(problems: [problem(file, 0, 0, "is not UTF-8; save it as UTF-8")])
        }
        return try parse(yaml: text, file: file, context: context)
    }

    /// Checks a text. `file` is its name in problems.
    public static func parse(
        yaml: String, file: String, context: ConfigurationContext
    ) throws(ConfigurationErrors) -> Loaded {
        let (root, hiddenKeys) = try compose(yaml, file: file)
        guard let root else {
            throw ConfigurationErrors(
                problems: [problem(file, 1, 1, "is empty; see config/ for annotated examples")])
        }
        let reader = ConfigurationReader(file: file, context: context, hiddenKeys: hiddenKeys)
        var decoder = ConfigurationDecoder(reader: reader)
        decoder.decode(root)
        let problems = reader.sortedProblems()
        if problems.contains(where: { $0.severity == .error }) {
            throw ConfigurationErrors(problems: problems)
        }
        return Loaded(configuration: decoder.configuration, warnings: problems, secrets: reader.secrets)
    }

    /// The parser stops at a repeated key. So that the other errors are still found, the first of the two is renamed
    /// in the text, with a private-use character that keeps all columns, and the reader is told.
    private static func compose(_ yaml: String, file: String) throws(ConfigurationErrors) -> (
        Node?, [String: String]
    ) {
        var text = yaml
        var hidden: [String: String] = [:]
        for attempt: UInt32 in 0..<64 {
            do {
                return (try Yams.compose(yaml: text), hidden)
            } catch let YamlError.duplicatedKeysInMapping(duplicates, context) {
                guard let mask = Unicode.Scalar(0xE000 + attempt),
                    let (masked, key) = hide(text, at: context.mark, with: mask, keys: duplicates)
                else {
                    throw ConfigurationErrors(
                        problems: [
                            problem(
                                file, context.mark.line, context.mark.column,
                                "duplicate key \(duplicates.sorted().joined(separator: ", ")); keep one of them"
                            )
                        ])
                }
                text = masked
                hidden[key.hidden] = key.real
            } catch {
                throw ConfigurationErrors(problems: [syntaxProblem(error, file: file)])
            }
        }
        throw ConfigurationErrors(problems: [
            problem(file, 1, 1, "has more than 64 duplicate keys; keep one of each")
        ])
    }

    private static func hide(
        _ text: String, at mark: Mark, with mask: Unicode.Scalar, keys: [String]
    ) -> (String, (hidden: String, real: String))? {
        var scalars = Array(text.unicodeScalars)
        var index = 0
        var line = 1
        while line < mark.line, index < scalars.count {
            if scalars[index] == "\n" { line += 1 }
            index += 1
        }
        index += mark.column - 1
        if index < scalars.count, scalars[index] == "\"" || scalars[index] == "'" { index += 1 }
        guard index < scalars.count,
            let key = keys.first(where: { scalars[index...].starts(with: $0.unicodeScalars) }), !key.isEmpty
        else { return nil }
        scalars[index] = mask
        var masked = String.UnicodeScalarView()
        masked.append(contentsOf: scalars)
        let hidden =
            String(Character(mask)) + String(String.UnicodeScalarView(key.unicodeScalars.dropFirst()))
        return (String(masked), (hidden, key))
    }

    private static func syntaxProblem(_ error: any Error, file: String) -> ConfigurationProblem {
        let remedy =
            "; correct the YAML (indent with spaces, not tabs; quote values that hold : or # or begin with * & @ { [)"
        switch error {
        case YamlError.scanner(let context, let text, let mark, _),
            YamlError.parser(let context, let text, let mark, _),
            YamlError.composer(let context, let text, let mark, _):
            let place = context.map { " (\($0.text) in line \($0.mark.line))" } ?? ""
            return problem(file, mark.line, mark.column, text + place + remedy)
        case YamlError.reader(let text, let offset, _, let yaml):
            let before = yaml.prefix(offset ?? 0)
            let line = before.filter { $0.isNewline }.count + 1
            let column =
                (before.split(separator: "\n", omittingEmptySubsequences: false).last?.count ?? 0) + 1
            return problem(file, line, column, text + remedy)
        default:
            return problem(file, 1, 1, "\(error)")
        }
    }

    private static func problem(_ file: String, _ line: Int, _ column: Int, _ message: String)
        -> ConfigurationProblem
    {
        ConfigurationProblem(
            severity: .error, file: file, line: line, column: column, keyPath: "", message: message)
    }
}

extension ConfigurationContext {
    /// This process's environment, CPUs and files. `readsSecrets`: `secret://` references are read from Secret Manager,
    /// each once, with the credentials of the environment; otherwise they are only named.
    public static func process(
        adapters: [any ExchangeAdapter.Type], readsSecrets: Bool = false
    ) -> ConfigurationContext {
        let environment = ProcessInfo.processInfo.environment
        let manager = SecretManager(environment: environment)
        return ConfigurationContext(
            environment: environment, adapters: adapters, allowedCPUs: CPUSet.allowed(),
            secrets: readsSecrets ? .read { manager.result($0) } : .named,
            unreadable: FileReading.unreadable)
    }
}

/// Reads files, and tells why some cannot be read.
enum FileReading {
    struct Failure: Error {
        let reason: String
    }

    /// A configuration has some KiB; more is another file.
    private static let longestFile = 16 << 20

    /// All bytes. Pipes work too: `--config <(…)`.
    static func read(_ path: String) -> Result<[UInt8], Failure> {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return .failure(Failure(reason: text(errno))) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Foundation.read(descriptor, &buffer, buffer.count)
            if count == 0 { return .success(bytes) }
            guard count > 0 else {
                if errno == EINTR { continue }
                return .failure(Failure(reason: text(errno)))
            }
            bytes += buffer[..<count]
            guard bytes.count <= longestFile else {
                return .failure(Failure(reason: "it has more than 16 MiB"))
            }
        }
    }

    /// The system's reason why a file cannot be read, nil where it can.
    static func unreadable(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return text(errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return text(errno) }
        return status.st_mode & S_IFMT == S_IFDIR ? text(EISDIR) : nil
    }

    static func text(_ code: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 128)
        ck_error_text(code, &buffer, buffer.count)
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            .lowercased()
    }
}
