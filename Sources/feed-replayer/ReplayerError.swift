/// What went wrong, where, and what to do about it; with the exit code of sysexits.h that fits.
struct ReplayerError: Error, Equatable, CustomStringConvertible {
    var description: String
    var exitCode: Int32

    /// The command line asks for something that cannot be (EX_USAGE).
    static func usage(_ text: String) -> ReplayerError { ReplayerError(description: text, exitCode: 64) }
    /// A file's content is not what it should be (EX_DATAERR).
    static func data(_ text: String) -> ReplayerError { ReplayerError(description: text, exitCode: 65) }
    /// A file cannot be read (EX_NOINPUT).
    static func input(_ text: String) -> ReplayerError { ReplayerError(description: text, exitCode: 66) }
    /// The network or the machine refuses (EX_OSERR).
    static func system(_ text: String) -> ReplayerError { ReplayerError(description: text, exitCode: 71) }
    /// A file cannot be written (EX_CANTCREAT).
    static func output(_ text: String) -> ReplayerError { ReplayerError(description: text, exitCode: 73) }
}
