import Batching
import CKernel
import Foundation

/// Reads a topic of a Pub/Sub emulator over REST, through a subscription of its own.
final class EmulatorReader {
    private let client: PlainHTTPClient
    private let project: String
    private let topic: String
    private let subscription: String
    private let dictionaries: [CompressionDictionary]

    /// Makes the subscription; ``close()`` deletes it.
    init(
        host: String, port: UInt16, project: String, topic: String, dictionaries: [CompressionDictionary] = []
    ) throws(TailError) {
        self.dictionaries = dictionaries
        client = PlainHTTPClient(host: host, port: port)
        self.project = project
        self.topic = topic
        var random: UInt64 = 0
        _ = ck_random(&random, 8)
        subscription = "projects/\(project)/subscriptions/tail-\(String(random, radix: 36))"
        let body =
            "{\"topic\":\"projects/\(project)/topics/\(topic)\",\"ackDeadlineSeconds\":60,\"enableMessageOrdering\":true}"
        let answer = try client.request("PUT", "/v1/\(subscription)", json: body)
        guard answer.status == 200 else {
            let remedy =
                answer.status == 404
                ? "topic \(topic) is not there; let the collector publish first, or correct --project and --topic"
                : "HTTP \(answer.status): \(EmulatorReader.message(answer.body))"
            throw TailError(.unavailable, "\(host):\(port): no subscription to \(topic): \(remedy)")
        }
    }

    /// Deletes the subscription.
    func close() throws(TailError) {
        let answer = try client.request("DELETE", "/v1/\(subscription)")
        guard answer.status == 200 || answer.status == 404 else {
            throw TailError(
                .unavailable, "subscription \(subscription) could not be deleted: HTTP \(answer.status)")
        }
    }

    /// Takes what waits, up to 100 messages, acknowledges it, and returns its lines.
    func read() throws(TailError) -> [UInt8] {
        let answer = try client.request(
            "POST", "/v1/\(subscription):pull", json: "{\"maxMessages\":100,\"returnImmediately\":true}")
        guard answer.status == 200 else {
            throw TailError(
                .unavailable,
                "pulling \(topic): HTTP \(answer.status): \(EmulatorReader.message(answer.body))")
        }
        guard let object = try? JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any] else {
            throw TailError(.data, "pulling \(topic): the answer is not JSON")
        }
        var lines: [UInt8] = []
        var acknowledgements: [String] = []
        for received in object["receivedMessages"] as? [[String: Any]] ?? [] {
            if let id = received["ackId"] as? String { acknowledgements.append(id) }
            guard let message = received["message"] as? [String: Any] else { continue }
            lines += try EmulatorReader.lines(of: message, topic: topic, dictionaries: dictionaries)
        }
        if !acknowledgements.isEmpty {
            let body = try? JSONSerialization.data(withJSONObject: ["ackIds": acknowledgements])
            _ = try client.request(
                "POST", "/v1/\(subscription):acknowledge",
                json: String(decoding: body ?? Data(), as: UTF8.self))
        }
        return lines
    }

    /// The events of one message, each with its newline.
    static func lines(
        of message: [String: Any], topic: String, dictionaries: [CompressionDictionary] = []
    ) throws(TailError) -> [UInt8] {
        let encoded = message["data"] as? String ?? ""
        guard let data = Data(base64Encoded: encoded) else {
            throw TailError(.data, "topic \(topic): a message's data are not base64")
        }
        let attributes = message["attributes"] as? [String: String] ?? [:]
        var bytes = Array(data)
        if attributes["content_encoding"] == "zstd" {
            let zstd = try ZstdReader(dictionaries: dictionaries)
            bytes = try zstd.read(bytes[...], place: "topic \(topic), batch \(attributes["batch_id"] ?? "?")")
            guard zstd.pendingBytes == 0 else {
                throw TailError(.data, "topic \(topic): a message ends in the middle of its zstd frame")
            }
        }
        if let last = bytes.last, last != UInt8(ascii: "\n") { bytes.append(UInt8(ascii: "\n")) }
        return bytes
    }

    private static func message(_ body: [UInt8]) -> String {
        let object = try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any]
        let error = object?["error"] as? [String: Any]
        return error?["message"] as? String ?? String(decoding: body.prefix(200), as: UTF8.self)
    }
}
