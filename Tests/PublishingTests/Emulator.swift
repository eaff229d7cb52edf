import CCurl
import Foundation
import Glibc
import SyntheticBatches

@testable import Publishing

/// The Pub/Sub emulator in a process of its own on a free port, ended with this object.
final class Emulator {
    let port: Int
    private let process: Process
    let project = "test"

    struct Failure: Error, CustomStringConvertible { var description: String }

    /// Where the emulator's jar is, nil where it is not installed.
    static func find() -> String? {
        let roots = ["/usr/lib/google-cloud-sdk", "/usr/share/google-cloud-sdk", "/opt/google-cloud-sdk"]
        for root in roots {
            let folder = root + "/platform/pubsub-emulator/lib"
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            if let jar = names.filter({ $0.hasPrefix("cloud-pubsub-emulator") && $0.hasSuffix(".jar") }).max()
            {
                return folder + "/" + jar
            }
        }
        return nil
    }

    /// Nil, with a word on the terminal, where it is not installed.
    static func start(port: Int? = nil) throws -> Emulator? {
        guard let jar = find(), FileManager.default.isExecutableFile(atPath: "/usr/bin/java") else {
            print("skipped: the Pub/Sub emulator (package google-cloud-cli-pubsub-emulator) is not installed")
            return nil
        }
        return try Emulator(jar: jar, port: port ?? freePort())
    }

    static func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { plain in
                bind(descriptor, plain, size) == 0 ? getsockname(descriptor, plain, &size) : -1
            }
        }
        guard code == 0 else { throw Failure(description: "no free port") }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    private init(jar: String, port: Int) throws {
        self.port = port
        process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/java")
        process.arguments = ["-Xmx1g", "-jar", jar, "--host=127.0.0.1", "--port=\(port)"]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        for _ in 0..<600 {
            if let (status, _) = try? call("GET", "/"), status == 200 { return }
            usleep(100_000)
        }
        stop()
        throw Failure(description: "the emulator did not start within 60 s")
    }

    deinit { stop() }

    func stop() {
        guard process.isRunning else { return }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    func freeze() { kill(process.processIdentifier, SIGSTOP) }
    func thaw() { kill(process.processIdentifier, SIGCONT) }

    @discardableResult
    func call(_ method: String, _ path: String, _ body: [String: Any]? = nil) throws -> (Int, [String: Any]) {
        let bytes = try body.map { Array(try JSONSerialization.data(withJSONObject: $0)) }
        var response = cc_response()
        defer { cc_response_free(&response) }
        let code = "content-type: application/json".withCString { header in
            cc_fetch(
                method, "http://127.0.0.1:\(port)\(path)", [header], 1, bytes, bytes?.count ?? 0, 30_000, 0,
                nil,
                &response)
        }
        guard code == 0 else { throw Failure(description: "\(method) \(path): curl \(code)") }
        let data = response.body.map { Data(bytes: $0, count: response.body_size) } ?? Data()
        let json = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
        return (Int(response.status), json ?? [:])
    }

    func topics() throws -> [String] {
        let (_, json) = try call("GET", "/v1/projects/\(project)/topics?pageSize=1000")
        let topics = json["topics"] as? [[String: Any]] ?? []
        return topics.compactMap { $0["name"] as? String }.sorted()
    }

    /// The name of a topic's subscription; a percent sign would have to be encoded once more in each URL.
    static func subscription(_ topic: String) -> String { "s-" + topic.filter { $0 != "%" } }

    func subscribe(to topic: String) throws {
        let name = Emulator.subscription(topic)
        let (status, json) = try call(
            "PUT", "/v1/projects/\(project)/subscriptions/\(name)",
            [
                "topic": "projects/\(project)/topics/\(topic)", "enableMessageOrdering": true,
                "ackDeadlineSeconds": 600,
            ])
        guard status == 200 else { throw Failure(description: "subscribe to \(topic): \(status) \(json)") }
    }

    struct Message {
        var data: [UInt8]
        var attributes: [String: String]
        var orderingKey: String
        var id: String
    }

    /// Pulls and acknowledges until `count` messages are there, and then once more to see that no more come.
    func pull(_ topic: String, count: Int) throws -> [Message] {
        let path = "/v1/projects/\(project)/subscriptions/\(Emulator.subscription(topic))"
        var messages: [Message] = []
        var isLast = false
        for _ in 0..<10_000 {
            let (status, json) = try call(
                "POST", path + ":pull", ["maxMessages": 1000, "returnImmediately": messages.count >= count])
            guard status == 200 else { throw Failure(description: "pull: \(status) \(json)") }
            let received = json["receivedMessages"] as? [[String: Any]] ?? []
            for entry in received {
                let message = entry["message"] as? [String: Any] ?? [:]
                messages.append(
                    Message(
                        data: Array(Data(base64Encoded: message["data"] as? String ?? "") ?? Data()),
                        attributes: message["attributes"] as? [String: String] ?? [:],
                        orderingKey: message["orderingKey"] as? String ?? "",
                        id: message["messageId"] as? String ?? ""))
            }
            let ids = received.compactMap { $0["ackId"] as? String }
            if !ids.isEmpty {
                let (status, json) = try call("POST", path + ":acknowledge", ["ackIds": ids])
                guard status == 200 else { throw Failure(description: "acknowledge: \(status) \(json)") }
            }
            if messages.count >= count, ids.isEmpty {
                if isLast { return messages }
                isLast = true
            }
        }
        throw Failure(description: "only \(messages.count) of \(count) messages came to \(topic)")
    }
}
