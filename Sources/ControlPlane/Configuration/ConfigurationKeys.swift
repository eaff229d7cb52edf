/// The keys that each part of a configuration may have; what the decoder accepts and what the schema lists.
public enum ConfigurationKeys {
    /// Keys of `sink` that only the nats sink has.
    static let nats = ["stream", "user", "password", "token"]

    /// By path; `[]` stands for the elements of a list. The empty path is the file itself.
    public static let all: [String: [String]] = [
        "": ["collector", "exchanges", "batching", "sink", "spool", "api", "log"],
        "collector": [
            "name", "lanes", "pin", "idle", "backend", "threads", "dataDirectory", "frameRingBytes",
            "eventRingBytes",
            "batchRingBytes", "connectionAttempts",
        ],
        "collector.connectionAttempts": ["perWindow", "window"],
        "exchanges[]": [
            "adapter", "market", "endpoint", "restEndpoint", "timeUnit", "tls", "network", "legs", "deflate",
            "maxMessageBytes",
            "rollover", "watchdog", "limits", "repair", "subscriptions",
        ],
        "exchanges[].repair": ["enabled", "weightPerMinute", "hold", "giveUpAfter", "maxIds", "timeout"],
        "exchanges[].rollover": ["after", "window", "at"],
        "exchanges[].watchdog": ["silence", "probe", "answer", "streamSilence", "streamFloor"],
        "exchanges[].limits": [
            "connectionLifetime", "openTimeout", "answerTimeout", "messagesPerSecond", "streamsPerConnection",
        ],
        "exchanges[].tls": ["certificateAuthority", "verify", "minimum", "records"],
        "exchanges[].network": [
            "proxy", "ipFamily", "localAddress", "keepaliveIdle", "keepaliveInterval", "keepaliveCount",
            "userTimeout", "busyPoll", "receiveBuffer",
        ],
        "exchanges[].subscriptions[]": ["type", "symbols", "interval", "window", "updateSpeed"],
        "batching": [
            "maxEvents", "maxBytes", "maxDelay", "compression", "compressMinBytes", "level", "window",
            "dictionary", "payload", "closeWhenIdle",
        ],
        "sink": nats + [
            "type", "project", "topic", "orderingKey", "createTopics", "path", "rotateBytes", "rotateSeconds",
            "maxInFlightBytes", "connections", "endpoint", "createsPerMinute", "topics",
        ],
        "sink.topics": ["labels", "retention", "storageRegions", "enforceInTransit", "kmsKey", "schema"],
        "sink.topics.schema": ["name", "encoding", "firstRevision", "lastRevision"],
        "spool": [
            "enabled", "maxBytes", "maxAge", "segmentBytes", "fsync", "fsyncInterval", "whenFull", "after",
            "warnAge", "batchDelay",
        ],
        "api": ["listen", "token"],
        "log": ["level", "format"],
    ]

    /// `exchanges[0].tls` → `exchanges[].tls`.
    static func pattern(of path: String) -> String {
        var pattern = ""
        var inIndex = false
        for character in path {
            if character == "[" { inIndex = true }
            if !inIndex || character == "[" || character == "]" { pattern.append(character) }
            if character == "]" { inIndex = false }
        }
        return pattern
    }

    /// The known word that a wrong one was meant for, if one is near. Short words (`1m`, `24h`) are all near each
    /// other, so none of them is proposed.
    static func nearest(to word: String, among known: [String]) -> String? {
        let lowered = word.lowercased()
        if lowered.count >= 3, let whole = known.first(where: { $0.lowercased().hasPrefix(lowered) }) {
            return whole
        }
        let ranked = known.filter { $0.count >= 4 }.map { ($0, distance(lowered, $0.lowercased())) }
        guard let (best, distance) = ranked.min(by: { $0.1 < $1.1 }), distance <= max(1, best.count / 3)
        else {
            return nil
        }
        return best
    }

    /// Levenshtein's, with a swap of neighbours counted once.
    static func distance(_ a: String, _ b: String) -> Int {
        let a = Array(a.unicodeScalars)
        let b = Array(b.unicodeScalars)
        guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
        var rows = [Array(0...b.count)]
        for i in 1...a.count {
            var row = [i]
            for j in 1...b.count {
                let same = a[i - 1] == b[j - 1]
                var best = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (same ? 0 : 1))
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
                    best = min(best, rows[i - 2][j - 2] + 1)
                }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}
