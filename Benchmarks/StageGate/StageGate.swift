import CallCounts
import Foundation

/// Holds a stage to the calls that `thresholds.json` allows it for each item. Times vary from machine to machine, counts do
/// not: a count that rises ends the program, and with it the benchmark run, with an error.
public enum StageGate {
    /// A line of `thresholds.json`: calls for each item at most.
    private struct Threshold: Decodable {
        /// Of malloc and its kin.
        var allocations: Double
        /// Of Swift's runtime: references counted, protocols looked up, exclusive access checked.
        var runtime: Double
    }

    private static let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("thresholds.json")

    /// Standard error as the program got it: without a progress bar the runner turns both outputs away while it measures.
    private static let output = FileHandle(fileDescriptor: dup(STDERR_FILENO), closeOnDealloc: false)

    /// Stages whose counts were printed: a benchmark's closure runs for each of its iterations.
    nonisolated(unsafe) private static var printed: Set<String> = []

    /// Keeps standard error for what ``check(_:items:_:)`` has to say; to be called before the first stage runs.
    public static func begin() { _ = output }

    /// Runs `body` on this thread and counts. It handles `items` items, and must have run before: what is made once is not
    /// counted.
    ///
    /// - Parameters:
    ///   - name: the stage's in `thresholds.json`.
    ///   - items: events, frames or records.
    public static func check(_ name: String, items: Int, _ body: () -> Void) {
        let before = cc_now()
        body()
        let after = cc_now()
        let allocations = Double(after.allocations - before.allocations) / Double(items)
        let runtime = Double(after.runtime - before.runtime) / Double(items)
        let found = "\(allocations) allocations and \(runtime) calls of Swift's runtime an item"
        guard let allowed = thresholds()[name] else {
            fail("\(file.path) has nothing of \"\(name)\", which makes \(found)")
        }
        guard allocations <= allowed.allocations, runtime <= allowed.runtime else {
            fail(
                "\(name) makes \(found); \(file.path) allows \(allowed.allocations) and \(allowed.runtime)")
        }
        if printed.insert(name).inserted { say("\(name): \(found)") }
    }

    private static func thresholds() -> [String: Threshold] {
        do {
            return try JSONDecoder().decode([String: Threshold].self, from: Data(contentsOf: file))
        } catch {
            fail("\(file.path): \(error)")
        }
    }

    private static func fail(_ text: String) -> Never {
        say("error: \(text)")
        exit(1)
    }

    private static func say(_ text: String) { output.write(Data("\(text)\n".utf8)) }
}
