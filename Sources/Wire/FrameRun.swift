/// What a record in the frame ring tells.
@frozen public enum FrameRunKind: UInt8, Sendable, BitwiseCopyable {
    /// Frames of one connection, read together.
    case frames
    /// The connection is open and nothing was read from it yet. No frames.
    case opened
    /// The connection has ended; nothing more of its generation follows. No frames.
    case closed
}

/// The beginning of a record in the frame ring. The bytes as they were decrypted follow, WebSocket headers included;
/// behind them, at `tableOffset`, lies a table of ``FrameSlice``s: the messages in them, unframed in place.
@frozen public struct FrameRunHeader: BitwiseCopyable, Sendable {
    /// The connection slot.
    public var connection: UInt32
    /// Counts the slot's connections; frames of an older generation never follow those of a newer one.
    public var generation: UInt32
    /// When the kernel received the last of these bytes, ns since the epoch.
    public var receivedTime: Int64
    /// Number of slices.
    public var frameCount: UInt32
    /// Where the table begins, from the beginning of the record's payload; a multiple of 8.
    public var tableOffset: UInt32
    /// What the record tells.
    public var kind: FrameRunKind

    /// Bytes that the header takes in the record: the data begin here.
    @inlinable public static var size: Int { 32 }

    /// A header.
    @inlinable public init(
        connection: UInt32, generation: UInt32, receivedTime: Int64, kind: FrameRunKind, frameCount: Int = 0,
        tableOffset: Int = 0
    ) {
        self.connection = connection
        self.generation = generation
        self.receivedTime = receivedTime
        self.kind = kind
        self.frameCount = UInt32(truncatingIfNeeded: frameCount)
        self.tableOffset = UInt32(truncatingIfNeeded: tableOffset)
    }
}

/// Where one message lies in its record's payload.
@frozen public struct FrameSlice: BitwiseCopyable, Sendable {
    /// From the beginning of the record's payload.
    public var offset: UInt32
    /// Bits 0–30: bytes; bit 31: a binary message.
    public var lengthAndKind: UInt32

    /// A slice.
    @inlinable public init(offset: Int, length: Int, isBinary: Bool) {
        self.offset = UInt32(truncatingIfNeeded: offset)
        self.lengthAndKind = UInt32(truncatingIfNeeded: length) | (isBinary ? 1 << 31 : 0)
    }

    /// Bytes.
    @inlinable public var length: Int { Int(lengthAndKind & 0x7FFF_FFFF) }
    /// Binary rather than text.
    @inlinable public var isBinary: Bool { lengthAndKind >> 31 != 0 }
}

/// A view of one record of the frame ring; valid until the consumer releases it.
@frozen public struct FrameRun {
    @usableFromInline let payload: UnsafeRawBufferPointer

    /// A view of the payload that ``RingConsumer/peek()`` returned.
    @inlinable public init(payload: UnsafeMutableRawBufferPointer) {
        self.payload = UnsafeRawBufferPointer(payload)
    }

    /// The record's beginning.
    @inlinable public var header: FrameRunHeader {
        payload.load(as: FrameRunHeader.self)
    }

    /// The message of index 0 ..< header.frameCount. At least 64 bytes past its end are mapped memory.
    @inlinable public func frame(_ index: Int) -> UnsafeRawBufferPointer {
        let slice = slice(index)
        return UnsafeRawBufferPointer(
            rebasing: payload[Int(slice.offset)..<Int(slice.offset) &+ slice.length])
    }

    /// Where that message lies.
    @inlinable public func slice(_ index: Int) -> FrameSlice {
        payload.load(
            fromByteOffset: Int(header.tableOffset) &+ index &* MemoryLayout<FrameSlice>.size,
            as: FrameSlice.self)
    }
}
