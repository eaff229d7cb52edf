import Glibc
import Wire

/// A run of one frame that ends where its promised slack ends, before a page that nobody may touch: what reads further
/// is killed, with the address sanitizer and without.
struct GuardedRun {
    private let memory: UnsafeMutableRawPointer
    /// Behind the slack.
    private let end: UnsafeMutableRawPointer
    private static let slack = 64

    init(frameMax: Int) {
        let page = 4_096
        let size = (frameMax + GuardedRun.slack + 256 + page - 1) / page * page
        guard
            let memory = mmap(
                nil, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            memory != MAP_FAILED, mprotect(memory + size, page, PROT_NONE) == 0
        else { preconditionFailure("no memory for a frame") }
        self.memory = memory
        end = memory + size
    }

    /// The frame's run, with the bytes around it as `padding`.
    func run(of frame: UnsafeRawBufferPointer, isSpaced: Bool, padding: UInt8)
        -> UnsafeMutableRawBufferPointer
    {
        let count = frame.count + (isSpaced ? 1 : 0)
        let first = end - GuardedRun.slack - count
        memset(end - GuardedRun.slack, Int32(padding), GuardedRun.slack)
        // As much may be read before a frame as stands there.
        let table = FrameRunHeader.size
        let room = table + MemoryLayout<FrameSlice>.size + 16
        let base = UnsafeMutableRawPointer(bitPattern: UInt(bitPattern: first - room) & ~7) ?? memory
        memset(base, Int32(padding), first - base)
        base.storeBytes(
            of: FrameRunHeader(
                connection: 0, generation: 1, receivedTime: 1, kind: .frames, frameCount: 1,
                tableOffset: table), as: FrameRunHeader.self)
        base.storeBytes(
            of: FrameSlice(offset: first - base, length: count, isBinary: false), toByteOffset: table,
            as: FrameSlice.self)
        if isSpaced { first.storeBytes(of: UInt8(ascii: " "), as: UInt8.self) }
        if let source = frame.baseAddress {
            (isSpaced ? first + 1 : first).copyMemory(from: source, byteCount: frame.count)
        }
        return UnsafeMutableRawBufferPointer(start: base, count: end - base)
    }
}

/// What a frame has become: so many events of so many bytes.
struct Outcome {
    var count = 0
    var bytes = 0
    /// Whether nothing is there but one dead letter.
    var isOneDeadLetter: Bool { count == 1 && bytes == MemoryLayout<Int>.size }
}

/// Room for the events of a frame, so that comparing them allocates nothing.
struct Events {
    private static let capacity = 1 << 20
    let memory = UnsafeMutableRawPointer.allocate(byteCount: Events.capacity, alignment: 8)

    /// Puts an event, or the empty place of one, behind the others.
    func append(_ event: UnsafeRawBufferPointer, to outcome: inout Outcome) {
        let size = MemoryLayout<Int>.size + event.count
        precondition(outcome.bytes + size <= Events.capacity, "more events than the ring holds")
        (memory + outcome.bytes).storeBytes(of: event.count, as: Int.self)
        if let source = event.baseAddress {
            (memory + outcome.bytes + MemoryLayout<Int>.size).copyMemory(from: source, byteCount: event.count)
        }
        outcome.count += 1
        outcome.bytes += size
    }
}
