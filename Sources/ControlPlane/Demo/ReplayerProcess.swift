import CKernel
import Foundation
import Glibc

/// The fake exchange of the demo: the `feed-replayer` that lies beside this program, as a process of its own.
final class ReplayerProcess {
    /// What it said when it was ready.
    struct Greeting: Decodable {
        /// `wss://localhost:43817`.
        var listening: String
        /// The PEM file that its certificate is checked with.
        var certificateAuthority: String?
        /// Of its market, in the exchange's spelling.
        var symbols: [String]
    }

    let greeting: Greeting
    private let process: pid_t
    /// While this end is open the replayer lives: it ends with its parent, however that ends.
    private let lifeline: Int32

    /// Starts it and waits for its greeting, at most ten seconds.
    init(arguments: [String]) throws {
        let program = try ReplayerProcess.program()
        var output: [Int32] = [0, 0]
        var input: [Int32] = [0, 0]
        guard pipe(&output) == 0, pipe(&input) == 0 else {
            throw CollectorError(
                "no pipe for the replayer (errno \(errno)); raise the limit of open files (ulimit -n)")
        }
        // The child gets its ends by duplication; ours must not live on in it.
        for descriptor in output + input { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        defer {
            close(output[0])
            close(output[1])
            close(input[0])
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A group of its own: Ctrl-C is for the collector, which drains first.
        posix_spawnattr_setpgroup(&attributes, 0)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
        let words = ([program] + arguments).map { strdup($0) }
        defer { for word in words { free(word) } }
        var process: pid_t = 0
        let code = posix_spawn(&process, program, &actions, &attributes, words + [nil], environ)
        guard code == 0 else {
            close(input[1])
            throw CollectorError("\(program) could not be started: \(String(cString: strerror(code)))")
        }
        self.process = process
        lifeline = input[1]
        close(output[1])
        output[1] = -1
        let line = ReplayerProcess.readLine(output[0], seconds: 10)
        guard let greeting = try? JSONDecoder().decode(Greeting.self, from: Data(line)) else {
            ReplayerProcess.end(process, lifeline)
            throw CollectorError(
                "\(program) did not say where it listens; run `\(program) \(arguments.joined(separator: " "))` to see why"
            )
        }
        self.greeting = greeting
    }

    deinit { ReplayerProcess.end(process, lifeline) }

    private static func end(_ process: pid_t, _ lifeline: Int32) {
        close(lifeline)
        kill(process, SIGTERM)
        waitpid(process, nil, 0)
    }

    /// Whether it still runs.
    var isRunning: Bool { waitpid(process, nil, WNOHANG) == 0 }

    private static func program() throws -> String {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &path, path.count - 1)
        guard count > 0 else {
            throw CollectorError("this program's own path is not known: is /proc mounted?")
        }
        let own = String(decoding: path[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
        let folder = own[..<(own.lastIndex(of: "/") ?? own.startIndex)]
        let program = "\(folder)/feed-replayer"
        guard access(program, X_OK) == 0 else {
            throw CollectorError(
                "\(program) is missing: the demo needs it beside exchange-collector; build it with"
                    + " `swift build -c release --product feed-replayer`")
        }
        return program
    }

    private static func readLine(_ descriptor: Int32, seconds: Int64) -> [UInt8] {
        let deadline = ck_monotonic_nanos() + seconds * 1_000_000_000
        var line: [UInt8] = []
        while ck_monotonic_nanos() < deadline {
            guard ck_wait_readable(descriptor, 100_000_000) == 1 else { continue }
            var chunk = [UInt8](repeating: 0, count: 1_024)
            let count = read(descriptor, &chunk, chunk.count)
            guard count > 0 else { break }
            line += chunk[..<count]
            if let end = line.firstIndex(of: UInt8(ascii: "\n")) { return Array(line[..<end]) }
        }
        return line
    }
}
