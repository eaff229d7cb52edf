import Wire

/// Runs of frames as the I/O thread leaves them: four bytes of WebSocket header before each frame, their table behind them.
public enum FrameRuns {
    private static var gap: Int { 4 }

    /// Bytes that a run takes.
    public static func size<Frame: Collection<UInt8>>(of frames: [Frame]) -> Int {
        table(of: frames) + frames.count * MemoryLayout<FrameSlice>.size
    }

    private static func table<Frame: Collection<UInt8>>(of frames: [Frame]) -> Int {
        (frames.reduce(FrameRunHeader.size) { $0 + $1.count + gap } + 7) & ~7
    }

    /// Lays a run of slot 0's first connection at `room`, which holds ``size(of:)`` bytes. `receivedTime`: ns since the epoch.
    public static func lay<Frame: Collection<UInt8>>(
        _ frames: [Frame], at room: UnsafeMutableRawPointer, receivedTime: Int64
    ) {
        let table = table(of: frames)
        room.storeBytes(
            of: FrameRunHeader(
                connection: 0, generation: 1, receivedTime: receivedTime, kind: .frames,
                frameCount: frames.count, tableOffset: table),
            as: FrameRunHeader.self)
        var offset = FrameRunHeader.size
        for (index, frame) in frames.enumerated() {
            offset += gap
            UnsafeMutableRawBufferPointer(start: room + offset, count: frame.count).copyBytes(from: frame)
            room.storeBytes(
                of: FrameSlice(offset: offset, length: frame.count, isBinary: false),
                toByteOffset: table + index * MemoryLayout<FrameSlice>.size, as: FrameSlice.self)
            offset += frame.count
        }
    }
}

/// What `take()` of a fresh ring's box gives.
public func taken<End: ~Copyable>(_ end: consuming End?) -> End {
    guard let end = end.take() else { preconditionFailure("a fresh ring has both ends") }
    return end
}
