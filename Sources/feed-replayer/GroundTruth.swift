import CKernel
import Glibc
import MarketData

/// Writes down what was sent to whom: `<connection>\t<ns since the epoch>\t<frame>\n`.
struct GroundTruth: ~Copyable {
    private static let capacity = 1 << 20
    private static let lineOverhead = 64
    private let descriptor: Int32
    private let path: String
    private let buffer: UnsafeMutablePointer<UInt8>
    private var count = 0
    /// Why writing stopped; nothing is written afterwards.
    private(set) var failure: ReplayerError?

    /// nil: nothing is written.
    init(path: String?) throws(ReplayerError) {
        self.path = path ?? ""
        if let path {
            descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else {
                throw .output("ground truth \(path) cannot be written: \(errorText(Int(errno)))")
            }
        } else {
            descriptor = -1
        }
        buffer = .allocate(capacity: GroundTruth.capacity)
    }

    deinit {
        if isOn { close(descriptor) }
        buffer.deallocate()
    }

    /// Whether anything is written at all.
    var isOn: Bool { descriptor >= 0 }

    /// Notes one frame.
    mutating func note(connection: Int, _ frame: UnsafeRawBufferPointer) {
        if count &+ frame.count &+ GroundTruth.lineOverhead > GroundTruth.capacity { flush() }
        var at = buffer + count
        at += DigitWriter.write(UInt64(connection), to: at)
        at.pointee = 9
        at += 1
        at += DigitWriter.write(UInt64(ck_realtime_nanos()), to: at)
        at.pointee = 9
        at += 1
        count = at - buffer
        if frame.count &+ GroundTruth.lineOverhead > GroundTruth.capacity {
            flush()
            writeAll(frame)
        } else if let from = frame.baseAddress {
            memcpy(at, from, frame.count)
            count &+= frame.count
        }
        buffer[count] = 10
        count &+= 1
    }

    /// Hands everything to the system.
    mutating func flush() {
        writeAll(UnsafeRawBufferPointer(start: buffer, count: count))
        count = 0
    }

    private mutating func writeAll(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while failure == nil, let base = rest.baseAddress, !rest.isEmpty {
            let written = write(descriptor, base, rest.count)
            if written < 0, errno == EINTR { continue }
            guard written > 0 else {
                failure = .output("ground truth \(path) cannot be written: \(errorText(Int(errno)))")
                return
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
        }
    }
}
