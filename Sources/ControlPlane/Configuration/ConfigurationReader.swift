import GoogleCloud
import Telemetry
import Yams

/// Collects problems while a document is decoded: nothing here throws, so that every error is found in one go.
final class ConfigurationReader {
    let file: String
    let context: ConfigurationContext
    /// Spelling under which a repeated key was hidden from the YAML parser → its real spelling.
    let hiddenKeys: [String: String]
    private(set) var problems: [ConfigurationProblem] = []
    /// The references to secrets that were met, in the order of the reading.
    private(set) var secrets: [SecretUse] = []

    init(file: String, context: ConfigurationContext, hiddenKeys: [String: String]) {
        self.file = file
        self.context = context
        self.hiddenKeys = hiddenKeys
    }

    func report(
        _ severity: ConfigurationProblem.Severity = .error, at mark: Mark?, _ keyPath: String,
        _ message: String
    ) {
        problems.append(
            ConfigurationProblem(
                severity: severity, file: file, line: mark?.line ?? 0, column: mark?.column ?? 0,
                keyPath: keyPath,
                message: message))
    }

    /// Whether something is wrong so far.
    var hasErrors: Bool { problems.contains { $0.severity == .error } }

    /// The problems in the order of the file.
    func sortedProblems() -> [ConfigurationProblem] {
        problems.enumerated().sorted {
            ($0.element.line, $0.element.column, $0.offset) < ($1.element.line, $1.element.column, $1.offset)
        }.map(\.element)
    }

    /// A mapping with known keys; nil, and a problem, where the node is something else. `known`: its keys, where they
    /// are not those of the path in a configuration.
    func section(
        _ node: Node, path: String, kind: String = "a mapping (key: value)", known: [String]? = nil
    ) -> ConfigurationSection? {
        guard case .mapping(let mapping) = node else {
            if case .scalar(let scalar) = node, scalar.string.isEmpty {
                report(at: node.mark, path, "has no value; write its keys, or leave it out for the defaults")
            } else {
                report(at: node.mark, path, "is not \(kind)\(describe(node))")
            }
            return nil
        }
        let known = known ?? ConfigurationKeys.all[ConfigurationKeys.pattern(of: path)] ?? []
        var entries: [String: ConfigurationSection.Entry] = [:]
        var lines: [String: Int] = [:]
        for (keyNode, value) in mapping {
            guard case .scalar(let scalar) = keyNode else {
                report(
                    at: keyNode.mark, path,
                    "has a key that is not a word; known here: \(known.joined(separator: ", "))")
                continue
            }
            let key = hiddenKeys[scalar.string] ?? scalar.string
            let keyPath = path.isEmpty ? key : "\(path).\(key)"
            if let line = lines[key] {
                report(at: keyNode.mark, keyPath, "duplicate key, first in line \(line); keep one of them")
                continue
            }
            lines[key] = keyNode.mark?.line ?? 0
            guard known.contains(key) else {
                if let nearest = ConfigurationKeys.nearest(to: key, among: known) {
                    report(at: keyNode.mark, keyPath, "unknown key; did you mean \"\(nearest)\"?")
                } else {
                    report(
                        at: keyNode.mark, keyPath, "unknown key; known here: \(known.joined(separator: ", "))"
                    )
                }
                continue
            }
            entries[key] = ConfigurationSection.Entry(mark: keyNode.mark, value: value)
        }
        return ConfigurationSection(reader: self, path: path, mark: node.mark, entries: entries)
    }

    /// The elements of a list, or a problem.
    func list(_ node: Node, path: String, remedy: String) -> [Node]? {
        guard case .sequence(let sequence) = node else {
            report(at: node.mark, path, "is not a list\(describe(node)); \(remedy)")
            return nil
        }
        return Array(sequence)
    }

    /// A single value with variables substituted, or a problem. `isNullAWord`: `null` is a value here.
    func scalar(_ node: Node, path: String, isNullAWord: Bool = false) -> ConfigurationScalar? {
        guard case .scalar(let scalar) = node else {
            report(at: node.mark, path, "is not a single value\(describe(node)); write one value")
            return nil
        }
        let raw = scalar.string
        if scalar.style == .plain, raw.isEmpty || raw == "~" || (raw == "null" && !isNullAWord) {
            report(at: node.mark, path, "has no value; write one, or leave the key out for its default")
            return nil
        }
        var isSecret = SecretNames.suggestsSecret(path)
        guard var text = substitute(raw, mark: node.mark, path: path, isSecret: &isSecret) else { return nil }
        if text.hasPrefix(SecretReference.scheme) {
            guard let secret = secret(text, mark: node.mark, path: path) else { return nil }
            text = secret
            isSecret = true
            SecretValues.shared.insert(text)
        }
        return ConfigurationScalar(
            text: text, mark: node.mark, path: path, isSecret: isSecret,
            shown: isSecret ? (raw == text ? "the value" : raw) : "\"\(text)\"")
    }

