import Glibc
import Logging
import MarketData

/// Writes log lines: for people, or as Cloud Logging's agent reads them
/// (https://cloud.google.com/logging/docs/structured-logging). One event is one line and one write(2) to standard
/// error, so lines of several threads do not mix.
public struct LineLogHandler: LogHandler {
    /// The form of the lines.
    public enum Format: String, Sendable, CaseIterable {
        /// `2026-11-22T18:00:00.123Z WARNING wire: connection lost slot=3`
        case text
        /// One JSON object with `severity`, `time`, `message`, labels and `context`.
        case json
    }

    /// Takes one line, its newline included.
    public typealias Output = @Sendable (String) -> Void

    /// Least level that is written.
    public var logLevel: Logger.Level
    /// Entries that every line carries.
    public var metadata: Logger.Metadata = [:]
    private let label: String
    private let instance: String
    private let format: Format
    private let output: Output

    /// containerd splits lines at 16 KiB; what is longer is cut, and says so. Bytes as they are written, escaped.
    private static let longestMessage = 8_192
    private static let longestMetadata = 6_144
    private static let longestValue = 2_048

    /// A handler for one logger. `instance`: the collector's name, in JSON lines.
    public init(
        label: String, instance: String, level: Logger.Level, format: Format,
        output: @escaping Output = LineLogHandler.standardError
    ) {
        self.label = label
        self.instance = instance
        self.logLevel = level
        self.format = format
        self.output = output
    }

    /// Writes a line to standard error; what the system does not take is lost, for a log must not stop its program.
    public static let standardError: Output = { line in
        var line = line
        line.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                let written = write(STDERR_FILENO, rest.baseAddress, rest.count)
                guard written > 0 || (written < 0 && errno == EINTR) else { return }
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(max(0, written)))
            }
        }
    }

    /// Makes these handlers those of all loggers that are made from now on. Once a process.
    public static func bootstrap(instance: String, level: Logger.Level, format: Format) {
        LoggingSystem.bootstrap { label in
            LineLogHandler(label: label, instance: instance, level: level, format: format)
        }
    }

    /// One entry of the metadata.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes an event.
    public func log(event: LogEvent) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var entries = metadata
        if let more = event.metadata { entries.merge(more) { $1 } }
        if let error = event.error { entries["error"] = .string("\(error)") }
        let message = SecretValues.shared.redact(event.message.description)
        output(line(level: event.level, message: message, metadata: entries, time: now))
    }

    func line(level: Logger.Level, message: String, metadata: Logger.Metadata, time: timespec) -> String {
        let message = LineLogHandler.cut(message, to: LineLogHandler.longestMessage)
        let pairs = LineLogHandler.pairs(metadata)
        switch format {
        case .text:
            var line =
                "\(LineLogHandler.timestamp(time, digits: 3)) \(LineLogHandler.severity(level)) \(label): "
            line += LineLogHandler.plain(message)
            for (key, value) in pairs {
                let isWord = !value.isEmpty && !value.utf8.contains { $0 <= 0x20 || $0 == 0x22 || $0 == 0x3D }
                line +=
                    " \(LineLogHandler.plain(key))=\(isWord ? LineLogHandler.plain(value) : JSONEscaping.quoted(value))"
            }
            return line + "\n"
        case .json:
            var line = "{\"severity\":\"\(LineLogHandler.severity(level))\""
            line +=
                ",\"time\":\"\(LineLogHandler.timestamp(time, digits: 9))\",\"message\":\(JSONEscaping.quoted(message))"
            line += ",\"logging.googleapis.com/labels\":{\"collector\":\(JSONEscaping.quoted(instance))"
            line += ",\"logger\":\(JSONEscaping.quoted(label))}"
            if !pairs.isEmpty {
                let context = pairs.map { "\(JSONEscaping.quoted($0.0)):\(JSONEscaping.quoted($0.1))" }
                line += ",\"context\":{\(context.joined(separator: ","))}"
            }
            return line + "}\n"
        }
    }

    /// Cloud Logging's words (https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#LogSeverity).
    private static func severity(_ level: Logger.Level) -> String {
        switch level {
        case .trace, .debug: "DEBUG"
        case .info: "INFO"
        case .notice: "NOTICE"
        case .warning: "WARNING"
        case .error: "ERROR"
        case .critical: "CRITICAL"
        }
    }

    private static func text(_ value: Logger.Metadata.Value, under key: String) -> String {
        if SecretNames.suggestsSecret(key) { return "[redacted]" }
        switch value {
        case .string(let text): return SecretValues.shared.redact(text)
        case .stringConvertible(let value): return SecretValues.shared.redact(value.description)
        case .array(let values):
            return "[" + values.map { text($0, under: key) }.joined(separator: ", ") + "]"
        case .dictionary(let values):
            let pairs = values.sorted { $0.key < $1.key }.map {
                "\($0.key): \(text($0.value, under: $0.key))"
            }
            return "{" + pairs.joined(separator: ", ") + "}"
        }
    }

    /// Entries in order, as texts, as many as there is room for.
    private static func pairs(_ metadata: Logger.Metadata) -> [(String, String)] {
        var room = longestMetadata
        var pairs: [(String, String)] = []
        for (index, (key, value)) in metadata.sorted(by: { $0.key < $1.key }).enumerated() {
            let name = cut(key, to: 128)
            let text = cut(text(value, under: key), to: longestValue)
            room -= writtenBytes(name) + writtenBytes(text) + 8
            guard room > 0 else {
                pairs.append(("omitted", "\(metadata.count - index) entries"))
                break
            }
            pairs.append((name, text))
        }
        return pairs
    }

    private static func writtenBytes(_ scalar: Unicode.Scalar) -> Int {
        if scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) { return 6 }
        if scalar.value == 0x2028 || scalar.value == 0x2029 { return 8 }
        return scalar == "\"" || scalar == "\\" ? 2 : UTF8.width(scalar)
    }

    private static func writtenBytes(_ text: String) -> Int {
        text.unicodeScalars.reduce(0) { $0 + writtenBytes($1) }
    }

    private static func cut(_ text: String, to limit: Int) -> String {
        guard text.utf8.count > limit / 6 else { return text }
        var kept = String.UnicodeScalarView()
        var bytes = 0
        for scalar in text.unicodeScalars {
            bytes += writtenBytes(scalar)
            guard bytes <= limit else { return String(kept) + "… (\(text.utf8.count) bytes)" }
            kept.append(scalar)
        }
        return text
    }

    /// Without control characters, so that one event stays one line and terminals obey nobody.
    private static func plain(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            let isControl =
                scalar.properties.generalCategory == .control || [0x2028, 0x2029].contains(scalar.value)
            if !isControl {
                result.append(scalar)
            } else {
                let hex = String(scalar.value, radix: 16)
                result.append(contentsOf: "\\u{\(hex)}".unicodeScalars)
            }
        }
        return String(result)
    }

    private static func timestamp(_ time: timespec, digits: Int) -> String {
        var seconds = time.tv_sec
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func padded(_ value: Int, _ width: Int) -> String {
            let text = "\(value)"
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        let date =
            "\(padded(Int(parts.tm_year) + 1900, 4))-\(padded(Int(parts.tm_mon) + 1, 2))-\(padded(Int(parts.tm_mday), 2))"
        let clock =
            "\(padded(Int(parts.tm_hour), 2)):\(padded(Int(parts.tm_min), 2)):\(padded(Int(parts.tm_sec), 2))"
        return "\(date)T\(clock).\(padded(time.tv_nsec, 9).prefix(digits))Z"
    }
}
