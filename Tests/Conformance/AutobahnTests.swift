import CKernel
import CTLS
import Foundation
import Synchronization
import Testing
import Wire

/// The script that runs the Autobahn suite's fuzzing server. It is not a part of the project.
enum Autobahn {
    static let script: String = {
        if let path = ProcessInfo.processInfo.environment["AUTOBAHN_SCRIPT"] { return path }
        let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        return root.appending(path: "../shared/tools/autobahn.sh").standardizedFileURL.path
    }()

    /// Why the suite cannot be run; nil where it can.
    static let obstacle: String? = {
        guard FileManager.default.isExecutableFile(atPath: script) else {
            return "no Autobahn suite: \(script) is not there; name it in AUTOBAHN_SCRIPT"
        }
        // The first time it fetches the suite, which needs the network and a minute or two.
        guard let code = try? run(["setup"]).code, code == 0 else {
            return "the Autobahn suite could not be set up: \(script) setup"
        }
        return nil
    }()

    /// On a thread of its own: what is started from one of the concurrency runtime's inherits their blocked signals, and
    /// the script could not end its server.
    static func run(
        _ arguments: [String], environment: [String: String] = [:]
    ) throws -> (code: Int32, output: String) {
        let result = Mutex<Result<(code: Int32, output: String), any Error>?>(nil)
        let done = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            var none = sigset_t()
            sigemptyset(&none)
            pthread_sigmask(SIG_SETMASK, &none, nil)
            let outcome = Result { try blockingRun(arguments, environment) }
            result.withLock { $0 = outcome }
            done.signal()
        }
        done.wait()
        return try #require(result.withLock { $0 }).get()
    }

    private static func blockingRun(
        _ arguments: [String], _ environment: [String: String]
    ) throws -> (code: Int32, output: String) {
        let process = Process()
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let output = Pipe()
        process.executableURL = URL(filePath: script)
        process.arguments = arguments
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, text)
    }

    /// The client stands beside the tests' own executable.
    static let client: String = {
        let tests = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        let beside = tests.appending(path: "websocket-conformance")
        if FileManager.default.isExecutableFile(atPath: beside.path) { return beside.path }
        return URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../.build/debug/websocket-conformance").standardizedFileURL.path
    }()

    /// Makes a certificate for loopback; what the script and the client take it from.
    static func certificate(in directory: URL) throws -> [String: String] {
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        var text = [CChar](repeating: 0, count: 256)
        let made = "127.0.0.1".withCString { name in
            withUnsafePointer(to: UnsafePointer<CChar>?.some(name)) {
                ct_certificate_write(directory.path, $0, 1, 0, &text, text.count)
            }
        }
        try #require(
            made == 0,
            "\(String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))")
        return [
            "AUTOBAHN_CERT": directory.appending(path: "server.pem").path,
            "AUTOBAHN_KEY": directory.appending(path: "server-key.pem").path,
            "CERTIFICATE_AUTHORITY": directory.appending(path: "ca.pem").path,
        ]
    }

    /// A port of loopback that nobody uses now.
    static func freePort() throws -> UInt16 {
        var address = ck_address()
        try #require(ck_resolve("127.0.0.1", 0, &address, 1) == 1)
        let listener = ck_listen(&address, 1)
        try #require(listener >= 0)
        defer { ck_close(listener) }
        return ck_local_port(listener)
    }
}

/// The cases that are quick, of every section, and one or two each of those that are not; a few of them over TLS, for each
/// who may open its records. All 517, plain and over TLS,
/// take a quarter of an hour each and are run by hand:
///
///     autobahn.sh run 9001 OUTDIR '*' '' -- websocket-conformance --jobs 4 --backend epoll
@Suite(.serialized, .enabled(if: Autobahn.obstacle == nil, "\(Autobahn.obstacle ?? "")"))
struct AutobahnTests {
    /// Small messages: many cases at a time.
    private static let small = "1.*,2.*,3.*,4.*,5.*,6.*,7.*,10.*"
    /// Large and compressed ones: one at a time. The server gives a close a second and a case a minute of its own time,
    /// which run out on a busy machine where it has several of these in hand.
    private static let large = "9.1.*,9.2.*,9.3.1,9.3.5,9.4.1,9.5.3,9.6.3,9.7.1,9.8.1,12.1.1,13.4.8,13.7.8"
    /// Frames of all sizes, fragments, pings, closes, large ones and compressed ones.
    private static let secure =
        "1.*,5.1,5.9,5.15,7.1.1,7.3.1,7.5.1,7.9.1,9.1.1,9.2.1,9.3.1,10.1.1,12.1.1,13.4.8"
    /// Their outcome is not a matter of right and wrong.
    private static let informational = ["7.1.6", "7.13.1", "7.13.2"]

    static let backends = ReactorBackend.allCases.filter { ReactorBackend.choose($0).problem == nil }

    private struct Verdict: Decodable {
        var behavior: String
        var behaviorClose: String
    }

    @Test(arguments: backends) func everyQuickCaseIsPassed(backend: ReactorBackend) throws {
        try check(AutobahnTests.small, count: 247, jobs: 8, backend)
        try check(AutobahnTests.large, count: 22, jobs: 1, backend)
    }

    @Test(arguments: TLSContext.Records.allCases) func aFewCasesArePassedOverTLS(records: TLSContext.Records)
        throws
    {
        try check(AutobahnTests.secure, count: 29, jobs: 4, .epoll, records)
    }

    /// `records`: over TLS, and who opens them.
    private func check(
        _ cases: String, count: Int, jobs: Int, _ backend: ReactorBackend,
        _ records: TLSContext.Records? = nil
    ) throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "autobahn-\(UUID())")
        defer { try? FileManager.default.removeItem(at: directory) }
        var arguments = [
            "run", "\(try Autobahn.freePort())", directory.path, cases, "", "--", Autobahn.client,
            "--jobs", "\(jobs)", "--backend", backend.rawValue, "--agent", "wire",
        ]
        var environment: [String: String] = [:]
        if let records {
            environment = try Autobahn.certificate(in: directory.appending(path: "tls"))
            arguments += ["--records", records.rawValue]
            if let authority = environment.removeValue(forKey: "CERTIFICATE_AUTHORITY") {
                arguments += ["--certificate-authority", authority]
            }
        }
        let (code, output) = try Autobahn.run(arguments, environment: environment)
        #expect(code == 0, "\(output)")
        let index = try Data(contentsOf: directory.appending(path: "index.json"))
        let verdicts = try JSONDecoder().decode([String: [String: Verdict]].self, from: index)["wire"] ?? [:]
        #expect(verdicts.count == count)
        for (name, verdict) in verdicts where verdict.behavior != "OK" || verdict.behaviorClose != "OK" {
            let mayDiffer = AutobahnTests.informational.contains(name) && verdict.behavior == "INFORMATIONAL"
            #expect(mayDiffer, "case \(name): \(verdict.behavior), close \(verdict.behaviorClose)")
        }
    }
}
