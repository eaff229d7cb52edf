import CKernel
import Foundation
import Synchronization
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

    /// A program that runs, as a test sees it.
    final class Running: Sendable {
        let pid: Int32
        private let output = Mutex<[UInt8]>([])
        private let errors = Mutex<[UInt8]>([])
        private let ended = Atomic<Bool>(false)
        init(pid: Int32) { self.pid = pid }

        /// Whether it has closed its outputs.
        var hasEnded: Bool { ended.load(ordering: .acquiring) }
        func end() { ended.store(true, ordering: .releasing) }

        func addOutput(_ bytes: Data) { output.withLock { $0 += bytes } }
        func addErrors(_ bytes: Data) { errors.withLock { $0 += bytes } }
        var outputText: String { output.withLock { String(decoding: $0, as: UTF8.self) } }
        var errorText: String { errors.withLock { String(decoding: $0, as: UTF8.self) } }

        /// Waits until it has written the text, at most half a minute.
        func waitFor(_ text: String) {
            for _ in 0..<3_000 where !outputText.contains(text) && !errorText.contains(text) {
                ck_sleep_nanos(10_000_000)
            }
        }

        func signal(_ number: Int32) { kill(pid, number) }
    }

    /// Runs it to its end on threads of its own; `during` is called once it has started.
    static func run(
        _ arguments: [String], during: @escaping @Sendable (Running) -> Void = { _ in }
    ) async throws -> Ended {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(with: Result { try blockingRun(arguments, during) })
            }
        }
    }

    private static func blockingRun(_ arguments: [String], _ during: (Running) -> Void) throws -> Ended {
        let process = Process()
        let (output, errors) = (Pipe(), Pipe())
        process.executableURL = program
        process.arguments = arguments
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        let running = Running(pid: process.processIdentifier)
        let readers = DispatchGroup()
        for (pipe, add) in [(output, running.addOutput), (errors, running.addErrors)]
            as [(Pipe, @Sendable (Data) -> Void)]
        {
            readers.enter()
            let handle = pipe.fileHandleForReading
            Thread.detachNewThread {
                while case let data = handle.availableData, !data.isEmpty { add(data) }
                running.end()
                readers.leave()
            }
        }
        during(running)
        readers.wait()
        process.waitUntilExit()
        let code =
            process.terminationReason == .uncaughtSignal
            ? -process.terminationStatus : process.terminationStatus
        return Ended(code: code, output: running.outputText, errors: running.errorText)
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

    /// A start that fails names its likely cause, and its exit code tells whose fault it is.
    @Test func startsThatFail() async throws {
        let directory = try TailTests.Directory()
        let path = directory.url.path
        try Data("garbage".utf8).write(to: directory.file("file"))
        let cases: [(exchange: String, sink: String, code: Int32, message: String)] = [
            (
                "endpoint: ws://127.0.0.1:1", "{ type: file, path: \(path)/file/x }", 73,
                "error: file sink: directory \(path)/file/x cannot be made: "
            ),
            (
                "tls: { certificateAuthority: \(path)/file }", "{ type: null }", 78,
                "error: certificateAuthority \(path)/file: no certificate could be read: "
            ),
        ]
        for (exchange, sink, code, message) in cases {
            let file = directory.file("c.yaml")
            let yaml = """
                exchanges:
                  - adapter: binance
                    \(exchange)
                    subscriptions: [{ type: trade, symbols: [BTCUSDT] }]
                sink: \(sink)
                api: { listen: off }
                """
            try Data(yaml.utf8).write(to: file)
            let ended = try await CommandLineTests.run(["run", "--config", file.path])
            #expect(ended.code == code)
            #expect(ended.errors.contains(message), "\(ended.errors)")
        }
    }

    @Test func drainsAtTheFirstSignal() async throws {
        let directory = try TailTests.Directory()
        let file = directory.file("c.yaml")
        let yaml = ConfigurationTests.minimal.replacing(
            "adapter: fake", with: "adapter: binance\n    endpoint: ws://127.0.0.1:1")
        try Data((yaml + "api: { listen: off }\n").utf8).write(to: file)
        let ended = try await CommandLineTests.run(["run", "--config", file.path]) { program in
            program.waitFor("collecting")
            program.signal(SIGHUP)
            program.waitFor("reload: 0 streams added")
            program.signal(SIGTERM)
        }
        #expect(ended.code == 0, "\(ended.errors)")
        #expect(ended.errors.hasSuffix("OK: received 0 = published\n"))
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
            $0.waitFor("trade")
            $0.signal(SIGINT)
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
        ) { program in
            // The connection shows that it watches for signals; signals of one number that wait together are one.
            var time: Int64 = 0
            var byte: UInt8 = 0
            var accepted: Int32 = -1
            for _ in 0..<3_000 {
                if accepted < 0 { accepted = ck_accept(listener) }
                if accepted >= 0, ck_receive(accepted, &byte, 1, &time) == 1 { break }
                ck_sleep_nanos(10_000_000)
            }
            for _ in 0..<600 where !program.hasEnded {
                program.signal(SIGTERM)
                ck_sleep_nanos(50_000_000)
            }
            if accepted >= 0 { ck_close(accepted) }
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
