import Publishing
import Yams

/// `sink.topics:`, what topics that the collector makes are to have.
struct TopicDecoder {
    let section: ConfigurationSection

    func decode() -> TopicSettings {
        var topics = TopicSettings()
        topics.labels = labels()
        if section.has("retention") {
            // https://cloud.google.com/pubsub/docs/replay-overview: 10 minutes to 31 days.
            let nanos = section.duration(
                "retention", default: 600_000_000_000, in: 600_000_000_000...2_678_400_000_000_000)
            topics.retentionSeconds = Int(nanos / 1_000_000_000)
        }
        topics.storageRegions = regions()
        topics.enforceInTransit = section.bool("enforceInTransit", default: false)
        if topics.enforceInTransit, topics.storageRegions.isEmpty {
            section.error("enforceInTransit", "needs regions; write them under storageRegions")
        }
        topics.kmsKey = section.string("kmsKey", default: "")
        if !topics.kmsKey.isEmpty,
            !TopicDecoder.isName(topics.kmsKey, ["projects", "locations", "keyRings", "cryptoKeys"])
        {
            section.error(
                "kmsKey", "is no key; write projects/P/locations/L/keyRings/R/cryptoKeys/K")
        }
        topics.schema = section.section("schema").flatMap { schema($0) }
        return topics
    }

    /// https://cloud.google.com/pubsub/docs/labels: at most 64; keys and values of at most 63 lower-case letters,
    /// digits, _ and -; a key begins with a letter.
    private func labels() -> [String: String] {
        guard let node = section.entries["labels"]?.value else { return [:] }
        guard let mapping = node.mapping else {
            section.error("labels", "is no mapping; write for example { team: market-data }")
            return [:]
        }
        var labels: [String: String] = [:]
        for (key, value) in mapping {
            guard let name = key.string,
                let text = section.reader.scalar(value, path: section.path(of: "labels") + ".\(name)")?.text
            else { continue }
            labels[name] = text
            let isRight =
                !name.isEmpty && TopicDecoder.isLabel(name) && TopicDecoder.isLabel(text)
                && name.first?.isLetter == true
            if !isRight {
                section.error(
                    "labels",
                    "\"\(name): \(text)\" is no label; write at most 63 lower-case letters, digits, _ and -, a letter first in the key"
                )
            }
        }
        if labels.count > 64 { section.error("labels", "has \(labels.count) labels; Pub/Sub takes 64") }
        return labels
    }

    private static func isLabel(_ text: String) -> Bool {
        text.unicodeScalars.count <= 63
            && text.unicodeScalars.allSatisfy { scalar in
                switch scalar {
                case "a"..."z", "0"..."9", "_", "-": true
                default: false
                }
            }
    }

    private func regions() -> [String] {
        guard let node = section.entries["storageRegions"]?.value else { return [] }
        let path = section.path(of: "storageRegions")
        let list = section.reader.list(node, path: path, remedy: "write for example [europe-west1]") ?? []
        return list.enumerated().compactMap { index, node in
            guard let region = section.reader.scalar(node, path: "\(path)[\(index)]") else { return nil }
            let isRegion =
                region.text.contains("-")
                && region.text.utf8.allSatisfy {
                    $0 == UInt8(ascii: "-") || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                }
            if !isRegion {
                section.error(
                    "storageRegions", "\(region.shown) is no region; write for example europe-west1")
            }
            return region.text
        }
    }

    private func schema(_ section: ConfigurationSection) -> TopicSettings.Schema? {
        guard let name = section.scalar("name") else {
            if !section.has("name") {
                section.error("name", "is missing; write projects/P/schemas/S")
            }
            return nil
        }
        if !TopicDecoder.isName(name.text, ["projects", "schemas"]) {
            section.error("name", "\(name.shown) is no schema; write projects/P/schemas/S")
        }
        let word = section.word("encoding", among: ["json", "binary"], default: "json")
        var schema = TopicSettings.Schema(name: name.text, encoding: word == "binary" ? .binary : .json)
        schema.firstRevision = section.string("firstRevision", default: "")
        schema.lastRevision = section.string("lastRevision", default: "")
        return schema
    }

    /// Whether it is `a/…/b/…` with those words.
    private static func isName(_ text: String, _ words: [String]) -> Bool {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count == 2 * words.count && !parts.contains("")
            && words.enumerated().allSatisfy { parts[2 * $0.offset] == $0.element }
    }
}
