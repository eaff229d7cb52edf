import Glibc

/// Shows a text that changes: redrawn in place on a terminal, one line after the other elsewhere. For one task.
public struct LiveScreen {
    /// Whether the output is a terminal that understands cursor movement.
    public let isTerminal: Bool
    private let descriptor: Int32
    private var linesShown = 0

    /// A screen on a descriptor; TERM=dumb is obeyed.
    public init(descriptor: Int32 = STDOUT_FILENO) {
        self.descriptor = descriptor
        let term = getenv("TERM").map { String(cString: $0) }
        isTerminal = isatty(descriptor) == 1 && term != nil && term != "dumb"
    }

    /// Columns of the terminal, 120 elsewhere.
    public var width: Int {
        var size = winsize()
        guard isTerminal, ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 120 }
        return Int(size.ws_col)
    }

    /// Shows `table` in place of what was shown before; `line` where there is no terminal.
    public mutating func show(table: String, line: String) {
        guard isTerminal else {
            put(line + "\n")
            return
        }
        // Up over the old lines, each replaced and cleared to its end, then the rest of the screen cleared.
        var text = linesShown > 0 ? "\u{1B}[\(linesShown)A\r" : ""
        let lines = table.split(separator: "\n", omittingEmptySubsequences: false)
        for line in lines { text += line + "\u{1B}[K\n" }
        text += "\u{1B}[J"
        linesShown = lines.count
        put(text)
    }

    /// Puts a text behind what is shown, which then stays.
    public mutating func append(_ text: String) {
        linesShown = 0
        put(text + "\n")
    }

    private func put(_ text: String) {
        var text = text
        text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                let written = write(descriptor, rest.baseAddress, rest.count)
                guard written > 0 || (written < 0 && errno == EINTR) else { return }
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(max(0, written)))
            }
        }
    }
}
