/// Puts names of streams into as few requests as the exchange's limits allow.
public enum RequestPacking {
    /// The requests that all `names` take in their order: at most `namesPerRequest` names and `requestBytes` bytes each. A
    /// name that is too long by itself stands in a request of its own; see ``isTooLong(_:language:limits:)``.
    public static func requests(
        _ names: [String], language: any ControlLanguage, limits: ConnectionLimits
    ) -> [ArraySlice<String>] {
        var rest = names[...]
        var requests: [ArraySlice<String>] = []
        while !rest.isEmpty {
            let count = fitting(rest, language: language, limits: limits)
            requests.append(rest.prefix(count))
            rest = rest.dropFirst(count)
        }
        return requests
    }

    /// Whether no request can ask for a stream of this name.
    public static func isTooLong(
        _ name: String, language: any ControlLanguage, limits: ConnectionLimits
    ) -> Bool {
        bytes([name], language) > limits.requestBytes
    }

    /// How many of the first names one request can hold, at least 1: by bisection, because only the language knows
    /// how long a request is.
    static func fitting(
        _ names: ArraySlice<String>, language: any ControlLanguage, limits: ConnectionLimits
    ) -> Int {
        var least = 1
        var most = max(1, min(names.count, limits.namesPerRequest))
        if bytes(Array(names.prefix(most)), language) <= limits.requestBytes { return most }
        while most - least > 1 {
            let middle = (least + most) / 2
            if bytes(Array(names.prefix(middle)), language) <= limits.requestBytes {
                least = middle
            } else {
                most = middle
            }
        }
        return least
    }

    /// With the longest id that there is, so that its length never matters.
    private static func bytes(_ names: [String], _ language: any ControlLanguage) -> Int {
        language.subscribe(names, id: .max).count
    }
}