    /// The text of a secret; nil, without a problem, where it is only named and not read: what such a value holds is not
    /// checked then.
    private func secret(_ text: String, mark: Mark?, path: String) -> String? {
        guard let reference = SecretReference(text) else {
            report(
                at: mark, path,
                "this is no name of a secret's version; write secret://projects/P/secrets/S/versions/V, or .../locations/L/secrets/..., with a number or latest for V"
            )
            return nil
        }
        switch context.secrets {
        case .refused:
            report(at: mark, path, "secret:// references belong into the configuration file")
            return nil
        case .named:
            secrets.append(SecretUse(keyPath: path, reference: reference, isRead: false))
            return nil
        case .read(let read):
            switch read(reference) {
            case .success(let text):
                secrets.append(SecretUse(keyPath: path, reference: reference, isRead: true))
                return text
            case .failure(let error):
                report(at: mark, path, error.description)
                return nil
            }
        }
    }

    private func substitute(_ raw: String, mark: Mark?, path: String, isSecret: inout Bool) -> String? {
        var result = ""
        var rest = raw[...]
        while let dollar = rest.firstIndex(of: "$") {
            let after = rest[rest.index(after: dollar)...]
            if after.hasPrefix("${") {  // $${ is ${ itself.
                result += rest[..<dollar] + "${"
                rest = after.dropFirst(2)
                continue
            }
            guard after.hasPrefix("{") else {
                result += rest[...dollar]
                rest = after
                continue
            }
            result += rest[..<dollar]
            guard let close = after.firstIndex(of: "}") else {
                report(
                    at: mark, path,
                    "${ is not closed; write ${NAME} or ${NAME:-default}, and $${ for ${ itself")
                return nil
            }
            let inner = after[..<close].dropFirst()
            let dash = inner.firstRange(of: ":-")
            let name = inner[..<(dash?.lowerBound ?? inner.endIndex)]
            guard let first = name.utf8.first, !(48...57).contains(first),
                name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") })
            else {
                report(
                    at: mark, path,
                    "\"\(name)\" is no name of a variable; write ${NAME} or ${NAME:-default}, and $${ for ${ itself"
                )
                return nil
            }
            let value = context.environment[String(name)]
            if SecretNames.suggestsSecret(String(name)) {
                isSecret = true
                SecretValues.shared.insert(value ?? "")
            }
            if let value, !value.isEmpty || dash == nil {
                result += value
            } else if let dash {
                result += inner[dash.upperBound...]
            } else {
                report(
                    at: mark, path,
                    "environment variable \(name) is not set; set it, or give a default: ${\(name):-default}")
                return nil
            }
            rest = after[after.index(after: close)...]
        }
        return result + rest
    }

    private func describe(_ node: Node) -> String {
        switch node {
        case .mapping: " but a mapping"
        case .sequence: " but a list"
        case .scalar(let scalar): scalar.string.isEmpty ? " but has no value" : " but a single value"
        case .alias: " but an alias"
        }
    }
}

/// A value of the file after substitution.
struct ConfigurationScalar {
    var text: String
    var mark: Mark?
    var path: String
    var isSecret: Bool
    /// For messages: quoted; where it may be a secret, the text before substitution or no text at all.
    var shown: String
}

/// A mapping whose keys are known. Getters report what is wrong and return the default then.
struct ConfigurationSection {
    struct Entry {
        var mark: Mark?
        var value: Node
    }

    let reader: ConfigurationReader
    let path: String
    let mark: Mark?
    let entries: [String: Entry]

