import ArgumentParser
import CKernel
import Foundation
import Publishing
import Rings
import SyntheticBatches

/// Feeds the Pub/Sub sink with batches that it makes up; the collector's other stages are not there.
@main struct PublishDriver: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "publish-driver",
        abstract:
            "Feeds the Pub/Sub sink with batches that it makes up and tells in JSON what became of them.",
        subcommands: [DeliverCommand.self, FaultsCommand.self])
}

/// Where the service is and how it is to be treated.
struct ServiceOptions: ParsableArguments {
    @Option(help: "http://HOST:PORT or https://HOST:PORT.")
    var endpoint: String
    @Option(help: "PEM file with the authority to trust.")
    var authority: String?
    @Option(help: "Connections at most.")
    var connections = 4
    @Option(help: "Bytes of memory for batches.")
    var budget = 64 << 20
    @Option(help: "Bytes of a request at most.")
    var requestBytes = 1_000_000
    @Option(help: "Seconds that a request may take.")
    var requestTimeout = 30
    @Option(help: "Milliseconds between tries after an error that does not end by itself.")
    var slowRetry = 30_000
    @Option(help: "Longest wait after other errors, ms.")
    var backoff = 60_000
    @Flag(inversion: .prefixedNo, help: "Make missing topics.")
    var createTopics = true
    @Option(help: "Leave the remedy of libcurl's fault A, B, C, D or E out.")
    var without: [String] = []

    func settings(project: String, runID: UInt64) throws -> PubSubSettings {
        var settings = PubSubSettings(project: project, collector: "driver", runID: runID)
        settings.endpoint = try PubSubEndpoint(endpoint, source: "--endpoint")
        settings.certificateAuthority = authority
        settings.connections = connections
        settings.byteBudget = budget
        settings.requestBytes = requestBytes
        settings.requestTimeout = Int64(requestTimeout) * 1_000_000_000
        settings.slowRetry = Int64(slowRetry) * 1_000_000
        settings.maximumBackoff = Int64(backoff) * 1_000_000
        settings.createTopics = createTopics
        settings.createsPerMinute = 6_000
        let faults: [String: CurlRemedies] = [
            "A": .laterRequestsPlain, "B": .largeBuffer, "C": .wholeAnswers, "D": .countedEnds,
            "E": .sleepWhenIdle,
        ]
        for letter in without {
            guard let remedy = faults[letter] else { throw ValidationError("--without \(letter): A to E") }
            settings.remedies.remove(remedy)
        }
        return settings
    }
}

/// A token that the service may refuse: the next one comes a little later.
final class RenewedToken: TokenSource, @unchecked Sendable {
    // All calls come from the publisher's thread.
    private var number = 1
    private var readyAt: Int64 = 0

    func token() -> String? { ck_monotonic_nanos() >= readyAt ? "token-\(number)" : nil }

    func refuse(_ token: String) {
        guard token == "token-\(number)" else { return }
        number += 1
        readyAt = ck_monotonic_nanos() + 20_000_000
    }
}

/// User and system time of the process, s.
func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// What the process's thread of that name has used of a CPU, s; 0 where there is none. From the scheduler's own books.
func threadSeconds(_ name: String) -> Double {
    let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
    for task in tasks {
        let folder = "/proc/self/task/\(task)/"
        guard (try? String(contentsOfFile: folder + "comm", encoding: .utf8)) == name + "\n",
            let text = try? String(contentsOfFile: folder + "schedstat", encoding: .utf8),
            let nanos = text.split(separator: " ").first.flatMap({ Double($0) })
        else { continue }
        return nanos / 1e9
    }
    return 0
}

/// Resident memory now, bytes.
func residentBytes() -> Int {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8),
        let pages = text.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
    else { return 0 }
    return pages * 4096
}

func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Unbuffered: a line is there as soon as it is known.
    FileHandle.standardOutput.write(try encoder.encode(value) + Data("\n".utf8))
}
