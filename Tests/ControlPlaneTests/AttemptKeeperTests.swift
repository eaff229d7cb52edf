import Foundation
import Logging
import Synchronization
import Testing
import Wire

@testable import ControlPlane

/// Connection attempts are remembered from one run to the next.
@Suite struct AttemptKeeperTests {
    private let second: Int64 = 1_000_000_000
    private let wall: Int64 = 1_795_381_748_000_000_000

    /// What was logged as a warning.
    private final class Warnings: Sendable {
        let texts = Mutex<[String]>([])

        var logger: Logger { Logger(label: "test") { _ in Handler(warnings: self) } }

        private struct Handler: LogHandler {
            let warnings: Warnings
            var metadata: Logger.Metadata = [:]
            var logLevel = Logger.Level.warning
            subscript(metadataKey key: String) -> Logger.Metadata.Value? {
                get { metadata[key] }
                set { metadata[key] = newValue }
            }
            func log(event: LogEvent) { warnings.texts.withLock { $0.append("\(event.message)") } }
        }
    }

    private final class Run {
        let budgets: [AttemptBudget]
        let warnings: Warnings
        let keeper: AttemptKeeper

        init(_ directory: String) {
            let budgets = (0..<2).map { _ in AttemptBudget(perWindow: 10, windowNanos: 300_000_000_000) }
            let warnings = Warnings()
            self.budgets = budgets
            self.warnings = warnings
            // Two markets of one exchange share the first.
            keeper = AttemptKeeper(
                directory: directory,
                budgets: [("binance", budgets[0]), ("binance", budgets[0]), ("okx", budgets[1])],
                logger: warnings.logger)
        }

        var warned: [String] { warnings.texts.withLock { $0 } }
    }

    private func withDirectory(_ body: (String) throws -> Void) throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "attempts-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try body(directory + "/data")
    }

    @Test func attemptsAndBansOutlastTheProcess() throws {
        try withDirectory { (directory) throws in
            let first = Run(directory)
            first.keeper.recover(now: 50 * second, wall: wall)
            for index in 0..<7 as Range<Int64> {
                #expect(first.budgets[0].take((50 + index) * second) == nil)
            }
            first.budgets[1].block(until: 500 * second)
            first.keeper.keep(now: 60 * second, wall: wall + 10 * second)
            // The machine was started anew: its clock begins anew as well.
            let next = Run(directory)
            next.keeper.recover(now: 3 * second, wall: wall + 40 * second)
            #expect(next.budgets[0].used(3 * second) == 7 && next.budgets[1].used(3 * second) == 0)
            #expect(next.budgets[1].take(3 * second) == 413 * second)
            #expect(next.warned.count == 1 && next.warned[0].contains("another 410 s"))
            #expect(first.warned.isEmpty)
            // All of them have left the window by then.
            let late = Run(directory)
            late.keeper.recover(now: 3 * second, wall: wall + 400 * second)
            #expect(late.budgets[0].used(3 * second) == 0)
        }
    }

    @Test func nothingIsWrittenThatHasNotChangedAndNotTooOften() throws {
        try withDirectory { (directory) throws in
            let run = Run(directory)
            func written() throws -> Int64? {
                guard let data = FileManager.default.contents(atPath: run.keeper.path) else { return nil }
                return try JSONDecoder().decode(AttemptKeeper.Document.self, from: data).written
            }
            #expect(run.budgets[0].take(second) == nil)
            run.keeper.keep(now: 10 * second, wall: wall)
            #expect(try written() == wall)
            #expect(run.budgets[0].take(11 * second) == nil)
            run.keeper.keep(now: 11 * second, wall: wall + second)
            #expect(try written() == wall)
            run.keeper.keep(now: 12 * second, wall: wall + 2 * second)
            #expect(try written() == wall + 2 * second)
            run.keeper.keep(now: 20 * second, wall: wall + 10 * second)
            #expect(try written() == wall + 2 * second)
            run.budgets[0].giveBack(11 * second)
            run.keeper.keep(now: 20 * second + 1, wall: wall + 11 * second)
            #expect(try written() == wall + 11 * second)
            // The last one does not wait.
            #expect(run.budgets[0].take(21 * second) == nil)
            run.keeper.keep(now: 21 * second, wall: wall + 12 * second, isLast: true)
            #expect(try written() == wall + 12 * second)
        }
    }

    @Test(arguments: [
        "", "{", "[1,2]", #"{"version":1}"#, #"{"version":2,"written":1,"budgets":{}}"#,
        #"{"version":1,"written":"x","budgets":{}}"#, "\u{0}\u{1}",
    ])
    func aDamagedFileIsAWarning(_ text: String) throws {
        try withDirectory { (directory) throws in
            let run = Run(directory)
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            try Data(text.utf8).write(to: URL(filePath: run.keeper.path))
            run.keeper.recover(now: 3 * second, wall: wall)
            #expect(run.warned.count == 1 && run.warned[0].contains(run.keeper.path), "\(run.warned)")
            #expect(run.budgets[0].used(3 * second) == 0)
            #expect(run.budgets[0].take(3 * second) == nil)
            run.keeper.keep(now: 4 * second, wall: wall + second)
            let next = Run(directory)
            next.keeper.recover(now: 3 * second, wall: wall + 2 * second)
            #expect(next.warned.isEmpty && next.budgets[0].used(3 * second) == 1)
        }
    }

    @Test func whatLiesInTheFutureIsIgnored() throws {
        try withDirectory { (directory) throws in
            let ahead = Run(directory)
            for index in 0..<4 as Range<Int64> { #expect(ahead.budgets[0].take((1 + index) * second) == nil) }
            ahead.budgets[0].block(until: 5_000 * second)
            // A clock that is an hour ahead.
            ahead.keeper.keep(now: 5 * second, wall: wall + 3_600 * second)
            let run = Run(directory)
            run.keeper.recover(now: 100 * second, wall: wall)
            #expect(run.budgets[0].used(100 * second) == 0)
            #expect(run.budgets[0].take(100 * second) == nil)
        }
        try withDirectory { (directory) throws in
            let run = Run(directory)
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            let text =
                #"{"version":1,"written":1,"budgets":{"binance":{"attempts":[-9223372036854775808,0,9223372036854775807],"#
                + #""blockedUntil":9223372036854775807},"gone":{"attempts":[1]}}}"#
            try Data(text.utf8).write(to: URL(filePath: run.keeper.path))
            run.keeper.recover(now: 100 * second, wall: wall)
            #expect(run.budgets[0].used(100 * second) == 0)
            #expect(run.budgets[0].take(100 * second) == 100 * second + 259_200 * second)
        }
    }

    @Test func aDirectoryThatCannotBeWrittenIsSaidOnce() throws {
        try withDirectory { (directory) throws in
            try FileManager.default.createDirectory(
                atPath: URL(filePath: directory).deletingLastPathComponent().path,
                withIntermediateDirectories: true)
            // A file stands in the way, which stops root as well.
            try Data().write(to: URL(filePath: directory))
            let run = Run(directory)
            #expect(run.budgets[0].take(second) == nil)
            for index in 0..<5 as Range<Int64> {
                run.keeper.keep(now: (10 + 3 * index) * second, wall: wall + 3 * index * second)
            }
            #expect(run.warned.count == 1, "\(run.warned)")
            #expect(run.warned.first?.contains("collector.dataDirectory") == true)
            // Once it can be written it is, although nothing has changed.
            try FileManager.default.removeItem(atPath: directory)
            run.keeper.keep(now: 60 * second, wall: wall + 60 * second)
            #expect(FileManager.default.fileExists(atPath: run.keeper.path))
        }
    }
}
