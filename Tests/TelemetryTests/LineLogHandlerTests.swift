import Foundation
import Logging
import Synchronization
import Testing

@testable import Telemetry

@Suite struct LineLogHandlerTests {
    final class Lines: Sendable {
        let all = Mutex<[String]>([])
    }

    private func logger(_ format: LineLogHandler.Format, _ level: Logger.Level = .info) -> (Logger, Lines) {
        let lines = Lines()
        let handler = LineLogHandler(label: "wire", instance: "test", level: level, format: format) { line in
            lines.all.withLock { $0.append(line) }
        }
        return (Logger(label: "wire") { _ in handler }, lines)
    }

    private func json(_ line: String) throws -> [String: Any] {
        try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)")
    }

    @Test func textIsForPeople() throws {
        let (logger, lines) = logger(.text)
        logger.warning("connection lost", metadata: ["slot": "3", "cause": "read failed", "empty": ""])
        let line = try #require(lines.all.withLock { $0.first })
        let parts = line.split(separator: " ", maxSplits: 1)
        #expect(parts[1] == "WARNING wire: connection lost cause=\"read failed\" empty=\"\" slot=3\n")
        #expect(String(parts[0]).wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
    }

    @Test func levelsAreObeyed() {
        let (logger, lines) = logger(.text, .error)
        logger.warning("not this")
        logger.error("this")
        #expect(lines.all.withLock { $0.count } == 1)
    }

    @Test func jsonHasCloudLoggingsFields() throws {
        let (logger, lines) = logger(.json, .trace)
        let severities: [(Logger.Level, String)] = [
            (.trace, "DEBUG"), (.debug, "DEBUG"), (.info, "INFO"), (.notice, "NOTICE"), (.warning, "WARNING"),
            (.error, "ERROR"), (.critical, "CRITICAL"),
        ]
        for (level, _) in severities { logger.log(level: level, "m", metadata: ["exchange": "binance"]) }
        let written = lines.all.withLock { $0 }
        for (line, (_, severity)) in zip(written, severities) {
            let object = try json(line)
            #expect(object["severity"] as? String == severity)
            #expect(object["message"] as? String == "m")
            let time = try #require(object["time"] as? String)
            #expect(time.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z/) != nil)
            #expect(
                object["logging.googleapis.com/labels"] as? [String: String] == [
                    "collector": "test", "logger": "wire",
                ])
            #expect(object["context"] as? [String: String] == ["exchange": "binance"])
        }
    }

    @Test(arguments: LineLogHandler.Format.allCases)
    func oneEventIsOneLine(format: LineLogHandler.Format) throws {
        let (logger, lines) = logger(format)
        let nasty = "a\nb\r\u{0}\u{1B}[2J\u{7F}\u{85}\u{2028}\"\\é🜁"
        logger.info("\(nasty)", metadata: ["k\ney": "\(nasty)"])
        let line = try #require(lines.all.withLock { $0.first })
        #expect(line.hasSuffix("\n"))
        #expect(
            !line.dropLast().unicodeScalars.contains {
                $0.value < 0x20 || $0.value == 0x7F || $0.value == 0x2028
            })
        if format == .json {
            let object = try json(line)
            #expect(object["message"] as? String == nasty)
            #expect((object["context"] as? [String: String])?["k\ney"] == nasty)
        }
    }

    @Test(arguments: LineLogHandler.Format.allCases)
    func secretsAreRedacted(format: LineLogHandler.Format) throws {
        let (logger, lines) = logger(format)
        logger.info(
            "m",
            metadata: [
                "apiToken": "swordfish", "nested": .dictionary(["password": "swordfish", "user": "me"]),
                "client_secret": .array(["swordfish"]),
            ])
        let line = try #require(lines.all.withLock { $0.first })
        #expect(!line.contains("swordfish"))
        #expect(line.contains("[redacted]"))
        #expect(line.contains("user: me"))
    }

    @Test(arguments: LineLogHandler.Format.allCases)
    func longEventsAreCut(format: LineLogHandler.Format) throws {
        let (logger, lines) = logger(format)
        let long = String(repeating: "é\u{1}", count: 100_000)
        var metadata: Logger.Metadata = [:]
        for index in 0..<1_000 { metadata["key\(index)"] = "\(long.prefix(index))" }
        logger.info("\(long)", metadata: metadata)
        let line = try #require(lines.all.withLock { $0.first })
        #expect(line.contains("(300000 bytes)"))
        #expect(line.contains("entries"))
        if format == .json { _ = try json(line) }
        #expect(line.utf8.count < 16_384)
    }

    @Test func metadataIsAValue() {
        let (logger, lines) = logger(.text)
        var one = logger
        one[metadataKey: "a"] = "1"
        var two = one
        two[metadataKey: "a"] = "2"
        one.info("m")
        two.info("m", metadata: ["a": "3"])
        let written = lines.all.withLock { $0.map { $0.suffix(4) } }
        #expect(written == ["a=1\n", "a=3\n"])
    }
}
