import Batching

/// What a template of topics or ordering keys may hold.
enum TemplateCheck {
    static let variables = TopicTemplate.Variable.allCases.map(\.rawValue)

    /// Problems of a template, as sentences; empty where it is good.
    static func problems(_ template: String, isTopic: Bool) -> [String] {
        var problems: [String] = []
        var literal = ""
        var rest = template[...]
        while let brace = rest.firstIndex(where: { $0 == "{" || $0 == "}" }) {
            literal += rest[..<brace]
            guard rest[brace] == "{", let close = rest[brace...].firstIndex(of: "}") else {
                problems.append("has a brace without its partner; write variables as {type}")
                return problems
            }
            let name = rest[rest.index(after: brace)..<close]
            if !variables.contains(String(name)) {
                let nearest = ConfigurationKeys.nearest(to: String(name), among: variables)
                problems.append(
                    "unknown variable {\(name)}; "
                        + (nearest.map { "did you mean {\($0)}?" }
                            ?? "known: \(variables.map { "{\($0)}" }.joined(separator: ", "))"))
            }
            rest = rest[rest.index(after: close)...]
        }
        literal += rest
        guard isTopic else {
            // https://cloud.google.com/pubsub/quotas#resource_limits: an ordering key has at most 1024 bytes.
            if template.utf8.count > 1024 {
                problems.append("is longer than the 1024 bytes of an ordering key")
            }
            return problems
        }
        if template.isEmpty {
            problems.append("is empty; write for example market.{type}.{exchange}.{symbol}")
        }
        if let wrong = literal.unicodeScalars.first(where: { !isTopicScalar($0) }) {
            problems.append(
                "\"\(wrong)\" is not allowed in a topic id; use letters, digits and - _ . ~ + %")
        }
        if let first = template.unicodeScalars.first, first != "{", isTopicScalar(first),
            !("a"..."z").contains(first), !("A"..."Z").contains(first)
        {
            problems.append("begins with \"\(first)\"; a topic id begins with a letter")
        }
        if template.hasPrefix("goog") {
            problems.append("begins with \"goog\", which Pub/Sub reserves; begin otherwise")
        }
        // https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names: 3 to 255 characters.
        if literal.utf8.count > 200 { problems.append("is too long: a topic id has at most 255 characters") }
        return problems
    }

    private static func isTopicScalar(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", "-", "_", ".", "~", "+", "%": true
        default: false
        }
    }
}
