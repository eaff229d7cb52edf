import CKernel
import Foundation
import Testing

/// The program as its users start it.
@Suite struct CommandLineTests {
    struct Ended: Sendable {
        var code: Int32
        var output: String
        var errors: String
    }

    /// The program stands beside the tests' own executable.
    static let program: URL = {
        let tests = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        let beside = tests.appending(path: "exchange-collector")
        if FileManager.default.isExecutableFile(atPath: beside.path) { return beside }
        return ExamplesTests.directory.deletingLastPathComponent().appending(
            path: ".build/debug/exchange-collector")
    }()

    /// Runs it to its end on a thread of its own; `during` is called with its pid once it has started.
    static func run(
        _ arguments: [String], environment: [String: String] = [:],
        during: @escaping @Sendable (Int32) -> Void = { _ in }
    ) async throws -> Ended {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(with: Result { try blockingRun(arguments, environment, during) })
            }
        }
    }

    private static func blockingRun(
        _ arguments: [String], _ environment: [String: String], _ during: (Int32) -> Void
    ) throws -> Ended {
        let process = Process()
        let (output, errors) = (Pipe(), Pipe())
        process.executableURL = program
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        during(process.processIdentifier)
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let errorText = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let code =
            process.terminationReason == .uncaughtSignal
            ? -process.terminationStatus : process.terminationStatus
        return Ended(code: code, output: text, errors: errorText)
    }

    @Test(arguments: [[], ["run"], ["check"], ["demo"], ["tail"]])
    func helpHasExamples(command: [String]) async throws {
        let ended = try await CommandLineTests.run(command + ["--help"])
        #expect(ended.code == 0)
        #expect(ended.output.contains("EXAMPLES"))
        #expect(ended.output.contains("exchange-collector \(command.first ?? "demo")"))
    }

    @Test func version() async throws {
        let ended = try await CommandLineTests.run(["--version"])
        #expect(ended.code == 0)
        #expect(ended.output.wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil)
    }

    @Test(
        arguments: [
            (["nonsense"], 64), (["check"], 64), (["run", "--config"], 64), (["tail"], 64),
            (["tail", "/", "--limit", "0"], 64),
            (["tail", "/", "--type", "nothing"], 64), (["tail", "--pubsub-emulator", "x"], 64),
            (["tail", "--pubsub-emulator", "h:1", "--project", "p", "--topic", "a/b"], 64),
            (["check", "--config", "/nonexistent.yaml"], 66), (["run", "--config", "/nonexistent.yaml"], 66),
            (["tail", "/nonexistent"], 66),
            (["tail", "--pubsub-emulator", "127.0.0.1:1", "--project", "p", "--topic", "topic"], 69),
        ] as [([String], Int32)])
    func exitCodes(arguments: [String], code: Int32) async throws {
        let ended = try await CommandLineTests.run(arguments)
        #expect(ended.code == code, "\(ended.errors)")
        #expect(!ended.errors.isEmpty)
        #expect(ended.output.isEmpty)
    }

    @Test func checkSaysEveryErrorAtOnce() async throws {
        let directory = try TailTests.Directory()
        let file = directory.file("c.yaml")
        try Data("collector: { lans: 1 }\nexchanges: []\nsink: { type: file }\n".utf8).write(to: file)
        let ended = try await CommandLineTests.run(["check", "--config", file.path])
        #expect(ended.code == 78)
        #expect(
            ended.errors == """
                \(file.path):1:14: error: collector.lans: unknown key; did you mean "lanes"?
                \(file.path):2:12: error: exchanges: is empty; name at least one exchange with its subscriptions
                \(file.path):3:7: error: sink.path: is missing; the file sink needs a directory: write for example ./data/out
                \(file.path): 3 errors, nothing was started

                """)
    }

    @Test func checkOfAnExample() async throws {
        let file = ExamplesTests.directory.appending(path: "file.yaml").path
        let ended = try await CommandLineTests.run(["check", "--config", file])
        #expect(ended.code == 0, "\(ended.errors)")
        #expect(ended.output.contains("exchange binance at wss://stream.binance.com:9443"))
        #expect(ended.output.contains("sink file"))
    }

    @Test func followingEndsWithTheFirstSignal() async throws {
        let directory = try TailTests.Directory()
        try TailTests.compress(TailTests.trade(1) + "\n").write(to: directory.file("a.ndjson.zst"))
        let ended = try await CommandLineTests.run(["tail", directory.url.path, "--follow", "--json"]) {
            pid in
            ck_sleep_nanos(1_000_000_000)
            kill(pid, SIGINT)
        }
        #expect(ended.code == 0)
        #expect(ended.output == TailTests.trade(1) + "\n")
    }

    @Test func secondSignalEndsAtOnce() async throws {
        // A server that takes the connection and never answers.
        var address = ck_address()
        try #require(ck_resolve("127.0.0.1", 0, &address, 1) == 1)
        let listener = ck_listen(&address, 4)
        try #require(listener >= 0)
        defer { ck_close(listener) }
        let emulator = "127.0.0.1:\(ck_local_port(listener))"
        let ended = try await CommandLineTests.run(
            ["tail", "--pubsub-emulator", emulator, "--project", "p", "--topic", "topic"]
        ) { pid in
            ck_sleep_nanos(1_000_000_000)
            kill(pid, SIGTERM)
            ck_sleep_nanos(300_000_000)
            kill(pid, SIGTERM)
        }
        #expect(ended.code == 128 + SIGTERM)
    }

    @Test func aClosedPipeEndsTailQuietly() async throws {
        let directory = try TailTests.Directory()
        let lines = String(repeating: TailTests.trade(1) + "\n", count: 20_000)
        try TailTests.compress(lines).write(to: directory.file("a.ndjson.zst"))
        let ended = try await CommandLineTests.shell(
            "'\(CommandLineTests.program.path)' tail '\(directory.url.path)' --json | head -n 1; echo ${PIPESTATUS[0]}"
        )
        #expect(ended == TailTests.trade(1) + "\n0\n")
    }

    private static func shell(_ command: String) async throws -> String {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(
                    with: Result {
                        let process = Process()
                        let output = Pipe()
                        process.executableURL = URL(filePath: "/bin/bash")
                        process.arguments = ["-c", command]
                        process.standardOutput = output
                        try process.run()
                        let data = output.fileHandleForReading.readDataToEndOfFile()
                        process.waitUntilExit()
                        return String(decoding: data, as: UTF8.self)
                    })
            }
        }
    }
}
