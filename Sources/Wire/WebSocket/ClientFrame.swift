import CKernel

/// Random bytes from the system's source, fetched a page at a time: a mask costs no system call of its own.
struct RandomPool: ~Copyable {
    private let bytes: UnsafeMutableRawPointer
    private var used: Int
    private static let size = 4_096

    init() {
        bytes = .allocate(byteCount: RandomPool.size, alignment: 8)
        used = RandomPool.size
    }

    deinit { bytes.deallocate() }

    /// Eight bytes that nobody can foresee. Fails only where the kernel has no random source at all.
    mutating func next() -> UInt64 {
        if used == RandomPool.size {
            let code = ck_random(bytes, RandomPool.size)
            precondition(code == 0, "getrandom failed: the kernel has no random source")
            used = 0
        }
        let value = bytes.load(fromByteOffset: used, as: UInt64.self)
        used += 8
        return value
    }

    /// A number in 0 ..< limit, for jitter.
    mutating func next(below limit: Int64) -> Int64 {
        Int64(truncatingIfNeeded: next() % UInt64(max(1, limit)))
    }
}

/// The sending half of WebSocket: frames of ours are whole, and masked.
enum ClientFrame {
    enum Opcode: UInt8 {
        case text = 1
        case binary = 2
        case close = 8
        case pong = 10
    }

    /// Appends a frame with its payload masked by `mask`, four bytes from the system's random source (RFC 6455, 5.3).
    /// `isCompressed`: the payload of a message went through ``MessageDeflate``.
    static func append(
        _ opcode: Opcode, payload: [UInt8], mask: UInt32, isCompressed: Bool = false, to frames: inout [UInt8]
    ) {
        frames.append(0x80 | (isCompressed ? 0x40 : 0) | opcode.rawValue)
        let count = payload.count
        switch count {
        case ..<126: frames.append(0x80 | UInt8(count))
        case ..<65_536: frames += [0x80 | 126, UInt8(count >> 8), UInt8(count & 0xFF)]
        default:
            frames.append(0x80 | 127)
            for shift in stride(from: 56, through: 0, by: -8) {
                frames.append(UInt8(count >> shift & 0xFF))
            }
        }
        for shift: UInt32 in [0, 8, 16, 24] { frames.append(UInt8(truncatingIfNeeded: mask >> shift)) }
        let begin = frames.count
        frames += payload
        frames.withUnsafeMutableBytes { bytes in
            let wide = UInt64(mask) << 32 | UInt64(mask)
            var index = begin
            while index + 8 <= bytes.count {
                let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                bytes.storeBytes(of: word ^ wide.littleEndian, toByteOffset: index, as: UInt64.self)
                index += 8
            }
            while index < bytes.count {
                bytes[index] ^= UInt8(truncatingIfNeeded: mask >> (8 * UInt32((index - begin) & 3)))
                index += 1
            }
        }
    }

    /// A close frame's payload.
    static func closePayload(code: UInt16) -> [UInt8] { [UInt8(code >> 8), UInt8(code & 0xFF)] }
}