    func path(of key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    func has(_ key: String) -> Bool { entries[key] != nil }

    /// Where the key's value stands, else where the section begins.
    func mark(of key: String) -> Mark? { entries[key].map { $0.value.mark ?? $0.mark } ?? mark }

    func error(_ key: String, _ message: String) { reader.report(at: mark(of: key), path(of: key), message) }

    func warn(_ key: String, _ message: String) {
        reader.report(.warning, at: mark(of: key), path(of: key), message)
    }

    /// The value of a key that must be there; a problem where it is not.
    func required(_ key: String, remedy: String) -> Node? {
        if let entry = entries[key] { return entry.value }
        reader.report(at: mark, path(of: key), "is missing; \(remedy)")
        return nil
    }

    func scalar(_ key: String) -> ConfigurationScalar? {
        entries[key].flatMap { reader.scalar($0.value, path: path(of: key)) }
    }

    func string(_ key: String, default fallback: String) -> String { scalar(key)?.text ?? fallback }

    func bool(_ key: String, default fallback: Bool) -> Bool {
        guard let scalar = scalar(key) else { return fallback }
        switch scalar.text {
        case "true": return true
        case "false": return false
        default:
            error(key, "\(scalar.shown) is neither true nor false; write true or false")
            return fallback
        }
    }

    func integer(_ key: String, default fallback: Int, in range: ClosedRange<Int>) -> Int {
        guard let scalar = scalar(key) else { return fallback }
        return integer(scalar, in: range) ?? fallback
    }

    func integer(_ scalar: ConfigurationScalar, in range: ClosedRange<Int>) -> Int? {
        let remedy = "write a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard let value = ConfigurationUnits.number(scalar.text[...]) else {
            reader.report(at: scalar.mark, scalar.path, "\(scalar.shown) is not a whole number; \(remedy)")
            return nil
        }
        guard range.contains(Int(value)) else {
            let shown = scalar.isSecret ? scalar.shown : "\(value)"
            reader.report(at: scalar.mark, scalar.path, "\(shown) is out of range; \(remedy)")
            return nil
        }
        return Int(value)
    }

    func bytes(_ key: String, default fallback: Int, in range: ClosedRange<Int>) -> Int {
        guard let scalar = scalar(key) else { return fallback }
        let remedy =
            "write \(ConfigurationUnits.text(bytes: range.lowerBound)) to \(ConfigurationUnits.text(bytes: range.upperBound))"
        guard let value = ConfigurationUnits.bytes(scalar.text) else {
            error(key, "\(scalar.shown) is not a number of bytes such as 65536, 64KiB or 1MiB; \(remedy)")
            return fallback
        }
        guard range.contains(value) else {
            error(key, "\(scalar.isSecret ? scalar.shown : scalar.text) is out of range; \(remedy)")
            return fallback
        }
        return value
    }

    func duration(_ key: String, default fallback: Int64, in range: ClosedRange<Int64>) -> Int64 {
        guard let scalar = scalar(key) else { return fallback }
        let remedy =
            "write \(ConfigurationUnits.text(nanos: range.lowerBound)) to \(ConfigurationUnits.text(nanos: range.upperBound))"
        guard let value = ConfigurationUnits.duration(scalar.text) else {
            error(key, "\(scalar.shown) is not a duration such as 250us, 1ms or 2s; \(remedy)")
            return fallback
        }
        guard range.contains(value) else {
            error(key, "\(scalar.isSecret ? scalar.shown : scalar.text) is out of range; \(remedy)")
            return fallback
        }
        return value
    }

    /// One of some words; `default` nil: the key must be there.
    func word(_ key: String, among words: [String], default fallback: String?) -> String? {
        guard let entry = entries[key] else {
            if fallback == nil { error(key, "is missing; write one of \(words.joined(separator: ", "))") }
            return fallback
        }
        guard
            let scalar = reader.scalar(entry.value, path: path(of: key), isNullAWord: words.contains("null"))
        else {
            return fallback
        }
        guard words.contains(scalar.text) else {
            let nearest = ConfigurationKeys.nearest(to: scalar.text, among: words)
            let hint =
                nearest.map { "; did you mean \"\($0)\"?" }
                ?? "; write one of \(words.joined(separator: ", "))"
            error(key, "\(scalar.shown) is not known\(hint)")
            return fallback
        }
        return scalar.text
    }

    func choice<Choice: RawRepresentable & CaseIterable>(_ key: String, default fallback: Choice) -> Choice
    where Choice.RawValue == String {
        let word = word(key, among: Choice.allCases.map(\.rawValue), default: fallback.rawValue)
        return word.flatMap(Choice.init(rawValue:)) ?? fallback
    }

    func section(_ key: String) -> ConfigurationSection? {
        entries[key].flatMap { reader.section($0.value, path: path(of: key)) }
    }
}
