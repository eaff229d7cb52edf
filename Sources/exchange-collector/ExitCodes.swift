import ArgumentParser
import Glibc

/// Exit codes of sysexits.h; those of a start that failed are in `StartFailure`.
enum SysExit {
    /// The input is not what it should be.
    static let data = ExitCode(65)
    /// The input is not there.
    static let noInput = ExitCode(66)
    /// A service cannot be reached.
    static let unavailable = ExitCode(69)
    /// Reading or writing failed.
    static let io = ExitCode(74)
    /// Not everything could be delivered now.
    static let temporary = ExitCode(75)
    /// The configuration is wrong.
    static let configuration = ExitCode(78)
}

/// Lines for people on standard error.
func printError(_ text: String) {
    let line = text + "\n"
    var bytes = Array(line.utf8)[...]
    while !bytes.isEmpty {
        let written = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
        guard written > 0 else { return }
        bytes = bytes.dropFirst(written)
    }
}
