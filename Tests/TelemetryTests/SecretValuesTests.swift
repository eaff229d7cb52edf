import Logging
import Synchronization
import Telemetry
import Testing

@Suite struct SecretValuesTests {
    @Test func knownValuesAreNeverShown() {
        let values = SecretValues()
        #expect(values.redact("hunter22 is here") == "hunter22 is here")
        values.insert("hunter22")
        values.insert("a-hunter22-b")
        values.insert("short")
        #expect(values.redact("x=hunter22, a-hunter22-b: short") == "x=[redacted], [redacted]: short")
    }

    @Test func linesAreRedactedWhereverTheValueStands() {
        let lines = Mutex<[String]>([])
        let handler = LineLogHandler(label: "a", instance: "b", level: .info, format: .json) { line in
            lines.withLock { $0.append(line) }
        }
        let logger = Logger(label: "a") { _ in handler }
        SecretValues.shared.insert("value-of-the-lines-test")
        logger.info(
            "got value-of-the-lines-test",
            metadata: ["why": "value-of-the-lines-test", "list": ["value-of-the-lines-test"]])
        let all = lines.withLock { $0.joined() }
        #expect(!all.contains("value-of-the-lines-test"))
        #expect(all.split(separator: "[redacted]", omittingEmptySubsequences: false).count == 4)
    }
}
