import Glibc
import MarketData
import StageSupport
import Wire

/// The frames of a feed, in runs as the I/O thread leaves them in the frame ring.
struct Frames {
    /// As many bytes of frames as one run brings.
    static let runBytes = 65_536
    static let receivedTime: Int64 = 1_790_000_000_000_000_001

    /// One behind the other.
    private(set) var runs: [UnsafeMutableRawBufferPointer] = []
    private(set) var count = 0
    private(set) var bytes = 0
    /// The longest run, bytes.
    var longestRun: Int { runs.map(\.count).max() ?? 0 }

    /// Those of a file (each behind its length, four bytes) that contain `text`; of equal ones the first, since the
    /// collector drops repeats and its rivals do not.
    init(file path: String, containing text: String? = nil) throws {
        let stored = try Frames.read(path)
        let wanted = text.map { Array($0.utf8) }
        var seen: Set<ArraySlice<UInt8>> = []
        var run: [ArraySlice<UInt8>] = []
        var runSize = 0
        var at = 0
        while at + 4 <= stored.count {
            let length = (0..<4).reduce(0) { $0 | Int(stored[at + $1]) << ($1 * 8) }
            guard at + 4 + length <= stored.count else { break }
            let frame = stored[(at + 4)..<(at + 4 + length)]
            at += 4 + length
            if let wanted, frame.prefix(80).firstRange(of: wanted) == nil { continue }
            guard seen.insert(frame).inserted else { continue }
            if runSize + length > Frames.runBytes {
                append(run)
                run = []
                runSize = 0
            }
            run.append(frame)
            runSize += length + 4
        }
        if !run.isEmpty { append(run) }
        guard count > 0 else { throw ComparisonFailure(description: "\(path) holds no frames") }
    }

    private static func read(_ path: String) throws -> [UInt8] {
        guard let file = fopen(path, "rb") else {
            throw ComparisonFailure(description: "cannot read \(path)")
        }
        defer { fclose(file) }
        fseek(file, 0, SEEK_END)
        var bytes = [UInt8](repeating: 0, count: ftell(file))
        rewind(file)
        let count = fread(&bytes, 1, bytes.count, file)
        return Array(bytes[..<count])
    }

    private mutating func append(_ frames: [ArraySlice<UInt8>]) {
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: FrameRuns.size(of: frames) + 128, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        if let room = memory.baseAddress {
            FrameRuns.lay(frames, at: room, receivedTime: Frames.receivedTime)
        }
        bytes += frames.reduce(0) { $0 + $1.count }
        runs.append(memory)
        count += frames.count
    }
}
